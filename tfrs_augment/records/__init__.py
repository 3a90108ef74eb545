"""TFRecord files and serialized tf.train.Example to columns and back, in Numba.

Stands alone on NumPy and Numba: no TensorFlow, no protobuf, nothing else of this package. A file is
read in blocks of frames (`read_frames`), a block's wanted features are located (`decode`), read as
flat arrays (`Block.column`), and written back between the untouched bytes (`Block.encode`).
"""

from __future__ import annotations

from .block import Block, Edit, decode, encode_rows
from .columns import ABSENT, KIND_NAMES, KINDS, LISTED, NO_KIND, Column
from .frames import Frames, Rejection, frame, verify_and_copy
from .reading import read_frames
from .streams import CompressionError
from .strings import pack_strings, unique, unpack_strings
from .warm import warm_up
from .wire import BYTES, FLOAT, INT64

__all__ = [
    "ABSENT",
    "BYTES",
    "FLOAT",
    "INT64",
    "KINDS",
    "KIND_NAMES",
    "LISTED",
    "NO_KIND",
    "Block",
    "Column",
    "CompressionError",
    "Edit",
    "Frames",
    "Rejection",
    "decode",
    "encode_rows",
    "frame",
    "pack_strings",
    "read_frames",
    "unique",
    "unpack_strings",
    "verify_and_copy",
    "warm_up",
]
