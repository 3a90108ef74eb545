"""Hashes of rows, and the passes over sorted rows that cannot be array operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrs_augment.records import BYTES, FLOAT, Column
from tfrs_augment.records.compiling import inlined, jit, kernel_input, load64
from tfrs_augment.records.frames import FOOTER_BYTES, FRAME_BYTES, HEADER_BYTES

_SEEDS = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)
"""One a lane: a hash is 128 bits, so that two rows of a billion that differ never count as equal."""


@inlined
def _mix(z):
    """The finalizer of splitmix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _hash_slices(data, begins, ends, seed):
    hashes = np.empty(len(begins), np.uint64)
    for i in range(len(begins)):
        begin, end = begins[i], ends[i]
        state = _mix(seed ^ np.uint64(end - begin))
        while end - begin >= 8:
            state = _mix((state ^ load64(data, begin)) + seed)
            begin += 8
        rest = np.uint64(0)
        while begin < end:
            rest = (rest << np.uint64(8)) | np.uint64(data[begin])
            begin += 1
        hashes[i] = _mix((state ^ rest) + seed)
    return hashes


@jit
def _fold(states, row_splits, words, seed):
    folded = np.empty(len(states), np.uint64)
    for i in range(len(states)):
        begin, end = row_splits[i], row_splits[i + 1]
        state = _mix((states[i] ^ np.uint64(end - begin)) + seed)
        for j in range(begin, end):
            state = _mix((state ^ words[j]) + seed)
        folded[i] = state
    return folded


def hash_slices(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Hashes `data[begins[i]:ends[i]]`: uint64 `[n, 2]`. The slices must lie within the data."""
    data = kernel_input(data, np.uint8)
    begins, ends = kernel_input(begins, np.int64), kernel_input(ends, np.int64)
    return np.stack([_hash_slices(data, begins, ends, np.uint64(s)) for s in _SEEDS], axis=1)


def hash_payloads(frames: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Hashes the payloads of framed records: uint64 `[n, 2]`."""
    return hash_slices(frames, offsets[:-1] + HEADER_BYTES, offsets[1:] - FOOTER_BYTES)


def hash_values(column: Column) -> np.ndarray:
    """Hashes each value of a column: uint64 `[m, 2]`. 0.0 and -0.0 hash alike."""
    if column.kind == BYTES:
        return hash_slices(column.data, column.value_offsets[:-1], column.value_offsets[1:])
    if column.kind == FLOAT:
        words = (column.values + np.float32(0.0)).view(np.uint32).astype(np.uint64)
    else:
        words = column.values.view(np.uint64)
    ones = np.arange(len(words) + 1)
    zeros = np.zeros(len(words), np.uint64)
    return np.stack([_fold(zeros, *_words(ones, words), np.uint64(s)) for s in _SEEDS], axis=1)


def hash_rows(columns: Sequence[Column]) -> np.ndarray:
    """Hashes the lists of values that rows have in some columns: uint64 `[n, 2]`."""
    lanes = [np.zeros(len(columns[0]), np.uint64)] * 2
    for column in columns:
        words = hash_values(column)
        lanes = [
            _fold(lane, *_words(column.row_splits, words[:, k]), np.uint64(_SEEDS[k]))
            for k, lane in enumerate(lanes)
        ]
    return np.stack(lanes, axis=1)


def _words(row_splits: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return kernel_input(row_splits, np.int64), kernel_input(words, np.uint64)


@jit
def _thin(starts, values, tolerance):
    dropped = np.zeros(len(values), np.bool_)
    last = 0
    for i in range(len(values)):
        if starts[i]:
            last = i
        elif values[i] - values[last] <= tolerance:
            dropped[i] = True
        else:
            last = i
    return dropped


def thin(starts: np.ndarray, values: np.ndarray, tolerance: np.generic) -> np.ndarray:
    """Which rows lie within a tolerance of the last row that is kept, group by group.

    Args:
      starts: bool `[n]`, whether a group begins here.
      values: uint64 or float64 `[n]`, rising within a group.
      tolerance: of the values' type.

    Returns:
      bool `[n]`; the first row of a group is never among them.
    """
    return _thin(np.ascontiguousarray(starts), np.ascontiguousarray(values), tolerance)


@jit
def _frame_offsets(data, count):
    offsets = np.empty(count + 1, np.int64)
    offsets[0] = 0
    for i in range(count):
        offsets[i + 1] = offsets[i] + np.int64(load64(data, offsets[i])) + FRAME_BYTES
    return offsets


def frame_offsets(data: np.ndarray, count: int) -> np.ndarray:
    """Where each of the `count` framed records that fill `data` begins, and the end: int64."""
    return _frame_offsets(kernel_input(data, np.uint8), count)
