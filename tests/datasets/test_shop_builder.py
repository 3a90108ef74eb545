"""Tests of the TFDS builder of the simulated shop."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfrs_augment import datasets, errors
from tfrs_augment.datasets import interactions, shop, shop_builder

_IDS = ("user_id", "item_id")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


def test_loads_by_name_what_the_function_returns(data_dir):
    loaded = shop_builder.simulated_shop_from_tfds(
        "simulated_shop/tiny-interactions", data_dir=data_dir
    )
    made = shop.simulated_shop("tiny", seed=0)
    assert loaded.name == made.name
    for table in ("rows", "items", "users"):
        left, right = getattr(loaded, table), getattr(made, table)
        assert left.keys() == right.keys()
        for name in left:
            assert left[name].dtype == right[name].dtype
            if isinstance(right[name], interactions.Ragged):
                assert left[name].to_lists() == right[name].to_lists()
            else:
                np.testing.assert_array_equal(left[name], right[name])


def test_tfds_load(data_dir):
    items, info = tfds.load(
        "simulated_shop/tiny-items", split="train", data_dir=str(data_dir), with_info=True
    )
    assert info.splits["train"].num_examples == shop.SIZES["tiny"].items
    first = next(iter(items.take(1)))
    made = shop.simulated_shop("tiny", seed=0).items
    assert first["item_title"].numpy() == made["item_title"][0]
    assert first["item_title_words"].numpy().tolist() == made["item_title_words"].to_lists()[0]


def test_the_version_stands_for_these_rows():
    # TFDS keeps prepared data by version: whoever changes the shop raises the version as well.
    made = shop.simulated_shop("tiny", seed=0)
    columns = [*made.users.values(), *made.items.values(), *map(made.rows.get, _IDS)]
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(getattr(column, "values", column)).tobytes())
    rows = (str(shop_builder.SimulatedShop.VERSION), digest.hexdigest()[:16])
    assert rows == ("1.0.0", "e51275e5871506cd")


def test_other_names_are_refused():
    with pytest.raises(errors.InvalidArgumentError, match=r"tiny-interactions.*tiny-items"):
        shop_builder.simulated_shop_from_tfds("simulated_shop/tiny-items")


def test_public_names():
    assert datasets.simulated_shop is shop.simulated_shop
    assert datasets.SimulatedShop is shop_builder.SimulatedShop
    assert set(datasets.__all__) <= set(dir(datasets))
    for name in datasets.__all__:
        assert getattr(datasets, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        datasets.nothing  # noqa: B018
