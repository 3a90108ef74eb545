"""Negatives drawn from the whole catalogue, beside those of the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.layers.auxiliary import CandidateExtender, Function, embed
from tfrs_augment.layers.columns import POSITION, batch_size, check_policy, columns_by_name
from tfrs_augment.layers.columns import is_training as is_training_call
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.tasks.catalogue import Catalogue, as_array, keys_of
from tfrs_augment.tasks.sampling import Shares, rescaled_probabilities


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Items drawn from the catalogue.

    Attributes:
      embeddings: float32 `[count, dim]`.
      ids: `[count]`.
      shares: float32 `[count]`, the share of each in the training rows, or None.
    """

    embeddings: tf.Tensor
    ids: tf.Tensor
    shares: tf.Tensor | None


class CorpusNegatives(CandidateExtender):
    """What the sources of extra negatives share: drawing, augmenting and embedding items.

    Args:
      tower, items, ids, counts, policy, retrieval, seed: see `MixedNegatives`.
      drawn: how many items to draw a step.
    """

    def __init__(
        self,
        tower: Function,
        items: Mapping[str, Any],
        *,
        drawn: int,
        ids: str,
        counts: Any,
        policy: AugmentationPolicy | None,
        retrieval: Callable[[Any], tfrs.tasks.Retrieval] | None,
        seed: int,
        **kwargs,
    ):
        super().__init__(retrieval=retrieval, seed=seed, **kwargs)
        user = type(self).__name__
        self._check_function(tower=tower)
        if policy is not None:
            check_policy(policy, POSITION, user)
        self.tower, self._drawn, self._policy = tower, drawn, policy
        self._catalogue = Catalogue(items, user)
        self._ids_name = ids
        table = as_array(self._catalogue.column(ids, "ids"))
        self._shares = None if counts is None else Shares(table, counts, user)

    def extension(self, model, features, draw, policy):
        """See `CandidateExtender`."""
        drawn = self._draw(model, features, draw, self._policy if policy is None else policy)

        def extend(arguments: dict[str, Any], removes_hits: bool) -> dict[str, Any]:
            before = self._ids_of(features, arguments.get("candidate_ids"))
            candidates, ids, probabilities = self._joined(
                drawn,
                arguments["candidate_embeddings"],
                before,
                arguments.get("candidate_sampling_probability"),
            )
            extended = {**arguments, "candidate_embeddings": candidates}
            if probabilities is not None:
                extended["candidate_sampling_probability"] = probabilities
            if arguments.get("candidate_ids") is not None:
                extended["candidate_ids"] = ids
            mask = self._mask(
                drawn,
                arguments["query_embeddings"],
                arguments["candidate_embeddings"],
                before,
                removes_hits,
            )
            if mask is not None:
                extended["score_mask"] = beside(arguments.get("score_mask"), before, mask)
            return extended

        return extend

    def _mask(
        self,
        drawn: Drawn,
        queries: tf.Tensor,
        candidates: tf.Tensor,
        ids: tf.Tensor,
        removes_hits: bool,
    ) -> tf.Tensor | None:
        """Which drawn items are negatives of which query: bool `[batch, drawn]`, or None for all."""
        raise TypeError(f"{type(self).__name__} must define _mask(...).")

    def _ids_of(self, features: Mapping[str, Any], ids: Any) -> tf.Tensor:
        """The ids of the positives, `[batch]`, in the type of the catalogue's."""
        if ids is None:
            columns = columns_by_name(features, (self._ids_name,))
            if self._ids_name not in columns:
                raise UnknownFeatureError(
                    f"{type(self).__name__} needs the ids of the positives: the batch has no "
                    f"feature '{self._ids_name}'. {close_matches(self._ids_name, columns)} "
                    "Name the ids in `items` as in the batch, or pass candidate_ids to the task."
                )
            ids = columns[self._ids_name]
        ids, wanted = tf.convert_to_tensor(ids), self._catalogue.columns[self._ids_name].dtype
        if ids.dtype != wanted:
            if tf.string in (ids.dtype, wanted):
                raise InvalidArgumentError(
                    f"`items['{self._ids_name}']` of {type(self).__name__} must hold ids in the "
                    "form of the task's candidate_ids. Received: "
                    f"{wanted.name} for candidate_ids of {ids.dtype.name}."
                )
            ids = tf.cast(ids, wanted)
        return ids if ids.shape.rank == 1 else tf.reshape(ids, [-1])

    def _draw(
        self,
        model: Any,
        features: Mapping[str, Any],
        draw: tf.Tensor,
        policy: AugmentationPolicy | None,
    ) -> Drawn:
        index = self._catalogue.draw(self._drawn, self.seed, draw)
        rows = self._catalogue.take(index)
        ids = rows[self._ids_name]
        if policy is not None:
            rows = self._augmented(rows, features, policy, draw, keys_of(index))
        shares = None if self._shares is None else self._shares.at(index)
        return Drawn(embed(self.tower, model, rows, "tower"), ids, shares)

    def _augmented(self, rows, features, policy, draw, keys):
        """Drawn items after those ops of a policy that change a column of theirs."""
        ops = [op for op in policy.ops if set(op.features) & set(rows)]
        if not ops:
            return rows
        part = dataclasses.replace(policy, ops=ops)
        columns = columns_by_name(features, part.features)
        place = tf.math.floormod(tf.range(self._drawn), tf.maximum(batch_size(features), 1))
        others = {
            name: tf.gather(columns[name], place)
            for name in part.features
            if name in columns and name not in rows
        }
        changed = part.augment({**others, **rows}, draw=draw, keys=keys)
        return {name: changed[name] for name in rows}

    def _joined(self, drawn: Drawn, candidates, ids, probabilities):
        """Positives and drawn items together."""
        candidates = tf.convert_to_tensor(candidates)
        joined = tf.concat([candidates, tf.cast(drawn.embeddings, candidates.dtype)], axis=0)
        if drawn.shares is None and probabilities is not None:
            raise InvalidArgumentError(
                f"{type(self).__name__} needs `counts`, how often each item occurs in the training "
                "rows: the model corrects by the sampling probability, which those of drawn items "
                "join. Received: counts=None."
            )
        if drawn.shares is not None:
            if probabilities is None:
                probabilities = self._shares.of(ids)
            shares = tf.concat([tf.cast(probabilities, tf.float32), drawn.shares], axis=0)
            size = tf.cast(tf.shape(candidates)[0], tf.float32)
            mixture = size * shares + self._drawn / self._catalogue.size
            probabilities = rescaled_probabilities(mixture)
        return joined, tf.concat([ids, drawn.ids], axis=0), probabilities


class MixedNegatives(CorpusNegatives):
    """Adds negatives drawn evenly from the catalogue to those of the batch.

    A batch holds what users chose: an item that nobody chose is never a negative there, so nothing
    keeps its score down. The sampling probability of a candidate becomes that of the mixture,
    `(B * p + M / N) / (B + M)` for a batch of `B`, `M` drawn of `N` items and a share `p` of the
    training rows; it is given up to a common factor, which a softmax does not see, so that TFRS's
    clipping to [1e-6, 1] leaves the rare ones alone.

    In `wrap(model, policy, tasks=[...])` the call of the model's `tfrs.tasks.Retrieval` is
    extended: more candidates, their ids and probabilities; a drawn item that is the query's own is
    no negative. Its metrics stay those of the batch. The policy augments the drawn items as it does
    the positives, or a dropped id would tell a positive; its draws for them hang on the item, its
    place and the step. What an op needs of other features it gets from rows of the batch.

    By hand, with `remove_accidental_hits=True` in the task:

    ```python
    candidates, ids, probabilities = self.negatives(
        self, features, candidates, ids=features["movie_id"], training=training
    )
    return self.task(
        queries, candidates, candidate_ids=ids, candidate_sampling_probability=probabilities
    )
    ```

    Args:
      tower: a function of (model, features) that returns `[count, dim]`, the candidates' tower. It
        is called in training only, on the catalogue's columns.
      items: the catalogue: a dict of columns, those that the tower reads and the ids.
      count: how many to draw a step, at least 1; with replacement.
      ids: the column of `items` with the ids, in the form that the task gets as `candidate_ids`.
      counts: `[items]`, how often each item occurs in the training rows, or its share of them.
        Default: nothing is corrected, unless the model gives probabilities: then an error.
      policy: augments the drawn items where the model does so to its positives by itself. Default:
        that of `wrap`.
      retrieval: a function of the model that returns the task to extend, where there are several.
      seed: of what is drawn, in [0, 2**63). Default: 0.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      model: the model.
      features: the dict of features, not augmented.
      candidates: float `[batch, dim]`, the embeddings of the positives.
      ids: `[batch]`, their ids. Default: the column of that name.
      probabilities: float `[batch]`, their shares of the training rows. Default: by `counts`.
      draw: the draw number. Default: the count of the calls.
      training: a Python bool; without training all is returned as it is. Default: True.

    Returns:
      Embeddings `[batch + count, dim]`, ids `[batch + count]`, and probabilities
      `[batch + count]` or None.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or ids differ in type from the catalogue's.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> negatives = aug.tasks.MixedNegatives(
      ...     lambda model, features: tf.one_hot(features["movie_id"], 3),
      ...     {"movie_id": tf.constant([0, 1, 2])}, count=5, ids="movie_id", counts=[3, 1, 0],
      ... )
      >>> embeddings, ids, probabilities = negatives(
      ...     None, {"movie_id": tf.constant([0, 0])}, tf.one_hot([0, 0], 3)
      ... )
      >>> embeddings.shape, ids.shape, probabilities.shape
      (TensorShape([7, 3]), TensorShape([7]), TensorShape([7]))

    Reference:
      Yang et al., "Mixed Negative Sampling for Learning Two-tower Neural Networks in
      Recommendations", WWW 2020 (companion), section 4. There the drawn items come from a cache of
      embedded rows of a second stream; here from the catalogue at hand.
    """

    def __init__(
        self,
        tower: Function,
        items: Mapping[str, Any],
        count: int,
        *,
        ids: str,
        counts: Any = None,
        policy: AugmentationPolicy | None = None,
        retrieval: Callable[[Any], tfrs.tasks.Retrieval] | None = None,
        seed: int = 0,
        **kwargs,
    ):
        self._check_count(count=count)
        super().__init__(
            tower,
            items,
            drawn=count,
            ids=ids,
            counts=counts,
            policy=policy,
            retrieval=retrieval,
            seed=seed,
            **kwargs,
        )

    @tf.autograph.experimental.do_not_convert
    def call(
        self,
        model: Any,
        features: Mapping[str, Any],
        candidates: tf.Tensor,
        ids: tf.Tensor | None = None,
        probabilities: tf.Tensor | None = None,
        draw: int | tf.Tensor | None = None,
        training: bool = True,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """See the class."""
        ids = self._ids_of(features, ids)
        if not is_training_call(training, type(self).__name__):
            return candidates, ids, probabilities
        drawn = self._draw(model, features, self._draw_number(draw), self._policy)
        return self._joined(drawn, candidates, ids, probabilities)

    def _mask(self, drawn, queries, candidates, ids, removes_hits):
        return None if removes_hits else ids[:, tf.newaxis] != drawn.ids[tf.newaxis]


def beside(mask: tf.Tensor | None, ids: tf.Tensor, more: tf.Tensor) -> tf.Tensor:
    """A score mask with columns for more candidates."""
    if mask is None:
        mask = tf.ones([tf.size(ids), tf.size(ids)], tf.bool)
    return tf.concat([mask, more], axis=1)
