"""One history into many training rows: what stood before an item, and the item."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column
from tfrs_augment.rng import Column

POSITION = "aug/position"
"""The feature that tells the windows of one history apart."""


@dataclasses.dataclass(frozen=True)
class WindowSpec:
    """How histories are cut into windows; see `sliding_windows` for the arguments."""

    history: tuple[str, ...]
    target: Mapping[str, str]
    _: dataclasses.KW_ONLY
    window: int = 50
    min_history: int = 1
    stride: int = 1
    position: str = POSITION

    def __post_init__(self):
        history = (self.history,) if isinstance(self.history, str) else tuple(self.history)
        object.__setattr__(self, "history", history)
        if not history or len(set(history)) < len(history):
            raise InvalidArgumentError(
                f"`history` must name features, each once. Received: history={history!r}."
            )
        if isinstance(self.target, str):
            object.__setattr__(self, "target", {history[0]: self.target})
        for name, written in self.target.items():
            if name not in history or not isinstance(written, str) or not written:
                raise InvalidArgumentError(
                    "`target` must be a name, or map features of `history` to names. "
                    f"Received: {name!r}: {written!r}, with history={history!r}."
                )
        added = (*self.target.values(), self.position)
        if not self.target or len({*added, *history}) < len(added) + len(history):
            raise InvalidArgumentError(
                "`target` must name at least one feature, none of them twice, one of `history` or "
                f"`position`. Received: target={dict(self.target)!r}, position={self.position!r}."
            )
        for name in ("window", "min_history", "stride"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidArgumentError(
                    f"`{name}` must be an integer of at least 1. Received: {name}={value!r}."
                )

    def places(self, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Where the windows are.

        Args:
          lengths: int64 `[batch]`, the histories' lengths.

        Returns:
          Of each window, row by row and from old to new, int64: the row that it is of, where its history
          begins in the row's, and where its target is, which is where its history ends.
        """
        spare = lengths - 1 - self.min_history
        counts = tf.where(spare >= 0, spare // self.stride + 1, tf.zeros_like(lengths))
        row = tf.repeat(tf.range(tf.size(lengths, tf.int64)), counts)
        number = tf.range(tf.size(row, tf.int64)) - tf.gather(tf.cumsum(counts) - counts, row)
        # Counted from the end: the newest item is always a target.
        to_come = tf.gather(counts, row) - 1 - number
        target = tf.gather(lengths, row) - 1 - to_come * self.stride
        return row, tf.maximum(target - self.window, 0), target


@tf.autograph.experimental.do_not_convert
def sliding_windows(
    features: Mapping[str, Column],
    *,
    history: str | Sequence[str],
    target: str | Mapping[str, str],
    window: int = 50,
    min_history: int = 1,
    stride: int = 1,
    position: str = POSITION,
) -> dict[str, Column]:
    """Makes a row of each item of a history that has enough items before it.

    A pure TensorFlow function of a batch: in tf.data, `dataset.batch(256).map(...)`, then `.unbatch()` and
    batches of the size that the model takes.

    Args:
      features: name to column; those that are not of the history are repeated for each of its windows.
      history: the feature of the history, or several of equal row lengths; ragged `[batch, None]`, the
        oldest item first. Of a window it keeps what stood before the target.
      target: the name of the feature that gets the item itself; or, for several of the history's features,
        their names to such names. A feature of that name is replaced.
      window: the longest history, in items; the newest are kept.
      min_history: the shortest history, in items.
      stride: every how many items one is a target; the newest is always one.
      position: the name of the feature that gets the target's place in the whole history, int64 from 0. With
        it among the policy's key features each window has draws of its own.

    Returns:
      A dict of columns with a row a window, row by row and from old to new.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: there is no such history.
      DataError: a history is not ragged, or its features have other lengths (in a graph, a
        tf.errors.InvalidArgumentError).

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> rows = {"user": tf.constant(["u"]), "seen": tf.ragged.constant([["a", "b", "c"]])}
      >>> windows = aug.datasets.sliding_windows(rows, history="seen", target="next")
      >>> windows["seen"].to_list(), windows["next"].numpy().tolist()
      ([[b'a'], [b'a', b'b']], [b'b', b'c'])

    Reference:
      Tang and Wang, "Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding"
      (Caser), WSDM 2018, section 3: a sliding window over each user's sequence gives the training rows.
    """
    spec = WindowSpec(
        history, target, window=window, min_history=min_history, stride=stride, position=position
    )
    columns = {name: as_column(name, column) for name, column in features.items()}
    for name in spec.history:
        if name not in columns:
            raise UnknownFeatureError(
                f"The history '{name}' is missing from the batch. {close_matches(name, columns)}"
            )
        if not isinstance(columns[name], tf.RaggedTensor):
            raise DataError(
                f"The history '{name}' must be ragged, [batch, None]. Received: shape "
                f"{columns[name].shape}. Of a padded one, tf.RaggedTensor.from_tensor(x, padding=0)."
            )
    lead = columns[spec.history[0]].with_row_splits_dtype(tf.int64)
    row, begin, end = spec.places(lead.row_lengths())
    start = tf.gather(lead.row_starts(), row)
    lengths = end - begin
    ends = tf.cumsum(lengths)
    into = tf.range(tf.reduce_sum(lengths)) - tf.repeat(ends - lengths, lengths)
    index = tf.repeat(start + begin, lengths) + into
    result = {n: tf.gather(c, row) for n, c in columns.items() if n not in spec.history}
    for name in spec.history:
        column = columns[name].with_row_splits_dtype(tf.int64)
        message = f"'{spec.history[0]}' and '{name}' must have equally many values in each row."
        try:
            check = tf.debugging.assert_equal(column.row_splits, lead.row_splits, message)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(message) from error
        with tf.control_dependencies([] if check is None else [check]):
            values = tf.identity(column.values)
        result[name] = tf.RaggedTensor.from_row_lengths(
            tf.gather(values, index), lengths, validate=False
        )
        if name in spec.target:
            result[spec.target[name]] = tf.gather(values, start + end)
    result[spec.position] = end
    return result
