"""What ops learnt from the data: arrays in a JSON file, never a pickle."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A statistic that an op needs of a feature, or of several together.

    Attributes:
      statistic: "marginal" (the values and their counts), "moments" (of numbers), "pool" (a sample of
        rows), "mutual_information" (of each two of several features), "cooccurrence" or
        "cooccurrence_counts" (which items are near each other in sequences); see `FittedState`. Two are no
        op's, but compare data: "number_sketch" and "category_sketch", see `tfrs_augment.fitting.sketches`.
      feature: the feature's name.
      others: the names of the other features, where the statistic is one of several together.
    """

    statistic: str
    feature: str
    others: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """All features that it is a statistic of."""
        return (self.feature, *self.others)

    def __str__(self) -> str:
        return f"{self.statistic} of {', '.join(repr(name) for name in self.features)}"


@dataclasses.dataclass(frozen=True)
class FittedState:
    """Statistics of features, by requirement.

    A "marginal" has `values` (int64 `[n]`, or for bytes `data` uint8 and `offsets` int64 `[n + 1]`) and
    `counts` int64 `[n]`, in the order of falling counts, then of values. "moments" has `count`, `mean`,
    `stddev` (that of the population), `min` and `max`, float64 scalars. A "pool" has the feature's values in
    the rows with the smallest keys, `row_splits` int64 `[rows + 1]` and values as a marginal has them; the
    pools of several features hold the same rows. "mutual_information" has `information`, float64 `[n, n]` in
    nats, in the order of the requirement's features, with their entropies on the diagonal; see
    `tfrs_augment.fitting.information`. The two of co-occurrence have items as a marginal has them, but in the
    order of `values`, or of `hashes` (int64, FarmHash) for bytes; item i's neighbors are `neighbors` (int32,
    numbers of items, the most correlated first) from `row_splits[i]` to `row_splits[i + 1]`; see
    `tfrs_augment.fitting.sequences`.

    Attributes:
      arrays: requirement to its named arrays.
    """

    arrays: Mapping[Requirement, Mapping[str, np.ndarray]]

    def __getitem__(self, requirement: Requirement) -> Mapping[str, np.ndarray]:
        if requirement not in self.arrays:
            known = ", ".join(str(r) for r in self.arrays) or "nothing"
            raise InvalidArgumentError(
                f"The fitted state lacks the {requirement}; it holds {known}. Fit it on data that have "
                "the feature: aug.fitting.fit(policy, data)."
            )
        return self.arrays[requirement]

    def digest(self) -> str:
        """A hash of the content, SHA-256 in hexadecimal."""
        digest = hashlib.sha256()
        for requirement in sorted(self.arrays, key=str):
            for name, array in sorted(self.arrays[requirement].items()):
                array = np.ascontiguousarray(array)
                digest.update(f"{requirement}/{name}/{array.dtype.str}/{array.shape}".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()

    def get_config(self) -> dict:
        """The state as JSON values; arrays as base64."""
        entries = []
        for requirement, arrays in sorted(self.arrays.items(), key=lambda item: str(item[0])):
            entries.append(
                {
                    "statistic": requirement.statistic,
                    "feature": requirement.feature,
                    **({"others": list(requirement.others)} if requirement.others else {}),
                    "arrays": {
                        name: {
                            "dtype": np.asarray(array).dtype.str,
                            "shape": list(np.shape(array)),
                            "data": base64.b64encode(
                                np.ascontiguousarray(array).tobytes()
                            ).decode(),
                        }
                        for name, array in sorted(arrays.items())
                    },
                }
            )
        return {"format_version": FORMAT_VERSION, "statistics": entries}

    @classmethod
    def from_config(cls, config: Mapping) -> FittedState:
        """The inverse of `get_config`."""
        _check_version(config.get("format_version"), "fitted state")
        return cls(
            {
                Requirement(entry["statistic"], entry["feature"], tuple(entry.get("others", ()))): {
                    name: np.frombuffer(base64.b64decode(a["data"]), np.dtype(a["dtype"])).reshape(
                        a["shape"]
                    )
                    for name, a in entry["arrays"].items()
                }
                for entry in config["statistics"]
            }
        )

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the state as one JSON file, on any file system that TensorFlow knows."""
        with tf.io.gfile.GFile(str(path), "w") as file:
            file.write(json.dumps(self.get_config(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> FittedState:
        """Reads what `save` wrote.

        Raises:
          DataError: the file holds no fitted state, or one of a newer format; the message names it.
        """
        try:
            with tf.io.gfile.GFile(str(path), "r") as file:
                config = json.loads(file.read())
        except (tf.errors.OpError, ValueError) as error:
            raise DataError(f"The fitted state '{path}' cannot be read: {error}") from error
        try:
            return cls.from_config(config)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"'{path}' holds no fitted state: {error}") from error


def _check_version(version, what: str) -> None:
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise DataError(
            f"The {what} must have a format_version from 1 to {FORMAT_VERSION}. Received: {version!r}. "
            "A higher one was written by a newer tfrs-augment: upgrade."
        )


def bytes_table(arrays: Mapping[str, np.ndarray]) -> list[bytes]:
    """The values of a marginal of a bytes feature."""
    data, offsets = arrays["data"].tobytes(), arrays["offsets"]
    return [data[start:end] for start, end in itertools.pairwise(offsets)]
