"""Protobuf's wire format, as far as tf.train.Example needs it: varints, names, and the walker.

The walker accepts canonical records only: what serializers write, which is one `features` message
of map entries, each a name followed by a feature of at most one kind. Whatever else the wire
format allows (fields split, repeated, reversed or unknown) is left to protobuf, with a verdict that
says why. So the walker never accepts what protobuf refuses.

    Example     = 0A length Entry*                       features
    Entry       = 0A length { 0A length NAME  12 length Feature }
    Feature     = (nothing) | 0A length BytesList | 12 length FloatList | 1A length Int64List
    BytesList   = (0A length BYTES)*
    FloatList   = (0A length FLOAT32*  |  0D FLOAT32)*   packed or not
    Int64List   = (0A length VARINT*   |  08 VARINT)*    packed or not
"""

from __future__ import annotations

import numpy as np

from .compiling import inlined, jit, load8, load32, load64
from .frames import FOOTER_BYTES, HEADER_BYTES

BYTES, FLOAT, INT64 = 1, 2, 3  # The numbers of the kinds in tf.train.Feature's oneof.

# What the walker notes of a wanted feature in a record: columns of `spans`, int32, positions
# relative to the start of the frame.
ENTRY = 0  # Where its map entry starts; -1 where the record lacks the feature.
END = 1  # Where its map entry, and with it its list, ends.
LIST = 2  # Where the contents of its list start; 0 where no kind is set.
COUNT = 3  # How many values it has.
SIZE = 4  # How many bytes its values have together, for a bytes feature.
SPAN_FIELDS = 5

LAYOUT_ENTRIES = 64  # How many entries of a record the walker expects where the last had them.

# Verdicts on a record.
CANONICAL = 0
BAD_FEATURES, BAD_ENTRY, BAD_NAME, BAD_FEATURE, BAD_LIST, NAME_TWICE = 1, 2, 3, 4, 5, 6
OTHER_KIND = 7
VERDICTS = {
    BAD_FEATURES: "it is not one `features` message",
    BAD_ENTRY: "a map entry is not a name followed by a feature",
    BAD_NAME: "a feature's name is not UTF-8",
    BAD_FEATURE: "a feature is not one list of a known kind",
    BAD_LIST: "a feature's list is malformed",
    NAME_TWICE: "a feature's name occurs twice",
}

_UNREADABLE = np.int64(-1)


@inlined
def read_length(data, position, end):
    """A length that fits before `end`, and the position after it; -1 where there is none."""
    if position >= end:
        return _UNREADABLE, position
    byte = np.int64(load8(data, position))
    position += 1
    if byte < 128:
        return (byte if byte <= end - position else _UNREADABLE), position
    length = byte & 127
    shift = 7
    while shift < 35:
        if position >= end:
            return _UNREADABLE, position
        byte = np.int64(load8(data, position))
        position += 1
        length |= (byte & 127) << shift
        if byte < 128:
            return (length if length <= end - position else _UNREADABLE), position
        shift += 7
    return _UNREADABLE, position


@inlined
def read_varint(data, position, end):
    """A 64-bit varint and the position after it; position -1 where there is none."""
    value = np.uint64(0)
    shift = np.uint64(0)
    while position < end:
        byte = np.uint64(load8(data, position))
        position += 1
        if shift == 63 and byte > 1:  # More than 64 bits, or more than ten bytes.
            return value, _UNREADABLE
        value |= (byte & np.uint64(127)) << shift
        if byte < 128:
            return value, position
        shift += np.uint64(7)
    return value, _UNREADABLE


@inlined
def varint_size(value):
    """How many bytes `value` takes as a varint; negative numbers take ten."""
    rest = np.uint64(value)
    size = 1
    while rest > 127:
        rest >>= np.uint64(7)
        size += 1
    return size


@inlined
def write_varint(data, position, value):
    """Writes `value` at `position`, and returns the position after it."""
    rest = np.uint64(value)
    while rest > 127:
        data[position] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
        rest >>= np.uint64(7)
        position += 1
    data[position] = np.uint8(rest)
    return position + 1


@inlined
def is_utf8(data, begin, end):
    """Whether `data[begin:end]` is UTF-8 as protobuf has it: no surrogates, no overlong forms."""
    while begin < end:
        lead = load8(data, begin)
        begin += 1
        if lead < 0x80:
            continue
        low, high = 0x80, 0xBF  # The range of the second byte; the others are 80 to BF.
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            return False
        if end - begin < more or not low <= load8(data, begin) <= high:
            return False
        for k in range(begin + 1, begin + more):
            if load8(data, k) & 0xC0 != 0x80:
                return False
        begin += more
    return True


@inlined
def same_bytes(left, left_begin, right, right_begin, size):
    """Whether two stretches of `size` bytes are equal."""
    if size >= 8:
        last = size - 8
        k = 0
        while k < last:
            if load64(left, left_begin + k) != load64(right, right_begin + k):
                return False
            k += 8
        return load64(left, left_begin + last) == load64(right, right_begin + last)
    if size >= 4:
        last = size - 4
        return load32(left, left_begin) == load32(right, right_begin) and load32(
            left, left_begin + last
        ) == load32(right, right_begin + last)
    k = 0
    while k < size and load8(left, left_begin + k) == load8(right, right_begin + k):
        k += 1
    return k == size


@inlined
def _name_hash(data, begin, size):
    """A hash of a few bytes: names are short and few, and a hit is compared in full."""
    state = np.uint32(size) * np.uint32(0x9E3779B1)
    if size > 0:
        state ^= np.uint32(load8(data, begin)) * np.uint32(0x85EBCA77)
        state ^= np.uint32(load8(data, begin + size - 1)) * np.uint32(0xC2B2AE3D)
        state ^= np.uint32(load8(data, begin + (size >> 1))) * np.uint32(0x27D4EB2F)
    return np.int64(state ^ (state >> np.uint32(15)))


@jit
def build_name_table(names, name_offsets, table):
    """Fills `table` (a power of two, all -1): open addressing from a name's hash to its number."""
    last = len(table) - 1
    for feature in range(len(name_offsets) - 1):
        begin = name_offsets[feature]
        slot = _name_hash(names, begin, name_offsets[feature + 1] - begin) & last
        while table[slot] >= 0:
            slot = (slot + 1) & last
        table[slot] = feature


@inlined
def _find_name(data, begin, size, names, name_offsets, table):
    """The number of the wanted feature of this name, or -1."""
    last = len(table) - 1
    slot = _name_hash(data, begin, size) & last
    while table[slot] >= 0:
        feature = np.int64(table[slot])
        name_begin = name_offsets[feature]
        if name_offsets[feature + 1] - name_begin == size and same_bytes(
            data, begin, names, name_begin, size
        ):
            return feature
        slot = (slot + 1) & last
    return np.int64(-1)


@inlined
def _walk_list(data, kind, position, end):
    """How many values a list has, and their bytes for a bytes list; -1 where it is malformed."""
    count = np.int64(0)
    size = np.int64(0)
    while position < end:
        tag = load8(data, position)
        position += 1
        if tag == 0x0A:  # Bytes, or packed numbers.
            length, position = read_length(data, position, end)
            if length < 0:
                return _UNREADABLE, size
            after = position + length
            if kind == BYTES:
                count += 1
                size += length
            elif kind == FLOAT:
                if length & 3:
                    return _UNREADABLE, size
                count += length >> 2
            else:
                while position < after:
                    _, position = read_varint(data, position, after)
                    if position < 0:
                        return _UNREADABLE, size
                    count += 1
            position = after
        elif tag == 0x0D and kind == FLOAT and end - position >= 4:
            position += 4
            count += 1
        elif tag == 0x08 and kind == INT64:
            _, position = read_varint(data, position, end)
            if position < 0:
                return _UNREADABLE, size
            count += 1
        else:
            return _UNREADABLE, size
    return count, size


@inlined
def _walk_record(data, origin, end, names, name_offsets, kinds, table, layout, spans):
    """Notes where the wanted features of one record lie; `data[origin:end]` is its frame.

    `layout` remembers the entries of earlier records in their order: where a name stands, its size,
    and its feature. Most records of a file have the same layout, so a name is mostly recognized by
    one comparison.

    Returns:
        The verdict; where the map entries start; and with the verdict OTHER_KIND, four times the
        feature's number plus the kind that was found.
    """
    position = origin + HEADER_BYTES
    end -= FOOTER_BYTES
    if position == end:
        return CANONICAL, HEADER_BYTES, 0
    length = _UNREADABLE
    if data[position] == 0x0A:
        length, position = read_length(data, position + 1, end)
    if length < 0 or position + length != end:
        return BAD_FEATURES, 0, 0
    body = position - origin
    verdict = CANONICAL
    detail = 0
    ordinal = 0
    while position < end:
        entry = position
        if load8(data, position) != 0x0A:
            return BAD_FEATURES, 0, 0
        length, position = read_length(data, position + 1, end)
        if length < 0:
            return BAD_FEATURES, 0, 0
        entry_end = position + length

        if length == 0 or load8(data, position) != 0x0A:
            return BAD_ENTRY, 0, 0
        size, name = read_length(data, position + 1, entry_end)
        position = name + size
        if size < 0 or position >= entry_end or load8(data, position) != 0x12:
            return BAD_ENTRY, 0, 0
        length, position = read_length(data, position + 1, entry_end)
        if length < 0 or position + length != entry_end:
            return BAD_ENTRY, 0, 0

        if (
            ordinal < LAYOUT_ENTRIES
            and layout[ordinal, 1] == size
            and same_bytes(data, name, data, layout[ordinal, 0], size)
        ):
            feature = layout[ordinal, 2]
        else:
            feature = _find_name(data, name, size, names, name_offsets, table)
            if feature < 0 and not is_utf8(data, name, name + size):
                return BAD_NAME, 0, 0
            if ordinal < LAYOUT_ENTRIES:
                layout[ordinal, 0] = name
                layout[ordinal, 1] = size
                layout[ordinal, 2] = feature
        ordinal += 1
        if feature >= 0 and spans[feature, ENTRY] >= 0:
            return NAME_TWICE, 0, 0

        kind = 0
        count = np.int64(0)
        size = np.int64(0)
        start = np.int64(0)
        if position < entry_end:
            tag = load8(data, position)
            kind = np.int64(tag >> 3)
            if tag & 7 != 2 or kind < BYTES or kind > INT64:
                return BAD_FEATURE, 0, 0
            length, position = read_length(data, position + 1, entry_end)
            if length < 0 or position + length != entry_end:
                return BAD_FEATURE, 0, 0
            start = position - origin
            count, size = _walk_list(data, kind, position, entry_end)
            if count < 0:
                return BAD_LIST, 0, 0
        if feature >= 0:
            if kind > 0 and kind != kinds[feature]:
                verdict = OTHER_KIND  # Unless the record is not canonical: then it may yet change.
                detail = 4 * feature + kind
            spans[feature, ENTRY] = entry - origin
            spans[feature, END] = entry_end - origin
            spans[feature, LIST] = start
            spans[feature, COUNT] = count
            spans[feature, SIZE] = size
        position = entry_end
    return verdict, body, detail


@jit
def walk(data, offsets, names, name_offsets, kinds, table, spans, bodies, verdicts, details):
    """Walks through all records and notes where their wanted features lie.

    Args:
        data, offsets: The frames, as in `Frames`.
        names, name_offsets: The wanted names, UTF-8, one after the other.
        kinds: int64; the wanted kinds.
        table: From `build_name_table`.
        spans: int32 `[n, features, SPAN_FIELDS]`; filled.
        bodies: int32 `[n]`; filled: where the map entries start, relative to the frame.
        verdicts: uint8 `[n]`; filled. Spans are meaningless where it is not CANONICAL.
        details: int64 `[n]`; filled: see `_walk_record`.

    Returns:
        How many records are not canonical, or not of the wanted kinds.
    """
    refused = 0
    layout = np.full((LAYOUT_ENTRIES, 3), -1, np.int64)
    for i in range(len(offsets) - 1):
        span = spans[i]
        for feature in range(len(kinds)):
            span[feature, ENTRY] = -1
            span[feature, LIST] = 0
            span[feature, COUNT] = 0
            span[feature, SIZE] = 0
        verdict, body, detail = _walk_record(
            data, offsets[i], offsets[i + 1], names, name_offsets, kinds, table, layout, span
        )
        verdicts[i] = verdict
        bodies[i] = body
        details[i] = detail
        if verdict != CANONICAL:
            refused += 1
    return refused
