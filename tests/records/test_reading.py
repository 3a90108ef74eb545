"""Reading TFRecord files: blocks, strides, and every intact record of a broken file."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tracemalloc
import zlib

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf

from tests.records import samples
from tfrs_augment import records
from tfrs_augment.records import streams


def _payloads(count: int, seed: int = 0, largest: int = 200) -> list[bytes]:
    rng = random.Random(seed)
    return [b"%d:" % i + rng.randbytes(rng.randrange(largest)) for i in range(count)]


def _read(data: bytes, compression: str = "none", **arguments) -> list[records.Frames]:
    return list(records.read_frames(io.BytesIO(data), compression=compression, **arguments))


def _all(blocks) -> tuple[list[bytes], list[int], list[records.Rejection]]:
    blocks = list(blocks)
    return (
        [payload for block in blocks for payload in block.payloads()],
        [int(offset) for block in blocks for offset in block.file_offsets],
        [rejection for block in blocks for rejection in block.rejected],
    )


def _starts(payloads: list[bytes]) -> list[int]:
    return np.cumsum([0] + [len(payload) + 16 for payload in payloads]).tolist()


def test_files_of_tensorflow_are_read_and_written(tmp_path):
    payloads = [*_payloads(50), b"", bytes(100_000)]
    for compression, option in (("none", ""), ("gzip", "GZIP")):
        path = str(tmp_path / compression)
        with tf.io.TFRecordWriter(path, option) as writer:
            for payload in payloads:
                writer.write(payload)
        with open(path, "rb") as file:
            read, offsets, rejected = _all(records.read_frames(file, compression=compression))
        assert (read, offsets, rejected) == (payloads, _starts(payloads)[:-1], [])
    assert records.frame(payloads) == (tmp_path / "none").read_bytes()


def test_empty_files_have_no_blocks():
    assert _read(b"") == []
    assert _read(b"", "gzip") == []
    assert _read(gzip.compress(b""), "gzip") == []


def test_blocks_end_by_records_and_by_bytes():
    payloads = _payloads(25)
    assert [len(block) for block in _read(records.frame(payloads), block_records=10)] == [10, 10, 5]
    assert [len(block) for block in _read(records.frame(payloads[:20]), block_records=10)] == [
        10,
        10,
    ]
    payloads = [bytes(84)] * 10  # 100 bytes a frame.
    assert [len(b) for b in _read(records.frame(payloads), block_bytes=300)] == [3, 3, 3, 1]
    assert [len(b) for b in _read(records.frame(payloads), block_bytes=301)] == [4, 4, 2]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_short_reads_change_nothing(compression):
    payloads = _payloads(60)
    damaged = bytearray(records.frame(payloads))
    damaged[700] ^= 4
    damaged[_starts(payloads)[30]] ^= 4
    data = bytes(damaged[:-3])
    want = [
        (block.payloads(), block.file_offsets.tolist(), block.rejected)
        for block in _read(data, block_records=7)
    ]
    if compression == "gzip":
        data = gzip.compress(data)
    for most in (1, 5, 300):
        stream = samples.ShortReads(data, random.Random(0), most)
        blocks = records.read_frames(stream, compression=compression, block_records=7)
        got = [(block.payloads(), block.file_offsets.tolist(), block.rejected) for block in blocks]
        assert got == want


def test_records_larger_than_a_chunk():
    payloads = [random.Random(0).randbytes(3 * streams.CHUNK_BYTES), b"small"]
    read, _, rejected = _all(_read(records.frame(payloads), block_bytes=100))
    assert read == payloads and rejected == []


def test_wrong_data_rejects_one_record():
    payloads = _payloads(10)
    starts = _starts(payloads)
    data = bytearray(records.frame(payloads))
    data[starts[4] + 13] ^= 1
    read, offsets, rejected = _all(_read(bytes(data)))
    assert read == payloads[:4] + payloads[5:]
    assert offsets == starts[:4] + starts[5:-1]
    assert rejected == [(starts[4], starts[5] - starts[4], "the CRC of the record's data is wrong")]


@pytest.mark.parametrize("byte", range(12))
def test_wrong_length_costs_one_record(byte):
    payloads = _payloads(10)
    starts = _starts(payloads)
    data = bytearray(records.frame(payloads))
    data[starts[4] + byte] ^= 0x80
    read, _, rejected = _all(_read(bytes(data), block_records=4))
    assert read == payloads[:4] + payloads[5:]
    assert rejected == [
        (starts[4], starts[5] - starts[4], "the CRC of the record's length is wrong")
    ]


@pytest.mark.parametrize("cut", [1, 5, 12, 20])
def test_a_truncated_end_is_one_rejection(cut):
    payloads = [*_payloads(9), bytes(20)]
    starts = _starts(payloads)
    read, _, rejected = _all(_read(records.frame(payloads)[:-cut]))
    assert read == payloads[:-1]
    assert rejected == [(starts[9], 36 - cut, "the record is truncated")]


def test_a_cut_in_the_middle_loses_only_what_was_cut():
    payloads = _payloads(20, largest=50)
    payloads[9] = bytes(5000)  # Its length reaches far over the records behind it.
    starts = _starts(payloads)
    data = records.frame(payloads)
    read, _, rejected = _all(_read(data[: starts[9] + 100] + data[starts[9] + 4000 :]))
    assert read == payloads[:9] + payloads[10:]
    assert [rejection.offset for rejection in rejected] == [starts[9]]
    # So that its length reaches over the end of the file.
    read, _, rejected = _all(_read(data[: starts[9] + 100] + data[starts[10] :]))
    assert read == payloads[:9] + payloads[10:]
    assert rejected == [(starts[9], 100, "the record is truncated")]


def _header(length: int) -> bytes:
    head = struct.pack("<Q", length)
    crc = google_crc32c.value(head)
    return head + struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@pytest.mark.parametrize("length", [2**31, 2**40, 2**63, 2**64 - 1, 2**31 - 100])
def test_a_huge_length_takes_no_memory(length):
    payloads = _payloads(5)
    data = records.frame(payloads)
    tracemalloc.start()
    read, _, rejected = _all(_read(data + _header(length) + b"x" + data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == payloads * 2
    assert [(r.offset, r.length) for r in rejected] == [(len(data), 13)]
    assert peak < 1 << 24


def test_garbage_takes_bounded_memory():
    garbage = random.Random(0).randbytes(1 << 20)

    class Stream:
        left = 64

        def read(self, size):
            self.left -= 1
            return garbage if self.left >= 0 else b""

    tracemalloc.start()
    blocks = list(records.read_frames(Stream(), compression="none"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert _all(blocks)[0] == [] and len(blocks) == 1
    assert [(r.offset, r.length) for r in blocks[0].rejected] == [(0, 64 << 20)]
    assert peak < 24 << 20


def _broken_file(rng: random.Random) -> tuple[bytes, list[bytes], set[bytes]]:
    """A damaged file, its payloads, and those of them whose whole frame is still there."""
    payloads = _payloads(40, seed=rng.random(), largest=rng.choice((5, 100, 1000)))
    data = bytearray(records.frame(payloads))
    source = list(range(len(data)))  # Where each byte came from; -1 where it is not the original.
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        size = rng.choice((1, 4, 50, 700))
        what = rng.randrange(4)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
            source[at] = -1
        elif what == 1:
            del data[at : at + size], source[at : at + size]
        elif what == 2:
            data[at:at] = rng.randbytes(size)
            source[at:at] = [-1] * size
        elif rng.random() < 0.3:
            del data[at:], source[at:]
        if not data:
            break
    place = {origin: i for i, origin in enumerate(source) if origin >= 0}
    starts = _starts(payloads)
    intact = set()
    for payload, begin, end in zip(payloads, starts, starts[1:]):
        at = place.get(begin)
        if at is not None and source[at : at + end - begin] == list(range(begin, end)):
            intact.add(payload)
    return bytes(data), payloads, intact


@pytest.mark.parametrize("seed", range(4))
def test_every_intact_record_of_a_broken_file_is_kept(seed):
    rng = random.Random(seed)
    lost = 0
    for _ in range(100):
        data, payloads, intact = _broken_file(rng)
        block_records = rng.choice((1, 3, 16, 1000))
        blocks = _read(data, block_records=block_records)
        read, offsets, rejected = _all(blocks)
        assert set(read) == intact
        assert read == [payload for payload in payloads if payload in intact]
        lost += len(payloads) - len(intact)
        # What was read and what was rejected make up the file, without gap or overlap.
        parts = [(offset, len(payload) + 16) for offset, payload in zip(offsets, read)]
        parts += [(rejection.offset, rejection.length) for rejection in rejected]
        position = 0
        for offset, length in sorted(parts):
            assert offset == position
            position += length
        assert position == len(data)

        for workers in (2, 3):
            shared = [
                _read(data, block_records=block_records, stride=(k, workers))
                for k in range(workers)
            ]
            mixed = _all(block for worker in shared for block in worker)
            assert sorted(zip(mixed[1], mixed[0])) == sorted(zip(offsets, read))
            assert sorted(mixed[2]) == sorted(rejected)
            assert [block.payloads() for block in shared[1]] == [
                block.payloads() for block in blocks[1::workers]
            ]
    assert lost > 100


def test_gzip_of_several_members():
    payloads = _payloads(100)
    data = records.frame(payloads)
    members = (
        gzip.compress(data[:1234]) + bytes(7) + gzip.compress(b"") + gzip.compress(data[1234:])
    )
    assert _all(_read(members, "gzip"))[::2] == (payloads, [])


@pytest.mark.parametrize("damage", ["cut", "trailer", "garbage", "header", *range(8)])
def test_a_broken_gzip_stream_gives_what_can_be_decompressed(damage):
    # Text, so that the stream is made of matches and a flipped bit tends to break it.
    payloads = [b"user %d likes %d" % (k * k, k) * 3 for k in range(3000)]
    data = records.frame(payloads)
    packed = bytearray(gzip.compress(data, 6))
    reason = "the gzip stream is corrupt"
    if damage == "cut":
        del packed[len(packed) * 2 // 3 :]
        reason = "the gzip stream ends early"
    elif damage == "trailer":
        packed[-7] ^= 1
    elif damage == "garbage":
        packed += b"garbage"
    elif damage == "header":
        packed[0] = 0
    else:
        packed[len(packed) // 2 + 100 * damage] ^= 1 << damage
    read, _, rejected = _all(_read(bytes(packed), "gzip"))

    # An independent decompression, a byte at a time, up to its first error.
    inflater = zlib.decompressobj(31)
    out = bytearray()
    try:
        for k in range(len(packed)):
            out += inflater.decompress(packed[k : k + 1])
    except zlib.error:
        pass
    starts = _starts(payloads)
    whole = [
        payload
        for payload, begin, end in zip(payloads, starts, starts[1:])
        if data[begin:end] == out[begin:end]
    ]
    assert read == whole
    kept = {"header": 0, "trailer": 3000, "garbage": 3000}
    assert len(whole) == kept[damage] if damage in kept else 500 < len(whole) < 3000
    assert [rejection.reason for rejection in rejected if reason in rejection.reason] == [
        rejected[-1].reason
    ]


def test_a_gzip_bomb_comes_in_chunks():
    packed = gzip.compress(bytes(50_000_000))
    pieces = [len(piece) for piece in streams.inflate(iter([packed]), 1000)]
    assert sum(pieces) == 50_000_000 and max(pieces) <= 1000


def test_the_wrong_compression_is_named():
    data = records.frame(_payloads(10))
    with pytest.raises(records.CompressionError, match="looks like gzip; pass compression='gzip'"):
        _read(gzip.compress(data))
    with pytest.raises(ValueError, match="uncompressed TFRecord file; pass compression='none'"):
        _read(data, "gzip")


def test_a_length_that_looks_like_gzip_is_a_length():
    payload = bytes(0x00088B1F)
    data = records.frame([payload])
    assert streams.looks_like_gzip(data)
    assert _all(_read(data))[0] == [payload]


def test_wrong_arguments_are_named():
    for arguments in (
        {"compression": "zip"},
        {"compression": "none", "block_records": 0},
        {"compression": "none", "stride": (2, 2)},
        {"compression": "none", "stride": (-1, 2)},
    ):
        with pytest.raises(ValueError, match=f"Received: .*{list(arguments)[-1]}"):
            records.read_frames(io.BytesIO(), **arguments)


def test_verify_and_copy():
    frames = records.Frames.from_payloads(_payloads(10))
    np.testing.assert_array_equal(records.verify_and_copy(frames), frames.data)
    data = frames.data.copy()
    data[20] ^= 1
    with pytest.raises(ValueError, match="Received: 1 with a wrong CRC"):
        records.verify_and_copy(records.Frames(data, frames.offsets, frames.file_offsets))
