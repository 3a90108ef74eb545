"""Two kinds of clothes told apart from a few photos in folders, with and without augmentation.

The photos lie in a folder a class, or in the layout of TFDS's ImageFolder, a folder a split and in
it one a class:

  python examples/folder_cnn.py --data_dir path/to/clothing --classes longsleeve pants

Of class folders, 24 photos each train and up to 8 validate. A CNN of three convolutions learns from
them twice, with the same first weights, and stops when the loss on the validation photos no longer
falls: one to two minutes on two cores. The report folder gets `curves.png`, loss and accuracy
by epoch, and `augmentations.png`, photos beside what the policy makes of them.

The validation photos choose the epoch and are few, so the accuracies are hints, no measurements.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tf_keras

import tfrs_augment as aug
from tfrs_augment.evaluation import plot_training
from tfrs_augment.ops.image import stack_images
from tfrs_augment.towers import CNN

SIZE = 150
SUFFIXES = (".jpg", ".jpeg", ".png")
POLICY = aug.AugmentationPolicy(
    [
        aug.ops.RandomAffine(
            "image",
            rotation=40,
            width_shift=0.2,
            height_shift=0.2,
            shear=0.2,
            zoom=0.2,
            horizontal_flip=True,
            fill_mode="nearest",
        )
    ],
    seed=7,
    key_features=("name",),
)
Columns = Mapping[str, tf.Tensor]
Photos = tuple[Columns, tf.Tensor]
"""The columns "image", uint8 `[n, 150, 150, 3]`, and "name", and the labels `[n]`."""


def load(
    data_dir: pathlib.Path, classes: Sequence[str], train: int, validation: int
) -> dict[str, Photos]:
    """Loads the photos of some classes by TFDS's ImageFolder, by split: "train", "validation"."""
    if all((data_dir / split).is_dir() for split in ("train", "validation")):
        return {s: _read(data_dir, s, classes) for s in ("train", "validation")}
    with tempfile.TemporaryDirectory() as root:
        for name in classes:
            paths = [p for p in (data_dir / name).glob("*") if p.suffix.lower() in SUFFIXES]
            if len(paths) < 2:
                raise SystemExit(f"{data_dir / name} must hold photos. Found: {len(paths)}.")
            # In an order of their own, so that a split is no matter of names.
            paths.sort(key=lambda path: hashlib.sha256(path.name.encode()).digest())
            held = min(validation, max(1, len(paths) // 4))
            for split, chosen in (
                ("validation", paths[:held]),
                ("train", paths[held : held + train]),
            ):
                folder = pathlib.Path(root, split, name)
                folder.mkdir(parents=True)
                for path in chosen:
                    os.symlink(path.resolve(), folder / path.name)
        return {s: _read(pathlib.Path(root), s, classes) for s in ("train", "validation")}


def _read(root: pathlib.Path, split: str, classes: Sequence[str]) -> Photos:
    builder = tfds.folder_dataset.ImageFolder(str(root))
    index = {builder.info.features["label"].str2int(name): i for i, name in enumerate(classes)}
    rows = [row for row in builder.as_dataset(split=split) if int(row["label"]) in index]
    names = [pathlib.Path(row["image/filename"].numpy().decode()).name for row in rows]
    columns = {
        "image": stack_images([row["image"] for row in rows], SIZE),
        "name": tf.constant(names),
    }
    return columns, tf.constant([index[int(row["label"])] for row in rows], tf.float32)


def make_model(policy: aug.AugmentationPolicy | None, seed: int) -> tf_keras.Model:
    """A CNN that tells the second class from the first; the policy acts in training alone."""
    tf_keras.utils.set_random_seed(seed)
    inputs = {
        "image": tf_keras.Input([SIZE, SIZE, 3], dtype="uint8", name="image"),
        "name": tf_keras.Input([], dtype="string", name="name"),
    }
    columns = inputs if policy is None else aug.layers.Augment(policy)(inputs)
    model = tf_keras.Model(inputs, CNN(1, dropout=0.5)(columns["image"]))
    model.compile(
        tf_keras.optimizers.Adam(1e-3),
        tf_keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[tf_keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
    )
    return model


def train(
    photos: Mapping[str, Photos], policy: aug.AugmentationPolicy | None, epochs: int, seed: int
) -> tuple[dict[str, list[float]], float]:
    """Trains a model; returns its curves, and its accuracy on the validation photos."""
    model = make_model(policy, seed)
    columns, labels = photos["train"]
    stop = tf_keras.callbacks.EarlyStopping("val_loss", patience=6, restore_best_weights=True)
    history = model.fit(
        dict(columns),
        labels,
        batch_size=16,
        epochs=epochs,
        validation_data=photos["validation"],
        callbacks=[stop],
        verbose=0,
    )
    columns, labels = photos["validation"]
    scores = model.evaluate(dict(columns), labels, verbose=0, return_dict=True)
    return history.history, scores["accuracy"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", required=True, type=pathlib.Path, help="folder with photos")
    parser.add_argument("--classes", nargs=2, default=("longsleeve", "pants"), metavar="NAME")
    parser.add_argument("--train", type=int, default=24, help="photos a class (default: 24)")
    parser.add_argument("--validation", type=int, default=8, help="photos a class (default: 8)")
    parser.add_argument("--epochs", type=int, default=60, help="most epochs (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the first weights (default: 1)")
    parser.add_argument("--report", default="report", help="folder to write to (default: report)")
    options = parser.parse_args(arguments)
    for name in ("train", "validation", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1. Received: {getattr(options, name)}.")
    folder = pathlib.Path(options.report)
    folder.mkdir(parents=True, exist_ok=True)
    photos = load(options.data_dir, options.classes, options.train, options.validation)
    counts = {split: len(labels) for split, (_, labels) in photos.items()}
    print(
        f"{' and '.join(options.classes)}: {counts['train']} photos to train with, "
        f"{counts['validation']} to validate with"
    )
    aug.plot_augmentations(POLICY, photos["train"][0], folder / "augmentations.png")
    curves = {}
    for arm, policy in (("without augmentation", None), ("with augmentation", POLICY)):
        curves[arm], accuracy = train(photos, policy, options.epochs, options.seed)
        print(
            f"{arm}: accuracy {accuracy:.3f} on validation photos, "
            f"{len(curves[arm]['loss'])} epochs"
        )
    plot_training(
        curves,
        folder / "curves.png",
        metrics=("loss", "accuracy"),
        best_epochs={arm: int(np.argmin(history["val_loss"])) for arm, history in curves.items()},
    )
    print(f"Curves: {folder}/curves.png, {folder}/augmentations.png")


if __name__ == "__main__":
    main()
