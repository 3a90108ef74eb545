"""Does augmenting photos help? Article types from few photos, and new products found by their photo.

    python benchmarks/photos.py --data_dir ../shared/data/fashion-products [--seeds 5]
    python benchmarks/photos.py --data_dir ... --tune        # what strengths are chosen by

The trainings are those of examples/fashion_images.py. A seed draws the products that train and validate, the
weights and the batches; the test products are the same for all seeds. Strengths are chosen on the validation
products of other seeds (--tune), never on test products. Every arm gets equal first weights, batches and at
most as many steps; the epoch is the best one on the validation products. Resumable: finished trainings are
kept in report/photos/ of the working directory. Figures, with 95 % intervals, paired:

- `type_accuracy_gain`: accuracy of article types, the default policy less none;
- `type_accuracy_over_generator`: the same less ImageDataGenerator with the arguments of its
  affine op;
- `type_accuracy_over_randaugment`: the same less RandAugment;
- `search_recall_gain`: Recall@10 among new products, all of the policy less none.
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))

import argparse
import dataclasses
import gc
import hashlib
import json
from collections.abc import Mapping, Sequence

import _common
import fashion_images as fashion
import numpy as np
import tqdm

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import tensorflow as tf
import tf_keras
from tf_keras.preprocessing.image import ImageDataGenerator

from tfrs_augment.evaluation.statistics import bootstrap

NONE, DEFAULT = "none", "default policy"
GENERATOR, RAND_AUGMENT = "ImageDataGenerator", "RandAugment"
MAGNITUDE = 9
TUNING_SEEDS = (100, 101)
DEFAULT_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "fashion-products"


@dataclasses.dataclass(frozen=True)
class Arm:
    """Ops on photos and products, or arguments of ImageDataGenerator."""

    ops: tuple[aug.ops.Op, ...] = ()
    generator: Mapping[str, object] | None = None

    def policy(self, seed: int) -> aug.AugmentationPolicy | None:
        return fashion.policy_of(self.ops, seed) if self.ops else None

    def change(self, seed: int) -> fashion.Change | None:
        """The generator's transformation of each photo of a batch, rounded to uint8 as the ops do."""
        if self.generator is None:
            return None
        keras, rng = ImageDataGenerator(**self.generator), np.random.default_rng(seed)

        def change(photos: np.ndarray) -> np.ndarray:
            moved = [keras.random_transform(p, seed=rng.integers(1 << 31)) for p in photos]
            return np.clip(np.rint(moved), 0, 255).astype(np.uint8)

        return change


def affine(**changed) -> aug.ops.Op:
    return aug.ops.RandomAffine.from_image_data_generator("photo", **fashion.AFFINE | changed)


TYPES = {
    NONE: Arm(),
    DEFAULT: Arm(tuple(fashion.photo_ops())),
    GENERATOR: Arm(generator=fashion.AFFINE),
    RAND_AUGMENT: Arm((aug.ops.RandAugment("photo", magnitude=MAGNITUDE),)),
}
SEARCH = {
    NONE: Arm(),
    DEFAULT: Arm(tuple(fashion.search_ops())),
    "the photo alone": Arm((fashion.photo_light(),)),
}


@dataclasses.dataclass(frozen=True)
class Task:
    """A training of examples/fashion_images.py, and the arms to compare; None for its own epochs."""

    name: str
    arms: Mapping[str, Arm]
    epochs: int | None = None

    def run(self, arm: Arm, products: fashion.Products, seed: int, *, tune: bool) -> dict:
        """Trains, and returns the hits of the test (or validation) products as lists of 0 and 1."""
        parts = fashion.parts_of(self.name, products, seed)
        model, curves = fashion.train(
            *(self.name, products, arm.policy(seed)),
            seed=seed,
            epochs=self.epochs,
            change=arm.change(seed),
        )
        found = fashion.hits(self.name, model, products, parts.validation if tune else parts.test)
        tf_keras.backend.clear_session()
        gc.collect()
        return {
            "hits": {name: values.tolist() for name, values in found.items()},
            "best_epoch": 1 + int(np.argmax(curves[fashion.WATCHED[self.name]])),
        }

    def key(self, arm: Arm, *, tune: bool) -> str:
        """What a run hangs on beside its seed and the code."""
        policy = arm.policy(0)
        name, print_of = self.name, policy and policy.fingerprint
        described = [name, self.epochs or fashion.EPOCHS[name], fashion.PATIENCE[name]]
        described += [fashion.SIZE, fashion.BATCH[name], arm.generator, print_of, tune]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def tasks(*, quick: bool) -> tuple[Task, ...]:
    if not quick:
        return Task("types", TYPES), Task("search", SEARCH)
    few = (NONE, DEFAULT)
    return (
        Task("types", {name: TYPES[name] for name in few}, epochs=4),
        Task("search", {name: SEARCH[name] for name in few}, epochs=2),
    )


def cached(
    folder: pathlib.Path | None, task: Task, arm: Arm, products, seed: int, *, tune: bool
) -> dict:
    """A run, from its file where there is one."""
    if folder is None:
        return task.run(arm, products, seed, tune=tune)
    path = folder / f"{task.name}-{seed}-{task.key(arm, tune=tune)}.json"
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps(task.run(arm, products, seed, tune=tune)))
        os.replace(part, path)
    return json.loads(path.read_text())


@dataclasses.dataclass(frozen=True)
class Measured:
    """A metric of several arms, and its resamples over seeds and products alike.

    The products are the same for all seeds, so a resample draws products once, and seeds: not, as
    for test rows of each seed's own, products anew for each seed.
    """

    mean: np.ndarray
    resampled: np.ndarray

    @classmethod
    def of(cls, hits: np.ndarray) -> Measured:
        """From 0 and 1, `[arms, seeds, products]`."""
        arms, seeds, products = hits.shape
        columns = hits.reshape(arms * seeds, products)
        everyone = [np.ones(products, bool)] * len(columns)
        sums = bootstrap.Sums.of(np.arange(products), list(columns), everyone)
        by_product = bootstrap.resample([sums]).reshape(-1, arms, seeds)
        drawn = np.random.default_rng(0xB007).integers(seeds, size=(len(by_product), seeds))
        resampled = np.take_along_axis(by_product, drawn[:, None], axis=2).mean(axis=2)
        return cls(hits.mean(axis=(1, 2)), resampled)

    def difference(self, one: int, other: int) -> tuple[float, float, float]:
        """The difference of two arms and its interval."""
        low, high = bootstrap.interval(self.resampled[:, one] - self.resampled[:, other])
        return float(self.mean[one] - self.mean[other]), low, high


def shown(difference: Sequence[float]) -> str:
    value, low, high = (100 * number for number in difference)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def tuned() -> dict[str, dict[str, Arm]]:
    """What --tune compares, by task."""

    def photos(
        strength: float, *, flip: bool = False, colour: float = 0.0, erasing: float = 0.0
    ) -> Arm:
        given = {"rotation_range": 40, "shear_range": 11.3}
        given |= dict.fromkeys(("width_shift_range", "height_shift_range", "zoom_range"), 0.2)
        scaled = {name: strength * value for name, value in given.items()}
        ops = [affine(horizontal_flip=flip, **scaled)]
        if colour:
            jitter = dict.fromkeys(("brightness", "contrast", "saturation"), colour)
            ops.append(aug.ops.ColorJitter("photo", **jitter))
        if erasing:
            area = (0.02, 0.2)
            ops.append(aug.ops.RandomErasing("photo", area_range=area, rate=erasing))
        return Arm(tuple(ops))

    def rates(title: float, attributes: float) -> Arm:
        ops = (
            aug.ops.TokenDropout("title", rate=title),
            aug.ops.FeatureMask(fashion.ATTRIBUTES, rate=attributes),
        )
        return Arm(ops)

    either = {
        NONE: Arm(),
        "flip": photos(0.0, flip=True),
        "geometry 0.25": photos(0.25),
        "colour 0.2": photos(0.0, colour=0.2),
        "RandAugment, magnitude 5": Arm((aug.ops.RandAugment("photo", magnitude=5),)),
    }
    kinds = {
        "geometry 0.25, flip": photos(0.25, flip=True),
        "geometry 0.5": photos(0.5),
        "erasing 0.3": photos(0.0, erasing=0.3),
        "geometry 0.25, colour 0.2, erasing 0.3": photos(0.25, colour=0.2, erasing=0.3),
        "RandAugment, magnitude 9": Arm((aug.ops.RandAugment("photo", magnitude=9),)),
    }
    texts = {
        f"title {title}, attributes {attributes}": rates(title, attributes)
        for title, attributes in ((0.1, 0.1), (0.2, 0.3))
    }
    return {"types": either | kinds, "search": either | texts}


def hits_of(task: Task, products, seeds: Sequence[int], *, tune: bool, cache: bool) -> dict:
    """Runs every arm with every seed: metric to 0 and 1, `[arms, seeds, products]`, and the best epochs."""
    folder = pathlib.Path("report", "photos") if cache else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    runs = []
    with tqdm.tqdm(total=len(task.arms) * len(seeds), unit="run") as bar:
        for seed in seeds:
            for name, arm in task.arms.items():
                bar.set_description(f"{task.name}, seed {seed}, {name}")
                runs.append(cached(folder, task, arm, products, seed, tune=tune))
                bar.update()
    metrics = {
        metric: np.array([run["hits"][metric] for run in runs])
        .reshape(len(seeds), len(task.arms), -1)
        .transpose(1, 0, 2)
        for metric in runs[0]["hits"]
    }
    epochs = np.array([run["best_epoch"] for run in runs]).reshape(len(seeds), -1).mean(axis=0)
    return {"metrics": metrics, "epochs": epochs}


def tune(products, which: Sequence[Task]) -> None:
    """Compares strengths on the validation products of other seeds, and writes the table."""
    table = []
    for task in which:
        task = dataclasses.replace(task, arms=tuned()[task.name])
        found = hits_of(task, products, TUNING_SEEDS, tune=True, cache=True)
        metric, hits = next(iter(found["metrics"].items()))
        for number, name in enumerate(task.arms):
            by_seed = " ".join(f"{100 * value:.1f}" for value in hits[number].mean(axis=1))
            mean, epochs = 100 * hits[number].mean(), found["epochs"][number]
            table.append([f"{task.name}: {metric}", name, f"{mean:.1f}", by_seed, f"{epochs:.0f}"])
    _common.finish(
        "photos_tuning",
        {},
        header=["task", "policy", "mean, %", "by seed", "best epoch"],
        table=table,
        notes=f"Validation products of the seeds {TUNING_SEEDS}; no test product is in them. Geometry is a "
        "share of rotation 40, shifts, zoom 0.2 and shear 11.3 degrees.",
    )


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data_dir", type=pathlib.Path, default=DEFAULT_DATA)
        parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
        parser.add_argument("--tune", action="store_true", help="compare strengths")

    arguments = _common.parse(__doc__, add=add)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if not (arguments.data_dir / "products.csv").exists():
        print(f"not measured: there is no {arguments.data_dir}/products.csv", file=sys.stderr)
        return
    products = fashion.load(arguments.data_dir)
    if arguments.tune:
        tune(products, tasks(quick=False))
        return
    quick = arguments.quick
    seeds = range(1 if quick else arguments.seeds)
    table, figures = [], {}
    for task in tasks(quick=quick):
        found = hits_of(task, products, seeds, tune=False, cache=not quick)
        for metric, hits in found["metrics"].items():
            measured = Measured.of(hits)
            table += rows_of(task, metric, measured, found["epochs"])
            if metric != "Recall@10, all products":
                figures |= figures_of(task, measured)
    _common.finish(
        "photos",
        figures,
        header=["measured", "arm", "mean, %", "difference, points", "best epoch"],
        table=table,
        notes=f"fashion-products, {len(seeds)} seeds; 66 article types. Differences are against none, "
        "unless the arm says otherwise, with 95 % intervals, paired, over seeds and test products. Types: "
        "10 photos of a type train, 5 choose the epoch, 15 test. Search: 21, 3 and 6 products of a type; "
        "the photo asks, title and attributes answer; Recall@10 among the 396 new products and among "
        "all 1,980.",
        write=not quick,
    )


def pairs_of(task: Task) -> dict[str, tuple[str, str]]:
    """The differences to report beside those to none: figure to the names of two arms."""
    if task.name == "search":
        return {"search_recall_gain": (DEFAULT, NONE)}
    pairs = {
        "type_accuracy_gain": (DEFAULT, NONE),
        "type_accuracy_over_generator": (DEFAULT, GENERATOR),
        "type_accuracy_over_randaugment": (DEFAULT, RAND_AUGMENT),
    }
    return {name: pair for name, pair in pairs.items() if set(pair) <= set(task.arms)}


def rows_of(task: Task, metric: str, measured: Measured, epochs: np.ndarray) -> list[list[str]]:
    """The table of one metric: the arms against none, then the other pairs."""
    arms, rows = list(task.arms), []
    for number, arm in enumerate(arms):
        gain = shown(measured.difference(number, 0)) if number else ""
        mean = f"{100 * measured.mean[number]:.1f}"
        rows.append([f"{task.name}: {metric}", arm, mean, gain, f"{epochs[number]:.0f}"])
    for one, other in pairs_of(task).values():
        if other != NONE:
            gain = measured.difference(arms.index(one), arms.index(other))
            rows.append([f"{task.name}: {metric}", f"{one} less {other}", "", shown(gain), ""])
    return rows


def figures_of(task: Task, measured: Measured) -> dict[str, float]:
    arms, figures = list(task.arms), {}
    for name, (one, other) in pairs_of(task).items():
        numbers = measured.difference(arms.index(one), arms.index(other))
        figures |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
    return figures


if __name__ == "__main__":
    main()
