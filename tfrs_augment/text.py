"""Tables of synonyms for `aug.ops.SynonymReplace`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrs_augment.errors import InvalidArgumentError

_BLOCK = 1024
"""Words whose cosines with all words are held at a time."""


def synonyms_from_embeddings(
    words: Sequence[str | int],
    vectors: np.ndarray,
    *,
    k: int = 5,
    min_cosine: float = 0.7,
) -> dict[str | int, tuple[str | int, ...]]:
    """Finds for each word the words whose vectors point the same way.

    Near vectors stand for words used alike, and these include opposites ("black" and "white"): look at the
    table before it is used, and raise `min_cosine` where it errs.

    Args:
      words: different words, or ids of tokens.
      vectors: float `[words, dimension]`, one a word; a vector of zeros has no neighbours.
      k: the most synonyms of a word, at least 1.
      min_cosine: the least cosine of two synonyms, in [-1, 1].

    Returns:
      Word to its synonyms, the nearest first; words without one are left out.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> import tfrs_augment as aug
      >>> vectors = [[1.0, 0.1], [1.0, 0.2], [-1.0, 0.5]]
      >>> aug.text.synonyms_from_embeddings(["dress", "gown", "boot"], vectors, min_cosine=0.9)
      {'dress': ('gown',), 'gown': ('dress',)}
    """
    words, vectors = list(words), np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or len(vectors) != len(words) or not np.isfinite(vectors).all():
        raise InvalidArgumentError(
            f"`vectors` must be finite, [{len(words)}, dimension] for as many words. "
            f"Received: shape {vectors.shape}."
        )
    if len(set(words)) < len(words):
        raise InvalidArgumentError("`words` must be different words. Received: repeated ones.")
    if not isinstance(k, int) or k < 1:
        raise InvalidArgumentError(f"`k` must be an integer of at least 1. Received: k={k!r}.")
    if not isinstance(min_cosine, int | float) or not -1 <= min_cosine <= 1:
        raise InvalidArgumentError(
            f"`min_cosine` must be in [-1, 1]. Received: min_cosine={min_cosine!r}."
        )
    lengths = np.linalg.norm(vectors, axis=1)
    directions = vectors / np.where(lengths > 0, lengths, 1.0)[:, None]
    table = {}
    for start in range(0, len(words), _BLOCK):
        cosines = directions[start : start + _BLOCK] @ directions.T
        for word, row in enumerate(cosines, start):
            row[word] = -np.inf
            row[lengths == 0] = -np.inf
            near = np.flatnonzero(row >= min_cosine)
            nearest = near[np.argsort(-row[near], kind="stable")[:k]]
            if lengths[word] > 0 and len(nearest):
                table[words[word]] = tuple(words[i] for i in nearest)
    return table
