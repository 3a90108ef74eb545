"""Synonyms from vectors."""

from __future__ import annotations

import numpy as np
import pytest

import tfrs_augment as aug
from tfrs_augment.errors import InvalidArgumentError

WORDS = ["dress", "gown", "robe", "boot", "nothing"]
VECTORS = np.array([[1, 0.1], [1, 0.2], [1, 0.5], [-1, 0.5], [0, 0]])


def test_the_nearest_come_first_and_no_word_is_its_own_synonym():
    find = aug.text.synonyms_from_embeddings
    assert find(WORDS, VECTORS, k=2, min_cosine=0.9) == {
        "dress": ("gown", "robe"),
        "gown": ("dress", "robe"),
        "robe": ("gown", "dress"),
    }
    assert find(WORDS, 1e6 * VECTORS, k=1, min_cosine=0.99) == {
        "dress": ("gown",),
        "gown": ("dress",),
    }
    assert find([7, 8], np.eye(2), min_cosine=0.1) == {}
    assert set(find(WORDS, VECTORS, min_cosine=-1)) == set(WORDS[:4])


def test_blocks_agree_with_all_at_once():
    vectors = np.random.default_rng(0).normal(size=(1500, 8))
    table = aug.text.synonyms_from_embeddings(range(1500), vectors, k=3, min_cosine=0.5)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for word in (0, 1023, 1024, 1499):
        cosines = directions @ directions[word]
        order = [i for i in np.argsort(-cosines) if i != word and cosines[i] >= 0.5][:3]
        assert table.get(word, ()) == tuple(order)


def test_bad_arguments():
    for arguments, message in (
        ({"vectors": VECTORS[:3]}, "`vectors` must be finite"),
        ({"vectors": np.full([5, 2], np.nan)}, "`vectors` must be finite"),
        ({"words": ["a"] * 5}, "`words` must be different"),
        ({"k": 0}, "`k` must be an integer"),
        ({"min_cosine": 2}, "`min_cosine` must be in"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            aug.text.synonyms_from_embeddings(**{"words": WORDS, "vectors": VECTORS, **arguments})
