"""TFRecord frames in memory: made, verified, picked.

A frame is: the payload's length (8 bytes, little-endian), the masked CRC-32C of these 8 bytes, the
payload, and the masked CRC-32C of the payload.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .compiling import copy_bytes, inlined, jit, kernel_input, load32, store32, store64
from .crc import masked_crc32c

HEADER_BYTES = 12
FOOTER_BYTES = 4
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
# Protobuf reads no message of 2 GiB or more, so a longer record is a corrupt length. The bound also
# keeps positions inside a frame within int32.
MAX_PAYLOAD_BYTES = 2**31 - 1 - FRAME_BYTES


class Rejection(NamedTuple):
    """Bytes of a stream that are no usable record.

    Attributes:
        offset: Where they start in the decompressed stream.
        length: How many they are.
        reason: What is wrong with them.
    """

    offset: int
    length: int
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Framed records that lie one after the other in memory.

    Attributes:
        data: uint8; the frames.
        offsets: int64 `[n + 1]`; frame i is `data[offsets[i]:offsets[i + 1]]`.
        file_offsets: int64 `[n]`; where each frame starts in the decompressed stream.
        rejected: What was passed over in the same part of the stream.
    """

    data: np.ndarray
    offsets: np.ndarray
    file_offsets: np.ndarray
    rejected: list[Rejection] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        offsets = kernel_input(self.offsets, np.int64)
        object.__setattr__(self, "data", kernel_input(self.data, np.uint8))
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "file_offsets", kernel_input(self.file_offsets, np.int64))
        # The kernels trust these offsets, so they must not point outside the data.
        if (
            offsets.ndim != 1
            or len(offsets) < 1
            or len(self.file_offsets) != len(offsets) - 1
            or offsets[0] < 0
            or offsets[-1] > self.data.size
            or (np.diff(offsets) < FRAME_BYTES).any()
        ):
            raise ValueError(
                "`offsets` must be n + 1 rising positions in `data`, 16 bytes or more apart, for n "
                f"`file_offsets`. Received: {len(offsets)} offsets, "
                f"{len(self.file_offsets)} file offsets, {self.data.size} bytes."
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_payloads(cls, payloads: Sequence[bytes]) -> Frames:
        """Frames around payloads that come from elsewhere than a file."""
        offsets = np.cumsum([0] + [len(payload) + FRAME_BYTES for payload in payloads])
        return cls(frame_array(payloads), offsets, offsets[:-1])

    def payloads(self) -> list[bytes]:
        """The payload of each frame."""
        data, places = self.data.tobytes(), self.offsets.tolist()
        return [
            data[begin + HEADER_BYTES : end - FOOTER_BYTES]
            for begin, end in itertools.pairwise(places)
        ]


@inlined
def header_valid(data, position):
    return masked_crc32c(data, position, position + 8) == load32(data, position + 8)


@inlined
def payload_valid(data, begin, end):
    """Whether the frame `data[begin:end]` carries the right CRC of its payload."""
    return masked_crc32c(data, begin + HEADER_BYTES, end - FOOTER_BYTES) == load32(
        data, end - FOOTER_BYTES
    )


@jit
def _verify(data, offsets, valid):
    for i in range(len(valid)):
        valid[i] = payload_valid(data, offsets[i], offsets[i + 1])


def verify(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Whether the CRC of each frame's payload is right: bool `[n]`."""
    valid = np.empty(len(offsets) - 1, np.bool_)
    _verify(kernel_input(data, np.uint8), kernel_input(offsets, np.int64), valid)
    return valid


@jit
def _gather(data, offsets, keep, kept_offsets):
    """Copies the frames where `keep`, and writes their new offsets."""
    size = 0
    count = 0
    kept_offsets[0] = 0
    for i in range(len(offsets) - 1):
        if keep[i]:
            size += offsets[i + 1] - offsets[i]
            count += 1
            kept_offsets[count] = size
    kept = np.empty(size, np.uint8)
    position = 0
    for i in range(len(offsets) - 1):
        if keep[i]:
            size = offsets[i + 1] - offsets[i]
            copy_bytes(kept, position, data, offsets[i], size)
            position += size
    return kept


def gather(
    data: np.ndarray, offsets: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The frames where the bool mask `keep` is true, and their offsets."""
    kept_offsets = np.empty(np.count_nonzero(keep) + 1, np.int64)
    kept = _gather(
        kernel_input(data, np.uint8),
        kernel_input(offsets, np.int64),
        kernel_input(keep, np.bool_),
        kept_offsets,
    )
    return kept, kept_offsets


@inlined
def write_header(framed, position, size):
    """Writes the length of a payload of `size` bytes, and its CRC, at `framed[position]`."""
    store64(framed, position, np.uint64(size))
    store32(framed, position + 8, masked_crc32c(framed, position, position + 8))


@inlined
def write_footer(framed, position, size):
    """Writes the CRC of the payload, which must stand there already."""
    end = position + HEADER_BYTES + size
    store32(framed, end, masked_crc32c(framed, position + HEADER_BYTES, end))


@jit
def _frame_payloads(joined, ends):
    n = len(ends)
    framed = np.empty(len(joined) + FRAME_BYTES * n, np.uint8)
    begin = 0
    target = 0
    for i in range(n):
        size = ends[i] - begin
        write_header(framed, target, size)
        copy_bytes(framed, target + HEADER_BYTES, joined, begin, size)
        write_footer(framed, target, size)
        begin = ends[i]
        target += size + FRAME_BYTES
    return framed


def frame_array(payloads: Sequence[bytes]) -> np.ndarray:
    """The payloads as framed records, one after the other, as a uint8 array."""
    ends = np.cumsum([len(payload) for payload in payloads], dtype=np.int64)
    joined = np.frombuffer(b"".join(payloads), np.uint8)
    return _frame_payloads(kernel_input(joined, np.uint8), kernel_input(ends, np.int64))


def frame(payloads: Sequence[bytes]) -> bytes:
    """The payloads as the bytes of an uncompressed TFRecord file."""
    return frame_array(payloads).tobytes()


@jit
def _verify_and_copy(data, offsets):
    wrong = 0
    for i in range(len(offsets) - 1):
        if not header_valid(data, offsets[i]) or not payload_valid(
            data, offsets[i], offsets[i + 1]
        ):
            wrong += 1
    copy = np.empty(len(data), np.uint8)
    copy_bytes(copy, 0, data, 0, len(data))
    return copy, wrong


def verify_and_copy(frames: Frames) -> np.ndarray:
    """Checks the CRCs of all frames and copies them: the least that any rewriting costs."""
    copy, wrong = _verify_and_copy(frames.data, frames.offsets)
    if wrong:
        raise ValueError(f"`frames` must be valid records. Received: {wrong} with a wrong CRC.")
    return copy
