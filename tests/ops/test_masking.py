"""Masks over groups: the contract, correlated groups, and views that complement each other."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import ComplementaryFeatureMask, CorrelatedFeatureMask

PLACES = ({"city", "zone"}, {"city", "country"}, {"country", "zone"})
FOUR = ("word", "count", "number", "words")


def hidden(result, names, before=None) -> np.ndarray:
    """Which features of which rows came out masked, `[batch, features]`."""
    before = before or batch()
    pairs = [zip(rows_of(result[n]), rows_of(before[n]), strict=True) for n in names]
    return np.array([[new != old for new, old in column] for column in pairs]).T


def fitted(op, columns) -> aug.AugmentationPolicy:
    return aug.fitting.fit(aug.AugmentationPolicy([op], key_features=("row",)), columns)


def shop(rows: int = 4000) -> dict[str, tf.Tensor]:
    """Two groups: a place (city, country, zone) and a thing (brand, price), independent of each other."""
    rng = np.random.default_rng(2)
    city, brand = rng.integers(0, 24, rows), rng.integers(0, 8, rows)
    return {
        "row": tf.range(rows, dtype=tf.int64),
        "price": tf.constant(rng.normal(size=rows) + 50 * brand, tf.float32),
        "city": tf.constant([f"c{i}" for i in city]),
        "zone": tf.constant(city // 3, tf.int64),
        "brand": tf.constant(brand, tf.int64),
        "country": tf.constant([f"n{i // 6}" for i in city]),
        "coin": tf.constant(rng.integers(0, 2, rows), tf.int64),
    }


class TestCorrelatedFeatureMask(OpContract):
    cases = (
        # A seed and one more of three, each masked as often as the information says.
        Case(CorrelatedFeatureMask(("word", "count", "number"), rate=0.5), 1 / 3, per_row=True),
        Case(
            CorrelatedFeatureMask(("tags", "words"), rate=0.4, mask_values={"tags": "?"}),
            0.2,
            per_row=True,
        ),
    )

    def test_a_seed_goes_with_its_most_correlated_features(self):
        op = CorrelatedFeatureMask(("city", "brand", "country", "price", "zone"), rate=1.0, count=1)
        rows = hidden(fitted(op, shop()).augment(shop()), op.features, shop())
        found = {
            tuple(np.array(op.features)[row]): share
            for row, share in zip(*np.unique(rows, axis=0, return_counts=True), strict=True)
        }
        # Whichever seed of a place is drawn, the thing stays, and the other way round.
        assert ("brand", "price") in found and len(found) >= 3
        assert all(set(pair) in ({"brand", "price"}, *PLACES) for pair in found)
        assert abs(found["brand", "price"] / 4000 - 0.4) < 4.9 * np.sqrt(0.24 / 4000)

    def test_half_of_the_features_go_with_the_seed_and_one_stays(self):
        for names, masked in ((5, 3), (4, 3), (3, 2), (2, 1)):
            op = CorrelatedFeatureMask(("coin", "city", "brand", "zone", "price")[:names], rate=1.0)
            rows = hidden(fitted(op, shop(200)).augment(shop(200)), op.features, shop(200))
            assert rows.sum(1).tolist() == [masked] * 200

    def test_rows_are_drawn_at_the_rate(self):
        op = CorrelatedFeatureMask(FOUR, rate=0.3)
        rows = np.concatenate(
            [hidden(self.policy(op, seed).augment(batch()), FOUR).any(1) for seed in range(5)]
        )
        assert abs(rows.mean() - 0.3) < 4.9 * np.sqrt(0.21 / len(rows))

    def test_the_order_of_the_features_does_not_change_the_statistic(self):
        ops = [CorrelatedFeatureMask(names, rate=0.5) for names in (FOUR, FOUR[::-1])]
        policy = aug.AugmentationPolicy(ops)
        (requirement,) = policy.requirements()
        assert requirement.features == tuple(sorted(FOUR))

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="must name at least two features"):
            CorrelatedFeatureMask("word", rate=0.5)
        with pytest.raises(
            InvalidArgumentError, match=r"`count` must be None or an integer in \[0, 2"
        ):
            CorrelatedFeatureMask(FOUR, rate=0.5, count=3)
        policy = aug.AugmentationPolicy([CorrelatedFeatureMask(FOUR, rate=0.5)])
        with pytest.raises(
            InvalidArgumentError, match="needs the mutual_information of 'count', 'num"
        ):
            policy.augment(batch(), keys=tf.zeros([ROWS], tf.uint64))


class TestComplementaryFeatureMask(OpContract):
    cases = (
        Case(ComplementaryFeatureMask(FOUR, rate=0.7), 0.35, per_row=True),
        Case(
            ComplementaryFeatureMask(("word", "number", "count"), rate=0.6, correlated=True),
            0.3,
            per_row=True,
        ),
    )

    @pytest.mark.parametrize("correlated", [False, True])
    def test_the_views_of_a_pair_complement_each_other(self, correlated):
        names = ("city", "brand", "country", "price", "zone")
        policy = fitted(ComplementaryFeatureMask(names, correlated=correlated), shop(1000))
        augment = tf.function(policy.augment)
        rows = shop(1000)
        views = [hidden(augment(rows, draw=tf.constant(d)), names, rows) for d in (6, 7, 8, 9)]
        assert (views[0] ^ views[1]).all() and (views[2] ^ views[3]).all()
        assert (views[0] != views[2]).any()
        # Both sides hide a feature as often, of five features two or three at a time.
        assert set(views[0].sum(1)) == {2, 3}
        assert np.all(abs(views[0].mean(0) - 0.5) < 4.9 * np.sqrt(0.25 / 1000))

    def test_each_half_is_as_likely(self):
        policy = self.policy(ComplementaryFeatureMask(FOUR))
        draws = [hidden(policy.augment(batch(), draw=2 * i), FOUR) for i in range(5)]
        halves, counts = np.unique(np.concatenate(draws), axis=0, return_counts=True)
        assert len(halves) == 6
        expected = len(draws) * ROWS / 6
        assert np.all(abs(counts - expected) < 4.9 * np.sqrt(expected * 5 / 6))

    def test_both_views_of_a_row_are_masked_or_neither(self):
        policy = self.policy(ComplementaryFeatureMask(FOUR, rate=0.4))
        first, second = (hidden(policy.augment(batch(), draw=d), FOUR) for d in (2, 3))
        assert ((first ^ second).all(1) | ~(first | second).any(1)).all()
        assert abs(first.any(1).mean() - 0.4) < 4.9 * np.sqrt(0.24 / ROWS)

    def test_values_of_kept_lists_are_dropped_in_each_view_by_itself(self):
        op = ComplementaryFeatureMask(("tags", "vector", "words"), dropout=0.3, rate=0.8)
        kept, shares = [], []
        for draw in (4, 5):
            result = self.policy(op).augment(batch(), draw=draw)
            rows = np.array(rows_of(result["words"])) == b"[UNK]"
            kept.append(~rows.all(1))
            shares.append(rows[kept[-1]])
            assert (rows_of(result["vector"])[0] == [0.0, 0.0]) or rows_of(result["vector"])[
                0
            ] == rows_of(batch()["vector"])[0]
        # Rows without a mask (a fifth) lose no value either; rows that lost all three read as masked.
        acting = 0.4 / 0.6
        lost = acting * (0.3 - 0.3**3) / (1 - acting * 0.3**3)
        for share in shares:
            assert abs(share.mean() - lost) < 4.9 * np.sqrt(lost * (1 - lost) / len(share))
        both = kept[0] & kept[1]
        assert both.any()

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match=r"`dropout` must be in \[0, 1\)"):
            ComplementaryFeatureMask(FOUR, dropout=1.0)
        with pytest.raises(InvalidArgumentError, match="`correlated` must be True or False"):
            ComplementaryFeatureMask(FOUR, correlated="yes")
