"""Successive halving: many policies are trained a little, the best of them longer, one is confirmed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tf_keras
import tqdm

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation import Arm, Protocol, Report, Split, compare
from tfrs_augment.evaluation.comparing.arms import name_of
from tfrs_augment.evaluation.measuring.slices import Slices
from tfrs_augment.evaluation.statistics.verdicts import ALPHA, HELPS
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.search.objective import Objective, halves
from tfrs_augment.search.result import BASELINE, SearchResult, Trial
from tfrs_augment.search.schedule import Rung, Schedule
from tfrs_augment.search.space import Candidate, Space
from tfrs_augment.search.study import StudyFile, draw

_CONFIRM = 5


def search(
    build_model: Callable[..., tf_keras.Model],
    space: Space | AugmentationPolicy,
    *,
    split: Callable[[int], Split],
    seeds: Iterable[int] = range(2),
    confirm_seeds: Iterable[int] | None = None,
    schedule: Schedule | None = None,
    objective: Objective | None = None,
    protocol: Protocol | None = None,
    arm: Arm | None = None,
    baseline: Arm | None = None,
    alpha: float = ALPHA,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    overwrite: bool = False,
    processes: int = 1,
    progress: bool = True,
) -> SearchResult:
    """Finds a policy by successive halving at equal budget, or says that none helps.

    Candidates are drawn from the space, the base policy among them. At each rung all that are left, and the
    baseline, are trained for the same number of epochs with the same seeds by `evaluation.compare`, from the
    start, and the best go on to the next rung. The one that is best at the last rung is trained once more
    beside the baseline, with other seeds. Half of the users, drawn by `seed`, have a say in the rungs, the
    others in the confirmation: the rows, weights and pseudo-cold items that chose a policy do not judge it.
    Unless that gain is called helpful, the answer is to train without augmentation.

    No test row takes part: every split must come from `evaluation.development_split` or
    `evaluation.development_histories`.

    Args:
      build_model: as of `evaluation.compare`.
      space: what may vary; a policy stands for `Space.of(policy)`.
      split: `seed -> Split`, of what the test leaves: `lambda seed: development_split(whole, seed=seed)`.
      seeds: of the rungs' splits, weights and batches; distinct integers.
      confirm_seeds: of the confirmation, at least two, none of them in `seeds`: with one nothing could be
        told, with two only a gain that is large beside what seeds do. Default: five, from the highest of
        `seeds` on.
      schedule: how many candidates and rungs. Default: `Schedule()`.
      objective: what is maximized. Default: `Objective()`.
      protocol: how arms are trained; its `epochs` are those of the last rung. Default: `Protocol()`.
      arm: what the arms of all candidates share beside policy and copies, such as `tasks`. Default: nothing.
      baseline: the arm without augmentation. Default: `Arm()`.
      alpha: the level at which the gain must be called helpful, in (0, 1): the chance that a policy without
        effect is. Default: 0.05.
      seed: of the drawing of candidates.
      folder: where the study is kept: `study.journal`, which Optuna reads, and `runs/`, finished trainings. A
        search that was interrupted goes on from there. Default: nothing is kept.
      overwrite: whether a study of other settings in `folder` is dropped, rather than refused; finished
        trainings are kept, for those that are asked for again. Default: False.
      processes: trainings at a time, as of `evaluation.compare`. Default: 1.
      progress: whether to say the budget and show progress bars, on stderr.

    Returns:
      The result. Equal arguments give equal results, as far as trainings do.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or a split is no development split.
      AugmentError: Optuna is not installed.
      DataError: the baseline cannot be trained, or no candidate can. A candidate that cannot is dropped.

    Example:
      >>> whole = split(data, seed=0)  # doctest: +SKIP
      >>> found = search(TwoTower, policy, split=lambda seed: development_split(whole, seed=seed),
      ...                folder="study")  # doctest: +SKIP
      >>> print(found)  # doctest: +SKIP
    """
    space = Space.of(space) if isinstance(space, AugmentationPolicy) else space
    if not isinstance(space, Space):
        raise InvalidArgumentError(
            f"`space` must be a Space or an AugmentationPolicy. Received: {space!r}."
        )
    seeds, confirm = _seeds(seeds, confirm_seeds)
    schedule, objective = schedule or Schedule(), objective or Objective()
    protocol, arm, baseline = protocol or Protocol(), arm or Arm(), baseline or Arm()
    for name, value, kind in (
        ("schedule", schedule, Schedule),
        ("objective", objective, Objective),
        ("protocol", protocol, Protocol),
        ("arm", arm, Arm),
        ("baseline", baseline, Arm),
    ):
        if not isinstance(value, kind):
            raise InvalidArgumentError(
                f"`{name}` must be of the class {kind.__name__}. Received: {name}={value!r}."
            )
    _check(protocol, arm, baseline, alpha, seed)
    if not isinstance(overwrite, bool):
        raise InvalidArgumentError(
            f"`overwrite` must be True or False. Received: overwrite={overwrite!r}."
        )
    rungs = schedule.plan(protocol.epochs)
    budget = schedule.budget(epochs=protocol.epochs, seeds=len(seeds), confirm_seeds=len(confirm))
    candidates = draw(space, schedule.candidates, seed)
    splits = _Splits(split)
    made = [splits(number) for number in (*seeds, *confirm)]
    users = max(len(one.train.users[one.train.user_id]) for one in made)
    choosing, judging = halves(users, seed)
    for one in made:
        slices = Slices.of(one)
        objective.check(slices, choosing)
        objective.check(slices, judging)
    settings = {
        "space": space.get_config(),
        "schedule": dataclasses.asdict(schedule),
        "objective": objective.get_config(),
        "objective_text": str(objective),
        "build_model": name_of(build_model),
        "protocol": protocol.describe(),
        "seeds": list(seeds),
        "confirm_seeds": list(confirm),
        "alpha": alpha,
        "seed": seed,
        "split": made[0].name,
        "rows": made[0].fingerprint(),
        "arm": arm.describe(),
        "baseline": baseline.describe(),
    }
    if progress:
        _say(_announce(rungs, len(seeds), len(confirm), budget))
    with contextlib.ExitStack() as stack:
        if folder is None:
            place = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            place = pathlib.Path(folder)
            place.mkdir(parents=True, exist_ok=True)
        study = StudyFile(None if folder is None else place, space, settings, overwrite=overwrite)
        options = {"cache_dir": place / "runs", "progress": progress, "processes": processes}
        trainer = _Trainer(build_model, splits, protocol, arm, baseline, options)
        values = functools.partial(objective.values, users=choosing)
        halving = _Halving(trainer, rungs, seeds, values, study.add, progress)
        winner = halving.run(candidates)
        if progress:
            _say(f"confirmation: {winner.name}, {winner.describe()}")
        confirmation = trainer.compare([winner], protocol.epochs, confirm)
    gain = objective.gain(confirmation, winner.name, users=judging, alpha=alpha)
    helps = gain.verdict == HELPS
    return SearchResult(
        policy=winner.policy if helps else None,
        copies=winner.copies if helps else 1,
        winner=winner,
        gain=gain,
        trials=tuple(halving.trials[one.number] for one in candidates),
        baseline=halving.baseline,
        rungs=rungs,
        confirmation=confirmation,
        budget=budget,
        spent=trainer.spent,
        space=space,
        settings=settings,
    )


class _Splits:
    """The development splits, each made once."""

    def __init__(self, make: Callable[[int], Split]):
        self._make = make
        self._made: dict[int, Split] = {}

    def __call__(self, seed: int) -> Split:
        if seed not in self._made:
            one = self._make(seed)
            if not isinstance(one, Split):
                raise InvalidArgumentError(
                    f"`split` must return a Split. Received: {type(one).__name__} (seed {seed})."
                )
            if not one.development:
                raise InvalidArgumentError(
                    "`split` must return development splits, so that no test row chooses the policy. "
                    f"Received: '{one.name}' (seed {seed}). Pass split=lambda seed: "
                    "evaluation.development_split(whole, seed=seed), or development_histories."
                )
            self._made[seed] = one
        return self._made[seed]


@dataclasses.dataclass
class _Trainer:
    """Trains candidates beside the baseline, and counts the epochs."""

    build_model: Callable[..., tf_keras.Model]
    split: _Splits
    protocol: Protocol
    arm: Arm
    baseline: Arm
    options: Mapping[str, Any]
    spent: int = 0

    def compare(
        self, candidates: list[Candidate], epochs: int, seeds: tuple[int, ...], count: bool = True
    ) -> Report:
        """Returns the comparison of candidates with the baseline."""
        arms = {BASELINE: self.baseline}
        for one in candidates:
            arms[one.name] = dataclasses.replace(self.arm, policy=one.policy, copies=one.copies)
        report = compare(
            self.build_model,
            arms,
            split=self.split,
            seeds=seeds,
            protocol=dataclasses.replace(self.protocol, epochs=epochs),
            **self.options,
        )
        if count:
            self.spent += sum(len(run.loss) for run in report.runs.values())
        return report

    def values(
        self,
        candidates: list[Candidate],
        epochs: int,
        seeds: tuple[int, ...],
        objective: Callable[[Report], dict[str, float]],
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Returns the objective of each arm, and why some have none."""
        try:
            return objective(self.compare(candidates, epochs, seeds)), {}
        except DataError:
            # One of them, perhaps: each by itself; finished trainings are kept and count once.
            values, errors = {}, {}
            alone = self.compare([], epochs, seeds)
            values.update(objective(alone))
            for one in candidates:
                try:
                    report = self.compare([one], epochs, seeds, count=False)
                except DataError as error:
                    errors[one.name] = str(error)
                    continue
                values[one.name] = objective(report)[one.name]
                runs = report.runs.items()
                self.spent += sum(len(run.loss) for (arm, _), run in runs if arm == one.name)
            return values, errors


@dataclasses.dataclass
class _Halving:
    """The rungs of a search, and what became of its candidates."""

    trainer: _Trainer
    rungs: Sequence[Rung]
    seeds: tuple[int, ...]
    objective: Callable[[Report], dict[str, float]]
    record: Callable[[Trial], None]
    progress: bool
    baseline: dict[int, float] = dataclasses.field(default_factory=dict)
    trials: dict[int, Trial] = dataclasses.field(default_factory=dict)

    def run(self, candidates: list[Candidate]) -> Candidate:
        """Runs all rungs; returns the winner."""
        left = list(candidates)
        values: dict[int, dict[int, float]] = {one.number: {} for one in candidates}
        for number, rung in enumerate(self.rungs):
            if self.progress:
                _say(
                    f"rung {number + 1} of {len(self.rungs)}: {len(left)} "
                    f"candidate{'s' if len(left) > 1 else ''}, {rung.epochs} epochs"
                )
            found, errors = self.trainer.values(left, rung.epochs, self.seeds, self.objective)
            self.baseline[rung.epochs] = found[BASELINE]
            for one in left:
                if one.name in errors:
                    self._decide(one, values, "failed", errors[one.name])
                else:
                    values[one.number][rung.epochs] = found[one.name]
            left = [one for one in left if one.name not in errors]
            if not left:
                raise DataError(
                    f"No candidate can be trained. The first: {next(iter(errors.values()))}"
                )
            # Of equal ones the earlier: the base policy is the first.
            left.sort(key=lambda one: (-values[one.number][rung.epochs], one.number))
            if number + 1 < len(self.rungs):
                kept = self.rungs[number + 1].candidates
                for one in left[kept:]:
                    self._decide(one, values, "dropped")
                left = left[:kept]
        winner, *others = left
        self._decide(winner, values, "winner")
        for one in others:
            self._decide(one, values, "done")
        return winner

    def _decide(self, one: Candidate, values, state: str, error: str = "") -> None:
        self.trials[one.number] = Trial(one, values[one.number], state, error)
        self.record(self.trials[one.number])


def _seeds(seeds: Iterable[int], confirm: Iterable[int] | None) -> tuple[tuple[int, ...], ...]:
    seeds = tuple(seeds)
    whole = all(isinstance(number, int) for number in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise InvalidArgumentError(
            f"`seeds` must be distinct integers, at least one. Received: seeds={seeds}."
        )
    after = max(seeds) + 1
    confirm = tuple(range(after, after + _CONFIRM) if confirm is None else confirm)
    whole = all(isinstance(number, int) for number in confirm)
    if len(confirm) < 2 or not whole or len({*confirm, *seeds}) < len(confirm) + len(seeds):
        raise InvalidArgumentError(
            "`confirm_seeds` must be distinct integers, at least two, and none of `seeds`. Received: "
            f"confirm_seeds={confirm}, seeds={seeds}. With one seed no gain can be told from chance."
        )
    return seeds, confirm


def _check(protocol: Protocol, arm: Arm, baseline: Arm, alpha: float, seed: int) -> None:
    if not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise InvalidArgumentError(f"`alpha` must be in (0, 1). Received: alpha={alpha!r}.")
    if protocol.label is not None:
        raise InvalidArgumentError(
            "`protocol` of a search must be of a retrieval model: what is made better is a ranking of items. "
            f"Received: label={protocol.label!r}. Compare ranking models by evaluation.compare."
        )
    if arm.policy is not None or arm.copies != 1 or arm.share or arm.scorer:
        raise InvalidArgumentError(
            "`arm` must have no `policy`, `copies`, `share` or `scorer`: the search sets the first two, and "
            f"trains. Received: {arm!r}."
        )
    if baseline.policy is not None or baseline.share:
        raise InvalidArgumentError(
            f"`baseline` must have no `policy` and no `share`. Received: {baseline!r}."
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 32:
        raise InvalidArgumentError(
            f"`seed` must be an integer in [0, 2**32). Received: seed={seed!r}."
        )


def _announce(rungs, seeds: int, confirm: int, budget: int) -> str:
    steps = ", ".join(f"{r.candidates} for {r.epochs} epochs" for r in rungs)
    return (
        f"search: {steps}, each with {seeds} seed{'s' if seeds > 1 else ''} and beside the baseline; then "
        f"the best and the baseline with {confirm} other seeds, judged by other users; {budget:,} epochs at "
        "most"
    )


def _say(text: str) -> None:
    """Writes a line on stderr, above the progress bar."""
    tqdm.tqdm.write(text, file=sys.stderr)
