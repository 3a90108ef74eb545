"""Photos of fashion that a DCGAN makes, and how near they come to real ones.

  python examples/image_gan.py --data_dir ../shared/data/fashion-products --minutes 25

The folder holds `products.csv` and the photos that it names. Four of five photos train the GAN, and the
project's CNN as a classifier of article types; the others are compared with. The measure is the Fréchet
distance in the CNN's embedding, less is better, beside three other sets: uniform noise, the mean photo, and
the real photos that were trained on, which is what could be reached.

The report folder gets a grid of sampled photos an epoch, and `image_gan.npz`, the fitted generator.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.ops.image import decode_images
from tfrs_augment.synthesis import ImageGAN, ImageGrid, frechet_distance
from tfrs_augment.towers import CNN

SIZE = (64, 64)


def load(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns photos, uint8 `[n, 64, 64, 3]`, and the numbers of their article types, int64 `[n]`."""
    with open(folder / "products.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    encoded = tf.constant([(folder / row["image"]).read_bytes() for row in rows])
    _, kind = np.unique([row["articleType"] for row in rows], return_inverse=True)
    return decode_images(encoded, SIZE).numpy(), kind


def train_classifier(photos: np.ndarray, kind: np.ndarray, epochs: int) -> CNN:
    """Returns a CNN whose output tells the article types apart."""
    tower = CNN(dim=64)
    model = tf_keras.Sequential(
        [tower, tf_keras.layers.ReLU(), tf_keras.layers.Dense(kind.max() + 1)]
    )
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.legacy.Adam(1e-3), loss, metrics=["accuracy"])
    history = model.fit(photos, kind, batch_size=64, epochs=epochs, verbose=0).history
    print(f"classifier: {history['accuracy'][-1]:.2f} of the training photos told right")
    return tower


def distances(tower: CNN, sets: dict[str, np.ndarray], real: np.ndarray) -> dict[str, float]:
    """The distance of each set of photos to real ones, in the tower's embedding."""

    def embed(photos: np.ndarray) -> np.ndarray:
        parts = [tower(tf.constant(photos[i : i + 256])) for i in range(0, len(photos), 256)]
        return np.concatenate(parts).astype(np.float64)

    truth = embed(real)
    return {name: frechet_distance(embed(photos), truth) for name, photos in sets.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=25.0, help="how long the GAN trains")
    parser.add_argument("--epochs", type=int, default=1000, help="the most epochs of the GAN")
    parser.add_argument("--steps_per_epoch", type=int, default=100)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--classifier_epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=pathlib.Path, default=pathlib.Path("report"))
    options = parser.parse_args(arguments)

    tf_keras.utils.set_random_seed(options.seed)
    photos, kind = load(options.data_dir)
    order = np.random.default_rng(options.seed).permutation(len(photos))
    train, test = np.split(order, [4 * len(photos) // 5])
    print(f"{len(train)} photos to train with, {len(test)} to compare with")
    options.report.mkdir(parents=True, exist_ok=True)
    tower = train_classifier(photos[train], kind[train], options.classifier_epochs)
    gan = ImageGAN(
        epochs=options.epochs,
        steps_per_epoch=options.steps_per_epoch,
        patience=options.epochs,
        minutes=options.minutes,
        filters=options.filters,
        seed=options.seed,
    ).fit(photos[train], progress=True, callbacks=[ImageGrid(options.report / "epochs")])
    gan.save(options.report / "image_gan.npz")

    count, rng = len(test), np.random.default_rng(options.seed)
    mean = photos[train].mean(0).round().astype(np.uint8)
    sets = {
        "DCGAN": gan.sample(count),
        "noise": rng.integers(0, 256, [count, *SIZE, 3]).astype(np.uint8),
        "mean photo": np.repeat(mean[None], count, 0),
        "training photos": photos[train[:count]],
    }
    print("Fréchet distance to held-out photos, in the CNN's embedding:")
    for name, distance in distances(tower, sets, photos[test]).items():
        print(f"  {name}: {distance:.1f}")


if __name__ == "__main__":
    main()
