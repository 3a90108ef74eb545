"""The ops on sequences: the contract, what is particular to each, and their layouts."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import Case, OpContract, batch, rows_of
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import (
    HistoryIdDropout,
    SequenceCrop,
    SequenceInsert,
    SequenceMask,
    SequenceReorder,
    SequenceSubstitute,
    TimeJitter,
)

LENGTHS = np.array([len(row) for row in rows_of(batch()["history"])])
LENGTHS = LENGTHS[LENGTHS > 0]
ALL = ("history", "names", "moments")


def effect(rate: float, chance) -> float:
    """The chance that a row that is not empty changes; `chance` is that of a row of a length."""
    return rate * float(np.mean([chance(n) for n in LENGTHS]))


def results(op, draws: int = 5):
    """Pairs of a row of the batch before and after the op, each a tuple of the op's features."""
    policy = aug.AugmentationPolicy([op], seed=3, key_features=("row",))
    policy = aug.fitting.fit(policy, batch())
    before = list(zip(*(rows_of(batch()[name]) for name in op.features), strict=True))
    for draw in range(draws):
        result = policy.augment(batch(), draw=draw)
        after = zip(*(rows_of(result[name]) for name in op.features), strict=True)
        yield from zip(before, after, strict=True)


def ones(op, rows: dict, draw: int = 0) -> dict:
    """What the op makes of a few rows."""
    rows = {
        name: tf.constant(column) if isinstance(column, np.ndarray) else column
        for name, column in rows.items()
    }
    size = len(rows_of(next(iter(rows.values()))))
    policy = aug.AugmentationPolicy([op], seed=3, key_features=("row",))
    policy = aug.fitting.fit(policy, rows)
    result = policy.augment({"row": tf.range(size), **rows}, draw=draw)
    return {name: rows_of(result[name]) for name in rows}


def assert_aligned(after):
    """The test batch's items are in their names, and the times rise by 60 from item to item."""
    history, names, moments = after
    assert [name.decode() for name in names] == [f"i{item}" for item in history]
    assert len(moments) == len(history)


class TestSequenceCrop(OpContract):
    cases = (Case(SequenceCrop(ALL, rate=0.6), effect(0.6, lambda n: n >= 5), per_row=True),)

    def test_a_run_is_kept_of_all_features_alike(self):
        kept = collections.defaultdict(set)
        for before, after in results(SequenceCrop(ALL, keep_range=(0.4, 0.8)), 10):
            n, m = len(before[0]), len(after[0])
            assert any(
                all(b[i : i + m] == a for b, a in zip(before, after, strict=True))
                for i in range(n - m + 1)
            )
            if n < 5:
                assert after == before
            else:
                assert int(0.4 * n) <= m <= int(0.8 * n)
                kept[n].add(m)
        assert kept[10] == {4, 5, 6, 7, 8}

    def test_starts_are_even(self):
        rows = {"a": tf.ragged.constant([list(range(10))] * 3000)}
        starts = [row[0] for row in ones(SequenceCrop("a", keep_range=(0.5, 0.5)), rows)["a"]]
        counts = np.bincount(starts)
        assert len(counts) == 6
        assert np.all(np.abs(counts - 500) < 4.9 * math.sqrt(3000 * 1 / 6 * 5 / 6))

    def test_at_least_one_item_is_left_and_single_items_and_empty_rows_stay(self):
        rows = {"a": tf.ragged.constant([["x"], [], ["x", "y"]] * 100)}
        found = ones(SequenceCrop("a", keep_range=(0.1, 0.1), min_length=1), rows)["a"]
        assert found[0::3] == [[b"x"]] * 100
        assert found[1::3] == [[]] * 100
        assert {tuple(row) for row in found[2::3]} == {(b"x",), (b"y",)}

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="`keep_range` must start above 0"):
            SequenceCrop("a", keep_range=(0.0, 0.5))
        with pytest.raises(
            InvalidArgumentError, match="`min_length` must be an integer of at least 1"
        ):
            SequenceCrop("a", min_length=0)
        with pytest.raises(InvalidArgumentError, match="`sequence` must name each feature once"):
            SequenceCrop(("a", "a"))
        with pytest.raises(InvalidArgumentError, match="at least one feature"):
            SequenceCrop(())


class TestSequenceMask(OpContract):
    cases = (
        Case(
            SequenceMask(ALL, share=0.3, rate=0.7, mask_values={"moments": 0}),
            effect(0.7, lambda n: n >= 4),
            per_row=True,
        ),
    )

    def test_a_share_of_the_items_is_masked_at_the_same_places(self):
        masked = collections.Counter()
        op = SequenceMask(ALL, share=0.5, mask_values={"names": "[MASK]", "moments": -7})
        for before, after in results(op):
            places = [i for i, item in enumerate(after[0]) if item == -1]
            assert len(places) == len(before[0]) // 2
            for old, new, token in zip(before, after, (-1, b"[MASK]", -7), strict=True):
                assert new == [token if i in places else item for i, item in enumerate(old)]
            if len(before[0]) == 10:
                masked.update(places)
        # Each place of the rows of ten items is masked in half of them.
        rows = sum(masked.values()) / 5
        assert all(abs(masked[i] - rows / 2) < 4.9 * math.sqrt(rows / 4) for i in range(10))

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match=r"`share` must be in \[0, 1\]"):
            SequenceMask("a", share=1.5)
        with pytest.raises(InvalidArgumentError, match="may only name features of"):
            SequenceMask("a", mask_values={"b": 0})
        with pytest.raises(
            InvalidArgumentError, match="`mask_values` must fit 'names' of type string"
        ):
            self.policy(SequenceMask("names", mask_values={"names": 0})).augment(batch())


class TestSequenceReorder(OpContract):
    cases = (
        Case(
            SequenceReorder(ALL, share=0.5, rate=0.8),
            effect(0.8, lambda n: 1 - 1 / math.factorial(n // 2) if n >= 5 else 0),
            per_row=True,
        ),
    )

    def test_one_run_is_permuted_in_all_features_alike(self):
        orders = collections.Counter()
        for before, after in results(SequenceReorder(ALL, share=0.3), 20):
            assert_aligned(after)
            assert sorted(after[0]) == sorted(before[0])
            assert sorted(after[2]) == sorted(before[2])
            n = len(before[0])
            moved = [i for i in range(n) if before[0][i] != after[0][i]]
            assert not moved or moved[-1] - moved[0] < int(0.3 * n)
            assert not moved or n >= 5
            if n == 10:
                orders[tuple(before[0].index(item) - i for i, item in enumerate(after[0]))] += 1
        # Eight starts of three items in six orders, of which one, the old one, is common to all.
        assert len(orders) > 30 and set(map(len, orders)) == {10}

    def test_all_orders_are_as_likely(self):
        rows = {"a": tf.ragged.constant([[1, 2, 3]] * 3000)}
        found = ones(SequenceReorder("a", share=1.0, min_length=2), rows)["a"]
        counts = collections.Counter(map(tuple, found))
        assert set(counts) == set(itertools.permutations([1, 2, 3]))
        assert all(abs(c - 500) < 4.9 * math.sqrt(3000 / 6 * 5 / 6) for c in counts.values())


class TestHistoryIdDropout(OpContract):
    cases = (Case(HistoryIdDropout("names", rate=0.4, oov_token="?"), 0.4),)

    def test_padding_stays_and_min_length_counts(self):
        rows = {"a": np.array([[5, 6, 0, 0], [0, 0, 7, 8], [9, 0, 0, 0], [0, 0, 0, 0]])}
        op = HistoryIdDropout("a", rate=1.0, padding="trailing", min_length=2)
        assert ones(op, rows)["a"] == [[-1, -1, 0, 0], [0, 0, -1, -1], [9, 0, 0, 0], [0, 0, 0, 0]]

    def test_rates_by_popularity(self):
        rows = {"a": tf.ragged.constant([["hit"] * 19 + ["rare"]] * 200)}
        rate = aug.ops.PopularityRate(scale=0.0, maximum=1.0)
        assert ones(HistoryIdDropout("a", rate=rate), rows)["a"] == rows["a"].to_list()
        rate = aug.ops.PopularityRate(scale=200.0, maximum=1.0)
        found = ones(HistoryIdDropout("a", rate=rate), rows)["a"]
        assert all(row[19] == b"[UNK]" for row in found)
        dropped = sum(row[:19].count(b"[UNK]") for row in found)
        assert abs(dropped - 200) < 4.9 * math.sqrt(200)

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="`sequence` must be one feature"):
            HistoryIdDropout(("a", "b"), rate=0.5)
        with pytest.raises(
            InvalidArgumentError, match="`oov_token` must be a string or an integer"
        ):
            HistoryIdDropout("a", rate=0.5, oov_token=0.5)


class TestTimeJitter(OpContract):
    cases = (Case(TimeJitter("times", stddev=2.0, rate=0.6), 0.6, per_row=True),)

    def test_the_order_is_kept_and_the_moves_are_in_their_range(self):
        moves = []
        for (before,), (after,) in results(TimeJitter("moments", jitter_range=(-90, 200))):
            assert sorted(after) == after
            moves += [a - b for b, a in zip(before, after, strict=True)]
        assert -90 <= min(moves) < -60 and 170 < max(moves) <= 200
        assert all(isinstance(move, int) for move in moves)

    def test_falling_and_unsorted_times_keep_their_order_too(self):
        rows = {"t": tf.ragged.constant([[5, 4, 3, 2, 1], [3, 1, 2], [7], [], [2, 2, 2]])}
        found = [ones(TimeJitter("t", stddev=3.0), rows, draw)["t"] for draw in range(20)]
        for falling, mixed, single, empty, equal in found:
            assert falling == sorted(falling, reverse=True)
            assert mixed[1] <= mixed[2] <= mixed[0]
            assert len(single) == 1 and empty == []
            assert equal == sorted(equal)
        assert len({str(row) for row in found}) == 20

    def test_without_it_times_move_alone(self):
        rows = {"t": tf.ragged.constant([[0.0] * 4000])}
        (times,) = ones(TimeJitter("t", stddev=2.0, keep_order=False), rows)["t"]
        assert times != sorted(times)
        assert abs(np.std(times) - 2) < 4.9 * 2 / math.sqrt(8000)

    def test_rows_that_are_not_finite_stay(self):
        rows = {"t": tf.ragged.constant([[1.0, float("inf")], [1.0, 2.0]])}
        first, second = ones(TimeJitter("t", stddev=1.0), rows)["t"]
        assert first == [1.0, float("inf")] and second != [1.0, 2.0]

    def test_large_integers_keep_their_last_digits(self):
        rows = {"t": tf.ragged.constant([[1 << 60, (1 << 60) + 5]], tf.int64)}
        (times,) = ones(TimeJitter("t", stddev=0.0), rows)["t"]
        assert times == [1 << 60, (1 << 60) + 5]

    def test_bad_arguments(self):
        for arguments in ({}, {"stddev": 1.0, "jitter_range": (0, 1)}):
            with pytest.raises(
                InvalidArgumentError, match="or `jitter_range` must be given, not both"
            ):
                TimeJitter("t", **arguments)
        with pytest.raises(InvalidArgumentError, match="`stddev` must be a finite number"):
            TimeJitter("t", stddev=-1.0)
        with pytest.raises(InvalidArgumentError, match="`keep_order` must be true or false"):
            TimeJitter("t", stddev=1.0, keep_order="no")


CHAINS = {"a": tf.ragged.constant([["x", "y", "z", "w", "v"], ["p", "q"], ["solo"], []])}
"""Items of the first row are at most 4 apart: x and v are no neighbors."""
NEAR = {
    b"x": {b"y", b"z", b"w"},
    b"y": {b"x", b"z", b"w", b"v"},
    b"z": {b"x", b"y", b"w", b"v"},
    b"w": {b"x", b"y", b"z", b"v"},
    b"v": {b"y", b"z", b"w"},
    b"p": {b"q"},
    b"q": {b"p"},
    b"solo": set(),
}


class TestSequenceSubstitute(OpContract):
    cases = (
        Case(SequenceSubstitute("history", rate=0.5), effect(0.5, lambda n: True), per_row=True),
    )

    def test_items_become_correlated_ones(self):
        seen = collections.defaultdict(set)
        many = {"a": tf.concat([CHAINS["a"]] * 60, 0)}
        found = ones(SequenceSubstitute("a", share=0.5), many)["a"]
        for i in range(60):
            for before, after in zip(rows_of(CHAINS["a"]), found[4 * i : 4 * i + 4], strict=True):
                changed = [(b, a) for b, a in zip(before, after, strict=True) if a != b]
                assert len(changed) == (max(1, len(before) // 2) if len(before) > 1 else 0)
                for b, a in changed:
                    seen[b].add(a)
        assert dict(seen) == {item: near for item, near in NEAR.items() if near}

    def test_top_k_and_discount(self):
        """The most correlated item by counts is the popular one; by the cosine the one that is only here."""
        pairs = [["a", "hit"]] * 6 + [["a", "mate"]] * 5 + [["b", "hit"], ["c", "hit"]] * 30
        for discount, expected in ((False, b"hit"), (True, b"mate")):
            op = SequenceSubstitute("s", top_k=1, discount=discount)
            policy = aug.AugmentationPolicy([op], key_features=("row",))
            policy = aug.fitting.fit(policy, {"s": tf.ragged.constant(pairs)})
            rows = {"row": tf.range(9), "s": tf.ragged.constant([["a"]] * 9)}
            assert rows_of(policy.augment(rows)["s"]) == [[expected]] * 9

    def test_items_that_were_not_fitted_stay(self):
        policy = aug.AugmentationPolicy([SequenceSubstitute("a", share=1.0)], key_features=("k",))
        policy = aug.fitting.fit(policy, CHAINS)
        rows = {"k": tf.constant([1]), "a": tf.ragged.constant([["new", "x", ""]])}
        (found,) = rows_of(policy.augment(rows)["a"])
        assert found[0] == b"new" and found[1] in NEAR[b"x"] and found[2] == b""

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="`top_k` must be an integer from 1 to 16"):
            SequenceSubstitute("a", top_k=17)
        with pytest.raises(InvalidArgumentError, match="not fitted"):
            aug.AugmentationPolicy([SequenceSubstitute("history")], key_features=("row",)).augment(
                batch()
            )
        policy = self.policy(SequenceSubstitute("history"))
        with pytest.raises(
            InvalidArgumentError, match="was fitted on integers; the batch holds string"
        ):
            policy.augment({**batch(), "history": batch()["names"]})


class TestSequenceInsert(OpContract):
    cases = (
        Case(
            SequenceInsert(("names", "moments"), rate=0.5),
            effect(0.5, lambda n: True),
            per_row=True,
        ),
    )

    def test_the_items_stay_a_subsequence_and_new_ones_stand_before_their_neighbors(self):
        policy = self.policy(SequenceInsert(("history", "moments"), share=0.4))
        result = policy.augment(batch(), draw=4)
        columns = (batch()["history"], result["history"], batch()["moments"], result["moments"])
        near = collections.defaultdict(set)
        for row in rows_of(batch()["history"]):
            for i, item in enumerate(row):
                near[item].update(row[max(0, i - 3) : i + 4])
        for old, new, old_times, new_times in zip(*map(rows_of, columns), strict=True):
            rest, put_in = list(zip(old, old_times, strict=True)), []
            for i, step in enumerate(zip(new, new_times, strict=True)):
                if rest and step == rest[0]:
                    rest.pop(0)
                else:
                    put_in.append(i)
            assert not rest
            assert len(put_in) == (max(1, int(0.4 * len(old))) if old else 0)
            assert all(new[i] in near[new[i + 1]] for i in put_in)
            assert all(new_times[i] == new_times[i + 1] for i in put_in)


class TestLayouts:
    """Ragged and padded columns give the same sequences, and padding stays on its side."""

    OPS = (
        SequenceCrop(("a", "t")),
        SequenceMask(("a", "t"), share=0.4),
        SequenceReorder(("a", "t"), share=0.6),
        SequenceInsert(("a", "t"), share=0.5),
        SequenceSubstitute(("a", "t"), share=0.5),
        HistoryIdDropout("a", rate=0.5),
        TimeJitter("t", stddev=2.0),
    )

    @staticmethod
    def padded(rows: list, width: int, pad, leading: bool) -> np.ndarray:
        return np.array(
            [
                [pad] * (width - len(row)) + row if leading else row + [pad] * (width - len(row))
                for row in (row[-width:] for row in rows)
            ]
        )

    @pytest.mark.parametrize("leading", [False, True])
    @pytest.mark.parametrize("op", OPS, ids=lambda op: type(op).__name__)
    def test_padded_rows_give_the_sequences_of_ragged_ones(self, op, leading):
        width = 7
        lists = [[f"v{(i + j) % 9}" for j in range(i % 8)] for i in range(40)]
        times = [[10 * j + i + 1 for j in range(i % 8)] for i in range(40)]
        ragged = {
            "a": tf.ragged.constant(lists, tf.string),
            "t": tf.ragged.constant(times, tf.int64),
        }
        policy = aug.AugmentationPolicy([op], seed=5, key_features=("row",))
        policy = aug.fitting.fit(policy, ragged)
        expected = policy.augment({"row": tf.range(40), **ragged}, draw=1)

        side = "leading" if leading else "trailing"
        pads = {"a": "<pad>", "t": -5}
        config = {
            **op.get_config(),
            "padding": side,
            "pad_values": {n: pads[n] for n in op.features},
        }
        dense = aug.AugmentationPolicy(
            [aug.ops.op_from_config(config, "op")], seed=5, key_features=("row",)
        )
        columns = {
            "a": tf.constant(self.padded(lists, width, "<pad>", leading)),
            "t": tf.constant(self.padded(times, width, -5, leading)),
        }
        dense = aug.fitting.fit(dense, columns)
        found = dense.augment({"row": tf.range(40), **columns}, draw=1)
        for name in op.features:
            pad = b"<pad>" if name == "a" else -5
            wanted = self.padded(rows_of(expected[name]), width, pad, leading)
            assert rows_of(found[name]) == wanted.tolist(), name
            assert found[name].shape == (40, width)

        # A file of Examples holds padded lists too: rows of one width, which they keep.
        as_lists = {name: tf.RaggedTensor.from_tensor(column) for name, column in columns.items()}
        listed = dense.augment({"row": tf.range(40), **as_lists}, draw=1)
        for name in op.features:
            assert rows_of(listed[name]) == rows_of(found[name])

    def test_the_side_of_the_padding_is_the_rows_own(self):
        rows = {
            "a": np.array([[1, 2, 3, 4, 0], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 1, 2, 3, 0]]),
            "t": np.array([[9, 8, 7, 6, 5], [5, 6, 7, 8, 9], [1, 2, 3, 4, 5], [9, 1, 2, 3, 9]]),
        }
        op = SequenceCrop(("a", "t"), keep_range=(0.5, 0.5), min_length=1, padding="leading")
        found = ones(op, rows)
        starts = [[1, 2, 3], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3]]
        sides = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
        assert found["a"][0][2:] == sides[0] and found["a"][0][0] in starts[0]
        assert found["a"][1][:3] == sides[1] and found["a"][1][3] in starts[1]
        assert found["a"][2][:3] == sides[2] and found["a"][2][3] in starts[2]
        assert (
            found["a"][3][0] == 0
            and found["a"][3][1] in starts[3]
            and found["a"][3][2:] == sides[0]
        )
        # Where the first feature was padded already, the others keep what was there.
        assert found["t"][0][4] == 5 and found["t"][1][0] == 5
        assert found["t"][3][0] == 9 and found["t"][3][4] == 9

    def test_lengths_that_differ_are_an_error_that_names_the_features(self):
        op = SequenceCrop(("a", "t"))
        policy = aug.AugmentationPolicy([op], key_features=("row",))
        rows = {
            "row": tf.range(2),
            "a": tf.ragged.constant([[1, 2], [3]]),
            "t": tf.ragged.constant([[1], [2, 3]]),
        }
        with pytest.raises(
            DataError, match="'a' and 't' must have equally many values in each row"
        ):
            policy.augment(rows)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="must have equally many values in each row"
        ):
            tf.function(policy.augment)(rows)

    def test_other_shapes_are_errors(self):
        policy = aug.AugmentationPolicy([SequenceCrop("a")], key_features=("row",))
        with pytest.raises(DataError, match='Pass padding="trailing" or padding="leading"'):
            policy.augment({"row": tf.range(1), "a": tf.ones([1, 3])})
        with pytest.raises(DataError, match=r"takes sequences, .* Received: 'a' of shape \(1,\)"):
            policy.augment({"row": tf.range(1), "a": tf.ones([1])})
        with pytest.raises(InvalidArgumentError, match='`padding` must be None, "trailing" or'):
            SequenceCrop("a", padding="left")
        with pytest.raises(InvalidArgumentError, match="with `padding` set"):
            SequenceCrop("a", pad_values={"a": 0})
        with pytest.raises(InvalidArgumentError, match="`pad_values` must fit 'a' of type int32"):
            ones(
                SequenceCrop("a", padding="trailing", pad_values={"a": ""}),
                {"a": np.ones([1, 3], np.int32)},
            )

    def test_a_token_that_would_read_as_padding_is_refused(self):
        rows = {"a": np.ones([1, 3], np.int32)}
        for op in (
            SequenceMask("a", mask_values={"a": 0}, padding="trailing"),
            HistoryIdDropout("a", rate=0.5, oov_token=0, padding="trailing"),
        ):
            with pytest.raises(
                InvalidArgumentError, match="must not be what the sequence is padded"
            ):
                ones(op, rows)

    def test_int32_row_splits_stay(self):
        rows = tf.ragged.constant([[1, 2, 3, 4, 5, 6]], row_splits_dtype=tf.int32)
        policy = aug.AugmentationPolicy([SequenceCrop("a")], key_features=("row",))
        found = policy.augment({"row": tf.range(1), "a": rows})["a"]
        assert found.row_splits.dtype == tf.int32 and len(found[0]) < 6

    def test_ops_in_combinations(self):
        op = aug.ops.OneOf(
            (
                SequenceCrop(ALL, keep_range=(0.2, 0.2)),
                SequenceInsert(("history", "names", "moments")),
            )
        )
        lengths = [(len(b[0]), len(a[0])) for b, a in results(op) if len(b[0]) >= 5]
        assert {np.sign(after - before) for before, after in lengths} == {-1, 1}

    @pytest.mark.parametrize("op", OPS, ids=lambda op: type(op).__name__)
    def test_what_is_drawn_can_be_applied_later(self, op):
        rows = {
            "row": tf.range(20),
            "a": tf.ragged.constant([[*"abcdefg"[: i % 8]] for i in range(20)]),
        }
        rows["t"] = rows["a"].with_values(tf.range(tf.size(rows["a"].values)))
        policy = aug.AugmentationPolicy([op], key_features=("row",))
        (op,) = aug.fitting.fit(policy, rows).ops
        features = aug.features.FeatureBatch(rows, policy.row_keys(rows))
        rng = aug.rng.KeyedRng(1, features.keys, 2)
        later, now = op.apply(features, op.draw(features, rng)), op(features, rng)
        for name in op.features:
            assert rows_of(later[name]) == rows_of(now[name])
