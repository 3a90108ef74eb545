"""Typing errors: the contract, the keyboard, and characters that stay whole."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import Case, OpContract, batch, rows_of
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import CharTypos
from tfrs_augment.ops.typos import _COUNT, _NEAR


def letters(text: bytes) -> int:
    return sum(chr(byte).isalnum() and byte < 128 for byte in text)


def some(name: str, rate: float) -> float:
    """The chance that a string has a letter or digit that is hit."""
    texts = np.concatenate([np.ravel(row) for row in rows_of(batch()[name])]).tolist()
    return float(np.mean([1 - (1 - rate) ** letters(text) for text in texts]))


def typed(texts, rows: int = 2000, **kwargs) -> list[str]:
    features = {
        "row": tf.range(rows, dtype=tf.int64),
        "query": tf.constant([texts[i % len(texts)] for i in range(rows)]),
    }
    policy = aug.AugmentationPolicy([CharTypos("query", **kwargs)], key_features=("row",))
    return [text.decode() for text in rows_of(policy.augment(features)["query"])]


def near(key: str) -> set[str]:
    return {chr(code) for code in _NEAR[ord(key), : _COUNT[ord(key)]]}


class TestCharTypos(OpContract):
    cases = (
        Case(CharTypos("query", rate=0.1, edits=("replace",)), some("query", 0.1), per_row=True),
        Case(CharTypos("tags", rate=0.2, edits="insert"), some("tags", 0.2)),
    )

    def test_the_keyboard(self):
        assert near("q") == set("12wa") and near("G") == set("FHTYVB") and near("0") == set("9op")
        assert all(key in near(other) for key in "asdf1q" for other in near(key))
        assert all(840 % count == 0 for count in set(_COUNT.tolist()) - {0})
        assert (_COUNT > 0).sum() == 10 + 2 * 26

    def test_each_edit(self):
        assert set(typed(["ab"], rate=1.0, edits="transpose")) == {
            "ab"
        }  # Both are hit: none moves.
        assert set(typed(["ab"], rate=0.5, edits="transpose")) == {"ab", "ba"}
        assert set(typed(["Q"], rate=1.0, edits="replace")) == {"1", "2", "W", "A"}
        assert set(typed(["q-"], rate=1.0, edits="insert")) == {"q1-", "q2-", "qw-", "qa-"}
        assert set(typed(["abc d"], rate=1.0, edits="delete")) == {"a d"}
        found = collections.Counter(typed(["a b"], rate=0.4))
        assert {"a b", "aq b", "s b", "a bv", "a n"} <= set(found)

    def test_the_rate_and_the_share_of_the_edits(self):
        text = "the quick brown fox jumps over a lazy dog 4711 times"
        for edits, change in (("delete", -1), ("insert", 1)):
            first = len(text.split()) if edits == "delete" else 0
            places, rows = letters(text.encode()) - first, 2000
            lengths = [len(t) - len(text) for t in typed([text], rows, rate=0.1, edits=edits)]
            bound = 4.9 * np.sqrt(0.09 / (places * rows))
            assert abs(np.mean(lengths) * change / places - 0.1) < bound
        edits = ("insert", "replace", "delete", "transpose")
        found = typed(["zz" * 20], 2000, rate=0.01, edits=edits)
        inserts, deletes = (sum(len(t) == 40 + change for t in found) for change in (1, -1))
        both = inserts + deletes
        assert abs(inserts / both - 0.5) < 0.03 + 4.9 * np.sqrt(0.25 / both)

    def test_what_is_no_ascii_letter_or_digit_stays_whole(self):
        texts = ["été à l'œuvre", "日本語 tシャツ", "😀 ok 😀", "a\tb\n", "", "-- ,. é"]
        for rate in (0.3, 1.0):
            for before, after in zip(texts * 50, typed(texts, 300, rate=rate), strict=True):
                assert [c for c in after if not (c.isascii() and c.isalnum())] == [
                    c for c in before if not (c.isascii() and c.isalnum())
                ]
                assert len(after.split()) == len(before.split())
        broken = b"\xff\xfeab\x80"
        features = {"row": tf.range(50), "query": tf.fill([50], broken)}
        policy = aug.AugmentationPolicy(
            [CharTypos("query", rate=0.5, edits="replace")], key_features=("row",)
        )
        found = rows_of(policy.augment(features)["query"])
        assert all(text[:2] == b"\xff\xfe" and text[4:] == b"\x80" for text in found)
        assert len(set(found)) > 5

    def test_a_text_and_its_tokens_change_alike(self):
        policy = self.policy(CharTypos("query", rate=0.3))
        tokens = {**batch(), "query": tf.strings.split(batch()["query"])}
        texts = [text.split() for text in rows_of(policy.augment(batch())["query"])]
        assert texts == rows_of(policy.augment(tokens)["query"])

    def test_one_long_string_and_a_batch_of_empty_ones(self):
        long = "a" * 100_000
        assert len(typed([long], 1, rate=0.5, edits="replace")[0]) == 100_000
        assert typed([""], 5, rate=1.0) == [""] * 5

    def test_bad_arguments(self):
        for edits in ((), ("swap",), ("insert", "insert")):
            with pytest.raises(InvalidArgumentError, match="`edits` must be some of"):
                CharTypos("query", rate=0.1, edits=edits)
