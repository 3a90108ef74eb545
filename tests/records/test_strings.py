"""Strings across TensorFlow's border, and dictionary codes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment import records


def _strings(values: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    column = records.Column.from_rows(records.BYTES, [values])
    return column.value_offsets, column.data


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 20000])
def test_strings_to_tensorflow_and_back(count):
    rng = random.Random(count)
    values = [rng.randbytes(rng.choice((0, 1, 20, 300))) for _ in range(count)]
    tensor = tf.io.parse_tensor(records.pack_strings(*_strings(values)), tf.string)
    assert tensor.shape == (count,)
    assert tensor.numpy().tolist() == values
    offsets, data = records.unpack_strings(
        tf.strings.length(tensor).numpy(), tf.strings.reduce_join(tensor).numpy()
    )
    np.testing.assert_array_equal(offsets, _strings(values)[0])
    np.testing.assert_array_equal(data, _strings(values)[1])


def test_lengths_must_add_up():
    with pytest.raises(ValueError, match="add up to the 3 bytes.*sum 4"):
        records.unpack_strings(np.array([2, 2]), b"abc")


def test_splits_that_point_outside_are_refused():
    for function in (records.pack_strings, records.unique):
        with pytest.raises(ValueError, match="positions from 0 to 2"):
            function(np.array([0, 3]), np.zeros(2, np.uint8))


@pytest.mark.parametrize("distinct", [1, 10, 511, 512, 513, 5000])
def test_unique(distinct):
    rng = random.Random(distinct)
    table = [b"", *(b"%d" % k * rng.randint(1, 5) for k in range(distinct - 1))]
    values = [rng.choice(table) for _ in range(10000)]
    codes, first = records.unique(*_strings(values))
    order = list(dict.fromkeys(values))
    numbers = {value: code for code, value in enumerate(order)}
    assert codes.tolist() == [numbers[value] for value in values]
    assert [values[i] for i in first] == order
    assert first.tolist() == [values.index(value) for value in order]


def test_unique_of_nothing():
    codes, first = records.unique(*_strings([]))
    assert codes.size == 0 and first.size == 0
