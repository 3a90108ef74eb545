"""CRC-32C (Castagnoli) as TFRecord uses it: by the processor's instruction, or by tables."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .compiling import inlined, load8, load16, load32, load64

_POLYNOMIAL = 0x82F63B78
_ALL_ONES = np.uint32(0xFFFFFFFF)
_MASK_DELTA = np.uint32(0xA282EAD8)


def _has_sse42() -> bool:
    """Whether the code that Numba generates may use SSE4.2.

    It is Numba's own list of features that counts, not the processor's: LLVM aborts the process
    when it meets an intrinsic outside the features it compiles for (NUMBA_CPU_FEATURES narrows
    them).
    """
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return str(triple).startswith("x86_64") and "+sse4.2" in str(features).split(",")


def _crc_instruction(name: str, state: types.Type, chunk: types.Type):
    @intrinsic
    def instruction(typing_context, crc, value):
        signature = state(state, chunk)

        def generate(context, builder, signature, arguments):
            state_type, chunk_type = ir.IntType(state.bitwidth), ir.IntType(chunk.bitwidth)
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(state_type, [state_type, chunk_type]), name
            )
            return builder.call(function, arguments)

        return signature, generate

    return instruction


_step64 = _crc_instruction("llvm.x86.sse42.crc32.64.64", types.uint64, types.uint64)
_step32 = _crc_instruction("llvm.x86.sse42.crc32.32.32", types.uint32, types.uint32)
_step16 = _crc_instruction("llvm.x86.sse42.crc32.32.16", types.uint32, types.uint16)
_step8 = _crc_instruction("llvm.x86.sse42.crc32.32.8", types.uint32, types.uint8)


@inlined
def crc32c_hardware(data, begin, end):
    """CRC-32C of `data[begin:end]` by SSE4.2; only for processors that have it."""
    state = np.uint64(0xFFFFFFFF)
    while end - begin >= 8:
        state = _step64(state, load64(data, begin))
        begin += 8
    crc = np.uint32(state)
    if end - begin >= 4:
        crc = _step32(crc, load32(data, begin))
        begin += 4
    if end - begin >= 2:
        crc = _step16(crc, load16(data, begin))
        begin += 2
    if begin < end:
        crc = _step8(crc, load8(data, begin))
    return np.uint32(crc ^ _ALL_ONES)


def _slicing_tables() -> np.ndarray:
    """Row k holds, a byte value a column, the CRC of that byte followed by k zero bytes."""
    tables = np.zeros((8, 256), np.uint32)
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        tables[0, value] = crc
    for k in range(1, 8):
        tables[k] = (tables[k - 1] >> 8) ^ tables[0][tables[k - 1] & 255]
    return tables


_TABLES = _slicing_tables()


@inlined
def crc32c_software(data, begin, end):
    """CRC-32C of `data[begin:end]` by slicing-by-8, eight bytes a step; for every processor."""
    crc = _ALL_ONES
    while end - begin >= 8:
        low = crc ^ load32(data, begin)
        high = load32(data, begin + 4)
        crc = (
            _TABLES[7, low & 255]
            ^ _TABLES[6, (low >> 8) & 255]
            ^ _TABLES[5, (low >> 16) & 255]
            ^ _TABLES[4, low >> 24]
            ^ _TABLES[3, high & 255]
            ^ _TABLES[2, (high >> 8) & 255]
            ^ _TABLES[1, (high >> 16) & 255]
            ^ _TABLES[0, high >> 24]
        )
        begin += 8
    while begin < end:
        crc = np.uint32((crc >> np.uint32(8)) ^ _TABLES[0, (crc ^ data[begin]) & 255])
        begin += 1
    return np.uint32(crc ^ _ALL_ONES)


HAS_HARDWARE_CRC = _has_sse42()
crc32c = crc32c_hardware if HAS_HARDWARE_CRC else crc32c_software


@inlined
def masked_crc32c(data, begin, end):
    """The CRC as TFRecord stores it: rotated and shifted, so that CRCs of CRCs stay sound."""
    crc = crc32c(data, begin, end)
    return np.uint32(((crc >> np.uint32(15)) | np.uint32(crc << np.uint32(17))) + _MASK_DELTA)
