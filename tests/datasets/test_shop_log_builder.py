"""Tests of the TFDS builder of the shop's log, run by Beam."""

from __future__ import annotations

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfrs_augment.datasets import interactions, photos, shop_log, shop_log_builder, tfds_columns


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Returns a folder with the prepared tables of the smallest log, and a larger one's users."""
    folder = tmp_path_factory.mktemp("tfds")
    options = beam.options.pipeline_options.PipelineOptions(["--runner=FnApiRunner"])
    config = tfds.download.DownloadConfig(beam_options=options)
    for name in ("1k-interactions", "1k-items", "1k-users", "100k-users"):
        builder = tfds.builder(f"simulated_shop_log/{name}", data_dir=str(folder))
        builder.download_and_prepare(download_config=config)
    return folder


@pytest.mark.parametrize("table", ["interactions", "users"])
def test_beam_writes_what_the_function_returns(data_dir, table):
    made = shop_log.simulated_shop_log("1k")
    made = made.rows if table == "interactions" else made.users
    loaded = tfds_columns.load_columns(f"simulated_shop_log/1k-{table}", data_dir=data_dir)
    assert loaded.keys() == made.keys()
    for name in made:
        assert loaded[name].dtype.kind == made[name].dtype.kind
        if isinstance(made[name], interactions.Ragged):
            assert loaded[name].to_lists() == made[name].to_lists()
        else:
            np.testing.assert_array_equal(loaded[name], made[name])


def test_several_blocks_are_written_in_order(data_dir):
    users = tfds_columns.load_columns("simulated_shop_log/100k-users", data_dir=data_dir)
    assert shop_log_builder.block_count("100k", "users") == 4
    np.testing.assert_array_equal(
        users["user_id"], shop_log.simulated_shop_log("100k").users["user_id"]
    )


def test_items_have_photos(data_dir):
    items, info = tfds.load(
        "simulated_shop_log/1k-items", split="train", data_dir=str(data_dir), with_info=True
    )
    assert info.features["item_photo"].shape == (48, 48, 3)
    assert info.features["item_photo"].dtype == tf.uint8
    made = shop_log.simulated_shop_log("1k").items
    loaded = list(items.as_numpy_iterator())
    np.testing.assert_array_equal(
        np.stack([item["item_photo"] for item in loaded]), photos.draw_photos(made)
    )
    assert [item["item_id"] for item in loaded] == made["item_id"].tolist()


@pytest.mark.parametrize("table", ["interactions", "items", "users"])
def test_blocks_join_without_gap_or_overlap(table):
    count = shop_log_builder.block_count("10k", table)
    blocks = [list(shop_log_builder.block_examples("10k", table, n)) for n in range(count)]
    keys = [key for block in reversed(blocks) for key, _ in block]
    size = shop_log.SIZES["10k"]
    expected = {"interactions": size.interactions, "items": size.items, "users": size.users}
    assert sorted(keys) == list(range(expected[table]))


def test_a_block_of_the_largest_log_comes_alone():
    world = shop_log.ShopWorld(shop_log.SIZES["100m"])
    assert world.blocks == 2_000
    block = world.block(1_999)
    assert block.users["user_id"][-1] == b"u2000000"
    assert len(block.rows["user_id"]) == 50_000
    assert world.first_row(2_000) == 100_000_000


def test_every_size_has_every_table():
    names = {config.name for config in shop_log_builder.SimulatedShopLog.BUILDER_CONFIGS}
    assert names == {
        f"{size}-{table}"
        for size in ("1k", "10k", "100k", "1m", "10m", "100m")
        for table in ("interactions", "items", "users")
    }
