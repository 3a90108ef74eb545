"""Files of the job: finding inputs, staging outputs, and the manifest that makes a folder a result."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import posixpath
import uuid
import zlib
from collections.abc import Iterator, Sequence

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfrs_augment.errors import DataError, OutputError

MANIFEST = "manifest.json"
FITTED = "fitted.json"
STAGING = ".staging-"
GZIP_LEVEL = 1
"""2.3 times cheaper than zlib's default level, at nearly its size."""

_BEAM_ERRORS = (BeamIOError, OSError)


@dataclasses.dataclass(frozen=True)
class InputFile:
    """A file to read: its path, its size in bytes, and "none" or "gzip".

    `origin` is the path of the table that it was made from, if any.
    """

    path: str
    size: int
    compression: str
    origin: str | None = None


def find_inputs(patterns: Sequence[str], compression: str) -> list[InputFile]:
    """Expands globs to files, in the order of their paths; a file that two globs name is read once.

    Raises:
      DataError: a glob matches no file, or its folder cannot be read.
    """
    found: dict[str, InputFile] = {}
    for pattern in patterns:
        try:
            matched = FileSystems.match([pattern])[0].metadata_list
        except (*_BEAM_ERRORS, ValueError) as error:
            raise DataError(f"`input` '{pattern}' cannot be read: {error}") from error
        if not matched:
            raise DataError(f"`input` matches no file. Received: input='{pattern}'.")
        for file in matched:
            kind = compression
            if compression == "auto":
                kind = "gzip" if file.path.endswith((".gz", ".gzip")) else "none"
            found[file.path] = InputFile(file.path, file.size_in_bytes, kind)
    return [found[path] for path in sorted(found)]


@contextlib.contextmanager
def open_input(file: InputFile) -> Iterator[io.BufferedIOBase]:
    """Opens a file as the bytes that are stored: the codec inflates them itself.

    Raises:
      DataError: the file cannot be opened, or reading it fails.
    """
    try:
        with FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            yield stream
    except _BEAM_ERRORS as error:
        raise DataError(f"input file '{file.path}' cannot be read: {error}") from error


class Writer:
    """Writes a file through Beam's file systems, compressed where asked for.

    Raises:
      OutputError: the file cannot be written; the message names it.
    """

    def __init__(self, path: str, compression: str = "none"):
        self.path, self.size = path, 0
        self._deflate = (
            zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31) if compression == "gzip" else None
        )
        with as_output_error(path):
            self._file = FileSystems.create(
                path, "application/octet-stream", compression_type=CompressionTypes.UNCOMPRESSED
            )

    def write(self, data) -> None:
        data = memoryview(data)
        if self._deflate is not None:
            data = self._deflate.compress(data)
        self.size += len(data)
        with as_output_error(self.path):
            self._file.write(data)

    def close(self) -> None:
        with as_output_error(self.path):
            if self._deflate is not None:
                tail = self._deflate.flush()
                self.size += len(tail)
                self._file.write(tail)
            self._file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.close()
        else:
            # The error that is under way is the one to see; what closing adds to it is not.
            with contextlib.suppress(*_BEAM_ERRORS):
                self._file.close()


@contextlib.contextmanager
def as_output_error(path: str) -> Iterator[None]:
    """Tells what goes wrong in writing with the path."""
    try:
        yield
    except _BEAM_ERRORS as error:
        raise OutputError(f"output '{path}' cannot be written: {error}") from error


def join(folder: str, *names: str) -> str:
    return FileSystems.join(folder, *names)


def read_manifest(folder: str) -> dict | None:
    """The manifest of a folder, or None where the folder is no result."""
    path = join(folder, MANIFEST)
    try:
        if not FileSystems.exists(path):
            return None
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return json.loads(file.read())
    except (*_BEAM_ERRORS, ValueError) as error:
        raise OutputError(f"'{path}' is there and cannot be read: {error}") from error


def write_json(path: str, content) -> None:
    with Writer(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def prepare_output(folder: str, inputs: Sequence[InputFile], overwrite: bool) -> str:
    """Checks that results can be written to a folder, and makes a staging folder in it.

    Returns:
      The staging folder's path. Nothing in it reads as a result.

    Raises:
      OutputError: the folder holds a result and `overwrite` is not set, holds an input, or cannot be
        written.
    """
    within = folder.rstrip("/") + "/"
    for file in inputs:
        if file.path.startswith(within) and "/" not in file.path[len(within) :]:
            raise OutputError(
                f"`output` must not hold the input: '{file.path}' is in '{folder}'. Choose another folder."
            )
    if read_manifest(folder) is not None and not overwrite:
        raise OutputError(
            f"`output` '{folder}' holds a result ({MANIFEST}). "
            "Pass overwrite (--overwrite) to replace it, or choose another folder."
        )
    staging = join(folder, f"{STAGING}{uuid.uuid4().hex[:12]}")
    with as_output_error(folder):
        remove_stale_staging(folder)
        FileSystems.mkdirs(staging)
    with Writer(join(staging, "probe")) as probe:
        probe.write(b"")
    return staging


@contextlib.contextmanager
def prepare_file(path: str, staged: str, overwrite: bool) -> Iterator[None]:
    """Makes a file appear whole or not at all: what is written to `staged` becomes `path` at the end.

    Raises:
      OutputError: `path` is there and `overwrite` is not set, or it cannot be written.
    """
    with as_output_error(path):
        refused = FileSystems.exists(path) and not overwrite
    if refused:
        raise OutputError(
            f"`output` '{path}' is there already. "
            "Pass overwrite (--overwrite) to replace it, or choose another name."
        )
    with Writer(staged) as probe:
        probe.write(b"")
    try:
        yield
        with as_output_error(path):
            if FileSystems.exists(path):
                FileSystems.delete([path])
            FileSystems.rename([staged], [path])
    except BaseException:
        discard(staged)
        raise


def remove_stale_staging(folder: str) -> None:
    """Removes what a run that was killed has left."""
    stale = {
        posixpath.dirname(file.path)
        for match in FileSystems.match([join(folder, f"{STAGING}*", "*")])
        for file in match.metadata_list
    }
    if stale:
        FileSystems.delete(sorted(stale))


def publish(folder: str, staging: str, moves: Sequence[tuple[str, str]], manifest: dict) -> None:
    """Makes staged files the result of a folder: removes the old result, moves, writes the manifest last.

    It can be repeated: a move that was done already is passed over.

    Args:
      folder: the output folder.
      staging: the staging folder, removed at the end.
      moves: (staged path, name in the folder).
      manifest: its "files" are what a later run with overwrite removes.
    """
    with as_output_error(folder):
        old = read_manifest(folder)
        if old is not None:
            FileSystems.delete([join(folder, MANIFEST)])
        kept = {name for _, name in moves}
        stale = [join(folder, name) for name in (old or {}).get("files", []) if name not in kept]
        stale = [path for path in stale if FileSystems.exists(path)]
        if stale:
            FileSystems.delete(stale)
        for source, name in moves:
            target = join(folder, name)
            if FileSystems.exists(source):
                if FileSystems.exists(target):
                    FileSystems.delete([target])
                FileSystems.rename([source], [target])
        missing = [name for _, name in moves if not FileSystems.exists(join(folder, name))]
    if missing:
        raise OutputError(
            f"'{folder}' lacks {missing[:3]}, which the job wrote: removed meanwhile?"
        )
    # Another name first: a manifest cut short by a full disk must not read as a result.
    staged = join(staging, MANIFEST)
    write_json(staged, manifest)
    with as_output_error(folder):
        FileSystems.rename([staged], [join(folder, MANIFEST)])
        FileSystems.delete([staging])


def discard(staging: str) -> None:
    """Removes staged work after a failure; what cannot be removed is left, since nothing reads it."""
    with contextlib.suppress(*_BEAM_ERRORS):
        FileSystems.delete([staging])
