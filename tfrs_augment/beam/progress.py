"""Progress of a running job on stderr, from what its workers have staged so far."""

from __future__ import annotations

import threading

from apache_beam.io.filesystems import FileSystems
from tqdm import tqdm

from tfrs_augment.beam.files import join


class Progress:
    """Shows the megabytes that the workers have written, wherever they run, once a second.

    Workers share nothing with the process that waits for them but the file system, so that is what is looked
    at. It watches only local folders: listing an object store every second would cost requests.

    Args:
      staging: the folder that the workers write to.
      shards: how many files they will write.
      enabled: False shows nothing.
    """

    def __init__(self, staging: str, shards: int, *, enabled: bool):
        self._staging, self._shards = staging, shards
        self._enabled = enabled and "://" not in staging
        self._done = threading.Event()

    def __enter__(self) -> Progress:
        if self._enabled:
            self._bar = tqdm(desc="augment", unit="B", unit_scale=True, unit_divisor=1000)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self._enabled:
            self._done.set()
            self._thread.join()
            self._bar.close()

    def _watch(self) -> None:
        while not self._done.wait(1.0):
            staged = FileSystems.match([join(self._staging, "shard-*")])[0].metadata_list
            self._bar.n = max(self._bar.n, sum(file.size_in_bytes for file in staged))
            self._bar.set_postfix_str(f"{len(staged)} of {self._shards} shards begun")
