"""How the kernels are compiled: at their first call, without the GIL, cached where possible."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_LOG = logging.getLogger(__name__)
_cache_refused = False


def _package_stamp() -> tuple[tuple[str, int, int], ...]:
    """Changes when any source file of this package changes."""
    stamps = []
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        status = path.stat()
        stamps.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(stamps)


try:
    _STAMP = _package_stamp()
except OSError:  # Imported from an archive: Numba's own stamp has to do.
    _STAMP = ()


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles `function` at its first call, without the GIL, cached on disk where possible."""
    return _compile(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `jit`, for a helper of kernels: always inlined into them, and not callable from Python.

    Numba passes an array as seven arguments and counts its references; a call costs more than most
    helpers do. Leaving out the entry points for Python and C saves half of the time of compiling.
    """
    return _compile(function, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`numba.njit`, with a cache if it can be written.

    `cache=True` raises at import where neither the folder of the source nor the user's cache folder
    can be written (a container with a read-only file system, a worker without HOME). There the
    kernels are compiled anew in each process, and a warning says so once.
    """
    global _cache_refused
    if not _cache_refused:
        try:
            return _stamped(numba.njit(cache=True, nogil=True, **options)(function))
        except RuntimeError as error:
            _cache_refused = True
            _LOG.warning(
                "Numba cannot write a cache, so every process compiles the record codec anew "
                "(some 20 seconds): set NUMBA_CACHE_DIR to a writable folder. Numba says: %s",
                error,
            )
    return numba.njit(nogil=True, **options)(function)


def _stamped(dispatcher: Any) -> Any:
    """Makes a cached kernel stale when any file of this package changes, not its own file alone.

    A kernel's machine code contains the kernels it calls; Numba looks at the caller's file only and
    would go on running the old code of a callee that was edited in another file.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, _STAMP)
    return dispatcher


def kernel_input(array: Any, dtype: Any) -> np.ndarray:
    """A read-only, contiguous, aligned view of `array`, copied only where it has to be.

    Numba compiles a kernel once for writable and once for read-only arrays. Arrays over `bytes` are
    read-only, and every array can be viewed as such, so all inputs go in as read-only.
    """
    view = np.require(array, dtype=dtype, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view


# Raw memory operations. Nothing checks their bounds: every use has to prove that it stays inside.


def _loader(bits: int) -> Callable[..., Any]:
    result = getattr(types, f"uint{bits}")

    @intrinsic
    def load(typing_context, array, position):
        signature = result(array, types.int64)

        def generate(context, builder, signature, arguments):
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            pointer = builder.gep(view.data, [arguments[1]])
            pointer = builder.bitcast(pointer, ir.IntType(bits).as_pointer())
            return builder.load(pointer, align=1)

        return signature, generate

    return load


# Unlike an index, these take no negative position from the end, which saves a test at each byte.
load64 = _loader(64)
load32 = _loader(32)
load16 = _loader(16)
load8 = _loader(8)


@intrinsic
def store32(typing_context, array, position, value):
    """Writes the four bytes of `value` at `array[position]`; little-endian, as Numba is."""
    signature = types.void(array, types.int64, types.uint32)

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(view.data, [arguments[1]])
        builder.store(arguments[2], builder.bitcast(pointer, ir.IntType(32).as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def store64(typing_context, array, position, value):
    """Writes the eight bytes of `value` at `array[position]`."""
    signature = types.void(array, types.int64, types.uint64)

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(view.data, [arguments[1]])
        builder.store(arguments[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_bytes(typing_context, target, target_position, source, source_position, count):
    """`target[target_position:][:count] = source[source_position:][:count]`, as one memcpy."""
    signature = types.void(target, types.int64, source, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        target_view = context.make_array(signature.args[0])(context, builder, arguments[0])
        source_view = context.make_array(signature.args[2])(context, builder, arguments[2])
        to = builder.gep(target_view.data, [arguments[1]])
        cgutils.raw_memcpy(
            builder, to, builder.gep(source_view.data, [arguments[3]]), arguments[4], 1
        )
        return context.get_dummy_value()

    return signature, generate
