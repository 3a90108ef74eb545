"""Trains the arms of a comparison under one protocol and measures them against a baseline."""

from __future__ import annotations

import numbers
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence

import tqdm

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import Arm, BuildModel, Policy, as_arms, groups
from tfrs_augment.evaluation.comparing.parallel import Job, run_jobs
from tfrs_augment.evaluation.comparing.run_cache import RunCache
from tfrs_augment.evaluation.comparing.seed_runs import Listener, SeedRuns, Study
from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import Slices
from tfrs_augment.evaluation.reporting.report import Report
from tfrs_augment.evaluation.reporting.versions import versions
from tfrs_augment.evaluation.splitting.splits import Split, split_of

__all__ = ["Arm", "compare"]


def compare(
    build_model: BuildModel,
    arms: Mapping[str, Arm | Policy | None],
    train: Interactions | None = None,
    test: Interactions | None = None,
    *,
    seeds: Iterable[int] = range(5),
    split: Callable[[int], Split] | None = None,
    baseline: str | None = None,
    protocol: Protocol | None = None,
    cache_dir: str | os.PathLike | None = None,
    progress: bool = True,
    name: str | None = None,
    segments: Sequence[str] = (),
    processes: int = 1,
) -> Report:
    """Trains every arm with every seed and reports quality on all, warm, head, tail and cold items.

    All arms of a seed get the same split, the same initial weights (as far as `build_model` makes
    the same variables), batches, number of steps, optimizer and early stopping. A test row counts
    by the rank of its item in the full catalogue, items that its user has seen left out. Intervals
    are of a paired bootstrap; see `evaluation.statistics.bootstrap`, and `evaluation.measuring.slices` for
    the slices. Ranking models are compared by what they predict, with a `label` in the protocol.

    Args:
      build_model: called as `build_model(train_rows, **arm.model_options)`, returns a
        `tfrs.Model`. It is compiled here with the protocol's optimizer, whatever it came with.
        Vocabularies must come from the rows it is given, never from the catalogue. None where no arm trains.
      arms: by name: an `Arm`; a policy, for an arm with it; None, for training as it is.
      train: the training rows; the last tenth of each user's validates. Items without a row here
        are cold.
      test: the test rows, with the same catalogue.
      seeds: of initial weights, batches and `split`; distinct integers.
      split: `seed -> Split`, in place of `train` and `test`, so that each seed draws its own cold
        items: `lambda seed: splits.split(data, seed=seed)`; or `folds(data, 5)`, with `seeds=range(5)`.
      baseline: the arm that the others are paired with. Default: the first.
      protocol: how every arm is trained. Default: `Protocol()`.
      cache_dir: a folder that holds a file of results for each arm and seed. What is there is not
        trained again, so an interrupted comparison resumes. The key is made of the rows, the arm,
        the protocol and the name of `build_model`; after changing code, take another folder.
      progress: whether to show a progress bar on stderr.
      name: what was compared, for the report. Default: the name of the split.
      segments: features of users or of rows, such as "device", whose values are slices of their own.
      processes: how many arms and seeds to train side by side, each in a process with its share of the
        cores; arms that take something of one another stay together. What the processes are given must be
        what cloudpickle takes, which is all but open files, locks and the like. Default: 1, in this process.

    Returns:
      The report.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a segment is no column.
      DataError: a split leaves a part without rows, or a model diverges. The arm and the seed are in the
        message, as in that of each of these errors that comes up in a training.
      OutputError: `cache_dir` can't be made, or is a file.
      ProcessError: with `processes` above 1, one of them was killed; the rest are stopped, and what was
        finished stays in `cache_dir`.

    Example:
      >>> report = compare(TwoTower, {"baseline": None, "augmented": policy},
      ...                  split=lambda seed: split(data, seed=seed))  # doctest: +SKIP
      >>> print(report.table())  # doctest: +SKIP
    """
    if not isinstance(seeds, Iterable):
        raise InvalidArgumentError(
            f"`seeds` must be a list of integers, such as range(5). Received: seeds={seeds!r}."
        )
    seeds = tuple(seeds)
    if not all(isinstance(seed, numbers.Integral) and seed >= 0 for seed in seeds):
        raise InvalidArgumentError(
            f"`seeds` must be integers of 0 or more. Received: seeds={seeds}."
        )
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InvalidArgumentError(
            f"`seeds` must be distinct and at least one. Received: seeds={seeds}."
        )
    if (split is None) == (train is None or test is None):
        raise InvalidArgumentError(
            "`compare` takes either both `train` and `test`, or `split`. Received: "
            f"train={type(train).__name__}, test={type(test).__name__}, "
            f"split={type(split).__name__}."
        )
    if split is not None and not callable(split):
        raise InvalidArgumentError(
            f"`split` must be a function from a seed to a Split. Received: {type(split).__name__}."
        )
    if isinstance(segments, str):
        raise InvalidArgumentError(
            f"`segments` must be a list of names. Received: segments={segments!r}. Write [{segments!r}]."
        )
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise InvalidArgumentError(
            f"`processes` must be an integer of at least 1. Received: processes={processes!r}."
        )
    arms, baseline = as_arms(arms, baseline)
    if not callable(build_model) and any(arm.trains for arm in arms.values()):
        raise InvalidArgumentError(
            "`build_model` must be a function of the training rows that returns a tfrs.Model. Received: "
            f"{build_model!r}."
        )
    protocol = Protocol() if protocol is None else protocol
    _check_label(arms, protocol)
    if split is None:
        fixed = split_of(train, test)
        split = lambda seed: fixed  # noqa: E731
    study = Study(build_model, arms, protocol)
    work = _in_process if processes == 1 else _in_processes
    with tqdm.tqdm(
        total=len(arms) * len(seeds), unit="run", disable=not progress, dynamic_ncols=True
    ) as bar:
        parts = _Parts(split, tuple(segments), protocol.label)
        runs = work(study, seeds, parts, cache_dir, processes, _Progress(bar))
    settings = {"arms": {arm: value.describe() for arm, value in arms.items()}}
    settings["protocol"] = protocol.describe()
    settings["split"] = re.sub(r", (seed|fold) \d+$", "", parts.name)
    settings["policies"] = {
        arm: value.policy.get_config() for arm, value in arms.items() if value.policy is not None
    }
    settings["versions"] = versions()
    return Report(
        name=name or parts.data_name,
        baseline=baseline,
        seeds=seeds,
        runs={(arm, seed): runs[arm, seed] for arm in arms for seed in seeds},
        slices=parts.slices,
        settings=settings,
    )


class _Parts:
    """The splits of the seeds, made one at a time, and what the report keeps of each."""

    def __init__(self, split: Callable[[int], Split], segments: tuple[str, ...], label: str | None):
        self.split, self._options = split, {"segments": segments, "label": label}
        self.slices: dict[int, Slices] = {}
        self.data_name = self.name = ""

    def of(self, seed: int) -> Split:
        one = self.split(seed)
        self.slices[seed] = Slices.of(one, **self._options)
        self.data_name = self.data_name or one.train.name
        self.name = one.name
        return one


class _Progress(Listener):
    """A progress bar."""

    def __init__(self, bar: tqdm.tqdm):
        self._bar = bar

    def found(self, arms: int) -> None:
        self._bar.update(arms)

    def started(self, seed: int, arm: str) -> None:
        self._bar.set_description(f"seed {seed}, {arm}")

    def validated(self, epoch: int, metric: float) -> None:
        self._bar.set_postfix_str(f"epoch {epoch}, validation {metric:.4f}")

    def finished(self, seed: int, arm: str) -> None:
        self._bar.set_description(f"seed {seed}, {arm}")
        self._bar.update()


def _in_process(study, seeds, parts, cache_dir, processes, listener) -> dict[tuple[str, int], Run]:
    """Returns the runs by arm and seed, trained one after the other."""
    cache, runs = RunCache(cache_dir), {}
    for seed in seeds:
        one = parts.of(seed)
        made = SeedRuns(study, seed, one, study.keys(seed, one), cache, listener).run(study.arms)
        runs.update({(arm, seed): run for arm, run in made.items()})
    return runs


def _in_processes(
    study, seeds, parts, cache_dir, processes, listener
) -> dict[tuple[str, int], Run]:
    """Returns the runs by arm and seed, trained side by side."""
    with tempfile.TemporaryDirectory(prefix="tfrs_augment_") as scratch:
        folder = scratch if cache_dir is None else cache_dir
        cache, runs, jobs, keys = RunCache(folder), {}, [], {}
        for seed in seeds:
            keys[seed] = study.keys(seed, parts.of(seed))
            found = {arm: cache.load(arm, seed, key) for arm, key in keys[seed].items()}
            runs.update({(arm, seed): run for arm, run in found.items() if run is not None})
            listener.found(sum(run is not None for run in found.values()))
            for group in groups(study.arms):
                if any(found[arm] is None for arm in group):
                    jobs.append(Job(seed, tuple(group), keys[seed]))
        run_jobs(jobs, study, parts.split, folder, processes, listener)
        for job in jobs:
            runs.update({(a, job.seed): cache.load(a, job.seed, job.keys[a]) for a in job.arms})
    return runs


def _check_label(arms: Mapping[str, Arm], protocol: Protocol) -> None:
    scorers = [name for name, arm in arms.items() if arm.scorer is not None]
    if protocol.label is not None and scorers:
        raise InvalidArgumentError(
            "An arm with `scorer` ranks items; with a `label` in the protocol arms must predict. Received: "
            f"{scorers}."
        )
