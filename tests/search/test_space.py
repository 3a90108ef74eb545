"""Spaces of policies: what may vary, what is refused, and how candidates are drawn."""

from __future__ import annotations

import json

import pytest

import tfrs_augment as aug
from tests.search.models import ID, POLICY, PRICE
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import PopularityRate
from tfrs_augment.search import Choice, Float, Integer, Schedule, Space, Switch
from tfrs_augment.search.study import draw

RARE = PopularityRate(scale=2.0, maximum=0.5)
SPACE = Space(
    POLICY,
    {
        ID: Switch(0.8),
        f"{ID}.rate": Choice([0.1, RARE]),
        PRICE: Switch(),
        f"{PRICE}.stddev": Float(0.01, 1.0, log=True),
        "copies": Integer(1, 3),
    },
)


def test_a_candidate_is_the_base_policy_with_what_was_drawn():
    values = {ID: True, f"{ID}.rate": RARE, PRICE: True, f"{PRICE}.stddev": 0.5, "copies": 2}
    one = SPACE.candidate(3, values)
    first, second = one.policy.ops
    assert (first.rate, second.stddev, second.rate, one.copies) == (RARE, 0.5, 1.0, 2)
    assert [op.id for op in one.policy.ops] == [ID, PRICE]
    assert one.policy.key_features == POLICY.key_features
    assert one.name == "candidate 3"
    assert one.describe() == f"{ID}.rate min(0.5, 2/count), {PRICE}.stddev 0.5, copies 2"
    assert json.loads(json.dumps(one.get_config()))["copies"] == 2
    assert POLICY.ops[0].rate == 0.3, "the base stays as it was"


def test_of_an_op_that_is_left_out_only_that_counts():
    values = {ID: False, f"{ID}.rate": 0.1, PRICE: True, f"{PRICE}.stddev": 0.5, "copies": 1}
    one = SPACE.candidate(1, values)
    assert one.values == {ID: False, PRICE: True, f"{PRICE}.stddev": 0.5, "copies": 1}
    assert [op.id for op in one.policy.ops] == [PRICE]
    none = SPACE.candidate(1, values | {PRICE: False})
    assert none.policy is None and none.values == {ID: False, PRICE: False, "copies": 1}


def test_the_space_around_a_policy():
    policy = aug.AugmentationPolicy(
        [
            aug.ops.IdDropout("a", rate=0.1),
            aug.ops.IdDropout("b", rate=0.8),
            aug.ops.IdDropout("c", rate=RARE),
            aug.ops.IdDropout("d", rate=0.0),
        ]
    )
    assert Space.of(policy).parameters == {
        "id_dropout:a": Switch(),
        "id_dropout:a.rate": Float(0.0, 0.2),
        "id_dropout:b": Switch(),
        "id_dropout:b.rate": Float(0.0, 1.0),
        "id_dropout:c": Switch(),
        "id_dropout:d": Switch(),
    }
    with pytest.raises(InvalidArgumentError, match="with at least one op"):
        Space.of(aug.AugmentationPolicy([]))


def test_candidates_are_drawn_by_the_seed_the_base_policy_first():
    candidates = draw(Space.of(POLICY), 12, seed=3)
    assert candidates == draw(Space.of(POLICY), 12, seed=3)
    assert candidates != draw(Space.of(POLICY), 12, seed=4)
    assert candidates[0].policy == POLICY
    assert [one.number for one in candidates] == list(range(1, 13))
    assert len({json.dumps(one.get_config()["values"]) for one in candidates}) == 12
    assert all(one.policy is not None or one.copies > 1 for one in candidates)
    left_out = [one for one in candidates if len(one.policy.ops) == 1]
    assert left_out, "some have an op left out"
    # More candidates add to those of before.
    assert draw(Space.of(POLICY), 5, seed=3) == candidates[:5]


def test_drawn_values_are_of_the_space():
    for one in draw(SPACE, 40, seed=0):
        assert one.copies in (1, 2, 3)
        for name, value in one.values.items():
            parameter = SPACE.parameters[name]
            assert (
                isinstance(value, bool) if isinstance(parameter, Switch) else parameter.holds(value)
            )
    # The base has rate 0.3, which is none of the choices.
    assert SPACE.base() is None


def test_a_space_with_too_few_policies_is_refused():
    space = Space(POLICY, {f"{ID}.rate": Choice([0.1, 0.2, 0.3])})
    assert len(draw(space, 3, seed=0)) == 3
    with pytest.raises(InvalidArgumentError, match="candidates=4, of which 3 were found"):
        draw(space, 4, seed=0)
    alone = Space(POLICY, {ID: Switch(), PRICE: Switch()})
    assert len(draw(alone, 3, seed=0)) == 3
    with pytest.raises(InvalidArgumentError, match="of which 3 were found"):
        draw(alone, 4, seed=0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "at least one name"),
        ([ID], "must be a dict"),
        ({"id_dropout:item.rate": Float(0, 1)}, "Did you mean 'id_dropout:item_id'"),
        ({"id_dropout": Switch()}, "must be ids of ops, or fields of them"),
        ({f"{ID}.rat": Float(0, 1)}, "Did you mean 'rate'"),
        ({f"{ID}.id": Choice(["a", "b"])}, "must name a field of IdDropout"),
        ({ID: Float(0, 1)}, "which may be a Switch"),
        ({f"{ID}.rate": Switch()}, "must be a Float, an Integer or a Choice"),
        ({f"{ID}.rate": Float(0, 1.5)}, "may be 1.5, which its op refuses: `rate` must be in"),
        ({f"{ID}.rate": Choice([0.1, "much"])}, "which its op refuses"),
        ({"copies": Float(1, 3)}, "`copies` of a Space must be an Integer or a Choice"),
        ({"copies": Integer(0, 3)}, "integers of at least 1"),
        ({"copies": Choice([1, 1.5])}, "integers of at least 1"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Space(POLICY, parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 0), "low < high. Received: low=1, high=0"),
        (lambda: Float(0, float("nan")), "finite numbers"),
        (lambda: Float("0", 1), "finite numbers"),
        (lambda: Float(0, 1, log=True), "above 0 with log=True"),
        (lambda: Integer(2, 1), "low <= high"),
        (lambda: Integer(0.5, 1), "must be integers"),
        (lambda: Choice("ab"), "must be a list"),
        (lambda: Choice([1]), "at least two"),
        (lambda: Choice([1, 1]), "all different"),
        (lambda: Switch(0), "must be in (0, 1)"),
        (lambda: Space("policy.json", {}), "must be an AugmentationPolicy"),
        (lambda: Schedule(candidates=1), "`candidates` must be an integer of at least 2"),
        (lambda: Schedule(rungs=0), "`rungs` must be an integer of at least 1"),
        (lambda: Schedule(eta=1), "`eta` must be above 1"),
        (lambda: Schedule(rungs=4).plan(10), "more epochs than the one before"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(InvalidArgumentError) as raised:
        make()
    assert message in str(raised.value)


def test_the_budget_is_the_sum_of_all_trainings():
    schedule = Schedule(candidates=10, eta=2, rungs=3)
    rungs = [(rung.epochs, rung.candidates) for rung in schedule.plan(8)]
    assert rungs == [(2, 10), (4, 5), (8, 2)]
    expected = 3 * (2 * 11 + 4 * 6 + 8 * 3) + 2 * 5 * 8
    assert schedule.budget(epochs=8, seeds=3, confirm_seeds=5) == expected
