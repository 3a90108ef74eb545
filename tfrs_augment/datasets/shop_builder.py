"""The simulated shop as a TensorFlow Datasets builder; importing this module registers it.

Example:
  import tensorflow_datasets as tfds
  import tfrs_augment.datasets.shop_builder  # registers "simulated_shop"

  purchases = tfds.load("simulated_shop/small-interactions", split="train")
  items = tfds.load("simulated_shop/small-items", split="train")
  users = tfds.load("simulated_shop/small-users", split="train")

Nothing is downloaded. As in TFDS's MovieLens, a configuration is a table, since the splits of one
configuration must have the same features.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from tfrs_augment import errors
from tfrs_augment.datasets import interactions, shop, tfds_columns

_SEED = 0
_TABLES = ("interactions", "items", "users")


class SimulatedShop(tfds.core.GeneratorBasedBuilder):
    """The tables of `simulated_shop(size, seed=0)`, one a configuration `<size>-<table>`."""

    # A new version wherever `simulated_shop` gives other rows: prepared data are kept by version.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name=f"{size}-{table}", description=f"{table} of the {size} shop")
        for size in ("small", "tiny")
        for table in _TABLES
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {name: _feature(column) for name, column in self._table().items()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=shop.__doc__,
            features=tfds.features.FeaturesDict(features),
            # Keeps the order of the rows: by user and time.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        columns = {
            name: column.to_lists() if isinstance(column, interactions.Ragged) else column.tolist()
            for name, column in self._table().items()
        }
        for key, values in enumerate(zip(*columns.values(), strict=True)):
            yield key, dict(zip(columns, values, strict=True))

    def _table(self) -> interactions.Table:
        size, table = self.builder_config.name.split("-")
        data = shop.simulated_shop(size, seed=_SEED)
        return data.rows if table == "interactions" else getattr(data, table)


def simulated_shop_from_tfds(
    name: str = "simulated_shop/small-interactions",
    data_dir: str | os.PathLike[str] | None = None,
) -> interactions.Interactions:
    """Loads the simulated shop through TensorFlow Datasets, which prepares it on disk.

    Args:
      name: "simulated_shop/small-interactions" or "simulated_shop/tiny-interactions".
      data_dir: where TFDS keeps prepared data; None is its default, ~/tensorflow_datasets.

    Returns:
      What `simulated_shop(size, seed=0)` returns, without `truth`.

    Raises:
      InvalidArgumentError: `name` is not an interactions set of the shop.
    """
    match = re.fullmatch(r"simulated_shop/(small|tiny)-interactions(:[\d.]+)?", name)
    if not match:
        raise errors.InvalidArgumentError(
            "`name` must be 'simulated_shop/small-interactions' or "
            f"'simulated_shop/tiny-interactions'. Received: name={name!r}."
        )
    rows, items, users = (
        tfds_columns.load_columns(name.replace("-interactions", f"-{table}"), data_dir=data_dir)
        for table in _TABLES
    )
    return interactions.Interactions(rows, items, users, name=f"simulated-shop-{match.group(1)}")


def _feature(column: interactions.Column) -> Any:
    """Returns the TFDS feature that holds a column."""
    dtype = tfds.features.Text() if column.dtype.kind == "S" else column.dtype.type
    return tfds.features.Sequence(dtype) if isinstance(column, interactions.Ragged) else dtype
