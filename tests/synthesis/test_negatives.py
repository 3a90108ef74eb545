"""Hard negatives: likelier than other items, and not what the user wants."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment import datasets, synthesis
from tfrs_augment.errors import DataError, InvalidArgumentError


@pytest.fixture(scope="module")
def shop():
    return datasets.simulated_shop("tiny")


@pytest.fixture(scope="module")
def parts(shop):
    """Rows to learn from, and others that are positives nobody has seen yet."""
    held = np.random.default_rng(0).random(len(shop)) < 0.25
    train = shop.take(~held)
    columns = ("user_id", "item_id", "user_gender", "item_category", "item_brand")
    return (
        synthesis.FactorizationSampler(columns=columns, prior=4.0).fit(train),
        train,
        shop.take(held),
    )


def unseen_positives(found, held) -> float:
    """The share of negatives that are positives held out."""
    users, items = found
    pairs = set(zip(held.rows["user_id"].tolist(), held.rows["item_id"].tolist()))
    drawn = [(u, i) for u, row in zip(users.tolist(), items.tolist()) for i in row]
    return float(np.mean([pair in pairs for pair in drawn]))


def test_negatives_are_items_that_the_user_has_not_chosen_and_are_harder_than_random(parts):
    sampler, train, _ = parts
    users, items = synthesis.hard_negatives(sampler, train, per_user=6, seed=1)
    assert items.shape == (len(users), 6)
    assert all(len(set(row)) == 6 for row in items.tolist())
    chosen = set(zip(train.rows["user_id"].tolist(), train.rows["item_id"].tolist()))
    assert not any((u, i) in chosen for u, row in zip(users.tolist(), items.tolist()) for i in row)
    place = np.searchsorted(sampler.user_ids(), users)
    scores = sampler.log_weights(place)
    negative = np.take_along_axis(scores, np.searchsorted(sampler.item_ids(), items), axis=1)
    hardest = negative.max(axis=1, keepdims=True)
    # Of the items that are no likelier than the hardest, the negatives are likelier than most.
    others = np.where(scores <= hardest, scores, np.nan)
    assert negative.mean() > np.nanmean(others) + 0.1


def test_the_filter_takes_positives_out(parts):
    sampler, train, held = parts
    filtered = unseen_positives(synthesis.hard_negatives(sampler, train, seed=1), held)
    loose = synthesis.hard_negatives(sampler, train, positive_quantile=1.0, seed=1)
    assert filtered < 0.8 * unseen_positives(loose, held)


def test_draws_hang_on_seed_and_user_alone(parts):
    sampler, train, _ = parts
    users, items = synthesis.hard_negatives(sampler, train, seed=2)
    few = train.take(np.isin(train.rows["user_id"], users[40:45]))
    some, same = synthesis.hard_negatives(sampler, few, seed=2)
    np.testing.assert_array_equal(some, users[40:45])
    np.testing.assert_array_equal(same, items[40:45])
    assert (synthesis.hard_negatives(sampler, train, seed=3)[1] != items).any()


def test_few_candidates_repeat_and_none_are_an_error(parts):
    sampler, train, _ = parts
    users, items = synthesis.hard_negatives(sampler, train, per_user=150)
    assert items.shape == (len(users), 150)
    everything = {
        "user_id": np.repeat(sampler.user_ids()[:1], len(sampler.item_ids())),
        "item_id": sampler.item_ids(),
    }
    with pytest.raises(DataError, match="No item is left"):
        synthesis.hard_negatives(sampler, everything)


@pytest.mark.parametrize("options", [{"per_user": 0}, {"positive_quantile": 1.5}])
def test_wrong_arguments_are_named(parts, options):
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        synthesis.hard_negatives(parts[0], parts[1], **options)
