"""Ops on texts: the contract, and what is particular to each."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import SynonymReplace, TokenDropout, TokenSwap

TABLE = {"maxi1": ("long", "full"), "red0": ("crimson",), "red1": ("scarlet",), "robe2": ("a b",)}


def mean(chances) -> float:
    return float(np.mean(list(chances)))


def lengths(name: str) -> list[int]:
    """Words of each text of the batch, of rows that have a value."""
    rows = rows_of(batch()[name])
    return [len(row) if isinstance(row, list) else len(row.split()) for row in rows if row != []]


def drops(n: int, rate: float) -> float:
    """The chance that a text of n words loses one."""
    return 0.0 if n < 2 else 1 - (1 - rate) ** n


def swaps(n: int, rate: float) -> float:
    if n <= 2:
        return rate if n == 2 else 0.0
    return 1 - mean((1 - rate) ** pairs for pairs in (n // 2, (n - 1) // 2))


def tokenized(features, name="query"):
    return {**features, name: tf.strings.split(features[name])}


def words_of(features, name="query") -> list[list[bytes]]:
    return [row if isinstance(row, list) else row.split() for row in rows_of(features[name])]


def policies(op_class, *args, **kwargs):
    """An op on texts, and the same on lists of tokens."""
    return [
        aug.AugmentationPolicy(
            [op_class("query", *args, tokenized=flag, id="same", **kwargs)], key_features=("row",)
        )
        for flag in (False, True)
    ]


class TestTokenDropout(OpContract):
    cases = (
        Case(TokenDropout("query", rate=0.3), mean(drops(n, 0.3) for n in lengths("query")), True),
        Case(
            TokenDropout("ids", rate=0.4, tokenized=True),
            mean(drops(n, 0.4) for n in lengths("ids")),
            per_row=True,
            layouts_agree=False,
        ),
    )

    def test_words_are_left_out_at_the_rate_in_their_order_and_never_all(self):
        text = tf.constant(["one two three four five six seven eight", "", "alone", " a  b "] * 50)
        features = {"row": tf.range(200, dtype=tf.int64), "query": text}
        policy = policies(TokenDropout, rate=0.25)[0]
        kept = [words_of(policy.augment(features, draw=d)) for d in range(20)]
        order = text[0].numpy().split()
        long = [row for rows in kept for row in rows[::4]]
        assert all(row and sorted(row, key=order.index) == row for row in long)
        share = 1 - mean(len(row) / 8 for row in long)
        assert abs(share - 0.25) < 4.9 * np.sqrt(0.25 * 0.75 / (8 * len(long)))
        assert all(rows[1::4] == [[]] * 50 and rows[2::4] == [[b"alone"]] * 50 for rows in kept)
        all_out = words_of(policies(TokenDropout, rate=1.0)[0].augment(features))
        assert {len(row) for row in all_out[0::4] + all_out[2::4] + all_out[3::4]} == {1}
        assert len(set(map(tuple, all_out[0::4]))) == 8

    def test_a_text_that_does_not_change_keeps_its_white_space(self):
        features = {"row": tf.range(300, dtype=tf.int64), "query": tf.fill([300], " a \t b\n")}
        found = collections.Counter(
            rows_of(policies(TokenDropout, rate=0.5)[0].augment(features)["query"])
        )
        assert set(found) == {b" a \t b\n", b"a", b"b"}

    def test_padded_tokens_keep_their_width(self):
        features, op = batch(), TokenDropout("ids", rate=0.5, tokenized=True, id="same")
        ragged = rows_of(self.policy(op).augment(features)["ids"])
        padded = {**features, "ids": features["ids"].to_tensor()}
        op = TokenDropout("ids", rate=0.5, tokenized=True, pad_value=0, id="same")
        for layout in (padded, {**features, "ids": tf.RaggedTensor.from_tensor(padded["ids"])}):
            dense = rows_of(self.policy(op).augment(layout)["ids"])
            assert dense == [row + [0] * (3 - len(row)) for row in ragged]

    def test_leading_padding_of_a_row_that_does_not_change_stays(self):
        features = {
            "row": tf.range(100, dtype=tf.int64),
            "t": tf.constant([["", "a", "b"]] * 100),
        }
        op = TokenDropout("t", rate=0.5, tokenized=True, pad_value="")
        found = {tuple(row) for row in rows_of(self.policy_of(op).augment(features)["t"])}
        assert found == {(b"", b"a", b"b"), (b"a", b"", b""), (b"b", b"", b"")}

    @staticmethod
    def policy_of(op):
        return aug.AugmentationPolicy([op], key_features=("row",))

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="`pad_value` is needed for dense rows"):
            self.policy(TokenDropout("words", rate=0.5, tokenized=True)).augment(batch())
        with pytest.raises(InvalidArgumentError, match="goes with tokenized=True"):
            TokenDropout("query", rate=0.5, pad_value="")
        policy = self.policy(TokenDropout("words", rate=0.5, tokenized=True, pad_value=0))
        with pytest.raises(InvalidArgumentError, match="`pad_value` must fit a string feature"):
            policy.augment(batch())
        with pytest.raises(InvalidArgumentError, match="must be True or False"):
            TokenDropout("query", rate=0.5, tokenized="yes")
        with pytest.raises(DataError, match="ids of tokens need tokenized=True"):
            self.policy(TokenDropout("count", rate=0.5)).augment(batch())


class TestTokenSwap(OpContract):
    cases = (
        Case(TokenSwap("query", rate=0.4), mean(swaps(n, 0.4) for n in lengths("query")), True),
        Case(
            TokenSwap("tags", rate=0.6, tokenized=True),
            mean(swaps(n, 0.6) for n in lengths("tags")),
            per_row=True,
            layouts_agree=False,
        ),
    )

    def test_padding_is_no_word(self):
        def found(column, **kwargs):
            op = TokenSwap("tags", rate=0.5, tokenized=True, id="same", **kwargs)
            return rows_of(self.policy(op).augment({**batch(), "tags": column})["tags"])

        ragged = found(batch()["tags"])
        padded = found(batch()["tags"].to_tensor(), pad_value="")
        assert padded == [row + [b""] * (3 - len(row)) for row in ragged]

    def test_words_move_one_place_and_every_pair_swaps(self):
        features = {
            "row": tf.range(400, dtype=tf.int64),
            "query": tf.constant(["a b c d e", "a b", "a", ""] * 100),
        }
        found = words_of(policies(TokenSwap, rate=0.5)[0].augment(features))
        for before, after in zip(words_of(features), found, strict=True):
            assert sorted(before) == sorted(after)
            assert all(abs(after.index(w) - i) <= 1 for i, w in enumerate(before))
        moved = {
            before[i] + after[i]
            for before, after in zip(words_of(features), found, strict=True)
            for i in range(len(before) - 1)
        }
        assert {b"ab", b"bc", b"cd", b"de"} <= moved
        assert abs(mean(r == [b"b", b"a"] for r in found[1::4]) - 0.5) < 4.9 * np.sqrt(0.25 / 100)


class TestSynonymReplace(OpContract):
    cases = (
        Case(
            SynonymReplace("query", TABLE, rate=0.5),
            mean(1 - 0.5 ** sum(w.decode() in TABLE for w in row) for row in words_of(batch())),
            per_row=True,
        ),
        Case(
            SynonymReplace(
                "ids", {i: (-i, -i - 1) for i in range(2, 900)}, rate=0.3, tokenized=True
            ),
            0.3 * 898 / 900,
        ),
    )

    def test_each_synonym_is_as_likely_and_other_words_stay(self):
        features = {
            "row": tf.range(3000, dtype=tf.int64),
            "query": tf.fill([3000], "red1 maxi1, maxi1 Maxi1"),
        }
        rows = words_of(policies(SynonymReplace, TABLE, rate=0.6)[0].augment(features))
        for place, shares in enumerate(
            (
                {b"red1": 0.4, b"scarlet": 0.6},
                {b"maxi1,": 1.0},
                {b"maxi1": 0.4, b"long": 0.3, b"full": 0.3},
                {b"Maxi1": 1.0},
            )
        ):
            found = collections.Counter(row[place] for row in rows)
            assert set(found) == set(shares)
            for word, share in shares.items():
                bound = 4.9 * np.sqrt(share * (1 - share) / 3000)
                assert abs(found[word] / 3000 - share) <= bound

    def test_a_table_from_a_file_becomes_part_of_the_policy(self, tmp_path):
        path = tmp_path / "synonyms.json"
        path.write_text(json.dumps({"red": ["crimson"], "blue": "azure"}))
        op = SynonymReplace("query", str(path), rate=1.0)
        path.unlink()
        assert op == SynonymReplace("query", {"blue": ["azure"], "red": ["crimson"]}, rate=1.0)
        text = aug.AugmentationPolicy([op]).to_json()
        assert "crimson" in text and aug.AugmentationPolicy.from_json(text).ops[0] == op
        with pytest.raises(DataError, match="synonyms.json' cannot be read"):
            SynonymReplace("query", str(path), rate=1.0)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({}, "must map words to lists of words, all strings or all integers"),
            ({"a": (1,)}, "all strings or all integers"),
            ({"a": 1.5}, "must map words to lists of words. Received"),
            ({"a": ()}, "must give each word once, with a synonym"),
            ({"a b": ("c",)}, "must be of single words.* Received: 'a b'"),
            ({"a": ("",)}, "no synonym may be empty"),
        ],
    )
    def test_bad_tables(self, table, message):
        with pytest.raises(InvalidArgumentError, match=message):
            SynonymReplace("query", table, rate=0.5)

    def test_a_table_of_another_type_is_refused(self):
        with pytest.raises(InvalidArgumentError, match="`table` must fit a string feature"):
            self.policy(SynonymReplace("query", {1: (2,)}, rate=0.5)).augment(batch())


@pytest.mark.parametrize(
    "pair",
    [
        policies(TokenDropout, rate=0.4),
        policies(TokenSwap, rate=0.4),
        policies(SynonymReplace, {w: s for w, s in TABLE.items() if s != ("a b",)}, rate=0.4),
    ],
    ids=["dropout", "swap", "synonyms"],
)
def test_a_text_and_its_tokens_change_alike(pair):
    texts, tokens = pair
    as_texts = texts.augment(batch(), draw=3)
    as_tokens = tokens.augment(tokenized(batch()), draw=3)
    assert words_of(as_texts) == words_of(as_tokens) != words_of(batch())
    in_lists = {**batch(), "query": tf.RaggedTensor.from_tensor(batch()["query"][:, None])}
    for layout in (in_lists, {**batch(), "query": batch()["query"][:, None]}):
        found = rows_of(texts.augment(layout, draw=3)["query"])
        assert found == [[text] for text in rows_of(as_texts["query"])]


def test_several_texts_a_row_draw_apart_in_every_layout():
    texts = [["a b c d", "a b c d", ""], ["x y", "a b c d e", "x"]] * (ROWS // 2)
    dense = {"row": batch()["row"], "query": tf.constant(texts)}
    ragged = {**dense, "query": tf.RaggedTensor.from_tensor(dense["query"])}
    for policy in (policies(TokenDropout, rate=0.5)[0], policies(TokenSwap, rate=0.5)[0]):
        found = rows_of(policy.augment(dense)["query"])
        assert found == rows_of(policy.augment(ragged)["query"])
        assert any(row[0] != row[1] for row in found[::2])
        assert all(len(row) == 3 and row[2] == b"" and row[0] for row in found[::2])
