"""Does a strength that adapts find the best fixed one, without knowing it, in the same training?

    python benchmarks/adaptive.py --data path/to/ml-100k
    python benchmarks/adaptive.py --data path/to/amazon-beauty --fraction 0.1
    python benchmarks/adaptive.py --data ... --tune         # how the strategies' settings were chosen

The arms are one policy at the strengths 0, 1/3, 2/3 and 1: each by itself, all along; and chosen epoch by
epoch. All train for the same number of epochs, and keep the weights of their best by the validation mix: rows
of warm and of pseudo-cold items, ranked in the full catalogue by NDCG@50, which is also what the bandits'
reward is made of. They are judged by the same mix of the test rows: warm and cold ones at the shares of
the validation rows. Figures: the mean over seeds, as a share of that of the best fixed strength in hindsight,
and of that of a strength by chance in each epoch, with 95 % intervals (bootstrap over seeds and users; the
best fixed strength is sought anew in each resample). `signal` says how well one epoch tells the arms apart.

Resumable: finished trainings are kept in report/adaptive/ of the working directory.
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))

import argparse
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence

import _beauty
import _common
import numpy as np
import quickstart
import recommendation
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tfrs_augment as aug
from tfrs_augment.adaptive import (
    AdaptivePolicy,
    ByPopularity,
    Exp3,
    GeneralizationGap,
    Ramp,
    Strategy,
    ThompsonSampling,
    UniformRandom,
    strengths,
)
from tfrs_augment.evaluation import Arm, Protocol, Report, Split, compare
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.towers import SequentialTwoTower, TwoTower

LEVELS = {"strength 0": 0.0, "strength 1/3": 1 / 3, "strength 2/3": 2 / 3, "strength 1": 1.0}
DEVELOPMENT_SEED = 100
"""The first of `--tune`, whose splits have no seed in common with those of the result."""


@dataclasses.dataclass(frozen=True)
class Data:
    """One data set: how it is split and trained, and the strategies as they were tuned on it.

    Args:
      name: of the files of results.
      policy: at strength 1.
      item_id: the item's column.
      build_model: of `compare`.
      split, development: from a seed.
      protocol: that all arms share.
      arm: makes an arm of a policy, with what all arms have beside it.
      chosen: the strategies of the result, by name; `--tune` chose their settings.
      scales: what `--tune` tries for `ByPopularity.scale`.
    """

    name: str
    policy: aug.AugmentationPolicy
    item_id: str
    build_model: Callable
    split: Callable[[int], Split]
    development: Callable[[int], Split]
    protocol: Protocol
    arm: Callable[..., Arm]
    chosen: Mapping[str, Strategy]
    scales: Sequence[float]


def dense(name: str, scenario: quickstart.Scenario) -> Data:
    """A scenario of the quickstart, with pseudo-cold items to stop by."""
    scenario = recommendation.with_pseudo_cold(scenario)
    item_id = scenario.data.item_id
    return Data(
        name=name,
        policy=scenario.policy,
        item_id=item_id,
        build_model=functools.partial(TwoTower, **scenario.model),
        split=scenario.split,
        development=scenario.development,
        protocol=Protocol(epochs=18, patience=18),
        arm=Arm,
        chosen={
            "uniform random": UniformRandom(),
            "ramp": Ramp(epochs=9),
            "Exp3": Exp3(),
            "Thompson": ThompsonSampling(),
            "generalization gap": GeneralizationGap(tolerance=0.0),
            "popularity": ByPopularity(item_id, scale=30.0),
        },
        scales=(10.0, 30.0),
    )


def beauty(folder: str, fraction: float) -> Data:
    data = aug.datasets.amazon_beauty(folder)
    return Data(
        name=f"beauty_{fraction:g}",
        policy=_beauty.make_policy(0.3, _beauty.RARE),
        item_id="item_id",
        build_model=functools.partial(SequentialTwoTower, dropout=_beauty.DROPOUT),
        split=functools.partial(_beauty.make_split, data, fraction),
        development=functools.partial(_beauty.make_development, data, fraction),
        protocol=Protocol(epochs=22, batch_size=256, patience=22, optimizer=_beauty.optimizer),
        # The preset's second loss, in all arms alike: its views are drawn apart from the policy.
        arm=functools.partial(Arm, tasks=functools.partial(_beauty.contrast, weight=0.2)),
        chosen={
            "uniform random": UniformRandom(),
            "ramp": Ramp(epochs=11),
            "Exp3": Exp3(),
            "Thompson": ThompsonSampling(discount=1.0, noise=0.1),
            "generalization gap": GeneralizationGap(tolerance=0.0),
            "popularity": ByPopularity("item_id", scale=3.0),
        },
        scales=(1.0, 3.0),
    )


def candidates(data: Data) -> dict[str, Strategy]:
    """Returns the settings that `--tune` compares, by what it calls them."""
    half = data.protocol.epochs // 2
    found: dict[str, Strategy] = {
        "uniform random": UniformRandom(),
        "ramp up": Ramp(epochs=half),
        "ramp down": Ramp(start=1.0, end=0.0, epochs=half),
    }
    for exploration, rate in ((0.3, None), (0.2, 0.3), (0.2, 0.6)):
        name = f"Exp3, exploration {exploration}, learning rate {rate or 'of the paper'}"
        found[name] = Exp3(exploration=exploration, learning_rate=rate)
    for discount, noise in ((0.9, 0.25), (1.0, 0.25), (1.0, 0.1)):
        name = f"Thompson, discount {discount}, noise {noise}"
        found[name] = ThompsonSampling(discount=discount, noise=noise)
    for start, step, tolerance in ((0.0, 0.25, 0.02), (0.0, 0.25, 0.0), (0.5, 0.1, 0.02)):
        name = f"generalization gap, start {start}, step {step}, tolerance {tolerance}"
        found[name] = GeneralizationGap(start=start, step=step, tolerance=tolerance)
    for scale in data.scales:
        found[f"popularity, rare 1, scale {scale:g}"] = ByPopularity(data.item_id, scale=scale)
        found[f"popularity, popular 1, scale {scale:g}"] = ByPopularity(
            data.item_id, rare=0.0, popular=1.0, scale=scale
        )
    return found


@dataclasses.dataclass(frozen=True)
class Recorded(AdaptivePolicy):
    """An adaptive policy whose callbacks leave what they chose in files, an arm and seed each."""

    folder: pathlib.Path | None = dataclasses.field(default=None, kw_only=True, compare=False)

    def callback(self, *, seed=0, **options):
        path = self.folder and self.folder / f"{seed}.json"
        if path is not None:
            path.unlink(missing_ok=True)  # Of a training that was interrupted, and starts anew.
        return super().callback(seed=seed, path=path, **options)


def make_arms(
    data: Data, strategies: Mapping[str, Strategy], folder: pathlib.Path | None
) -> dict[str, Arm]:
    """Returns the fixed strengths, and the strategies over them."""
    fixed = strengths(data.policy, LEVELS)
    arms = {name: data.arm(policy) for name, policy in fixed.items()}
    for name, strategy in strategies.items():
        own = folder and folder / re.sub(r"[^A-Za-z0-9.]+", "-", name)
        arms[name] = data.arm(Recorded(fixed, strategy=strategy, folder=own))
    return arms


@dataclasses.dataclass(frozen=True)
class Mix:
    """The mix of each arm: its mean over seeds, and that of each resample of seeds and users.

    Args:
      means: float `[arms]`.
      samples: float `[resamples, arms]`.
      seeds: float `[seeds, arms]`, the mix of each seed.
    """

    arms: tuple[str, ...]
    means: np.ndarray
    samples: np.ndarray
    seeds: np.ndarray

    @classmethod
    def of(cls, report: Report, warm_share: float) -> Mix:
        sums = []
        for seed in report.seeds:
            masks = report.slices[seed].masks
            values = [
                report.runs[arm, seed].ranks["full"].ndcg(50)
                for arm in report.arms
                for _ in ("warm", "cold")
            ]
            both = [masks[name] for _ in report.arms for name in ("warm", "cold")]
            sums.append(bootstrap.Sums.of(report.slices[seed].users, values, both))

        def mixed(columns: np.ndarray) -> np.ndarray:
            return warm_share * columns[..., ::2] + (1 - warm_share) * columns[..., 1::2]

        each = np.stack([mixed(bootstrap.means([one])) for one in sums])
        return cls(report.arms, mixed(bootstrap.means(sums)), mixed(bootstrap.resample(sums)), each)

    def column(self, arm: str) -> int:
        return self.arms.index(arm)

    def best_fixed(self) -> str:
        """The fixed strength of the highest mean, in hindsight."""
        fixed = [self.column(name) for name in LEVELS]
        return self.arms[fixed[int(np.argmax(self.means[fixed]))]]

    def of_best_fixed(self, arm: str) -> tuple[float, float, float]:
        """An arm's mean as a share of the best fixed one's, and its interval."""
        fixed = [self.column(name) for name in LEVELS]
        index = self.column(arm)
        shares = self.samples[:, index] / self.samples[:, fixed].max(axis=1)
        return (self.means[index] / self.means[fixed].max(), *bootstrap.interval(shares))

    def over(self, arm: str, other: str) -> tuple[float, float, float]:
        """An arm's mean as a share of another's, and its interval."""
        index, base = self.column(arm), self.column(other)
        shares = self.samples[:, index] / self.samples[:, base]
        return (self.means[index] / self.means[base], *bootstrap.interval(shares))


def figures_of(mix: Mix) -> dict[str, float]:
    """Returns the figures that are claimed."""
    names = {
        "exp3": "Exp3",
        "thompson": "Thompson",
        "gap": "generalization gap",
        "popularity": "popularity",
        "ramp": "ramp",
        "uniform": "uniform random",
    }
    names = {key: arm for key, arm in names.items() if arm in mix.arms}
    found = {}
    for key, arm in names.items():
        found[f"{key}_of_best_fixed"] = mix.of_best_fixed(arm)
    for key, arm in names.items():
        if key != "uniform":
            found[f"{key}_over_uniform"] = mix.over(arm, names["uniform"])
    return {
        f"{name}{suffix}": value
        for name, values in found.items()
        for suffix, value in zip(("", "_low", "_high"), values)
    }


def choices(arms: Mapping[str, Arm], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Returns the strengths of each strategy's epochs, float `[seeds, epochs]` in [0, 1]."""
    found = {}
    for name, arm in arms.items():
        folder = getattr(arm.policy, "folder", None)
        paths = [] if folder is None else [folder / f"{seed}.json" for seed in seeds]
        if not paths or arm.policy.strategy.by_row or not all(path.exists() for path in paths):
            continue
        last = len(arm.policy.arms) - 1
        histories = [json.loads(path.read_text("utf-8"))["history"] for path in paths]
        found[name] = np.array([[entry["place"] / last for entry in one] for one in histories])
    return found


def signal(arms: Mapping[str, Arm], seeds: Sequence[int]) -> dict[str, float]:
    """Returns how well one epoch's change of validation tells the arms apart.

    Of the strategies that draw one arm an epoch, from their fifth epoch on, less the mean change of that
    epoch: `change_sd`, the standard deviation of a change; `change_between_arms`, the highest mean of an arm
    less the lowest (too high rather than too low, as the ends of noisy means are); and `epochs_to_tell`, the
    epochs that each of these two arms would need to be told apart, two-sided 5 %, power 80 %.
    """
    rows = []
    for arm in arms.values():
        folder = getattr(arm.policy, "folder", None)
        paths = [] if folder is None else [folder / f"{seed}.json" for seed in seeds]
        for path in filter(pathlib.Path.exists, paths):
            history = json.loads(path.read_text("utf-8"))["history"]
            if all(entry["probabilities"] for entry in history):
                metrics = [entry["monitor"] for entry in history]
                rows += [
                    (epoch, history[epoch]["place"], metrics[epoch] - metrics[epoch - 1])
                    for epoch in range(4, len(history))
                ]
    if not rows:
        return {}
    epochs, places, changes = np.array(rows).T
    for epoch in np.unique(epochs):
        changes[epochs == epoch] -= changes[epochs == epoch].mean()
    means = [changes[places == place].mean() for place in np.unique(places)]
    deviation, between = float(changes.std()), float(max(means) - min(means))
    needed = 2 * (1.96 + 0.84) ** 2 * (deviation / between) ** 2
    return {
        "change_sd": deviation,
        "change_between_arms": between,
        "epochs_to_tell": needed,
    }


def table_of(report: Report, mix: Mix, chosen: Mapping[str, np.ndarray]) -> list[list[str]]:
    rows = []
    for index, arm in enumerate(report.arms):
        low, high = bootstrap.interval(mix.samples[:, index])
        share, share_low, share_high = mix.of_best_fixed(arm)
        kept = np.mean([report.runs[arm, seed].best_epoch + 1 for seed in report.seeds])
        mean = f"{chosen[arm].mean():.2f}" if arm in chosen else ""
        rows.append(
            [
                arm,
                f"{mix.means[index]:.4f} [{low:.4f}, {high:.4f}]",
                f"{share:.3f} [{share_low:.3f}, {share_high:.3f}]",
                *(f"{report.figure(arm, name).mean:.4f}" for name in ("all", "warm", "cold")),
                f"{kept:.1f}",
                mean,
            ]
        )
    return rows


HEADER = (
    "arm", "NDCG@50 of the mix", "of the best fixed", "Recall@10, all", "Recall@10, warm",
    "Recall@10, cold", "epoch kept", "mean strength",
)  # fmt: skip


def plot(path: pathlib.Path, mix: Mix, chosen: Mapping[str, np.ndarray]) -> None:
    """Writes a PNG: the arms' mixes, and the mean strength of each strategy over the epochs."""
    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    place = np.arange(len(mix.arms))[::-1]
    bounds = np.array([bootstrap.interval(column) for column in mix.samples.T]).T
    colours = ["#666666" if arm in LEVELS else "#0072B2" for arm in mix.arms]
    for y, mean, low, high, colour in zip(place, mix.means, *bounds, colours):
        left.errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3)
    left.axvline(mix.means[mix.column(mix.best_fixed())], color="0.6", ls="--", lw=1)
    left.set_yticks(place, mix.arms)
    left.set_xlabel("NDCG@50 of the mix of warm and cold test rows")
    for name, values in chosen.items():
        right.plot(np.arange(1, values.shape[1] + 1), values.mean(axis=0), label=name)
    right.set_xlabel("epoch")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set_ylabel("strength, mean over seeds")
    right.set_ylim(-0.05, 1.05)
    if chosen:
        right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path)


def warm_share(split: Callable[[int], Split], seeds: Sequence[int]) -> float:
    """Returns the mean share of the validation rows whose item is warm."""
    parts = [split(seed) for seed in seeds]
    return float(np.mean([one.warm_items[one.validation.item_index()].mean() for one in parts]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="folder with MovieLens 100K or Amazon Beauty")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument(
        "--fraction", type=float, default=0.1, help="share of the users that train (Beauty alone)"
    )
    parser.add_argument("--epochs", type=int, help="of each training (default: the data set's)")
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow (default: all)")
    parser.add_argument(
        "--tune", action="store_true", help="compare settings on development splits"
    )


def main() -> None:
    arguments = _common.parse(__doc__, add=add_arguments)
    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    if arguments.quick:
        data = dense("quick", quickstart.shop(aug.datasets.simulated_shop("tiny")))
    elif arguments.data is None:
        raise SystemExit("--data must name a folder with MovieLens 100K or Amazon Beauty.")
    elif _beauty.is_beauty(arguments.data):
        data = beauty(arguments.data, arguments.fraction)
    else:
        data = dense("movielens", quickstart.load(arguments.data))
    tune, quick = arguments.tune, arguments.quick
    first = DEVELOPMENT_SEED if tune else 0
    seeds = range(first, first + (1 if quick else arguments.seeds))
    epochs = 2 if quick else arguments.epochs or data.protocol.epochs
    data = dataclasses.replace(
        data, protocol=dataclasses.replace(data.protocol, epochs=epochs, patience=epochs)
    )
    name = f"adaptive_{data.name}" + ("_tuning" if tune else "")
    folder = None if quick else pathlib.Path("report") / "adaptive" / name
    strategies = candidates(data) if tune else data.chosen
    if quick:
        strategies = dict(list(strategies.items())[:2])
    arms = make_arms(data, strategies, folder)
    split = data.development if tune else data.split
    report = compare(
        data.build_model,
        arms,
        split=split,
        seeds=seeds,
        baseline="strength 0",
        protocol=data.protocol,
        cache_dir=folder and folder / "runs",
    )
    share = warm_share(split, seeds)
    mix = Mix.of(report, share)
    chosen = choices(arms, seeds)
    if not quick and not tune:
        plot(_common.RESULTS / f"{name}.png", mix, chosen)
    _common.finish(
        name,
        {} if tune else {**figures_of(mix), **signal(arms, seeds)},
        header=HEADER,
        table=table_of(report, mix, chosen),
        notes=(
            f"{report.name}, {len(seeds)} seeds from {first}; {report.settings['split']}. "
            f"{epochs} epochs each. The mix has {share:.1%} rows of warm items, as "
            f"validation has; the best fixed arm in hindsight is '{mix.best_fixed()}'. Intervals are of 95 %."
        ),
        write=not quick,
    )


if __name__ == "__main__":
    main()
