"""A contrastive loss between two views of what a tower embeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.layers.auxiliary import AuxiliaryTask, Function, embed
from tfrs_augment.layers.columns import POSITION, check_policy
from tfrs_augment.ops.masking import ComplementaryFeatureMask
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.tasks.catalogue import Catalogue, keys_of
from tfrs_augment.tasks.views import first_rows, identity_of, keys_of_rows, two_views

_MIN_LOGIT = -1e9


def info_nce(
    first: tf.Tensor,
    second: tf.Tensor,
    *,
    temperature: float = 0.1,
    identity: tf.Tensor | None = None,
) -> tf.Tensor:
    """The mean cross entropy of finding a row's other view among the other views of all rows.

    With `s` the cosine of two embeddings: the mean over rows `i` of
    `-log(exp(s(a_i, b_i) / t) / sum_j exp(s(a_i, b_j) / t))`, and the same from `b` to `a`; the
    mean of both.

    Args:
      first: float `[batch, dim]`, one view of each row; normalized here.
      second: float `[batch, dim]`, the other view.
      temperature: divides the cosines, above 0.
      identity: `[batch]`: rows with equal values are not negatives of one another. Default: every
        row is a negative of every other.

    Returns:
      A float32 scalar; 0 for an empty batch.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> round(float(aug.tasks.info_nce(tf.eye(2), tf.eye(2), temperature=1.0)), 4)
      0.3133

    Reference:
      Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML
      2020, section 2.1; there the other rows' views of the same side are negatives too.
    """
    first = tf.math.l2_normalize(tf.cast(first, tf.float32), axis=1)
    second = tf.math.l2_normalize(tf.cast(second, tf.float32), axis=1)
    logits = tf.matmul(first, second, transpose_b=True) / temperature
    count = tf.shape(logits)[0]
    if identity is not None:
        same = identity[:, tf.newaxis] == identity[tf.newaxis]
        logits = tf.where(same & ~tf.eye(count, dtype=tf.bool), _MIN_LOGIT, logits)
    losses = (
        tf.reduce_logsumexp(logits, axis=1)
        + tf.reduce_logsumexp(logits, axis=0)
        - 2.0 * tf.linalg.diag_part(logits)
    )
    return tf.math.divide_no_nan(tf.reduce_sum(losses), 2.0 * tf.cast(count, tf.float32))


class Contrastive(AuxiliaryTask):
    """Pulls two views of the same item (or user, or query) together, and those of others apart.

    What a tower learns about an item that few users met comes from its features alone; two views
    with different features hidden teach it which features go together. The loss runs over a
    sub-batch: a second view of a whole batch would cost another pass of the tower.

    With `items` the sub-batch is drawn from the catalogue, each item with the same chance, whatever
    its popularity: rows of the batch are mostly popular items. Yao et al. found this to matter.
    A catalogue of at most `batch_size` items is taken whole.

    Args:
      tower: a function of (model, features) that returns `[batch, dim]`. It is called in training
        only: pass `training=True` to a tower with dropout of its own.
      views: the policy that makes the views: draw `2 * step` is the first, `2 * step + 1` the
        second. Either this or `mask`.
      mask: names of at least two features: one view hides a drawn half of them, the other the rest
        (`aug.ops.ComplementaryFeatureMask`).
      dropout: with `mask`, the chance that a value of a categorical list that a view keeps is
        hidden too, in [0, 1). Default: 0.2.
      items: the catalogue: a dict of columns, those that the tower reads. Default: the first
        `batch_size` rows of the batch.
      weight: the factor of the loss, above 0. Default: 0.3.
      temperature: divides the cosines, above 0. Default: 0.1.
      batch_size: rows of the sub-batch, at least 2. Default: 256.
      identity: without `items`, names of the columns that tell what a row shows, such as
        "movie_id": rows equal in them are not negatives of one another. Default: the features that
        the views change.
      reduction: "sum" or "mean"; see `AuxiliaryTask`. "sum" is the mean of the sub-batch times the
        rows of the whole batch.
      seed: of the draws of items, in [0, 2**63). Default: 0.
      **kwargs: arguments of a Keras layer, such as `name`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: in training, if a feature is missing from the batch or the catalogue.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> items = {"movie_id": tf.constant(["1", "2"]), "genre": tf.constant(["War", "Drama"])}
      >>> task = aug.tasks.Contrastive(
      ...     lambda model, features: model(features), mask=("movie_id", "genre"), items=items
      ... )
      >>> def model(features):
      ...     known = [features["movie_id"] != "[UNK]", features["genre"] == "War"]
      ...     return tf.cast(tf.stack(known, axis=1), tf.float32) + 0.1
      >>> bool(task(model, items) > 0), float(task(model, items, training=False))
      (True, 0.0)

    Reference:
      Yao et al., "Self-supervised Learning for Large-scale Item Recommendations", CIKM 2021,
      sections 3.1 to 3.3; there the loss goes from the first view to the second alone.
    """

    def __init__(
        self,
        tower: Function,
        *,
        views: AugmentationPolicy | None = None,
        mask: Sequence[str] | None = None,
        dropout: float = 0.2,
        items: Mapping[str, Any] | None = None,
        weight: float = 0.3,
        temperature: float = 0.1,
        batch_size: int = 256,
        identity: str | Sequence[str] | None = None,
        reduction: str = "sum",
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(weight=weight, reduction=reduction, seed=seed, **kwargs)
        self._check_function(tower=tower)
        self._check_positive(temperature=temperature)
        self._check_count(batch_size=batch_size)
        if batch_size < 2:
            raise self._invalid("batch_size", "must be at least 2: one row has no negative", 1)
        if (views is None) == (mask is None):
            raise InvalidArgumentError(
                "Contrastive takes either `views`, a policy, or `mask`, at least two features. "
                f"Received: views={views!r}, mask={mask!r}."
            )
        self.tower, self.temperature, self.batch_size = tower, temperature, batch_size
        self._views = self._masking(mask, dropout) if views is None else views
        check_policy(self._views, POSITION, "Contrastive")
        self._catalogue = None if items is None else Catalogue(items, "Contrastive")
        self._identity = (identity,) if isinstance(identity, str) else tuple(identity or ())
        if self._identity and items is not None:
            raise self._invalid("identity", "is for batches: `items` has a row an item", identity)
        if self._catalogue is not None:
            for name in self._views.features:
                self._catalogue.column(name, "mask" if views is None else "views")

    @property
    def views(self) -> AugmentationPolicy:
        """The policy that makes the views."""
        return self._views

    def _masking(self, mask: Sequence[str], dropout: float) -> AugmentationPolicy:
        names = (mask,) if isinstance(mask, str) else tuple(mask)
        if len(set(names)) < 2:
            raise self._invalid(
                "mask",
                "must name at least two features: with one there is nothing left to tell a row by",
                mask,
            )
        masking = ComplementaryFeatureMask(names, dropout=dropout)
        return AugmentationPolicy([masking], seed=self.seed)

    def loss(self, model: Any, features: Mapping[str, Any], draw: tf.Tensor) -> tf.Tensor:
        """See `AuxiliaryTask`."""
        if self._catalogue is None:
            rows = first_rows(features, self.batch_size)
            keys = keys_of_rows(self._views, rows)
            identity = identity_of(rows, self._identity or self._views.features)
        else:
            identity = self._items(draw)
            rows, keys = self._catalogue.take(identity), keys_of(identity)
        views = two_views(self._views, rows, keys, draw)
        embedded = [embed(self.tower, model, view, "tower") for view in views]
        return info_nce(*embedded, temperature=self.temperature, identity=identity)

    def _items(self, draw: tf.Tensor) -> tf.Tensor:
        """The places of the items of a step."""
        if self._catalogue.size <= self.batch_size:
            return tf.range(self._catalogue.size, dtype=tf.int64)
        return self._catalogue.draw(self.batch_size, self.seed, draw)
