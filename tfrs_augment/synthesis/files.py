"""The file of a fitted synthesizer: one zip of NumPy arrays, with a JSON document among them.

It holds no pickle, so that a file from elsewhere can't run code, and no row of the data.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError

FORMAT_VERSION = 1
_DOCUMENT = "document.json"
# What NumPy, zip, and the synthesizers raise for bytes that are no archive, one of something else, or one
# some of whose bits have changed. RuntimeError has NotImplementedError, and ValueError those of this package.
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def content_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """What is raised while a file's content is read becomes an error that names the file.

    Raises:
      InvalidArgumentError: the content is not that of a synthesizer, or not whole.
    """
    try:
        yield
    except _BROKEN as error:
        raise InvalidArgumentError(
            f"'{os.fspath(path)}' is no file of a synthesizer, or not whole: {error!r}. Write it anew with "
            "`save`."
        ) from error


def write(
    path: str | os.PathLike[str], document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Writes a file, on any file system that TensorFlow knows; equal content gives equal bytes.

    Args:
      path: the file, replaced if it is there.
      document: JSON values.
      arrays: name to array, none of objects.

    Raises:
      InvalidArgumentError: the file can't be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **document}, allow_nan=False)
    for name, array in arrays.items():
        if array.dtype == object:
            raise TypeError(f"The array {name!r} must not hold objects: NumPy would pickle them.")
    stream = io.BytesIO()
    np.savez_compressed(stream, **{_DOCUMENT: np.frombuffer(text.encode(), np.uint8), **arrays})
    path = os.fspath(path)
    # Whole or not at all: a reader never meets half a file.
    part = f"{path}.part"
    try:
        with tf.io.gfile.GFile(part, "wb") as file:
            file.write(stream.getvalue())
        tf.io.gfile.rename(part, path, overwrite=True)
    except tf.errors.OpError as error:
        raise InvalidArgumentError(
            f"The synthesizer file '{path}' can't be written: {error.message}"
        ) from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads what `write` wrote.

    Returns:
      The document and the arrays.

    Raises:
      InvalidArgumentError: the file is absent, something else, cut off, or of another format; the
        message names it.
    """
    path = os.fspath(path)
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        raise InvalidArgumentError(
            f"The synthesizer file '{path}' can't be read: {error.message}"
        ) from error
    with content_of(path):
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = dict(json.loads(bytes(arrays.pop(_DOCUMENT))))
    version = document.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise InvalidArgumentError(
            f"{path}: `format_version` must be from 1 to {FORMAT_VERSION}. Received: {version!r}. "
            "A higher one was written by a newer tfrs-augment: upgrade."
        )
    return document, arrays
