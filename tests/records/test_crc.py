"""CRC-32C by instruction and by tables, against an independent implementation and known values."""

from __future__ import annotations

import google_crc32c
import numba
import numpy as np
import pytest

from tfrs_augment.records import crc


@numba.njit
def _software(data, begin, end):
    return crc.crc32c_software(data, begin, end)


@numba.njit
def _default(data, begin, end):
    return crc.crc32c(data, begin, end)


@numba.njit
def _masked(data, begin, end):
    return crc.masked_crc32c(data, begin, end)


# From RFC 3720, appendix B.4.
KNOWN = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.mark.parametrize("function", [_software, _default])
def test_known_values(function):
    for data, value in KNOWN:
        assert function(np.frombuffer(data, np.uint8), 0, len(data)) == value


@pytest.mark.parametrize("function", [_software, _default])
def test_every_length_and_alignment(function):
    data = np.random.default_rng(0).integers(0, 256, 300, dtype=np.uint8)
    for begin in range(9):
        for end in range(begin, 80):
            assert function(data, begin, end) == google_crc32c.value(data[begin:end].tobytes())
    assert function(data, 0, 300) == google_crc32c.value(data.tobytes())


def test_the_processors_instruction_is_used_where_numba_may():
    features = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[2]
    assert ("+sse4.2" in features.split(",")) == crc.HAS_HARDWARE_CRC
    assert crc.crc32c is (crc.crc32c_hardware if crc.HAS_HARDWARE_CRC else crc.crc32c_software)


def test_mask():
    # TensorFlow's masking, written out: rotate right by 15, add a constant.
    value = google_crc32c.value(b"foo")
    want = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _masked(np.frombuffer(b"foo", np.uint8), 0, 3) == want
