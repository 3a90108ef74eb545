"""Trains the arms of a comparison under one protocol and measures them against a baseline."""

from __future__ import annotations

import dataclasses
import functools
import gc
import hashlib
import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_recommenders as tfrs
import tf_keras
import tqdm

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.metrics import Ranks
from tfrs_augment.evaluation.report import Report, Run
from tfrs_augment.evaluation.slices import CORPORA, Scorer, Slices, rank_test_rows, rank_test_scores
from tfrs_augment.evaluation.splits import Split, split_of
from tfrs_augment.evaluation.training import Embedder, Protocol
from tfrs_augment.evaluation.training import train as train_model
from tfrs_augment.evaluation.versions import versions
from tfrs_augment.fitting import fit
from tfrs_augment.layers import wrap
from tfrs_augment.policy import AugmentationPolicy

BuildModel = Callable[..., tf_keras.Model]

# Raised with every change that lets the same arm train or score otherwise.
_CACHE_VERSION = 3


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of training that is compared with others.

    Args:
      policy: augments the training batches inside the model (`aug.wrap`). A policy that needs
        fitted statistics gets those of the training rows. Default: no augmentation.
      copies: how often each training row stands in the shuffled list that batches are cut from;
        the number of steps stays that of one copy. Default: 1.
      rows: called with the split and the seed, returns the rows to learn in place of `split.train`, of the
        same catalogue and users: real rows and synthesized ones, say (`evaluation.with_synthetic`).
        Model, policy, losses and `after_fit` are given these. Its name tells arms apart in the cache.
      model_options: keyword arguments for `build_model` beside the training rows.
      after_fit: called with the trained model and the training rows, changes the model in place; and for
        each validation, after which the weights are put back.
      tasks: called with the training rows, returns the losses that are added to the model's own
        (`aug.wrap(..., tasks=)`). Its name, not its code, tells arms apart in the cache. Default:
        no loss is added.
      share: name of an arm whose trained weights this one takes in place of training itself.
      scorer: called with the split in place of training a model, returns a function of the numbers
        of test rows, int `[n]`, to scores float `[n, items]`: a reference to hold the models
        against, such as `evaluation.references.popularity`.

    Raises:
      InvalidArgumentError: `copies` is below 1, or an arm that trains nothing has settings of a
        training.
    """

    policy: AugmentationPolicy | None = None
    _: dataclasses.KW_ONLY
    copies: int = 1
    rows: Callable[[Split, int], Interactions] | None = None
    model_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    after_fit: Callable[[tf_keras.Model, Interactions], None] | None = None
    tasks: Callable[[Interactions], Sequence[tfrs.tasks.Task]] | None = None
    share: str | None = None
    scorer: Callable[[Split], Scorer] | None = None

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise InvalidArgumentError(
                f"`copies` must be at least 1. Received: copies={self.copies}."
            )
        trains = self.policy or self.copies != 1 or self.rows or self.model_options or self.tasks
        if self.share is not None and trains:
            raise InvalidArgumentError(
                "An arm with `share` takes another arm's training as it is. Received: "
                f"share={self.share!r} beside `policy`, `copies`, `rows`, `model_options` or `tasks`."
            )
        if self.scorer is not None and (trains or self.share or self.after_fit):
            raise InvalidArgumentError(
                "An arm with `scorer` trains no model. Received: `scorer` beside another option."
            )

    def describe(self) -> dict[str, Any]:
        """Returns the arm as JSON values, the same for equal arms."""
        described = {
            "policy": None if self.policy is None else self.policy.fingerprint,
            "copies": self.copies,
            "model_options": {name: repr(v) for name, v in sorted(self.model_options.items())},
            "after_fit": None if self.after_fit is None else _name_of(self.after_fit),
            "share": self.share,
        }
        for name in ("tasks", "scorer", "rows"):  # Without them results of before stay valid.
            if getattr(self, name) is not None:
                described[name] = _name_of(getattr(self, name))
        return described


def compare(
    build_model: BuildModel,
    arms: Mapping[str, Arm | AugmentationPolicy | None],
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
) -> Report:
    """Trains every arm with every seed and reports quality on all, warm, head, tail and cold items.

    All arms of a seed get the same split, the same initial weights (as far as `build_model` makes
    the same variables), batches, number of steps, optimizer and early stopping. A test row counts
    by the rank of its item in the full catalogue, items that its user has seen left out. Intervals
    are of a paired bootstrap; see `evaluation.bootstrap`, and `evaluation.slices` for the slices.

    Args:
      build_model: called as `build_model(train_rows, **arm.model_options)`, returns a
        `tfrs.Model`. It is compiled here with the protocol's optimizer, whatever it came with.
        Vocabularies must come from the rows it is given, never from the catalogue.
      arms: by name: an `Arm`; a policy, for an arm with it; None, for training as it is.
      train: the training rows; the last tenth of each user's validates. Items without a row here
        are cold.
      test: the test rows, with the same catalogue.
      seeds: of initial weights, batches and `split`; distinct integers.
      split: `seed -> Split`, in place of `train` and `test`, so that each seed draws its own cold
        items: `lambda seed: splits.split(data, seed=seed)`.
      baseline: the arm that the others are paired with. Default: the first.
      protocol: how every arm is trained. Default: `Protocol()`.
      cache_dir: a folder that holds a file of results for each arm and seed. What is there is not
        trained again, so an interrupted comparison resumes. The key is made of the rows, the arm,
        the protocol and the name of `build_model`; after changing code, take another folder.
      progress: whether to show a progress bar on stderr.
      name: what was compared, for the report. Default: the name of the split.

    Returns:
      The report.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: a split leaves a part without rows, or a model diverges.

    Example:
      >>> report = compare(TwoTower, {"baseline": None, "augmented": policy},
      ...                  split=lambda seed: split(data, seed=seed))  # doctest: +SKIP
      >>> print(report.table())  # doctest: +SKIP
    """
    seeds = tuple(seeds)
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
    arms = {arm: _as_arm(arm, value) for arm, value in arms.items()}
    baseline = next(iter(arms), None) if baseline is None else baseline
    _check_arms(arms, baseline)
    protocol = Protocol() if protocol is None else protocol
    if split is None:
        fixed = split_of(train, test)
        split = lambda seed: fixed  # noqa: E731
    cache = _Cache(cache_dir)
    runs: dict[tuple[str, int], Run] = {}
    slices: dict[int, Slices] = {}
    with tqdm.tqdm(
        total=len(arms) * len(seeds), unit="run", disable=not progress, dynamic_ncols=True
    ) as bar:
        for seed in seeds:
            one = split(seed)
            slices[seed] = Slices.of(one)
            name = name or one.train.name
            work = _Seed(seed, one, build_model, arms, protocol, cache, bar)
            runs.update({(arm, seed): run for arm, run in work.run().items()})
    settings = {"arms": {arm: value.describe() for arm, value in arms.items()}}
    settings["protocol"] = _describe_protocol(protocol)
    settings["split"] = re.sub(r", seed \d+$", "", one.name)
    settings["policies"] = {
        arm: value.policy.get_config() for arm, value in arms.items() if value.policy is not None
    }
    settings["versions"] = versions()
    ordered = {(arm, seed): runs[arm, seed] for arm in arms for seed in seeds}
    return Report(
        name=name,
        baseline=baseline,
        seeds=seeds,
        runs=ordered,
        slices=slices,
        settings=settings,
    )


@dataclasses.dataclass
class _Seed:
    """The trainings of one seed."""

    seed: int
    split: Split
    build_model: BuildModel
    arms: Mapping[str, Arm]
    protocol: Protocol
    cache: _Cache
    bar: tqdm.tqdm

    def run(self) -> dict[str, Run]:
        """Returns the run of every arm, from the cache or trained."""
        context = {
            "version": _CACHE_VERSION,
            "split": self.split.fingerprint(),
            "seed": self.seed,
            "build_model": _name_of(self.build_model),
            "protocol": _describe_protocol(self.protocol),
        }
        keys = {}
        for arm, options in self.arms.items():
            described = [options.describe()]
            if options.share is not None:
                described.append(self.arms[options.share].describe())
            text = json.dumps([context, described], sort_keys=True)
            keys[arm] = hashlib.sha256(text.encode()).hexdigest()[:16]
        found = {arm: self.cache.load(arm, self.seed, key) for arm, key in keys.items()}
        runs = {arm: run for arm, run in found.items() if run is not None}
        self.bar.update(len(runs))
        for arm, options in self.arms.items():
            if options.share is not None:
                continue
            followers = [name for name, other in self.arms.items() if other.share == arm]
            wanted = [name for name in (arm, *followers) if name not in runs]
            if wanted and options.scorer is not None:
                self._score(arm, runs, keys)
            elif wanted:
                self._train(arm, wanted, runs, keys)
        return runs

    def _score(self, arm: str, runs: dict[str, Run], keys: dict[str, str]):
        """Measures an arm that has no model."""
        self.bar.set_description(f"seed {self.seed}, {arm}")
        start = time.perf_counter()
        ranks = rank_test_scores(self.split, self.arms[arm].scorer(self.split))
        runs[arm] = Run(
            ranks, loss=(), validation=(), best_epoch=0, seconds=time.perf_counter() - start
        )
        self.cache.save(arm, self.seed, keys[arm], runs[arm])
        self.bar.update()

    def _train(self, arm: str, wanted: list[str], runs: dict[str, Run], keys: dict[str, str]):
        """Trains an arm and measures it and the arms that share its weights."""
        options = self.arms[arm]
        self.bar.set_description(f"seed {self.seed}, {arm}")
        start = time.perf_counter()
        rows = self.split.train
        if options.rows is not None:
            rows = options.rows(self.split, self.seed)
        tf_keras.utils.set_random_seed(self.seed)
        model = self.build_model(rows, **options.model_options)
        if options.policy is not None or options.tasks is not None:
            model = _wrap(model, options, rows)
        history = train_model(
            model,
            self.split,
            self.protocol,
            rows=rows,
            copies=options.copies,
            seed=self.seed,
            after_fit=options.after_fit and (lambda trained: options.after_fit(trained, rows)),
            on_epoch=lambda epoch, metric: self.bar.set_postfix_str(
                f"epoch {epoch}, validation {metric:.4f}"
            ),
        )
        embed = Embedder(self.split, self.split.test, self.protocol)
        weights = model.get_weights()
        for name in wanted:
            if self.arms[name].after_fit is not None:
                self.arms[name].after_fit(model, rows)
            runs[name] = Run(
                ranks=rank_test_rows(self.split, *embed(model)),
                loss=history.loss,
                validation=history.validation,
                best_epoch=history.best_epoch,
                seconds=time.perf_counter() - start,
            )
            model.set_weights(weights)
            self.cache.save(name, self.seed, keys[name], runs[name])
            self.bar.update()
        # Each training traces graphs of its own; without this they pile up over a comparison.
        del model, embed
        tf_keras.backend.clear_session()
        gc.collect()


class _Cache:
    """Runs as files, one an arm and seed, complete or absent."""

    def __init__(self, folder: str | os.PathLike | None):
        self._folder = None if folder is None else pathlib.Path(folder)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def _path(self, arm: str, seed: int, key: str) -> pathlib.Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', arm)}-{seed}-{key}.npz"

    def load(self, arm: str, seed: int, key: str) -> Run | None:
        if self._folder is None or not self._path(arm, seed, key).exists():
            return None
        with np.load(self._path(arm, seed, key)) as file:
            ranks = {name: Ranks(file[f"{name}/greater"], file[f"{name}/ties"]) for name in CORPORA}
            return Run(
                ranks=ranks,
                loss=file["loss"].tolist(),
                validation=file["validation"].tolist(),
                best_epoch=int(file["best_epoch"]),
                seconds=float(file["seconds"]),
            )

    def save(self, arm: str, seed: int, key: str, run: Run) -> None:
        if self._folder is None:
            return
        arrays = {
            name: getattr(run, name) for name in ("loss", "validation", "best_epoch", "seconds")
        }
        for name, ranks in run.ranks.items():
            arrays[f"{name}/greater"], arrays[f"{name}/ties"] = ranks.greater, ranks.ties
        path = self._path(arm, seed, key)
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(part, path)


def _wrap(model: tf_keras.Model, arm: Arm, rows: Interactions) -> tf_keras.Model:
    policy = arm.policy
    if policy is not None and policy.missing_requirements():
        policy = fit(policy, rows.dataset(8192))
    tasks = () if arm.tasks is None else arm.tasks(rows)
    return wrap(model, policy, tasks=tasks, original_ids=rows.item_id)


def _as_arm(name: str, value: Arm | AugmentationPolicy | None) -> Arm:
    if value is None or isinstance(value, AugmentationPolicy):
        return Arm(value)
    if isinstance(value, Arm):
        return value
    raise InvalidArgumentError(
        f"`arms` must hold Arm, AugmentationPolicy or None. Received: {value!r} (arm {name!r})."
    )


def _check_arms(arms: Mapping[str, Arm], baseline: str | None) -> None:
    if baseline not in arms:
        raise InvalidArgumentError(
            f"`baseline` must be one of `arms`. Received: {baseline!r}. "
            f"{close_matches(str(baseline), arms)}"
        )
    for name, arm in arms.items():
        if arm.share is not None and (arm.share not in arms or arms[arm.share].share is not None):
            raise InvalidArgumentError(
                "`share` must name an arm that trains itself. Received: "
                f"share={arm.share!r} (arm {name!r}). {close_matches(arm.share, arms)}"
            )


def _describe_protocol(protocol: Protocol) -> dict[str, Any]:
    described = {
        field.name: getattr(protocol, field.name) for field in dataclasses.fields(protocol)
    }
    # The optimizer's settings count, not only the name of the function that makes it.
    optimizer = protocol.optimizer()
    described["optimizer"] = {
        key: value if isinstance(value, (int, float, str, bool, type(None))) else repr(value)
        for key, value in optimizer.get_config().items()
    }
    described["query"], described["candidate"] = map(_name_of, (protocol.query, protocol.candidate))
    return described


def _name_of(function: Callable) -> str:
    """Returns a name that is the same in every process, unlike a repr with an address."""
    if isinstance(function, functools.partial):
        bound = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{_name_of(function.func)}({', '.join(bound)})"
    module = getattr(function, "__module__", type(function).__module__)
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
