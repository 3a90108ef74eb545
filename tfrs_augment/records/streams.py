"""The bytes of a plain or gzip file in chunks; a broken gzip stream gives what it can."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

CHUNK_BYTES = 1 << 20
COMPRESSIONS = ("none", "gzip")

_GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP_WINDOW_BITS = 31  # zlib's code for a gzip header and trailer around the deflate stream.


class BinaryReader(Protocol):
    """What is asked of a stream: `read(n)` gives up to n bytes, and none at its end."""

    def read(self, size: int, /) -> bytes: ...


class CompressionError(ValueError):
    """The stream is compressed otherwise than its reader was told."""


class BrokenStreamError(Exception):
    """A compressed stream cannot be read further; all that came before has been handed out."""


def looks_like_gzip(head: bytes) -> bool:
    """Whether a stream that starts with `head` starts as a gzip file does."""
    return head[:3] == _GZIP_MAGIC


def read_chunks(stream: BinaryReader, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The stream's bytes, in pieces of at most `chunk_bytes`, none of them empty."""
    while chunk := stream.read(chunk_bytes):
        yield chunk


def inflate(chunks: Iterator[bytes], chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Decompresses a gzip stream of one or more members, within bounded memory.

    Args:
        chunks: The compressed stream.
        chunk_bytes: The most bytes of one piece of the result.

    Yields:
        Pieces of the decompressed stream, none of them empty.

    Raises:
        BrokenStreamError: where the stream is corrupt or ends early, after every byte that could be
            decompressed before that point.
    """
    inflater = None
    started = False
    for chunk in chunks:
        while chunk:
            if inflater is None:
                if started:
                    chunk = chunk.lstrip(b"\0")  # Padding between members, as `gzip` allows it.
                    if not chunk:
                        break
                inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
                started = True
            # A full piece may leave output behind even where all the input has been taken.
            piece_full = False
            while not inflater.eof and (chunk or piece_full):
                before = inflater.copy()
                try:
                    piece = inflater.decompress(chunk, chunk_bytes)
                except zlib.error as error:
                    yield from _salvage(before, chunk)
                    raise BrokenStreamError(f"the gzip stream is corrupt: {error}") from error
                chunk = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                piece_full = len(piece) == chunk_bytes
                if piece:
                    yield piece
            if inflater.eof:
                inflater = None
    if inflater is not None:
        raise BrokenStreamError("the gzip stream ends early")


def _salvage(inflater, chunk: bytes) -> Iterator[bytes]:
    """What `chunk` gives before its first error: zlib drops the output of a call that fails."""
    for step in (4096, 64, 1):
        while chunk:
            attempt = inflater.copy()
            try:
                piece = attempt.decompress(chunk[:step])
            except zlib.error:
                break
            inflater, chunk = attempt, chunk[step:]
            if piece:
                yield piece
    # The error lies in the next byte of input; the symbols before it still give their output.
    chunk = chunk[:1]
    while True:
        try:
            piece = inflater.decompress(chunk, 1)
        except zlib.error:
            return
        chunk = inflater.unconsumed_tail
        if not piece:
            return
        yield piece
