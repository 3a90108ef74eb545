"""Compiles all kernels at once, or loads them from Numba's cache."""

from __future__ import annotations

import io

import numpy as np

from .block import Edit, decode, encode_rows
from .columns import Column
from .frames import verify_and_copy
from .reading import read_frames
from .strings import pack_strings, unique
from .wire import BYTES, FLOAT, INT64


def warm_up() -> None:
    """Runs every kernel on a tiny input, so that a worker pays for compiling once, before work."""
    columns = {
        "b": Column.from_rows(BYTES, [[b"x"], [], None]),
        "f": Column.from_rows(FLOAT, [[0.5], [], None]),
        "i": Column.from_rows(INT64, [[1, -1], [], None]),
    }
    data = encode_rows(columns).tobytes()
    file = io.BytesIO(data + b"broken" + data)
    frames = next(read_frames(file, compression="none"))
    verify_and_copy(frames)
    block = decode(frames, {name: column.kind for name, column in columns.items()})
    block = block.take(np.ones(block.n, np.bool_))
    for name in columns:
        column = block.column(name)
        block.encode({name: Edit(column)})
    strings = block.column("b")
    pack_strings(strings.value_offsets, strings.data)
    unique(strings.value_offsets, strings.data)
