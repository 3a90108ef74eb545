"""What augmented photos give on a catalogue of fashion: kinds told apart, and new products found.

  python examples/fashion_images.py --data_dir ../shared/data/fashion-products

The folder holds `products.csv` and the photos that it names. Two small trainings, each without and
with augmentation, and with equal first weights:

- types: a CNN tells the article types of products from 10 photos of each;
- search: a two-tower finds the product that a photo shows by its title and attributes. The tested
  products are new: nothing of them was trained on. Recall@10 is the share of photos whose product is
  among the first 10, of the new products alone and of all.

One seed takes some minutes on two cores. The report folder gets `augmentations.png`, photos beside
what the policy makes of them, and `types.png` and `search.png`, the curves of the first seed.
benchmarks/photos.py measures the same with five seeds, more arms and intervals.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.datasets.interactions import columns_to_tensors
from tfrs_augment.evaluation import plot_training, rank
from tfrs_augment.ops.image import decode_images
from tfrs_augment.towers import CNN, TwoTower

SIZE = (48, 36)
BATCH = {"types": 32, "search": 64}
EPOCHS = {"types": 250, "search": 100}
PATIENCE = {"types": 40, "search": 20}
WATCHED = {"types": "val_accuracy", "search": "val_recall"}
ATTRIBUTES = (
    *("gender", "masterCategory", "subCategory", "articleType"),
    *("baseColour", "season", "year", "usage"),
)
AFFINE = {
    "rotation_range": 10,
    "width_shift_range": 0.05,
    "height_shift_range": 0.05,
    "shear_range": 3,
    "zoom_range": 0.05,
    "fill_mode": "nearest",
}
"""The geometry, in the arguments of Keras's ImageDataGenerator."""


def photo_ops(affine: Mapping[str, object] = AFFINE) -> list[aug.ops.Op]:
    """The default policy of photos: geometry and light, as mild as development products chose them."""
    return [aug.ops.RandomAffine.from_image_data_generator("photo", **affine), photo_light()]


def photo_light() -> aug.ops.Op:
    return aug.ops.ColorJitter("photo", brightness=0.2, contrast=0.2, saturation=0.2)


def policy_of(ops: Sequence[aug.ops.Op], seed: int) -> aug.AugmentationPolicy:
    return aug.AugmentationPolicy(ops, seed=seed, key_features=("item_id",))


def product_ops() -> list[aug.ops.Op]:
    """The title and the attributes of a product, each changed by itself."""
    return [
        aug.ops.TokenDropout("title", rate=0.1),
        aug.ops.FeatureMask(ATTRIBUTES, rate=0.1),
    ]


def search_ops() -> list[aug.ops.Op]:
    """The photo of the query, and the title and attributes of the product.

    The photo keeps its place: moved ones found no more of the development products.
    """
    return [photo_light(), *product_ops()]


@dataclasses.dataclass(frozen=True)
class Products:
    """The catalogue.

    Attributes:
      items: the columns "item_id", "title" and `ATTRIBUTES`, bytes `[n]`.
      photo: uint8 `[n, 48, 36, 3]`.
      kind: int64 `[n]`, the number of the article type.
    """

    items: Mapping[str, np.ndarray]
    photo: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)


def load(folder: pathlib.Path) -> Products:
    """Reads the table and decodes the photos, grey ones as RGB, to one size."""
    with open(folder / "products.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    named = {"item_id": "id", "title": "productDisplayName"} | {name: name for name in ATTRIBUTES}
    items = {
        name: np.array([row[column].encode() for row in rows]) for name, column in named.items()
    }
    encoded = tf.constant([(folder / row["image"]).read_bytes() for row in rows])
    _, kind = np.unique(items["articleType"], return_inverse=True)
    return Products(items, decode_images(encoded, SIZE).numpy(), kind.astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Parts:
    """Products that train, validate and test: their places in the catalogue."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(products: Products, seed: int, *, train: int, validation: int, test: int) -> Parts:
    """Draws so many products of each article type.

    The test products are the same for every seed, so what is chosen on the validation products of
    any seed owes nothing to them.
    """
    rng = np.random.default_rng(seed)
    digest = np.array([hashlib.sha256(i).hexdigest() for i in products.items["item_id"]])
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for kind in np.unique(products.kind):
        places = np.flatnonzero(products.kind == kind)
        places = places[np.argsort(digest[places])]
        drawn = rng.permutation(places[test:])
        parts["test"].append(places[:test])
        parts["train"].append(drawn[:train])
        parts["validation"].append(drawn[train : train + validation])
    return Parts(**{name: np.concatenate(places) for name, places in parts.items()})


def stopping(metric: str, patience: int) -> tf_keras.callbacks.Callback:
    """Ends a training that no longer gets better, with the weights of its best epoch."""
    return tf_keras.callbacks.EarlyStopping(
        metric, mode="max", patience=patience, restore_best_weights=True
    )


Change = Callable[[np.ndarray], np.ndarray]


def train_types(
    products: Products,
    parts: Parts,
    policy: aug.AugmentationPolicy | None,
    *,
    seed: int,
    epochs: int,
    patience: int,
    change: Change | None = None,
) -> tuple[tf_keras.Model, dict[str, list[float]]]:
    """Trains a CNN to tell article types; returns it and its curves.

    Args:
      products: the catalogue.
      parts: its products that train and validate.
      policy: acts inside the model, in training alone.
      seed: of the first weights and of the order of the photos.
      epochs: at most.
      patience: epochs without a better accuracy on the validation photos.
      change: of a batch of training photos, in the place of a policy.
    """
    tf_keras.utils.set_random_seed(seed)
    inputs = {
        "photo": tf_keras.Input([*SIZE, 3], dtype="uint8", name="photo"),
        "item_id": tf_keras.Input([], dtype="string", name="item_id"),
    }
    augmented = inputs if policy is None else aug.layers.Augment(policy)(inputs)
    tower = CNN(int(products.kind.max()) + 1, filters=(16, 32, 64), hidden=128)
    model = tf_keras.Model(inputs, tower(augmented["photo"]))
    model.compile(
        tf_keras.optimizers.legacy.Adam(1e-3),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[tf_keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    columns = {"photo": products.photo, "item_id": products.items["item_id"]}
    columns = {name: tf.constant(column) for name, column in columns.items()}
    kind = tf.constant(products.kind)

    def rows(index: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        picked = {name: tf.gather(column, index) for name, column in columns.items()}
        return picked, tf.gather(kind, index)

    def changed(picked: dict[str, tf.Tensor], labels: tf.Tensor):
        photos = tf.numpy_function(change, [picked["photo"]], tf.uint8, stateful=True)
        return {**picked, "photo": tf.ensure_shape(photos, [None, *SIZE, 3])}, labels

    order = tf.data.Dataset.from_tensor_slices(parts.train).shuffle(len(parts.train), seed=seed)
    batches = order.batch(BATCH["types"], drop_remainder=True).map(rows)
    if change is not None:
        batches = batches.map(changed)
    history = model.fit(
        batches.prefetch(2),
        epochs=epochs,
        validation_data=rows(tf.constant(parts.validation)),
        validation_batch_size=256,
        callbacks=[stopping("val_accuracy", patience)],
        verbose=0,
    )
    return model, history.history


def known_types(model: tf_keras.Model, products: Products, places: np.ndarray) -> np.ndarray:
    """Returns float64 `[n]`: 1 for a product whose article type is told right."""
    columns = {"photo": products.photo[places], "item_id": products.items["item_id"][places]}
    scores = model.predict(columns, batch_size=256, verbose=0)
    return (scores.argmax(axis=1) == products.kind[places]).astype(np.float64)


def interactions(products: Products, places: np.ndarray) -> Interactions:
    """One row a product: its photo asks for it."""
    events = {
        "user_id": np.full(len(places), b"anyone"),
        "item_id": products.items["item_id"][places],
        "timestamp": np.zeros(len(places), np.int64),
        "photo": products.photo[places],
    }
    users = {"user_id": np.array([b"anyone"])}
    return Interactions.from_tables(events, products.items, users, name="fashion-products")


def train_search(
    products: Products,
    parts: Parts,
    policy: aug.AugmentationPolicy | None,
    *,
    seed: int,
    epochs: int,
    patience: int,
) -> tuple[TwoTower, dict[str, list[float]]]:
    """Trains a two-tower of photos and products; returns it and its curves; see `train_types`.

    The item tower knows no ids: those of new products would tell it nothing.
    """
    tf_keras.utils.set_random_seed(seed)
    train = interactions(products, parts.train)
    model = TwoTower(
        train,
        embedding_dim=64,
        hidden=128,
        context_features=("photo",),
        candidate_features=("title", *ATTRIBUTES),
        text_features=("title",),
        item_ids=False,
        image_encoder=functools.partial(CNN, 64, filters=(16, 32, 64), hidden=128),
    )
    if policy is not None:
        aug.wrap(model, policy)
    model.compile(tf_keras.optimizers.legacy.Adam(1e-3))

    def validate(epoch: int, logs: dict[str, float]) -> None:
        found = found_products(model, products, parts.validation, parts.validation)
        logs["val_recall"] = float(found.mean())

    history = model.fit(
        train.dataset(BATCH["search"], shuffle_seed=seed),
        epochs=epochs,
        callbacks=[
            tf_keras.callbacks.LambdaCallback(on_epoch_end=validate),
            stopping("val_recall", patience),
        ],
        verbose=0,
    )
    return model, {name: history.history[name] for name in ("loss", "val_recall")}


def found_products(
    model: TwoTower, products: Products, places: np.ndarray, corpus: np.ndarray
) -> np.ndarray:
    """Returns float64 `[n]`: 1 for a photo whose product is among the first 10 of the corpus."""
    asking = interactions(products, places).dataset(256)
    queries = np.concatenate([model.query_model(rows).numpy() for rows in asking])
    items = columns_to_tensors({name: column[corpus] for name, column in products.items.items()})
    own = np.searchsorted(np.sort(corpus), places)
    ranks = rank(
        queries,
        model.candidate_model(items).numpy(),
        np.arange(len(places)),
        np.argsort(corpus, kind="stable")[own],
    )
    return ranks.recall(10)


def parts_of(task: str, products: Products, seed: int) -> Parts:
    """10 products of a type train for the types, as many as there are for the search."""
    train, validation, test = (10, 5, 15) if task == "types" else (21, 3, 6)
    return split(products, seed, train=train, validation=validation, test=test)


def train(
    task: str,
    products: Products,
    policy: aug.AugmentationPolicy | None,
    *,
    seed: int,
    epochs: int | None = None,
    change: Change | None = None,
) -> tuple[tf_keras.Model, dict[str, list[float]]]:
    """Trains for one of the two tasks; see `train_types` and `train_search`."""
    parts = parts_of(task, products, seed)
    options = {"seed": seed, "epochs": epochs or EPOCHS[task], "patience": PATIENCE[task]}
    if task == "types":
        return train_types(products, parts, policy, change=change, **options)
    return train_search(products, parts, policy, **options)


def hits(
    task: str, model: tf_keras.Model, products: Products, places: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns what is measured: by name, 1 for a product that the model got right, float64 `[n]`."""
    if task == "types":
        return {"accuracy": known_types(model, products, places)}
    return {
        "Recall@10, new products": found_products(model, products, places, places),
        "Recall@10, all products": found_products(
            model, products, places, np.arange(len(products))
        ),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", required=True, type=pathlib.Path, help="folder of the data")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--epochs", type=int, help=f"most epochs (default: {EPOCHS})")
    parser.add_argument("--report", default="report", help="folder to write to (default: report)")
    options = parser.parse_args(arguments)
    for name in ("seeds", "epochs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}.")
    if not (options.data_dir / "products.csv").is_file():
        parser.error(f"--data_dir must hold products.csv. Received: {options.data_dir}.")
    folder = pathlib.Path(options.report)
    folder.mkdir(parents=True, exist_ok=True)
    products = load(options.data_dir)
    few = {"photo": products.photo[::66][:4], "item_id": products.items["item_id"][::66][:4]}
    aug.plot_augmentations(policy_of(photo_ops(), 0), few, folder / "augmentations.png")
    print(f"{'':<32}{'without':>8}{'with augmentation':>20}")
    for task, ops in (("types", photo_ops()), ("search", search_ops())):
        found: dict[str, list[dict[str, np.ndarray]]] = {}
        curves: dict[str, dict[str, list[float]]] = {}
        for seed in range(options.seeds):
            test = parts_of(task, products, seed).test
            for arm, policy in (("without", None), ("with augmentation", policy_of(ops, seed))):
                model, history = train(task, products, policy, seed=seed, epochs=options.epochs)
                found.setdefault(arm, []).append(hits(task, model, products, test))
                curves.setdefault(arm, history)
        for name in found["without"][0]:
            plain, augmented = (np.mean([one[name] for one in runs]) for runs in found.values())
            print(f"{f'{task}: {name}':<32}{plain:>8.3f}{augmented:>20.3f}")
        best = {arm: int(np.argmax(history[WATCHED[task]])) for arm, history in curves.items()}
        plot_training(curves, folder / f"{task}.png", best_epochs=best)
    print(f"Mean of {options.seeds} seeds. Curves: {folder}/types.png, {folder}/search.png")


if __name__ == "__main__":
    main()
