"""How much synthesized interactions should count in training, if at all: chosen on validation, zero included.

Each weight is a training of its own. At weight `w` the shuffled list that batches are cut from holds all
real rows and `w` synthetic rows for each of them, while the number of steps stays that of the real rows. So a
weight is a share of the batch, `w / (1 + w)`, and no property of the loss: it works for every `build_model`,
in-batch negatives come from the same mixture as the positives, and vocabularies and sampling probabilities
are those of the rows that are trained on. Weighting the loss instead would need a model that takes weights,
and leave synthetic rows as negatives at full weight.

Two controls tell a gain from what looks like one:

- re-initialisation: the same training without synthetic rows from another seed. What differs there is noise.
- popularity sampling: rows whose items are drawn by popularity. What these give as well needs no generator.

A weight above 0 is chosen only where its interval is above 0 against both trainings without synthetic rows,
and its gain above twice the standard error that re-initialisation alone gives a mean difference. The latter
holds few seeds back: their bootstrap knows little of the noise between trainings, and one seed's nothing.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tf_keras
import tqdm

from tfrs_augment.datasets.interactions import Interactions, Table
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.comparing.mixed_rows import train_on, with_synthetic
from tfrs_augment.evaluation.comparing.training import Embedder, Protocol
from tfrs_augment.evaluation.measuring.slices import ValidationRanker
from tfrs_augment.evaluation.splitting.splits import Split
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.samplers import PopularitySampler

Sample = Callable[[Split, int, int], Table]
"""`(split, number of rows, seed) -> columns` of synthetic rows."""

NONE, AGAIN = "none", "none, re-initialised"
METRIC = "ndcg@50"

# Standard errors that a gain must be above.
_CLEAR = 2.0
# Far from the seeds that anybody counts up from 0.
_OTHER_SEED = 1_000_003


@dataclasses.dataclass(frozen=True)
class Trial:
    """The validation metric of one way to train, and its difference to training without synthetic rows.

    `low` and `high` bound the interval of the value before them.
    """

    mean: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float


@dataclasses.dataclass(frozen=True)
class Gate:
    """What `fit_weight` found.

    Attributes:
      weight: the chosen weight; 0 where nothing was gained.
      verdict: the outcome in one line.
      trials: by name: "none", "none, re-initialised", then "synthetic W" and "popularity W" for each
        weight W.
      confidence: of the intervals: 95 % for all weights together (Bonferroni).
      noise: the standard error that re-initialisation alone gives a mean difference over the seeds.
      seeds: how many trainings each trial is the mean of.
    """

    weight: float
    verdict: str
    trials: Mapping[str, Trial]
    confidence: float
    noise: float
    seeds: int

    def table(self) -> str:
        """Returns the trials as a Markdown table, with the verdict below it."""
        interval = f"{100 * self.confidence:.3g} % interval"
        header = ["trained with", METRIC, interval, "difference", interval]
        lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
        for name, trial in self.trials.items():
            cells = [name, f"{trial.mean:.4f}", f"[{trial.low:.4f}, {trial.high:.4f}]", "", ""]
            if name != NONE:
                cells[3] = f"{trial.difference:+.4f}"
                cells[4] = f"[{trial.difference_low:+.4f}, {trial.difference_high:+.4f}]"
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", self.verdict])

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "weight": self.weight,
            "verdict": self.verdict,
            "metric": METRIC,
            "confidence": self.confidence,
            "noise": self.noise,
            "seeds": self.seeds,
            "trials": {name: dataclasses.asdict(trial) for name, trial in self.trials.items()},
        }


def fit_weight(
    build_model: Callable[[Interactions], tf_keras.Model],
    split: Split | Callable[[int], Split],
    synthesizer: Synthesizer | Sample,
    *,
    weights: Sequence[float] = (0.0, 0.1, 0.3, 1.0),
    popularity: Synthesizer | Sample | None = None,
    seeds: Iterable[int] = range(3),
    protocol: Protocol | None = None,
    progress: bool = True,
) -> Gate:
    """Chooses the weight of synthetic rows by the validation rows of a split; the test rows stay unseen.

    All trainings of a seed share initial weights, steps, optimizer and early stopping. The metric is NDCG@50
    of the validation rows; its intervals are of a bootstrap over seeds and users, paired by both.

    Args:
      build_model: as of `compare`.
      split: its `train` rows are learned, its `validation` rows judge. Or a function from a seed to a split.
      synthesizer: fitted on `split.train` and on nothing else; or a function `(split, rows, seed)` that
        returns columns of that many rows, which it must be where `split` is one. They hold the ids and what
        else the real rows have of their own; features of users and items are joined from the real tables.
      weights: what is tried: synthetic rows for each real row, 0 or more. 0 is always among them.
      popularity: the control, as `synthesizer`. Default: a `PopularitySampler` fitted on `split.train`.
      seeds: of initial weights, batches and samples; distinct integers. With fewer than 5 the intervals
        are rather too narrow.
      protocol: how every model is trained. Default: `Protocol()`.
      progress: whether to show a progress bar on stderr.

    Returns:
      The chosen weight, a verdict, and the metric of each training.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: synthetic rows are not as many as asked for, lack a column, or hold an unknown id.

    Example:
      >>> gate = fit_weight(TwoTower, split, synthesizer.fit(split.train))  # doctest: +SKIP
      >>> print(gate.verdict)  # doctest: +SKIP
      weight 0: no gain; the best of 3 weights, 0.1, gave +0.0004 [-0.0021, +0.0031] NDCG@50, ...
    """
    weights, seeds = _check(weights, seeds)
    protocol = Protocol() if protocol is None else protocol
    sources = {
        "synthetic": synthesizer,
        "popularity": popular_rows if popularity is None else popularity,
    }
    sums = []
    with tqdm.tqdm(
        total=len(seeds) * (2 + 2 * len(weights)), unit="run", disable=not progress
    ) as bar:
        for seed in seeds:
            one, metrics = split(seed) if callable(split) else split, {}
            for name, rows, start in _arms(one, sources, weights, seed):
                bar.set_description(f"seed {seed}, {name}")
                metrics[name] = _validate(build_model, one, rows, protocol, start)
                bar.update()
            users = one.validation.user_index()
            masks = [np.ones(len(users), bool)] * len(metrics)
            sums.append(bootstrap.Sums.of(users, list(metrics.values()), masks))
    return _judge(list(metrics), sums, weights)


def popular_rows(split: Split, rows: int, seed: int) -> Table:
    """Samples from a `PopularitySampler` that is fitted on the training rows of a split."""
    return PopularitySampler().fit(split.train).sample(rows, seed=seed)


def _arms(split: Split, sources: Mapping[str, Any], weights: Sequence[float], seed: int):
    """Yields the name, the rows and the seed of each training."""
    yield NONE, split.train, seed
    yield AGAIN, split.train, seed + _OTHER_SEED
    for source, sampler in sources.items():
        for weight in weights:
            count = round(weight * len(split.train))
            if isinstance(sampler, Synthesizer):
                columns = sampler.sample(count, seed=seed)
            else:
                columns = sampler(split, count, seed)
            rows = with_synthetic(split.train, columns)
            if len(rows) != len(split.train) + count:
                raise DataError(
                    f"A weight of {weight:g} needs {count} synthetic rows for {len(split.train)} real "
                    f"ones. Received: {len(rows) - len(split.train)} ({source})."
                )
            yield f"{source} {weight:g}", rows, seed


def _validate(build_model, split: Split, rows: Interactions, protocol: Protocol, seed: int):
    """Trains a model; returns float64 `[validation rows]`, the metric of each."""
    model, _ = train_on(build_model, split, rows, protocol, seed=seed)
    ranks = ValidationRanker(split)(*Embedder(split, split.validation, protocol)(model))
    # Each training traces graphs of its own; without this they pile up.
    del model
    tf_keras.backend.clear_session()
    gc.collect()
    return ranks.ndcg(50)


def _judge(names: Sequence[str], sums: Sequence[bootstrap.Sums], weights: Sequence[float]) -> Gate:
    """Chooses the weight from the sums of each seed, a column a name."""
    confidence = 1.0 - 0.05 / len(weights)
    means, samples = bootstrap.means(sums), bootstrap.resample(sums)
    place = {name: index for index, name in enumerate(names)}

    def difference(name: str, other: str) -> tuple[float, float, float]:
        gap = samples[:, place[name]] - samples[:, place[other]]
        mean = means[place[name]] - means[place[other]]
        return float(mean), *bootstrap.interval(gap, confidence)

    trials = {
        name: Trial(
            float(means[index]),
            *bootstrap.interval(samples[:, index], confidence),
            *difference(name, NONE),
        )
        for name, index in place.items()
    }
    best, easy = (
        max(weights, key=lambda weight: means[place[f"{source} {weight:g}"]])
        for source in ("synthetic", "popularity")
    )
    synthetic = f"synthetic {best:g}"
    gain, low, high = difference(synthetic, NONE)
    each = np.stack([s.totals.sum(axis=0) / s.counts.sum(axis=0) for s in sums])
    again = each[:, place[AGAIN]] - each[:, place[NONE]]
    noise = float(np.sqrt(np.mean(again**2) / len(sums)))
    shown = f"{gain:+.4f} [{low:+.4f}, {high:+.4f}] NDCG@50"
    shown += f", re-initialisation ±{noise:.4f}"
    options = {"trials": trials, "confidence": confidence, "noise": noise, "seeds": len(sums)}
    if low <= 0 or difference(synthetic, AGAIN)[1] <= 0 or gain <= _CLEAR * noise:
        tried = (
            f"the best of {len(weights)} weights, {best:g}," if len(weights) > 1 else f"{best:g}"
        )
        return Gate(0.0, f"weight 0: no gain; {tried} gave {shown}", **options)
    verdict = f"weight {best:g}: gain of {shown}"
    rival = f"popularity {easy:g}"
    if difference(synthetic, rival)[1] <= 0:
        verdict += (
            f", not clear of popularity sampling, which gave {difference(rival, NONE)[0]:+.4f}"
        )
    return Gate(float(best), verdict, **options)


def _check(
    weights: Sequence[float], seeds: Iterable[int]
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Returns the weights above 0 in rising order, and the seeds."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InvalidArgumentError(
            f"`weights` must be finite and at least 0. Received: weights={tuple(weights)}."
        )
    tried = tuple(sorted({float(weight) for weight in weights if weight > 0}))
    if not tried:
        raise InvalidArgumentError(
            f"`weights` must hold one above 0 to try. Received: weights={tuple(weights)}."
        )
    seeds = tuple(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InvalidArgumentError(
            f"`seeds` must be distinct and at least one. Received: seeds={seeds}."
        )
    return tried, seeds
