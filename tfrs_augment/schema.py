"""Which features a data set has, and of which kind."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrs_augment.errors import DataError, UnknownFeatureError, close_matches

KINDS = ("bytes", "float", "int64")


def kind_of_dtype(dtype: tf.DType) -> str:
    """The kind that a tensor has in a tf.train.Example: "bytes", "float" or "int64"."""
    if dtype == tf.string:
        return "bytes"
    return "float" if dtype.is_floating else "int64"


@dataclasses.dataclass(frozen=True)
class Schema:
    """Feature names and kinds.

    Attributes:
      kinds: feature name to "bytes", "float" or "int64".
    """

    kinds: Mapping[str, str]

    @classmethod
    def of_tensors(cls, features: Mapping[str, tf.Tensor | tf.RaggedTensor]) -> Schema:
        """The schema of a batch."""
        return cls({name: kind_of_dtype(tensor.dtype) for name, tensor in features.items()})

    @classmethod
    def of_examples(cls, records: Iterable[bytes]) -> Schema:
        """Infers the schema of serialized tf.train.Examples.

        Args:
          records: serialized Examples; those that are none are passed over, for it is the job that counts
            them. A feature whose kind is set in no record is left out; one that has several kinds gets that
            of most records.
        """
        counts: dict[str, collections.Counter] = {}
        for record in records:
            try:
                example = tf.train.Example.FromString(record)
            except DecodeError:
                continue
            for name, feature in example.features.feature.items():
                field = feature.WhichOneof("kind")
                if field is not None:
                    counts.setdefault(name, collections.Counter())[field.removesuffix("_list")] += 1
        return cls({name: kinds.most_common(1)[0][0] for name, kinds in counts.items()})

    def require(self, name: str, accepted: Iterable[str], user: str) -> str:
        """The kind of a feature that `user` needs, checked.

        Raises:
          UnknownFeatureError: there is no such feature; the message lists close matches.
          DataError: the feature's kind is not one of `accepted`.
        """
        if name not in self.kinds:
            raise UnknownFeatureError(
                f"{user} names feature '{name}'. {close_matches(name, self.kinds)}"
            )
        accepted = tuple(accepted)
        if self.kinds[name] not in accepted:
            raise DataError(
                f"{user} takes {' or '.join(accepted)} features. "
                f"Received: '{name}' of kind {self.kinds[name]}."
            )
        return self.kinds[name]
