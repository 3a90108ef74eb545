"""The shop's click log as a TFDS builder that runs on Beam; importing this module registers it.

Example:
  import apache_beam as beam
  import tensorflow_datasets as tfds
  import tfrs_augment.datasets.shop_log_builder  # registers "simulated_shop_log"

  config = tfds.download.DownloadConfig(
      beam_options=beam.options.pipeline_options.PipelineOptions(["--runner=FlinkRunner", ...]))
  builder = tfds.builder("simulated_shop_log/10m-interactions", data_dir="gs://bucket/tfds")
  builder.download_and_prepare(download_config=config)
  clicks = builder.as_dataset(split="train")

Nothing is downloaded. A configuration is a table, as with `simulated_shop`; that of the items has a
photo of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfrs_augment.datasets import interactions, photos, shop_log

if TYPE_CHECKING:
    import apache_beam as beam

_TABLES = ("interactions", "items", "users")
_BLOCK_ITEMS = 500  # Photos of a block are in memory at once.
_PHOTO_SIZE = 48


class SimulatedShopLog(tfds.core.BeamBasedBuilder):
    """The tables of `simulated_shop_log(size)`, one a configuration `<size>-<table>`."""

    # A new version wherever `simulated_shop_log` gives other rows: prepared data are kept by version.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name=f"{size}-{table}", description=f"{table} of the {size} log")
        for size in shop_log.SIZES
        for table in _TABLES
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        # All sizes have the columns of the smallest.
        smallest = _block_table("1k", self._table, 0)
        return tfds.core.DatasetInfo(
            builder=self,
            description=shop_log.__doc__,
            features=tfds.features.FeaturesDict(
                {name: _feature(column) for name, column in smallest.items()}
            ),
            # Keeps the order of the rows: by user and time.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, beam.PTransform]:
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> beam.PTransform:
        import apache_beam as beam

        size, table = self._size, self._table
        blocks = range(block_count(size, table))
        return (
            "Blocks" >> beam.Create(blocks)
            # Else a runner may fuse all blocks into one task.
            | "Spread" >> beam.Reshuffle()
            | "Rows" >> beam.FlatMap(lambda number: block_examples(size, table, number))
        )

    @property
    def _size(self) -> str:
        return self.builder_config.name.split("-")[0]

    @property
    def _table(self) -> str:
        return self.builder_config.name.split("-")[1]


def block_count(size: str, table: str) -> int:
    """Returns the number of blocks in which a table of a named size is generated."""
    if table == "items":
        return -(-shop_log.SIZES[size].items // _BLOCK_ITEMS)
    return shop_log.cached_world(size).blocks


def block_examples(size: str, table: str, number: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of each row in the whole table, and the row.

    Args:
      size: a name of `shop_log.SIZES`.
      table: "interactions", "items" or "users".
      number: the block, from 0 to `block_count(size, table) - 1`.
    """
    if table == "interactions":
        first = shop_log.cached_world(size).first_row(number)
    else:
        first = number * (_BLOCK_ITEMS if table == "items" else shop_log.BLOCK_USERS)
    columns = {
        name: column.to_lists() if isinstance(column, interactions.Ragged) else list(column)
        for name, column in _block_table(size, table, number).items()
    }
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        yield first + row, dict(zip(columns, values, strict=True))


def _block_table(size: str, table: str, number: int) -> dict[str, interactions.Column]:
    """Returns the columns of a block, and photos uint8 `[n, height, width, 3]` with items."""
    world = shop_log.cached_world(size)
    if table == "items":
        start = number * _BLOCK_ITEMS
        index = np.arange(start, min(start + _BLOCK_ITEMS, len(world.items["item_id"])))
        items = {name: interactions.take_column(c, index) for name, c in world.items.items()}
        return {**items, "item_photo": photos.draw_photos(items, size=_PHOTO_SIZE)}
    block = world.block(number)
    return block.rows if table == "interactions" else block.users


def _feature(column: interactions.Column) -> Any:
    """Returns the TFDS feature that holds a column."""
    if isinstance(column, interactions.Ragged):
        return tfds.features.Sequence(tfds.features.Text())
    if column.ndim == 4:
        return tfds.features.Image(shape=column.shape[1:], encoding_format="png")
    return tfds.features.Text() if column.dtype.kind == "S" else column.dtype.type
