"""Columns check what the kernels trust."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment import records


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (records.BYTES, [[b"a", b""], None, [], [b"bcd"]]),
        (records.FLOAT, [[1.5], None, [], [2.0, -1.0]]),
        (records.INT64, [[1], None, [], [2, -(2**63)]]),
    ],
)
def test_rows_there_and_back(kind, rows):
    column = records.Column.from_rows(kind, rows)
    assert column.to_rows() == rows and len(column) == 4
    assert column.state.tolist() == [2, 0, 2, 2]


@pytest.mark.parametrize("splits", [[0, 2, 1, 3], [0, 4], [-1, 3], []])
def test_splits_that_point_outside_are_refused(splits):
    splits = np.array(splits, np.int64)
    with pytest.raises(ValueError, match="`row_splits` must be positions from 0 to 3"):
        records.Column(records.FLOAT, splits, values=np.zeros(3))
    with pytest.raises(ValueError, match="`value_offsets` must be positions from 0 to 3"):
        records.Column(records.BYTES, np.zeros(1), value_offsets=splits, data=np.zeros(3, np.uint8))


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="`kind` must be 1, 2 or 3. Received: kind=4"):
        records.Column(4, np.zeros(1), values=np.zeros(0))
    with pytest.raises(
        ValueError, match="a float column must have .*'values'.*Received: values=None"
    ):
        records.Column(records.FLOAT, np.zeros(1))
    with pytest.raises(ValueError, match="Received: data="):
        records.Column(records.FLOAT, np.zeros(1), values=np.zeros(0), data=np.zeros(0, np.uint8))
    with pytest.raises(ValueError, match="`state` must hold 0, 1 or 2 for each of 2 rows"):
        records.Column(records.FLOAT, np.zeros(3), values=np.zeros(0), state=np.array([0, 3]))


def test_read_only_and_strided_arrays_are_taken():
    values = np.arange(6, dtype=np.int32)[::2]
    values.flags.writeable = False
    column = records.Column(records.INT64, np.arange(4, dtype=np.int32), values=values)
    assert column.to_rows() == [[0], [2], [4]]
    assert column.values.dtype == np.int64
