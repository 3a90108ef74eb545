"""Columns of values: what each may hold, and what is refused since it would be lost."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.synthesis.values import as_column, with_gaps

NOTHING = float("nan")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], np.int64([1, 0])),
        (np.array([True, False]), np.int64([1, 0])),
        ([True, None], np.float32([1, NOTHING])),
        ([1, 2], np.int64([1, 2])),
        ([2**62 + 1, -(2**62)], np.int64([2**62 + 1, -(2**62)])),
        (np.uint64([7]), np.int64([7])),
        ([1, None], np.float32([1, NOTHING])),
        ([1, 0.1], np.float32([1, 0.1])),
        (np.float16([0.1]), np.float32(np.float16([0.1]))),
        (np.array([0.1]), np.float32([0.1])),
        (np.array([2**24, NOTHING]), np.float32([2**24, NOTHING])),
        (np.array([1.5, 2**24 + 1]), np.float32([1.5, 2**24])),
        (np.array([1e30]), np.float32([1e30])),
        (np.array([1, 2.5], object), np.float32([1, 2.5])),
        (np.ma.array([5, 6], mask=[False, True]), np.float32([5, NOTHING])),
        (["Ærø", None, ""], np.array(["Ærø".encode(), b"", b""])),
        ([b"\xff", "é"], np.array([b"\xff", "é".encode()])),
        (np.array(["é", "a\0b"]), np.array(["é".encode(), b"a\0b"])),
        ([], np.float32([])),
    ],
)
def test_values_are_bytes_float32_or_int64(values, expected):
    column = as_column("x", values)
    assert column.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("category", ["a", None, "a"]), [b"a", b"", b"a"]),
        (("category", [3, 1, 3]), [3, 1, 3]),
        (("Int64", [2**60 + 1, 2]), [2**60 + 1, 2]),
        (("Int64", [1, None]), [1.0, NOTHING]),
        (("boolean", [True, None]), [1.0, NOTHING]),
        (("string", ["é", None]), ["é".encode(), b""]),
        (("Float32", [0.5, None]), [0.5, NOTHING]),
    ],
    ids=lambda values: str(values[0]),
)
def test_columns_of_pandas(values, expected):
    pandas = pytest.importorskip("pandas", reason="the extra dev is not installed")
    dtype, rows = values
    series = pandas.Series(rows, dtype=dtype, index=range(7, 7 + len(rows)))
    np.testing.assert_array_equal(as_column("x", series), expected)


def test_a_kind_decides_what_numbers_are():
    assert as_column("x", [1, 2], "float").dtype == np.float32
    assert as_column("x", [1.0, 2.0], "int64").dtype == np.int64
    assert as_column("x", [None, None], "bytes").tolist() == [b"", b""]
    assert as_column("x", [NOTHING, NOTHING], "bytes").tolist() == [b"", b""]
    assert as_column("x", [], "bytes").dtype.kind == "S"
    assert np.isnan(as_column("x", [None, None])).all()


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([1.0, float("inf")], None, "must hold finite float32 .* 1 infinite"),
        ([1e300], None, "must hold finite float32"),
        ([1.0, NOTHING], "int64", "must not be missing, .* 1 such values"),
        ([1.5], "int64", "have decimals"),
        ([1e30], "int64", "beyond int64"),
        ([[1], [1, 2]], None, "one value a row. Received: objects of list"),
        ([[1], [2]], None, "one value a row. Received: objects of list"),
        (np.ones([2, 2]), None, r"one value a row. Received: ndarray of shape \(2, 2\)"),
        (tf.ragged.constant([[1], []]), None, "one value a row. Received: a RaggedTensor"),
        ("text", None, "one value a row. Received: str"),
        ([object()], None, "one value a row. Received: objects of object"),
        (["a", 1], None, "one value a row. Received: objects of int, str"),
        (np.array([b"a", 1.5], object), None, "Received: objects of bytes, float"),
        ([1j], None, "objects of complex"),
        ([decimal.Decimal(1)], None, "objects of Decimal. Convert it first"),
        (np.array([1j]), None, "an array of complex128"),
        ([datetime.datetime(2020, 1, 1)], None, "objects of datetime.* times become seconds"),
        (np.array(["2020-01-01"], "datetime64[D]"), None, "times become seconds"),
        (np.array([2**64 - 1], np.uint64), None, "must fit int64. Received: 18446744073709551615"),
        ([2**70], None, "must fit int64. Received: 1180591620717411303424. .* as text"),
        ([-1, 2**63], None, "must fit int64"),
        ([2**24 + 1, None], None, "ids or times, must fit float32. Received: 16777217"),
        (np.array([1.6e9 + 1, NOTHING]), None, "which would be rounded. Pass them as int64"),
        ([2**62 + 1, None], None, "must fit float32. Received: 4611686018427387905"),
        ([2**62 + 1, 0.5], None, "must fit float32. Received: 4611686018427387905"),
        (np.int64([2**24 + 1]), "float", "must fit float32"),
        (["\udc80"], None, "must be valid Unicode"),
        (np.array(["\udc80"]), None, "must be valid Unicode"),
        (["a\0"], None, "must not end in a NUL byte.* Received: b'a.x00'"),
        ([b"a"], "float", "must hold float. Received: an array of .S1"),
        ([1], "bytes", "must hold bytes. Received: an array of int64"),
    ],
)
def test_values_that_no_column_can_hold(values, kind, message):
    with pytest.raises(DataError, match=f"'x'.*{message}"):
        as_column("x", values, kind)


def test_gaps_leave_the_other_integers_as_they_are():
    exact = 2**53 + 1
    for values in ([None, exact], np.array([None, exact], object)):
        column, absent = with_gaps("x", values, "int64")
        assert column.tolist() == [0, exact] and absent.tolist() == [True, False]
    column, absent = with_gaps("x", np.array([NOTHING, 1.6e9 + 1]), "int64")
    assert column.tolist() == [0, 1_600_000_001] and absent.tolist() == [True, False]
    column, absent = with_gaps("x", ["a", None, ""], "bytes")
    assert column.tolist() == [b"a", b"", b""] and absent.tolist() == [False, True, True]
    for kind, kinds in (("bytes", "S"), ("float", "f"), ("int64", "i")):
        column, absent = with_gaps("x", [], kind)
        assert column.dtype.kind == kinds and len(column) == len(absent) == 0
    with pytest.raises(DataError, match="have decimals"):
        with_gaps("x", [NOTHING, 3.7], "int64")
