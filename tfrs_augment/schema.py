"""Which features a data set has, and of which kind."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from tfrs_augment.errors import AugmentError, DataError, UnknownFeatureError, close_matches

KINDS = ("bytes", "float", "int64")

_KIND_OF_TYPE = {"BYTES": "bytes", "INT": "int64", "FLOAT": "float"}
_KIND_OF_DOMAIN = {
    "string_domain": "bytes",
    "domain": "bytes",
    "int_domain": "int64",
    "float_domain": "float",
}


def kind_of_dtype(dtype: tf.DType) -> str:
    """The kind that a tensor has in a tf.train.Example: "bytes", "float" or "int64"."""
    if dtype == tf.string:
        return "bytes"
    return "float" if dtype.is_floating else "int64"


@dataclasses.dataclass(frozen=True)
class Domain:
    """The values that a feature may have.

    Attributes:
      minimum, maximum: of a feature of numbers, both ends included; None where open.
      values: of a bytes feature; None where any will do.
    """

    minimum: float | None = None
    maximum: float | None = None
    values: frozenset[bytes] | None = None

    def outside(self, values: Iterable[bytes | float]) -> list[bytes | float]:
        """Those of some values that are not in the domain."""
        if self.values is not None:
            return [value for value in values if value not in self.values]
        low = float("-inf") if self.minimum is None else self.minimum
        high = float("inf") if self.maximum is None else self.maximum
        return [value for value in values if not low <= value <= high]


@dataclasses.dataclass(frozen=True)
class Schema:
    """Feature names and kinds, and what else is known of them.

    Attributes:
      kinds: feature name to "bytes", "float" or "int64".
      domains: feature name to its domain, where one is declared.
      presence: feature name to the least share of rows that must have it, where one is declared.
    """

    kinds: Mapping[str, str]
    domains: Mapping[str, Domain] = dataclasses.field(default_factory=dict)
    presence: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Schema:
        """Reads a schema.pbtxt of tensorflow_metadata, as TensorFlow Data Validation writes it.

        Features that are planned, deprecated or disabled, structs, and those without a type are left out.

        Args:
          path: the file, on any file system that TensorFlow knows.

        Raises:
          AugmentError: tensorflow_metadata cannot be imported.
          DataError: the file cannot be read, is no schema, or declares no feature; the message names it.

        Example:
          policy.check(Schema.load("schema.pbtxt"))
        """
        try:
            # It registers protos with the process and is needed here alone.
            from tensorflow_metadata.proto.v0 import schema_pb2
        except ImportError as error:
            raise AugmentError(
                f"To read the schema '{path}' tensorflow_metadata is needed, and it cannot be imported: "
                f"{error}. It must fit protobuf: with protobuf 4, pip install 'tensorflow-metadata<1.18'."
            ) from error
        try:
            with tf.io.gfile.GFile(str(path), "r") as file:
                message = text_format.Parse(file.read(), schema_pb2.Schema())
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            raise DataError(f"The schema '{path}' cannot be read: {error}") from error
        except text_format.ParseError as error:
            raise DataError(
                f"'{path}' is no schema.pbtxt of tensorflow_metadata: {error}"
            ) from error
        named = {domain.name: domain for domain in message.string_domain}
        unused = (schema_pb2.PLANNED, schema_pb2.DEPRECATED, schema_pb2.DISABLED)
        kinds, domains, presence = {}, {}, {}
        for feature in message.feature:
            kind = _KIND_OF_TYPE.get(schema_pb2.FeatureType.Name(feature.type))
            kind = kind or _KIND_OF_DOMAIN.get(feature.WhichOneof("domain_info"))
            if kind is None or feature.lifecycle_stage in unused:
                continue
            kinds[feature.name] = kind
            domain = _domain(feature, kind, named)
            if domain != Domain():
                domains[feature.name] = domain
            if feature.presence.min_fraction:
                presence[feature.name] = feature.presence.min_fraction
        if not kinds:
            raise DataError(f"The schema '{path}' declares no feature with a type.")
        return cls(kinds, domains, presence)

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


def _domain(feature: Any, kind: str, named: Mapping[str, Any]) -> Domain:
    """The domain that a feature of a schema.pbtxt declares for its own kind."""
    field = feature.WhichOneof("domain_info")
    if kind == "bytes" and field in ("string_domain", "domain"):
        declared = named.get(feature.domain) if field == "domain" else feature.string_domain
        values = frozenset(value.encode() for value in declared.value) if declared else None
        return Domain(values=values or None)
    if (kind, field) in (("int64", "int_domain"), ("float", "float_domain")):
        declared = getattr(feature, field)
        low = declared.min if declared.HasField("min") else None
        high = declared.max if declared.HasField("max") else None
        return Domain(low, high)
    return Domain()
