"""Ops on embeddings. They act inside a model, where `layers` of the same names apply them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Op, Params
from tfrs_augment.rng import KeyedRng

NOISES = ("gaussian", "simgcl")


def instead(op: Op) -> str:
    """What to use in place of an op that acts elsewhere than on features, as a sentence."""
    layers = [f"aug.layers.{type(part).__name__}" for part in op.parts() if part.stage != "feature"]
    return f"Take it out of the policy, and use {', '.join(layers)} in the model."


@dataclasses.dataclass(frozen=True)
class _EmbeddingOp(Op):
    """An op on the vectors of a dense column, `[batch, ..., dim]`."""

    stage: ClassVar[str] = "embedding"
    kinds: ClassVar[tuple[str, ...]] = ("float",)

    def vectors(self, batch: FeatureBatch) -> tf.Tensor:
        """The column.

        Raises:
          DataError: it is ragged, or has no dimension but the batch.
        """
        column = self.column(batch, self.feature)
        if isinstance(column, tf.RaggedTensor) or column.shape.rank < 2:
            kind = "a ragged column" if isinstance(column, tf.RaggedTensor) else column.shape
            raise DataError(f"{self} takes dense vectors, [batch, ..., dim]. Received: {kind}.")
        return column


@dataclasses.dataclass(frozen=True)
class EmbeddingNoise(_EmbeddingOp):
    """Adds noise to embeddings; see `aug.layers.EmbeddingNoise`, which applies it.

    Args:
      feature: the embeddings, floats `[batch, ..., dim]`.
      kind: "gaussian" or "simgcl".
      scale: of "gaussian" the standard deviation of a number, of "simgcl" the norm of the noise of
        a vector; at least 0.
      rate: the chance that a vector gets noise, in [0, 1]; default 1.

    Reference:
      Yu et al., "Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for
      Recommendation", SIGIR 2022, section 3.1 ("simgcl").
    """

    feature: str
    _: dataclasses.KW_ONLY
    scale: float
    kind: str = "gaussian"

    def __post_init__(self):
        super().__post_init__()
        if self.kind not in NOISES:
            raise self.invalid("kind", f"must be one of {', '.join(NOISES)}", self.kind)
        if not isinstance(self.scale, int | float) or not 0 <= self.scale < float("inf"):
            raise self.invalid("scale", "must be a finite number of at least 0", self.scale)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.vectors(batch)
        if self.kind == "gaussian":
            noise = rng.normal(column, stream=1) * self.scale
        else:
            # In float64, so that a graph rounds as eager code does.
            noise = tf.cast(rng.uniform(column, stream=1), tf.float64)
            noise = tf.cast(tf.math.l2_normalize(noise, axis=-1) * self.scale, tf.float32)
        if self.rate < 1:
            hit = rng.uniform(column[..., 0]) < self.rate
            noise = tf.where(hit[..., tf.newaxis], noise, 0.0)
        return {"noise": noise}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.vectors(batch)
        noise = tf.cast(params["noise"], column.dtype)
        if self.kind == "simgcl":
            noise *= tf.stop_gradient(tf.sign(column))
        return batch.replace({self.feature: column + noise})


@dataclasses.dataclass(frozen=True)
class EmbeddingDropout(_EmbeddingOp):
    """Sets whole embeddings to zero; see `aug.layers.EmbeddingDropout`, which applies it.

    Args:
      feature: the embeddings, floats `[batch, ..., dim]`.
      rate: the chance that a vector is dropped, in [0, 1].

    Reference:
      Volkovs, Yu and Poutanen, "DropoutNet", NeurIPS 2017, section 4.1.
    """

    feature: str
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        return {"drop": rng.uniform(self.vectors(batch)[..., 0]) < self.rate}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.vectors(batch)
        dropped = tf.where(params["drop"][..., tf.newaxis], tf.zeros_like(column), column)
        return batch.replace({self.feature: dropped})
