"""A kernel that reads where it is told, to see that the guard page of `test_guard` works."""

from __future__ import annotations

import numba

from tfrs_augment.records.compiling import load8


@numba.njit
def read_byte(array, position):
    return load8(array, position)
