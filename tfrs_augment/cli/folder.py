"""A folder of results on a local disk, whose files appear together at the end."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable


class ResultFolder:
    """A folder to which a command writes several files.

    Args:
      path: the folder; made if absent.
      marker: the file that says that there is a result, and that is written last.
      overwrite: whether an earlier result in it may be replaced.

    Raises:
      OutputError: it holds a result, or cannot be written.
    """

    def __init__(self, path: str, marker: str, overwrite: bool):
        from tfrs_augment.beam.files import as_output_error
        from tfrs_augment.errors import OutputError

        self._path, self._marker, self._as_output_error = path, marker, as_output_error
        if os.path.exists(os.path.join(path, marker)) and not overwrite:
            raise OutputError(
                f"`output` '{path}' holds a {'report' if marker == 'report.json' else 'result'}. "
                "Pass --overwrite to replace it, or choose another folder."
            )
        with as_output_error(path):
            os.makedirs(path, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError(f"no permission to write in '{path}'")

    def write(self, content: Callable[[str], None]) -> None:
        """Lets `content` fill a folder beside the files, and moves what is in it to them."""
        staged = os.path.join(self._path, f".staging-{uuid.uuid4().hex[:12]}")
        with self._as_output_error(self._path):
            os.makedirs(staged)
            try:
                content(staged)
                for name in sorted(os.listdir(staged), key=self._marker.__eq__):
                    os.replace(os.path.join(staged, name), os.path.join(self._path, name))
            finally:
                shutil.rmtree(staged, ignore_errors=True)
