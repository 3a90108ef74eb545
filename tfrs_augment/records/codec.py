"""Columns to wire format: map entries of edited features, spliced between the untouched bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .columns import ABSENT, LISTED, Column
from .compiling import copy_bytes, inlined, jit, kernel_input, store32
from .frames import FOOTER_BYTES, FRAME_BYTES, HEADER_BYTES, write_footer, write_header
from .wire import BYTES, END, ENTRY, FLOAT, INT64, varint_size, write_varint

# What is done to a feature in a record.
KEEP, DROP, WRITE = 0, 1, 2

# The "content" of a list is its values on the wire: the packed numbers, or the bytes values with
# their tags and lengths. Its size, with the kind and the state, gives the size of all around it.


@inlined
def _list_size(kind, content):
    if kind == BYTES or content == 0:
        return content
    return 1 + varint_size(content) + content


@inlined
def _feature_size(kind, content, state):
    if state != LISTED:
        return np.int64(0)
    size = _list_size(kind, content)
    return 1 + varint_size(size) + size


@inlined
def _entry_size(name_size, feature_size):
    """The size of a map entry without its own tag and length."""
    return 1 + varint_size(name_size) + name_size + 1 + varint_size(feature_size) + feature_size


@jit
def _int64_contents(row_splits, values, contents):
    for i in range(len(contents)):
        size = np.int64(0)
        for k in range(row_splits[i], row_splits[i + 1]):
            size += varint_size(values[k])
        contents[i] = size


@jit
def _bytes_contents(row_splits, value_offsets, contents):
    for i in range(len(contents)):
        size = np.int64(0)
        for k in range(row_splits[i], row_splits[i + 1]):
            length = value_offsets[k + 1] - value_offsets[k]
            size += 1 + varint_size(length) + length
        contents[i] = size


@jit
def _place_entries(name_size, kind, contents, state, action, begin, begins, sizes):
    """Fills where the entry of each record goes, from `begin` on, and its size; returns the end."""
    for i in range(len(contents)):
        begins[i] = begin
        sizes[i] = 0
        if action[i] == WRITE:
            size = _entry_size(name_size, _feature_size(kind, contents[i], state[i]))
            sizes[i] = 1 + varint_size(size) + size
        begin += sizes[i]
    return begin


@inlined
def _write_head(target, position, name, kind, content, state):
    """Writes a map entry up to its content; returns where that goes."""
    name_size = len(name)
    feature_size = _feature_size(kind, content, state)
    target[position] = 0x0A
    position = write_varint(target, position + 1, _entry_size(name_size, feature_size))
    target[position] = 0x0A
    position = write_varint(target, position + 1, name_size)
    copy_bytes(target, position, name, 0, name_size)
    position += name_size
    target[position] = 0x12
    position = write_varint(target, position + 1, feature_size)
    if state == LISTED:
        target[position] = 8 * kind + 2
        position = write_varint(target, position + 1, _list_size(kind, content))
        if kind != BYTES and content > 0:
            target[position] = 0x0A
            position = write_varint(target, position + 1, content)
    return position


@jit
def _write_floats(target, begins, action, name, contents, state, row_splits, words):
    """Writes the entries of a float feature; `words` are the bits of its values."""
    for i in range(len(contents)):
        if action[i] != WRITE:
            continue
        position = _write_head(target, begins[i], name, FLOAT, contents[i], state[i])
        if state[i] == LISTED:
            for k in range(row_splits[i], row_splits[i + 1]):
                store32(target, position, words[k])
                position += 4


@jit
def _write_int64s(target, begins, action, name, contents, state, row_splits, values):
    for i in range(len(contents)):
        if action[i] != WRITE:
            continue
        position = _write_head(target, begins[i], name, INT64, contents[i], state[i])
        if state[i] == LISTED:
            for k in range(row_splits[i], row_splits[i + 1]):
                position = write_varint(target, position, values[k])


@jit
def _write_bytes(target, begins, action, name, contents, state, row_splits, value_offsets, values):
    for i in range(len(contents)):
        if action[i] != WRITE:
            continue
        position = _write_head(target, begins[i], name, BYTES, contents[i], state[i])
        if state[i] != LISTED:
            continue
        for k in range(row_splits[i], row_splits[i + 1]):
            begin = value_offsets[k]
            length = value_offsets[k + 1] - begin
            target[position] = 0x0A
            position = write_varint(target, position + 1, length)
            copy_bytes(target, position, values, begin, length)
            position += length


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """The map entries that R edits write into n records.

    Attributes:
        data: uint8; the entries.
        begins, sizes: int64 `[R, n]`; the entry of edit r for record i is
            `data[begins[r, i]:][:sizes[r, i]]`.
        actions: uint8 `[R, n]`; KEEP, DROP or WRITE.
    """

    data: np.ndarray
    begins: np.ndarray
    sizes: np.ndarray
    actions: np.ndarray


def _contents(column: Column) -> np.ndarray:
    """The size of each row's content."""
    if column.kind == FLOAT:
        return 4 * np.diff(column.row_splits)
    contents = np.empty(len(column), np.int64)
    if column.kind == BYTES:
        _bytes_contents(column.row_splits, column.value_offsets, contents)
    else:
        _int64_contents(column.row_splits, column.values, contents)
    return contents


def encode_entries(
    names: Sequence[bytes], columns: Sequence[Column | None], rows: Sequence[np.ndarray]
) -> Entries:
    """Writes the map entries of all edits.

    Args:
        names: The feature of each edit.
        columns: Its new values: a row for each record, or one row for all of them, or None where
            the feature is dropped.
        rows: bool `[n]`; the records that the edit applies to.
    """
    n = len(rows[0])
    begins, sizes = np.zeros((2, len(names), n), np.int64)
    actions = np.zeros((len(names), n), np.uint8)
    end = 0
    writes = []
    for r, (name, column, mask) in enumerate(zip(names, columns, rows)):
        if column is None:
            actions[r] = np.where(mask, DROP, KEEP)
            continue
        actions[r] = np.where(mask, np.where(column.state == ABSENT, DROP, WRITE), KEEP)
        one_for_all = len(column) != n
        action = kernel_input(np.array([WRITE]) if one_for_all else actions[r], np.uint8)
        contents = kernel_input(_contents(column), np.int64)
        begin, size = np.empty((2, len(column)), np.int64)
        end = _place_entries(
            len(name), column.kind, contents, column.state, action, end, begin, size
        )
        begins[r], sizes[r] = begin, size
        name = kernel_input(np.frombuffer(name, np.uint8), np.uint8)
        head = (kernel_input(begin, np.int64), action, name, contents, column.state)
        writes.append((column, head))
    data = np.empty(end, np.uint8)
    for column, head in writes:
        if column.kind == BYTES:
            _write_bytes(data, *head, column.row_splits, column.value_offsets, column.data)
        elif column.kind == FLOAT:
            words = kernel_input(column.values.view(np.uint32), np.uint32)
            _write_floats(data, *head, column.row_splits, words)
        else:
            _write_int64s(data, *head, column.row_splits, column.values)
    return Entries(
        kernel_input(data, np.uint8),
        kernel_input(begins, np.int64),
        kernel_input(sizes, np.int64),
        kernel_input(actions, np.uint8),
    )


@jit
def _splice(data, offsets, bodies, spans, features, actions, entries, begins, sizes):
    """The records with their edits, framed; unchanged records are copied as they are.

    A written feature takes the place of the old one; where there was none it goes to the record's
    end, in the order of the edits.
    """
    n = len(offsets) - 1
    edits = len(features)
    body_sizes = np.empty(n, np.int64)  # Of all map entries; -1 for a record that does not change.
    total = np.int64(0)
    for i in range(n):
        changed = False
        size = offsets[i + 1] - offsets[i] - FOOTER_BYTES - bodies[i]
        for r in range(edits):
            if actions[r, i] != KEEP:
                feature = features[r]
                if spans[i, feature, ENTRY] >= 0:
                    size -= spans[i, feature, END] - spans[i, feature, ENTRY]
                    changed = True
                if actions[r, i] == WRITE:
                    size += sizes[r, i]
                    changed = True
        if changed:
            body_sizes[i] = size
            total += FRAME_BYTES + 1 + varint_size(size) + size
        else:
            body_sizes[i] = -1
            total += offsets[i + 1] - offsets[i]

    spliced = np.empty(total, np.uint8)
    order = np.empty(edits, np.int64)  # The edits of features present, as they come in the record.
    target = np.int64(0)
    unchanged_from = np.int64(0)  # Runs of unchanged records are copied at once.
    for i in range(n):
        body_size = body_sizes[i]
        if body_size < 0:
            continue
        size = offsets[i] - offsets[unchanged_from]
        copy_bytes(spliced, target, data, offsets[unchanged_from], size)
        target += size
        unchanged_from = i + 1

        payload_size = 1 + varint_size(body_size) + body_size
        write_header(spliced, target, payload_size)
        position = target + HEADER_BYTES
        spliced[position] = 0x0A
        position = write_varint(spliced, position + 1, body_size)
        present = 0
        for r in range(edits):
            if actions[r, i] != KEEP and spans[i, features[r], ENTRY] >= 0:
                begin = spans[i, features[r], ENTRY]
                slot = present
                while slot > 0 and spans[i, features[order[slot - 1]], ENTRY] > begin:
                    order[slot] = order[slot - 1]
                    slot -= 1
                order[slot] = r
                present += 1
        source = offsets[i] + bodies[i]
        for k in range(present):
            r = order[k]
            size = offsets[i] + spans[i, features[r], ENTRY] - source
            copy_bytes(spliced, position, data, source, size)
            position += size
            source = offsets[i] + spans[i, features[r], END]
            if actions[r, i] == WRITE:
                copy_bytes(spliced, position, entries, begins[r, i], sizes[r, i])
                position += sizes[r, i]
        size = offsets[i + 1] - FOOTER_BYTES - source
        copy_bytes(spliced, position, data, source, size)
        position += size
        for r in range(edits):
            if actions[r, i] == WRITE and spans[i, features[r], ENTRY] < 0:
                copy_bytes(spliced, position, entries, begins[r, i], sizes[r, i])
                position += sizes[r, i]
        write_footer(spliced, target, payload_size)
        target += FRAME_BYTES + payload_size
    copy_bytes(spliced, target, data, offsets[unchanged_from], offsets[n] - offsets[unchanged_from])
    return spliced


def splice(
    data: np.ndarray,
    offsets: np.ndarray,
    bodies: np.ndarray,
    spans: np.ndarray,
    features: Sequence[int],
    entries: Entries,
) -> np.ndarray:
    """The framed records with `entries` in place of the features of these numbers."""
    return _splice(
        data,
        offsets,
        bodies,
        spans,
        kernel_input(features, np.int64),
        entries.actions,
        entries.data,
        entries.begins,
        entries.sizes,
    )
