"""Many strings at once: across TensorFlow's border, and as dictionary codes."""

from __future__ import annotations

import numpy as np

from .columns import check_splits
from .compiling import copy_bytes, inlined, jit, kernel_input, load64
from .wire import same_bytes, varint_size, write_varint


@jit
def _pack_strings(value_offsets, data):
    """Writes TensorProto { dtype: DT_STRING, tensor_shape { dim { size: m } }, string_val }."""
    m = len(value_offsets) - 1
    dimension_size = 1 + varint_size(m)
    total = 6 + dimension_size
    for k in range(m):
        length = value_offsets[k + 1] - value_offsets[k]
        total += 1 + varint_size(length) + length
    packed = np.empty(total, np.uint8)
    packed[0] = 0x08  # dtype
    packed[1] = 7
    packed[2] = 0x12  # tensor_shape
    packed[3] = 2 + dimension_size
    packed[4] = 0x12  # dim
    packed[5] = dimension_size
    packed[6] = 0x08  # size
    position = write_varint(packed, 7, m)
    for k in range(m):
        length = value_offsets[k + 1] - value_offsets[k]
        packed[position] = 0x42  # string_val
        position = write_varint(packed, position + 1, length)
        copy_bytes(packed, position, data, value_offsets[k], length)
        position += length
    return packed


def pack_strings(value_offsets: np.ndarray, data: np.ndarray) -> bytes:
    """Strings as a serialized TensorProto, for `tf.io.parse_tensor(packed, tf.string)`.

    A fifth of the cost of a tensor made from Python objects.

    Args:
        value_offsets: int64 `[m + 1]`; string j is `data[value_offsets[j]:value_offsets[j + 1]]`.
        data: uint8.

    Returns:
        A TensorProto of dtype DT_STRING and shape `[m]`.
    """
    value_offsets, data = _checked(value_offsets, data)
    return _pack_strings(value_offsets, data).tobytes()


def unpack_strings(lengths: np.ndarray, joined: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Strings from their lengths and their concatenation.

    Out of a string tensor these are `tf.strings.length(t)` and `tf.strings.reduce_join(t)`.

    Returns:
        `value_offsets` int64 `[m + 1]` and `data` uint8.
    """
    value_offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=value_offsets[1:])
    if value_offsets[-1] != len(joined):
        raise ValueError(
            f"`lengths` must add up to the {len(joined)} bytes of `joined`. Received: lengths with "
            f"sum {value_offsets[-1]}."
        )
    return value_offsets, np.frombuffer(joined, np.uint8)


def _checked(value_offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value_offsets = kernel_input(value_offsets, np.int64)
    data = kernel_input(data, np.uint8)
    check_splits("value_offsets", value_offsets, len(data))
    return value_offsets, data


@inlined
def _hash(data, begin, end):
    state = np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(end - begin)
    while end - begin >= 8:
        state = (state ^ load64(data, begin)) * np.uint64(0xFF51AFD7ED558CCD)
        state ^= state >> np.uint64(32)
        begin += 8
    rest = np.uint64(0)
    while begin < end:
        rest = (rest << np.uint64(8)) | np.uint64(data[begin])
        begin += 1
    state = (state ^ rest) * np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(29))


@jit
def _unique(value_offsets, data):
    m = len(value_offsets) - 1
    codes = np.empty(m, np.int64)
    first = np.empty(m, np.int64)
    hashes = np.empty(m, np.uint64)  # Of the distinct strings, so that growing does not hash again.
    distinct = 0
    table = np.full(1024, -1, np.int64)
    for i in range(m):
        begin = value_offsets[i]
        size = value_offsets[i + 1] - begin
        value = _hash(data, begin, begin + size)
        slot = np.int64(value & np.uint64(len(table) - 1))
        while True:
            code = table[slot]
            if code < 0:
                table[slot] = distinct
                hashes[distinct] = value
                first[distinct] = i
                codes[i] = distinct
                distinct += 1
                break
            if hashes[code] == value:
                known = value_offsets[first[code]]
                if value_offsets[first[code] + 1] - known == size and same_bytes(
                    data, known, data, begin, size
                ):
                    codes[i] = code
                    break
            slot = (slot + 1) & (len(table) - 1)
        if 2 * distinct > len(table):
            table = np.full(2 * len(table), -1, np.int64)
            for code in range(distinct):
                slot = np.int64(hashes[code] & np.uint64(len(table) - 1))
                while table[slot] >= 0:
                    slot = (slot + 1) & (len(table) - 1)
                table[slot] = code
    return codes, first[:distinct].copy()


def unique(value_offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the distinct strings in the order of their first occurrence.

    Bytes are compared, so different strings never share a code.

    Returns:
        `codes` int64 `[m]`, a code a string; `first_index` int64 `[distinct]`, where each code's
        string occurs first.
    """
    return _unique(*_checked(value_offsets, data))
