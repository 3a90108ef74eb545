"""Searches end to end, with a model whose gain by dropped ids is known."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys

import optuna
import pytest

import tfrs_augment as aug
from tests.search import models
from tests.search.models import ID, POLICY, PRICE, PROTOCOL, Harmed, Mixed
from tfrs_augment.errors import AugmentError, DataError, InvalidArgumentError
from tfrs_augment.evaluation import Arm, Protocol, split
from tfrs_augment.search import Choice, Float, Objective, Schedule, Space, Switch, search
from tfrs_augment.search.halving import _announce
from tfrs_augment.search.objective import halves
from tfrs_augment.search.parameters import to_json
from tfrs_augment.search.result import Trial
from tfrs_augment.search.study import StudyFile, draw, importances

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPACE = Space(POLICY, {ID: Switch(), f"{ID}.rate": Float(0.0, 0.6), PRICE: Switch()})
SCHEDULE = Schedule(candidates=4, eta=2, rungs=2)

FEW = {
    "schedule": Schedule(candidates=3, eta=2, rungs=2),
    "seeds": (0,),
    "confirm_seeds": (5, 6),
}


def run(shop, build_model=Mixed, space=SPACE, **options):
    options = {
        "split": models.development(shop),
        "schedule": SCHEDULE,
        "protocol": PROTOCOL,
        "confirm_seeds": (5, 6, 7),
        "progress": False,
        **options,
    }
    return search(build_model, space, **options)


@pytest.fixture(scope="module")
def found(shop):
    return run(shop)


def outcome(result) -> dict:
    """What a search found, whatever the name of its `build_model`."""
    return {key: value for key, value in result.to_dict().items() if key != "settings"}


def rate(candidate) -> float:
    return candidate.values.get(f"{ID}.rate", 0.0)


@pytest.mark.slow
def test_the_search_finds_what_helps(found):
    rates = {trial.candidate.number: rate(trial.candidate) for trial in found.trials}
    assert found.gain.verdict == "helps" and found.gain.low > 0
    assert rates[found.winner.number] in sorted(rates.values())[-2:]
    assert found.policy == found.winner.policy
    assert str(found).startswith("Found: candidate")
    assert found.confirmation.seeds == (5, 6, 7)
    assert set(found.confirmation.arms) == {"baseline", found.winner.name}


@pytest.mark.slow
def test_users_who_choose_do_not_judge(shop, found):
    choosing, judging = halves(len(shop.users[shop.user_id]), seed=0)
    assert (choosing != judging).all() and 0.3 < choosing.mean() < 0.7
    gains = [
        Objective().gain(found.confirmation, found.winner.name, users=users)
        for users in (judging, choosing, None)
    ]
    assert found.gain == gains[0] and found.gain not in gains[1:]


@pytest.mark.slow
def test_all_are_trained_equally_long_and_the_best_go_on(found):
    assert [(r.epochs, r.candidates) for r in found.rungs] == [(2, 4), (4, 2)]
    first = {t.candidate.number: t.values[2] for t in found.trials}
    kept = sorted(first, key=lambda n: (-first[n], n))[:2]
    assert sorted(t.candidate.number for t in found.trials if 4 in t.values) == sorted(kept)
    states = sorted(t.state for t in found.trials)
    assert states == ["done", "dropped", "dropped", "winner"]
    assert set(found.baseline) == {2, 4}


@pytest.mark.slow
def test_the_budget_is_kept(found):
    assert found.budget == 2 * (2 * 5 + 4 * 3) + 2 * 3 * 4
    assert 0 < found.spent <= found.budget
    # No patience ran out in so few epochs.
    assert found.spent == found.budget


def test_where_augmentation_hurts_the_answer_is_none(shop, tmp_path):
    result = run(shop, Harmed, Space(POLICY, {f"{ID}.rate": Float(0.2, 0.6)}), **FEW)
    assert result.policy is None and result.copies == 1
    assert result.gain.verdict in ("hurts", "can't tell") and result.gain.mean < 0
    assert result.winner.policy is not None
    assert str(result).startswith("Keep training without augmentation. The best of 3: candidate")
    with pytest.raises(InvalidArgumentError, match="found no policy to save"):
        result.save(tmp_path / "policy.json")
    assert list(tmp_path.iterdir()) == []
    assert result.to_dict()["found"] is False


@pytest.mark.slow
def test_the_result_is_written_and_read(found, tmp_path):
    found.save(tmp_path / "policy.json")
    assert aug.AugmentationPolicy.load(tmp_path / "policy.json") == found.policy
    found.to_json(tmp_path / "trials.json")
    read = json.loads((tmp_path / "trials.json").read_text(), parse_constant=pytest.fail)
    assert read["found"] and read["budget"] == found.budget and len(read["trials"]) == 4
    policy = aug.AugmentationPolicy.from_config(read["trials"][0]["policy"])
    assert policy == found.trials[0].candidate.policy
    found.plot(tmp_path / "search.png")
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    lines = found.table().splitlines()
    assert len(lines) == 2 + 1 + 4 and len({len(line) for line in lines}) == 1
    assert lines[3].split()[1:3] == found.winner.name.split() and "winner" in lines[3]


@pytest.mark.slow
def test_importance_names_the_parameter_that_counts(found):
    space = Space(POLICY, {f"{ID}.rate": Float(0.0, 0.6), PRICE: Switch()})
    candidates = draw(space, 30, seed=0)
    shares = importances(space, candidates, [rate(one) for one in candidates])
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[f"{ID}.rate"] > 0.8
    with pytest.raises(InvalidArgumentError, match="at least four candidates. Received: 3"):
        importances(space, candidates[:3], [0.0, 1.0, 2.0])
    assert set(found.importance()) <= set(SPACE.parameters)


@pytest.mark.slow
def test_copies_and_popularity_rates(shop):
    rare = aug.ops.PopularityRate(scale=50.0, maximum=0.5)
    space = Space(POLICY, {f"{ID}.rate": Choice([0.3, rare]), "copies": Choice([1, 2])})
    result = run(shop, space=space, **{**FEW, "schedule": Schedule(candidates=4, eta=4, rungs=2)})
    tried = {
        (str(to_json(t.candidate.values[f"{ID}.rate"])), t.candidate.copies) for t in result.trials
    }
    assert len(tried) == 4
    arms = result.confirmation.settings["arms"]
    assert arms[result.winner.name]["copies"] == result.winner.copies


def test_weights_choose_the_slices(shop):
    whole = split(shop, cold_share=0.0, seed=0)
    without = lambda seed: aug.evaluation.development_split(whole, seed=seed, cold_share=0.0)  # noqa: E731
    with pytest.raises(InvalidArgumentError, match="'cold', which has none"):
        run(shop, split=without, objective=Objective(weights={"warm": 1, "cold": 1}))


@pytest.mark.slow
def test_a_mix_is_the_weighted_mean_of_its_slices(found):
    report = found.confirmation
    mixed = Objective("recall@10", {"warm": 3, "cold": 1})
    expected = 0.75 * report.figure("baseline", "warm").mean
    expected += 0.25 * report.figure("baseline", "cold").mean
    assert mixed.values(report)["baseline"] == pytest.approx(expected)
    # Of one slice it is what the report says.
    gain = Objective("recall@10", {"warm": 1}).gain(report, found.winner.name)
    figure = report.figure(found.winner.name, "warm")
    judged = report.verdicts[found.winner.name]["warm"]["recall@10"]
    assert gain.mean == pytest.approx(figure.difference)
    assert gain.p_value == pytest.approx(judged.p_value, rel=1e-3)
    assert (gain.low, gain.high) == pytest.approx(
        (figure.difference_low, figure.difference_high), abs=0.2 * abs(figure.difference)
    )


@pytest.mark.slow
def test_alpha_is_how_sure_the_search_must_be(found):
    objective = Objective("ndcg@50")
    report, name = found.confirmation, found.winner.name
    sure = objective.gain(report, name)
    assert sure.verdict == "helps" and 0 < sure.p_value < 0.05
    surer = objective.gain(report, name, alpha=sure.p_value / 2)
    assert surer.verdict == "can't tell" and surer.p_value == sure.p_value


@pytest.mark.slow
def test_a_candidate_that_cannot_be_trained_is_dropped(shop, tmp_path):
    result = run(shop, _Picky, folder=tmp_path, **FEW)
    failed = [t for t in result.trials if t.state == "failed"]
    assert failed and len(failed) < 3
    assert all("too many ids are gone (arm " in t.error and not t.values for t in failed)
    assert rate(result.winner) <= 0.4
    assert result.spent <= result.budget


class _Picky(Mixed):
    def fit(self, *args, **options):
        history = super().fit(*args, **options)
        if float(self.share) > 0.4:
            raise DataError("too many ids are gone")
        return history


def test_where_none_can_be_trained_the_search_stops(shop):
    class Broken(Mixed):
        def fit(self, *args, **options):
            super().fit(*args, **options)
            if float(self.share) > 0.01:
                raise DataError("broken")

    with pytest.raises(DataError, match="No candidate can be trained. The first: broken"):
        run(shop, Broken, Space(POLICY, {f"{ID}.rate": Float(0.2, 0.6)}), **FEW)


def test_splits_with_test_rows_are_refused(shop):
    with pytest.raises(InvalidArgumentError, match="must return development splits"):
        run(shop, split=lambda seed: split(shop, seed=seed))
    with pytest.raises(InvalidArgumentError, match="`split` must return a Split. Received: Inter"):
        run(shop, split=lambda seed: shop)


def test_without_optuna_the_message_says_what_to_install(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(AugmentError, match="pip install 'tfrs-augment\\[search\\]'"):
        run(shop)


def test_no_test_row_of_the_whole_split_is_in_a_development_split(shop):
    whole = split(shop, cold_share=0.1, seed=0)

    def keys(part):
        names = ("user_id", "item_id", "timestamp")
        return set(zip(*(part.rows[name].tolist() for name in names), strict=True))

    one = models.development(shop)(0)
    held = keys(whole.test) - keys(whole.train) - keys(whole.validation)
    for part in (one.train, one.validation, one.test, one.seen):
        assert not held & keys(part)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "policy.json"}, "must be a Space or an AugmentationPolicy"),
        ({"seeds": ()}, "`seeds` must be distinct integers, at least one"),
        ({"seeds": (1, 1)}, "`seeds` must be distinct"),
        ({"confirm_seeds": (0, 5)}, "none of `seeds`. Received: confirm_seeds=(0, 5)"),
        ({"confirm_seeds": ()}, "`confirm_seeds` must be distinct integers, at least two"),
        ({"confirm_seeds": (5,)}, "`confirm_seeds` must be distinct integers, at least two"),
        ({"overwrite": 1}, "`overwrite` must be True or False"),
        ({"arm": Arm(POLICY)}, "`arm` must have no `policy`"),
        ({"arm": POLICY}, "`arm` must be of the class Arm"),
        ({"schedule": 9}, "`schedule` must be of the class Schedule"),
        ({"seeds": ("1",)}, "`seeds` must be distinct integers"),
        ({"alpha": 0}, "`alpha` must be in (0, 1)"),
        ({"seed": -1}, "`seed` must be an integer in [0, 2**32)"),
        ({"baseline": Arm(POLICY)}, "`baseline` must have no `policy`"),
        ({"schedule": Schedule(rungs=4)}, "more epochs than the one before"),
        ({"protocol": Protocol(label="rating", predict=max)}, "must be of a retrieval model"),
    ],
)
def test_arguments_are_checked(shop, options, message):
    with pytest.raises(InvalidArgumentError) as raised:
        run(shop, **options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mrr@10",), "`metric` must be ndcg@K or recall@K"),
        (("ndcg@0",), "`metric` must be"),
        (("ndcg@10", {}), "`weights` must be a dict"),
        (("ndcg@10", {"cool": 1}), "Did you mean 'cold'"),
        (("ndcg@10", {"cold": 0}), "must be above 0"),
        (("ndcg@10", {"cold": "1"}), "must be above 0"),
    ],
)
def test_objectives_are_checked(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Objective(*arguments)


@pytest.mark.slow
def test_a_folder_resumes_and_refuses_another_search(shop, tmp_path, found):
    calls = []

    class Interrupted(Mixed):
        def __init__(self, train):
            calls.append(1)
            if len(calls) == 9:
                raise KeyboardInterrupt
            super().__init__(train)

    class Finished(Mixed):
        def __init__(self, train):
            calls.append(1)
            super().__init__(train)

    Finished.__qualname__ = Interrupted.__qualname__
    with pytest.raises(KeyboardInterrupt):
        run(shop, Interrupted, folder=tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 8
    calls.clear()
    result = run(shop, Finished, folder=tmp_path)
    trainings = 2 * (5 + 3) + 2 * 3
    assert len(calls) == trainings - 8
    assert outcome(result) == outcome(found)
    calls.clear()
    again = run(shop, Finished, folder=tmp_path)
    assert calls == [] and again.to_dict() == result.to_dict()
    _check_study(tmp_path, found)
    with pytest.raises(InvalidArgumentError, match="holds another search, of other seed"):
        run(shop, Finished, folder=tmp_path, seed=1)
    with pytest.raises(InvalidArgumentError, match="holds another search, of other protocol"):
        run(shop, Finished, folder=tmp_path, protocol=dataclasses.replace(PROTOCOL, batch_size=9))
    with pytest.raises(InvalidArgumentError, match="holds another search, of other build_model"):
        run(shop, Harmed, folder=tmp_path)
    changed = dataclasses.replace(SPACE, parameters={f"{ID}.rate": Float(0.0, 0.5)})
    with pytest.raises(InvalidArgumentError, match="holds another search, of other space"):
        run(shop, Finished, space=changed, folder=tmp_path)


def _study(folder) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="search", storage=storage)


def _check_study(folder, found):
    """The study is one that Optuna reads."""
    study = _study(folder)
    winner = next(t for t in found.trials if t.state == "winner")
    assert study.best_trial.user_attrs["number"] == winner.candidate.number
    assert study.best_trial.intermediate_values == pytest.approx(winner.values)
    states = sorted(t.state.name for t in study.trials)
    assert states == ["COMPLETE"] * 2 + ["PRUNED"] * 2


def test_a_study_file_that_is_none_is_said(shop, tmp_path):
    (tmp_path / "study.journal").write_text("no journal\n")
    with pytest.raises(DataError, match="study.journal' cannot be read"):
        run(shop, folder=tmp_path)


def test_a_study_of_other_settings_is_dropped_where_that_is_asked_for(tmp_path):
    trial = Trial(draw(SPACE, 1, seed=0)[0], {2: 0.5}, "done")
    StudyFile(tmp_path, SPACE, {"seed": 0}).add(trial)
    with pytest.raises(
        InvalidArgumentError, match=r"of other seed. Pass overwrite \(--overwrite\)"
    ):
        StudyFile(tmp_path, SPACE, {"seed": 1})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one.npz").write_bytes(b"finished")
    # Of the same settings it goes on.
    StudyFile(tmp_path, SPACE, {"seed": 0}, overwrite=True)
    assert len(_study(tmp_path).trials) == 1
    StudyFile(tmp_path, SPACE, {"seed": 1}, overwrite=True)
    assert json.loads(_study(tmp_path).user_attrs["settings"]) == {"seed": 1}
    assert _study(tmp_path).trials == []
    assert (tmp_path / "runs" / "one.npz").read_bytes() == b"finished"
    StudyFile(tmp_path, SPACE, {"seed": 1}).add(trial)
    assert len(_study(tmp_path).trials) == 1


def test_the_budget_is_said_in_words(shop):
    rungs = SCHEDULE.plan(4)
    assert "each with 1 seed and beside" in _announce(rungs, 1, 2, 10)
    assert "with 2 other seeds, judged" in _announce(rungs, 1, 2, 10)
    assert "each with 2 seeds and beside" in _announce(rungs, 2, 2, 10)


PROGRAM = """
import os, pickle, signal, sys
from tests.search import models, test_search
shop = pickle.load(open(sys.argv[3], "rb"))
left = int(sys.argv[2])
init = models.Mixed.__init__
def counted(self, *args, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    init(self, *args, **options)
models.Mixed.__init__ = counted
test_search.run(shop, folder=sys.argv[1])
"""


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on(shop, tmp_path, found):
    data = tmp_path / "shop.pickle"
    data.write_bytes(pickle.dumps(shop))

    def start(trainings: int) -> int:
        paths = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(trainings), str(data)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            check=False,
        ).returncode

    assert start(14) == -signal.SIGKILL
    assert len(list((tmp_path / "runs").glob("*.npz"))) == 14
    # 22 in all: the first 14 are not trained again.
    assert start(8) == 0
    _check_study(tmp_path, found)
