"""TFRecord files read as a stream, in blocks of frames, and resynchronised where broken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np

from .compiling import jit, kernel_input, load64
from .frames import (
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    Frames,
    Rejection,
    gather,
    header_valid,
    payload_valid,
    verify,
)
from .streams import (
    COMPRESSIONS,
    BinaryReader,
    BrokenStreamError,
    CompressionError,
    inflate,
    looks_like_gzip,
    read_chunks,
)

# What `_scan` stopped at.
_NEED_BYTES, _BLOCK_FULL, _STREAM_ENDS = 0, 1, 2
_BAD_LENGTH_CRC, _TOO_LONG, _TRUNCATED, _NO_FRAME_FOLLOWS = 3, 4, 5, 6
_BROKEN_REASONS = {
    _BAD_LENGTH_CRC: "the CRC of the record's length is wrong",
    _TOO_LONG: f"the record's length is above {MAX_PAYLOAD_BYTES} bytes",
    _TRUNCATED: "the record is truncated",
    _NO_FRAME_FOLLOWS: "the CRC of the record's data is wrong, and no record follows its length",
}
_BAD_DATA_CRC = "the CRC of the record's data is wrong"


@jit
def _scan(data, position, end, origin, at_eof, starts, sizes, count, room):
    """Walks from frame to frame by their lengths, until the block is full or something is wrong.

    A frame counts where its header is valid and it is followed by another valid header or by the
    end of the stream; its payload's CRC is left to `verify`, so that workers who skip this block
    find the same blocks without reading it. Where no frame follows, the payload's CRC decides
    whether this frame is whole, or lost bytes and swallowed the records behind it.

    Args:
        data: uint8; the part of the stream in memory, valid up to `end`.
        position: Where a frame starts in `data`.
        origin: Where `data[0]` lies in the stream.
        at_eof: Whether the stream ends at `end`.
        starts, sizes: int64; filled from `count` on: the frames' places in the stream, their sizes.
        room: How many bytes the block still takes; the frame that exceeds it is its last.

    Returns:
        What it stopped at, the count of frames, the position, and the room left.
    """
    header_known = False
    while True:
        if count == len(starts) or room <= 0:
            return _BLOCK_FULL, count, position, room
        if end - position < HEADER_BYTES:
            if not at_eof:
                return _NEED_BYTES, count, position, room
            return (_STREAM_ENDS if position == end else _TRUNCATED), count, position, room
        if not header_known and not header_valid(data, position):
            return _BAD_LENGTH_CRC, count, position, room
        length = load64(data, position)
        if length > np.uint64(MAX_PAYLOAD_BYTES):
            return _TOO_LONG, count, position, room
        size = np.int64(length) + FRAME_BYTES
        after = position + size
        if end - after < HEADER_BYTES and not at_eof:
            return _NEED_BYTES, count, position, room
        if after > end:
            return _TRUNCATED, count, position, room
        header_known = end - after >= HEADER_BYTES and header_valid(data, after)
        if not header_known and after < end and not payload_valid(data, position, after):
            return _NO_FRAME_FOLLOWS, count, position, room
        starts[count] = origin + position
        sizes[count] = size
        count += 1
        room -= size
        position = after


@jit
def _find_frame(data, position, end, at_eof):
    """The next position where a whole valid frame starts, and whether one was found.

    Where none was found, the search goes on at the returned position with more bytes of the stream.
    """
    while end - position >= FRAME_BYTES:
        if header_valid(data, position):
            length = load64(data, position)
            if length <= np.uint64(MAX_PAYLOAD_BYTES):
                after = position + np.int64(length) + FRAME_BYTES
                if after <= end:
                    if payload_valid(data, position, after):
                        return position, True
                elif not at_eof:
                    return position, False
        position += 1
    return (end if at_eof else position), False


@jit
def _starts_with_header(data):
    return len(data) >= HEADER_BYTES and header_valid(data, 0)


class _Window:
    """The part of a stream that is in memory; positions are places in the whole stream."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self.data = np.empty(0, np.uint8)
        self.origin = 0  # The place of data[0] in the stream.
        self.end = 0
        self.keep_from = 0  # What lies before is no longer needed.
        self.at_eof = False
        self.error: str | None = None

    def more(self) -> None:
        """Reads on. Bytes handed out as views stay as they are: a full buffer is left to them."""
        try:
            chunk = next(self._chunks, b"")
        except BrokenStreamError as error:
            chunk, self.error = b"", str(error)
        if not chunk:
            self.at_eof = True
            return
        used = self.end - self.origin
        if used + len(chunk) > len(self.data):
            kept = self.view(self.keep_from, self.end)
            grown = np.empty(max(2 * (len(kept) + len(chunk)), 8 * len(chunk)), np.uint8)
            grown[: len(kept)] = kept
            self.data, self.origin, used = grown, self.keep_from, len(kept)
        self.data[used : used + len(chunk)] = np.frombuffer(chunk, np.uint8)
        self.end += len(chunk)

    def view(self, begin: int, end: int) -> np.ndarray:
        return self.data[begin - self.origin : end - self.origin]


class _Block:
    """The frames of one block while it is being found."""

    def __init__(self, records: int, room: int):
        self.starts = np.empty(records, np.int64)
        self.sizes = np.empty(records, np.int64)
        self.count = 0
        self.room = room
        self.pieces: list[np.ndarray] = []  # Its bytes; more than one where some were passed over.
        self.rejected: list[Rejection] = []

    def frames(self) -> Frames:
        """The verified frames."""
        pieces = self.pieces or [np.empty(0, np.uint8)]
        data = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        offsets = np.zeros(self.count + 1, np.int64)
        np.cumsum(self.sizes[: self.count], out=offsets[1:])
        starts = self.starts[: self.count].copy()
        valid = verify(data, offsets)
        if valid.all():
            return Frames(data, offsets, starts, self.rejected)
        rejected = self.rejected + [
            Rejection(int(starts[i]), int(self.sizes[i]), _BAD_DATA_CRC)
            for i in np.flatnonzero(~valid)
        ]
        data, offsets = gather(data, offsets, valid)
        return Frames(data, offsets, starts[valid], sorted(rejected))


def read_frames(
    stream: BinaryReader,
    *,
    compression: Literal["none", "gzip"],
    block_records: int = 16384,
    block_bytes: int = 1 << 26,
    stride: tuple[int, int] = (0, 1),
) -> Iterator[Frames]:
    """Reads a TFRecord file as a stream, in blocks of verified frames.

    Every intact record is kept, whatever stands around it. A record whose data fails its CRC is
    rejected alone. Where a length fails its CRC, or a record swallowed others because bytes were
    lost, reading goes on at the next byte where a whole valid frame starts, and what was passed
    over is one rejection; so are a truncated end and the point where a gzip stream breaks. (If such
    a record holds TFRecord frames in its own data, these are found.) Memory is bounded by the block
    and the longest record.

    Args:
        stream: Anything with `read(n)`, at its start.
        compression: "none" or "gzip" (also of several members).
        block_records: The most records of a block.
        block_bytes: A block also ends with the record that brings it to this many bytes.
        stride: `(k, K)`: only blocks number k, k + K, k + 2 K ... of the file. K readers with the
            same arguments otherwise give each block, and each rejection, exactly once.

    Returns:
        An iterator of blocks, in the order of the file; none for an empty file.

    Raises:
        CompressionError: where the stream starts as a gzip file and `compression="none"`, or as a
            TFRecord file and `compression="gzip"`.

    Example:
        >>> import io
        >>> from tfrs_augment import records
        >>> file = io.BytesIO(records.frame([b"one", b"two"]))
        >>> [len(frames) for frames in records.read_frames(file, compression="none")]
        [2]
    """
    if compression not in COMPRESSIONS:
        raise ValueError(
            f"`compression` must be one of {COMPRESSIONS}. Received: compression={compression!r}."
        )
    if block_records < 1 or block_bytes < 1:
        raise ValueError(
            "`block_records` and `block_bytes` must be at least 1. Received: "
            f"block_records={block_records}, block_bytes={block_bytes}."
        )
    part, parts = stride
    if not 0 <= part < parts:
        raise ValueError(
            f"`stride` must be (k, K) with 0 <= k < K. Received: stride={tuple(stride)}."
        )
    chunks = _checked_chunks(stream, compression)
    return _read_blocks(_Window(chunks), block_records, block_bytes, part, parts)


def _checked_chunks(stream: BinaryReader, compression: str) -> Iterator[bytes]:
    """The decompressed stream, once its first bytes are seen to be compressed as they should."""
    chunks = read_chunks(stream)
    head = b""
    while len(head) < HEADER_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    # A TFRecord's first length may happen to look like gzip's magic number; its CRC tells.
    starts_with_frame = _starts_with_header(np.frombuffer(head, np.uint8))
    if compression == "none" and looks_like_gzip(head) and not starts_with_frame:
        raise CompressionError("the stream looks like gzip; pass compression='gzip'")
    if compression == "gzip" and starts_with_frame and not looks_like_gzip(head):
        raise CompressionError(
            "the stream looks like an uncompressed TFRecord file; pass compression='none'"
        )
    chunks = itertools.chain([head] if head else [], chunks)
    return inflate(chunks) if compression == "gzip" else chunks


def _read_blocks(
    window: _Window, block_records: int, block_bytes: int, part: int, parts: int
) -> Iterator[Frames]:
    position = 0
    for number in itertools.count():
        block = _Block(block_records, block_bytes)
        position, stream_ends = _fill(window, position, block)
        if number % parts == part and (block.count or block.rejected):
            yield block.frames()
        if stream_ends:
            return


def _fill(window: _Window, position: int, block: _Block) -> tuple[int, bool]:
    """Finds the frames of one block. Returns where the next starts, and whether the stream ends."""
    window.keep_from = position
    while True:
        state, block.count, place, block.room = _scan(
            kernel_input(window.data, np.uint8),
            position - window.origin,
            window.end - window.origin,
            window.origin,
            window.at_eof,
            block.starts,
            block.sizes,
            block.count,
            block.room,
        )
        position = window.origin + place
        if state == _NEED_BYTES:
            window.more()
            continue
        if position > window.keep_from:  # Even an empty view would keep its buffer in memory.
            block.pieces.append(window.view(window.keep_from, position))
        window.keep_from = position
        if state == _BLOCK_FULL:
            return position, False
        if state == _STREAM_ENDS:
            if window.error:
                block.rejected.append(Rejection(position, 0, window.error))
            return position, True
        found, end = _resynchronise(window, position)
        reason = _BROKEN_REASONS[state]
        if not found and window.error:
            reason = f"{reason}; {window.error}"
        block.rejected.append(Rejection(position, end - position, reason))
        position = window.keep_from = end
        if not found:
            return position, True


def _resynchronise(window: _Window, position: int) -> tuple[bool, int]:
    """Whether a whole frame starts after `position`, and where; without one, the stream's end."""
    position += 1
    while True:
        place, found = _find_frame(
            kernel_input(window.data, np.uint8),
            position - window.origin,
            window.end - window.origin,
            window.at_eof,
        )
        position = window.keep_from = window.origin + place
        if found or window.at_eof:
            return found, position
        window.more()
