"""Results of a comparison as files, so that it can be interrupted, resumed, and shared by processes."""

from __future__ import annotations

import os
import pathlib
import re
import zipfile
from collections.abc import Mapping

import numpy as np

from tfrs_augment.errors import DataError, OutputError
from tfrs_augment.evaluation.measuring.run import Run


class RunCache:
    """Runs as files, one an arm and seed, complete or absent.

    Beside a run its file may hold arrays that other arms need: trained weights, embeddings.

    Args:
      folder: made if absent; None keeps nothing.

    Raises:
      OutputError: it can't be made, or is a file.
    """

    def __init__(self, folder: str | os.PathLike | None):
        self._folder = None if folder is None else pathlib.Path(folder)
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"`cache_dir` must be a folder, or the name of one that can be made. Received: "
                    f"cache_dir={str(folder)!r} ({error.strerror or error})."
                ) from error

    def load(self, arm: str, seed: int, key: str) -> Run | None:
        """Returns the run, or None where it is not there.

        Raises:
          DataError: the file cannot be read.
        """
        arrays = self._read(arm, seed, key, "")
        return None if arrays is None else Run.from_arrays(arrays)

    def load_group(self, arm: str, seed: int, key: str, group: str) -> dict[str, np.ndarray] | None:
        """Returns the arrays that were saved under a group's name, or None where there are none."""
        arrays = self._read(arm, seed, key, f"{group}/")
        return (
            {name.removeprefix(f"{group}/"): array for name, array in arrays.items()}
            if arrays
            else None
        )

    def save(
        self,
        arm: str,
        seed: int,
        key: str,
        run: Run,
        groups: Mapping[str, Mapping[str, np.ndarray]],
    ) -> None:
        """Writes the run and, under the names of their groups, the other arrays."""
        if self._folder is None:
            return
        arrays = dict(run.to_arrays())
        for group, members in groups.items():
            arrays |= {f"{group}/{name}": array for name, array in members.items()}
        path = self._path(arm, seed, key)
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(part, path)

    def _path(self, arm: str, seed: int, key: str) -> pathlib.Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', arm)}-{seed}-{key}.npz"

    def _read(self, arm: str, seed: int, key: str, prefix: str) -> dict[str, np.ndarray] | None:
        if self._folder is None or not self._path(arm, seed, key).exists():
            return None
        path = self._path(arm, seed, key)
        try:
            with np.load(path) as file:
                # Only what is asked for is read: embeddings may be many times larger than a run.
                return {
                    name: file[name]
                    for name in file.files
                    if (name.startswith(prefix) if prefix else not name.startswith(_GROUPS))
                }
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise DataError(
                f"A file of `cache_dir` cannot be read: {path} ({error}). Delete it; the arm is then "
                "trained again."
            ) from error


WEIGHTS, EMBEDDED = "weights", "embedded"
_GROUPS = (f"{WEIGHTS}/", f"{EMBEDDED}/")
