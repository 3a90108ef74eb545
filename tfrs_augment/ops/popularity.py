"""Rates that fall with the popularity of a value, and lookups by value without tables of state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.features import hash_values
from tfrs_augment.ops.fitted import bytes_table


@dataclasses.dataclass(frozen=True)
class PopularityRate:
    """A chance that falls with how often a value occurs: min(maximum, scale / count).

    Given as the `rate` of an op on ids: a rare id is augmented often, a popular one, whose embedding is well
    trained, seldom. The counts are those of the fitted marginal of the feature; a value that the fit did not
    see counts as 0 times, so its chance is the maximum.

    Args:
      scale: the expected number of changed occurrences of a popular value in one pass, at least 0.
      maximum: the highest chance, that of rare values, in [0, 1].

    Example:
      >>> import numpy as np
      >>> import tfrs_augment as aug
      >>> rate = aug.ops.PopularityRate(scale=5.0, maximum=0.5)
      >>> policy = aug.AugmentationPolicy(
      ...     [aug.ops.IdDropout("movie_id", rate=rate)], key_features=["row"]
      ... )
      >>> policy = aug.fitting.fit(policy, {"movie_id": np.array(["1"] * 100 + ["2"])})
      >>> policy.missing_requirements()
      ()
    """

    _: dataclasses.KW_ONLY
    scale: float
    maximum: float = 0.5

    def __post_init__(self):
        scale, maximum = self.scale, self.maximum
        if not isinstance(scale, int | float) or not 0 <= scale < float("inf"):
            raise InvalidArgumentError(
                "`scale` must be a finite number of at least 0. "
                f"Received: scale={scale!r} (PopularityRate)."
            )
        if not isinstance(maximum, int | float) or not 0 <= maximum <= 1:
            raise InvalidArgumentError(
                f"`maximum` must be in [0, 1]. Received: maximum={maximum!r} (PopularityRate)."
            )

    def get_config(self) -> dict[str, Any]:
        """The rate as JSON values."""
        return {"by": "popularity", "scale": self.scale, "maximum": self.maximum}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PopularityRate:
        """The inverse of `get_config`.

        Raises:
          InvalidArgumentError: it is not the configuration of a rate by popularity.
        """
        if set(config) != {"by", "scale", "maximum"} or config["by"] != "popularity":
            raise InvalidArgumentError(
                '`rate` must be a number or {"by": "popularity", "scale": ..., "maximum": ...}. '
                f"Received: rate={dict(config)!r}."
            )
        return cls(scale=config["scale"], maximum=config["maximum"])

    def of(self, values: tf.Tensor, marginal: Mapping[str, np.ndarray]) -> tf.Tensor:
        """The chance of each of some values.

        Args:
          values: strings or integers, of any shape.
          marginal: the fitted arrays of their feature.

        Returns:
          float32 of the same shape.
        """
        # Only values above the maximum's reach are looked up: all others, unseen ones too, have the maximum.
        popular = int(np.count_nonzero(marginal["counts"] * self.maximum > self.scale))
        if "values" in marginal:
            names = marginal["values"][:popular]
        else:
            offsets = marginal["offsets"][: popular + 1]
            names = bytes_table({"data": marginal["data"], "offsets": offsets})
        rates = (self.scale / marginal["counts"][:popular]).astype(np.float32)
        rates = tf.constant(np.concatenate([rates, np.array([self.maximum], np.float32)]))
        return tf.gather(rates, find(names, values))


def find(names: np.ndarray | list, values: tf.Tensor) -> tf.Tensor:
    """Where values stand in a list, by a search in sorted constants: no table, so no state in a graph.

    Args:
      names: different integers, or bytes, which are compared by hashes of 63 bits.
      values: integers or strings.

    Returns:
      int64 of the shape of `values`: the place in `names`, or their number for a value that is not there.
    """
    if not len(names):
        return tf.zeros(tf.shape(values), tf.int64)
    flat = tf.reshape(values, [-1])
    if flat.dtype == tf.string:
        words = tf.bitcast(hash_values(flat), tf.int64)
        with tf.init_scope():
            known = hash_values(tf.constant(names, tf.string)).numpy().view(np.int64)
    else:
        words, known = tf.cast(flat, tf.int64), np.asarray(names, np.int64)
    order = np.argsort(known, kind="stable")
    ordered = tf.constant(known[order])
    place = tf.minimum(tf.searchsorted(ordered, words, out_type=tf.int64), len(order) - 1)
    found = tf.where(
        tf.equal(tf.gather(ordered, place), words),
        tf.gather(tf.constant(order.astype(np.int64)), place),
        tf.constant(len(order), tf.int64),
    )
    return tf.reshape(found, tf.shape(values))
