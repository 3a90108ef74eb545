"""Does augmentation help a ranking model? RMSE of ratings, and AUC of liked movies.

    python benchmarks/ranking.py --data path/to/ml-100k [--seeds 5]
    python benchmarks/ranking.py                         # the simulated shop

The network is `towers.Ranking` (DCN V2) with early stopping; all its arms get equal steps. Beside it stand
a logistic regression and a gradient-boosted tree on rows that `policy.apply` augmented, for teams whose
ranker is no network; they predict whether a rating is at least 4, so AUC alone is theirs. Figure:
`mixup_rmse_change`, the RMSE of the chosen MixUp over that of the baseline, less 1 (bar -0.003). With
--tune settings of MixUp are compared on development splits, without the classical models.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import dataclasses

import _common
import numpy as np
import pandas as pd
import tqdm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import tf_keras

from tfrs_augment.datasets import Interactions
from tfrs_augment.evaluation import Split, development_split, split
from tfrs_augment.evaluation.measuring.slices import Slices
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.towers import Ranking

EPOCHS, BATCH, PATIENCE, COPIES = 30, 1024, 3, 2
BASELINE, MIXUP = "baseline", "MixUp of embeddings"


@dataclasses.dataclass(frozen=True)
class Columns:
    """What a ranker reads, and what it is to predict.

    Attributes:
      ids: of user and item.
      features: the others.
      label: ratings, float32.
      liked: the rating from which an item counts as liked.
    """

    ids: tuple[str, str]
    features: tuple[str, ...]
    label: str
    liked: float

    def policy(self, seed: int) -> aug.AugmentationPolicy:
        """Ids dropped, features hidden: what the retrieval policy does, on both sides of a row."""
        return aug.AugmentationPolicy(
            [
                *(aug.ops.IdDropout(name, rate=0.1) for name in self.ids),
                aug.ops.FeatureMask(self.features, rate=0.1),
            ],
            seed=seed,
            key_features=(*self.ids, "timestamp"),
        )


MOVIELENS = Columns(
    ids=("user_id", "movie_id"),
    features=("user_age", "user_gender", "user_occupation", "movie_genres", "movie_year"),
    label="user_rating",
    liked=4.0,
)
SHOP = Columns(
    ids=("user_id", "item_id"),
    features=("user_age", "user_gender", "user_city", "item_category", "item_brand", "item_price"),
    label="rating",
    liked=4.0,
)


@dataclasses.dataclass(frozen=True)
class MixUp:
    """Settings of a MixUp loss beside the model's own; see `tasks.MixUpRanking`."""

    alpha: float
    weight: float = 1.0
    bandwidth: float | None = None

    def task(self, columns: Columns) -> aug.tasks.MixUpRanking:
        return aug.tasks.MixUpRanking(
            lambda model, embedded: model.score(embedded, training=True),
            embed=lambda model, features: model.embed(features),
            label=columns.label,
            **dataclasses.asdict(self),
        )


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train the network.

    Args:
      policy: whether the policy acts.
      mixup: the MixUp loss to add. Default: none.
      copies: how often each row stands in the list that batches are cut from.
      dropout: of the network.
    """

    policy: bool = False
    mixup: MixUp | None = None
    copies: int = 1
    dropout: float = 0.2


ARMS = {
    BASELINE: Arm(),
    "tuned dropout": Arm(dropout=0.4),
    "oversampling": Arm(copies=1 + COPIES),
    "policy": Arm(policy=True),
    # Chosen by --tune.
    MIXUP: Arm(mixup=MixUp(alpha=1.0, weight=0.3)),
    "MixUp as the papers have it": Arm(mixup=MixUp(alpha=0.2)),
    "MixUp of near labels": Arm(mixup=MixUp(alpha=2.0, bandwidth=0.25)),
    "MixUp and policy": Arm(policy=True, mixup=MixUp(alpha=1.0, weight=0.3)),
}
TUNED = {
    BASELINE: Arm(),
    **{
        f"alpha {alpha:g}, weight {weight:g}"
        + (f", bandwidth {bandwidth:g}" if bandwidth else ""): Arm(
            mixup=MixUp(alpha, weight, bandwidth)
        )
        for alpha, weight, bandwidth in (
            *((0.2, weight, None) for weight in (0.1, 0.3)),
            (1.0, 0.3, None),
            (4.0, 0.1, None),
            *((2.0, 1.0, bandwidth) for bandwidth in (0.1, 0.25, 0.5, 1.0)),
            (0.5, 1.0, 0.5),
            (0.5, 0.1, 0.5),
            (4.0, 0.3, 1.0),
        )
    },
}


def train(arm: Arm, columns: Columns, one: Split, seed: int) -> np.ndarray:
    """Returns the predicted ratings of the test rows, float64 `[rows]`."""
    tf_keras.utils.set_random_seed(seed)
    model = Ranking(one.train, label=columns.label, features=columns.features, dropout=arm.dropout)
    tasks = [arm.mixup.task(columns)] if arm.mixup else ()
    if arm.policy or tasks:
        aug.wrap(model, columns.policy(seed) if arm.policy else None, tasks=tasks)
    model.compile(tf_keras.optimizers.legacy.Adam(2e-3))
    rows = one.train.take(np.tile(np.arange(len(one.train)), arm.copies))
    stopping = tf_keras.callbacks.EarlyStopping(
        "val_rmse", mode="min", patience=PATIENCE, restore_best_weights=True
    )
    model.fit(
        rows.dataset(BATCH, shuffle_seed=seed).repeat().prefetch(2),
        steps_per_epoch=-(-len(one.train) // BATCH),
        epochs=EPOCHS,
        validation_data=one.validation.dataset(8192),
        callbacks=[stopping],
        verbose=0,
    )
    batches = [model(batch).numpy()[:, 0] for batch in one.test.dataset(8192)]
    return np.concatenate(batches).astype(np.float64)


def frame_of(rows: Interactions, columns: Columns) -> pd.DataFrame:
    """The ids and features as a table of Python values; bags are lists."""
    table = {}
    for name in (*columns.ids, "timestamp", *columns.features):
        column = rows.rows[name]
        values = column.to_tf().to_list() if hasattr(column, "to_tf") else column.tolist()
        table[name] = [_decoded(value) for value in values]
    return pd.DataFrame(table)


def _decoded(value):
    """Bytes, alone or in a list, as strings."""
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


class Ratings:
    """How liked a user's or a movie's other rows are: five folds, a row's own left out.

    Copies of a row share its fold, so that no copy tells the label of another.
    """

    FOLDS, PRIOR = 5, 10.0

    def __init__(self, frame: pd.DataFrame, liked: np.ndarray, ids: tuple[str, str]):
        self._mean, self._tables, self._ids = liked.mean(), {}, ids
        fold = np.arange(len(frame)) % self.FOLDS
        for name in ids:
            for left_out in (*range(self.FOLDS), None):
                used = fold != left_out if left_out is not None else np.ones(len(fold), bool)
                grouped = pd.Series(liked[used]).groupby(frame[name].to_numpy()[used])
                total, count = grouped.sum(), grouped.count()
                shrunk = (total + self.PRIOR * self._mean) / (count + self.PRIOR)
                self._tables[name, left_out] = shrunk.to_dict()

    def of(self, frame: pd.DataFrame, *, training: bool) -> np.ndarray:
        """float64 `[rows, 2]`; an id that is not known has the mean of all."""
        fold = np.arange(len(frame)) % self.FOLDS
        return np.array(
            [
                [
                    self._tables[n, f if training else None].get(i, self._mean)
                    for n, i in zip(self._ids, ids)
                ]
                for f, *ids in zip(fold, *(frame[name] for name in self._ids), strict=True)
            ]
        )


def classical(columns: Columns, one: Split, seed: int, *, augmented: bool) -> dict[str, np.ndarray]:
    """Returns the chance of a liking that a logistic regression and a boosted tree predict."""
    frame, test = frame_of(one.train, columns), frame_of(one.test, columns)
    liked = one.train.rows[columns.label] >= columns.liked
    parts = [frame]
    if augmented:
        policy = columns.policy(seed)
        parts += [policy.apply(frame, draw=draw) for draw in range(COPIES)]
    labels = np.tile(liked, len(parts))
    dicts = make_pipeline(DictVectorizer(), MaxAbsScaler())
    features = list(columns.features)
    used = [*columns.ids, *features]
    x = dicts.fit_transform([row for part in parts for row in _dicts(part[used])])
    logistic = LogisticRegression(C=0.3, max_iter=300).fit(x, labels)
    found = {"logistic regression": logistic.predict_proba(dicts.transform(_dicts(test[used])))}
    ratings, dicts = Ratings(frame, liked, columns.ids), DictVectorizer(sparse=False)
    x = dicts.fit_transform([row for part in parts for row in _dicts(part[features])])
    x = np.hstack([x, np.vstack([ratings.of(part, training=True) for part in parts])])
    tree = HistGradientBoostingClassifier(random_state=seed).fit(x, labels)
    x = dicts.transform(_dicts(test[features]))
    x = np.hstack([x, ratings.of(test, training=False)])
    found["boosted tree"] = tree.predict_proba(x)
    suffix = ", policy" if augmented else ""
    return {f"{name}{suffix}": chances[:, 1] for name, chances in found.items()}


def _dicts(frame: pd.DataFrame) -> list[dict]:
    """Rows for `DictVectorizer`; bags as categories."""
    rows = frame.to_dict("records")
    for row in rows:
        for name in [name for name, value in row.items() if isinstance(value, list)]:
            row.update({f"{name}={value}": 1.0 for value in row.pop(name)})
    return rows


def auc_of(liked: np.ndarray, scores: np.ndarray) -> float:
    return roc_auc_score(liked, scores)


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--data", help="folder with MovieLens 100K (default: the simulated shop)"
        )
        parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
        parser.add_argument("--tune", action="store_true", help="compare on development splits")

    arguments = _common.parse(__doc__, add=add)
    if arguments.data is None:
        columns = SHOP
        data = aug.datasets.simulated_shop("tiny" if arguments.quick else "small")
    else:
        columns, data = MOVIELENS, aug.datasets.movielens_100k(arguments.data)
    arms = TUNED if arguments.tune else ARMS
    arms = {name: ARMS[name] for name in (BASELINE, MIXUP)} if arguments.quick else arms
    # Seeds of their own, or cold items that test would take part in the choice.
    first = 100 if arguments.tune else 0
    seeds = range(first, first + (1 if arguments.quick else arguments.seeds))
    rows: list[tuple] = []
    squares: dict[str, list] = {}
    aucs: dict[str, list] = {}
    slices = ("all", "warm", "tail", "cold")
    for seed in tqdm.tqdm(seeds, unit="seed"):
        options = {"by": "user_time", "cold_share": 0.1}
        one = split(data, seed=seed, **options)
        if arguments.tune:
            one = development_split(one, seed=1000 + seed, **options)
        masks, users = Slices.of(one).masks, one.test.user_index()
        labels = one.test.rows[columns.label].astype(np.float64)
        for name, arm in arms.items():
            predicted = train(arm, columns, one, seed)
            squares.setdefault(name, []).append((labels - predicted) ** 2)
            aucs.setdefault(name, []).append(auc_of(labels >= columns.liked, predicted))
        for augmented in () if arguments.tune else (False, True):
            for name, chances in classical(columns, one, seed, augmented=augmented).items():
                aucs.setdefault(name, []).append(auc_of(labels >= columns.liked, chances))
        rows.append((users, masks))
    name = data.name + ("_tuning" if arguments.tune else "")
    report(name, arms, rows, squares, aucs, slices, len(seeds), write=not arguments.quick)


def report(data_name, arms, rows, squares, aucs, slices, seeds, *, write) -> None:
    """Prints and writes the table: RMSE by slice, its change with an interval, AUC."""
    sums = []
    for number, (users, masks) in enumerate(rows):
        columns = [(squares[arm][number], masks[name]) for arm in arms for name in slices]
        sums.append(bootstrap.Sums.of(users, *map(list, zip(*columns, strict=True))))
    shape = (-1, len(arms), len(slices))
    rmse = np.sqrt(bootstrap.means(sums)).reshape(shape[1:])
    resampled = np.sqrt(bootstrap.resample(sums)).reshape(shape)
    table, figures = [], {}
    for a, arm in enumerate(arms):
        for s, name in enumerate(slices):
            change = resampled[:, a, s] / resampled[:, 0, s] - 1
            low, high = bootstrap.interval(change)
            relative = rmse[a, s] / rmse[0, s] - 1
            if arm == MIXUP and name == "all":
                figures = {"mixup_rmse_change": relative, "low": low, "high": high}
            shown = f"{relative:+.2%} [{low:+.2%}, {high:+.2%}]" if a else ""
            auc = f"{np.mean(aucs[arm]):.4f}" if name == "all" else ""
            table.append([arm if s == 0 else "", name, f"{rmse[a, s]:.4f}", shown, auc])
    for name in aucs:
        if name not in arms:
            table.append([name, "all", "", "", f"{np.mean(aucs[name]):.4f}"])
    _common.finish(
        f"ranking_{data_name}",
        figures,
        header=["model", "test rows", "RMSE", "against the baseline", "AUC of ratings >= 4"],
        table=table,
        notes=f"{data_name}, {seeds} seeds: each user's last tenth tested, a tenth of the items cold; "
        "95 % intervals, paired. The last rows: classical models, with and without rows of the policy.",
        write=write,
    )


if __name__ == "__main__":
    main()
