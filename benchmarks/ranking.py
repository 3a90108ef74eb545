"""Does augmentation help a ranking model? RMSE of ratings, and AUC of liked movies.

    python benchmarks/ranking.py --data path/to/ml-100k [--seeds 5]

The network is `towers.Ranking` (DCN V2) with early stopping; all its arms get equal steps. Beside it stand
a logistic regression and a gradient-boosted tree on rows that `policy.apply` augmented, for teams whose
ranker is no network; they predict whether a rating is at least 4, so AUC alone is theirs. Figure:
`mixup_rmse_change`, the RMSE of the MixUp arm over that of the baseline, less 1 (bar -0.003).
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import dataclasses
from collections.abc import Callable

import common
import numpy as np
import pandas as pd
import tqdm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import tf_keras

from tfrs_augment.datasets import Interactions
from tfrs_augment.evaluation import Split, bootstrap, split
from tfrs_augment.evaluation.slices import Slices
from tfrs_augment.towers import Ranking

LABEL, LIKED = "user_rating", 4.0
IDS = ("user_id", "movie_id")
FEATURES = ("user_age", "user_gender", "user_occupation", "movie_genres", "movie_year")
EPOCHS, BATCH, PATIENCE, COPIES = 30, 1024, 3, 2
BASELINE, MIXUP = "baseline", "MixUp of embeddings"


def make_policy(seed: int) -> aug.AugmentationPolicy:
    """Ids dropped, features hidden: what the retrieval policy does, on both sides of a row."""
    return aug.AugmentationPolicy(
        [
            aug.ops.IdDropout("movie_id", rate=0.1),
            aug.ops.IdDropout("user_id", rate=0.1),
            aug.ops.FeatureMask(FEATURES, rate=0.1),
        ],
        seed=seed,
        key_features=(*IDS, "timestamp"),
    )


def mixup(alpha: float) -> list[aug.tasks.MixUpRanking]:
    return [
        aug.tasks.MixUpRanking(
            lambda model, embedded: model.score(embedded, training=True),
            embed=lambda model, features: model.embed(features),
            label=LABEL,
            alpha=alpha,
        )
    ]


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train the network.

    Args:
      policy: a function of the seed that returns a policy.
      tasks: a function that returns the losses to add.
      copies: how often each row stands in the list that batches are cut from.
      dropout: of the network.
    """

    policy: Callable[[int], aug.AugmentationPolicy] | None = None
    tasks: Callable[[], list] | None = None
    copies: int = 1
    dropout: float = 0.2


ARMS = {
    BASELINE: Arm(),
    "tuned dropout": Arm(dropout=0.4),
    "oversampling": Arm(copies=1 + COPIES),
    "policy": Arm(make_policy),
    MIXUP: Arm(tasks=lambda: mixup(0.2)),
    "MixUp, alpha 1": Arm(tasks=lambda: mixup(1.0)),
    "MixUp and policy": Arm(make_policy, tasks=lambda: mixup(0.2)),
}


def train(arm: Arm, one: Split, seed: int) -> np.ndarray:
    """Returns the predicted ratings of the test rows, float64 `[rows]`."""
    tf_keras.utils.set_random_seed(seed)
    model = Ranking(one.train, label=LABEL, features=FEATURES, dropout=arm.dropout)
    tasks = arm.tasks() if arm.tasks else ()
    if arm.policy or tasks:
        aug.wrap(model, arm.policy(seed) if arm.policy else None, tasks=tasks)
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


def frame_of(rows: Interactions) -> pd.DataFrame:
    """The ids and features as a table of Python values; genres are lists."""
    columns = {}
    for name in (*IDS, "timestamp", *FEATURES):
        column = rows.rows[name]
        values = column.to_tf().to_list() if hasattr(column, "to_tf") else column.tolist()
        columns[name] = [_decoded(value) for value in values]
    return pd.DataFrame(columns)


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

    def __init__(self, frame: pd.DataFrame, liked: np.ndarray):
        self._mean, self._tables = liked.mean(), {}
        fold = np.arange(len(frame)) % self.FOLDS
        for name in IDS:
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
                    for n, i in zip(IDS, ids)
                ]
                for f, *ids in zip(fold, *(frame[name] for name in IDS), strict=True)
            ]
        )


def classical(one: Split, seed: int, *, augmented: bool) -> dict[str, np.ndarray]:
    """Returns the chance of a liking that a logistic regression and a boosted tree predict."""
    frame, test = frame_of(one.train), frame_of(one.test)
    liked = one.train.rows[LABEL] >= LIKED
    parts = [frame]
    if augmented:
        policy = make_policy(seed)
        parts += [policy.apply(frame, draw=draw) for draw in range(COPIES)]
    labels = np.tile(liked, len(parts))
    dicts = DictVectorizer()
    columns = [*IDS, *FEATURES]
    x = dicts.fit_transform([row for part in parts for row in _dicts(part[columns])])
    logistic = LogisticRegression(C=0.3, max_iter=300).fit(x, labels)
    found = {"logistic regression": logistic.predict_proba(dicts.transform(_dicts(test[columns])))}
    ratings, dicts = Ratings(frame, liked), DictVectorizer(sparse=False)
    x = dicts.fit_transform([row for part in parts for row in _dicts(part[list(FEATURES)])])
    x = np.hstack([x, np.vstack([ratings.of(part, training=True) for part in parts])])
    tree = HistGradientBoostingClassifier(random_state=seed).fit(x, labels)
    x = dicts.transform(_dicts(test[list(FEATURES)]))
    x = np.hstack([x, ratings.of(test, training=False)])
    found["boosted tree"] = tree.predict_proba(x)
    suffix = ", policy" if augmented else ""
    return {f"{name}{suffix}": chances[:, 1] for name, chances in found.items()}


def _dicts(frame: pd.DataFrame) -> list[dict]:
    """Rows for `DictVectorizer`: strings and lists as categories, years and ages in units near 1."""
    frame = frame.assign(user_age=frame["user_age"] / 50, movie_year=frame["movie_year"] / 2000)
    rows = frame.to_dict("records")
    for row in rows:
        genres = row.pop("movie_genres")
        row.update({f"genre={genre}": 1.0 for genre in genres})
    return rows


def auc_of(liked: np.ndarray, scores: np.ndarray) -> float:
    return roc_auc_score(liked, scores)


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data", required=True, help="folder with MovieLens 100K")
        parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")

    arguments = common.parse(__doc__, add=add)
    data = aug.datasets.movielens_100k(arguments.data)
    if arguments.quick:
        data = data.take(np.random.default_rng(0).permutation(len(data))[:10_000])
    arms = {name: ARMS[name] for name in ((BASELINE, MIXUP) if arguments.quick else ARMS)}
    seeds = range(1 if arguments.quick else arguments.seeds)
    squares: dict[str, list] = {}
    aucs: dict[str, list] = {}
    slices = ("all", "warm", "tail", "cold")
    for seed in tqdm.tqdm(seeds, unit="seed"):
        one = split(data, by="user_time", cold_share=0.1, seed=seed)
        masks, users = Slices.of(one).masks, one.test.user_index()
        labels = one.test.rows[LABEL].astype(np.float64)
        for name, arm in arms.items():
            predicted = train(arm, one, seed)
            squares.setdefault(name, []).append((labels - predicted) ** 2)
            aucs.setdefault(name, []).append(auc_of(labels >= LIKED, predicted))
        for augmented in (False, True):
            for name, chances in classical(one, seed, augmented=augmented).items():
                aucs.setdefault(name, []).append(auc_of(labels >= LIKED, chances))
        squares.setdefault("masks", []).append((users, masks))
    report(arms, squares, aucs, slices, len(seeds), write=not arguments.quick)


def report(arms, squares, aucs, slices, seeds, *, write) -> None:
    """Prints and writes the table: RMSE by slice, its change with an interval, AUC."""
    sums = []
    for number, (users, masks) in enumerate(squares["masks"]):
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
    common.finish(
        "ranking",
        figures,
        header=["model", "test rows", "RMSE", "against the baseline", "AUC of ratings >= 4"],
        table=table,
        notes=f"MovieLens 100K, {seeds} seeds: each user's last tenth tested, a tenth of the movies cold; "
        "95 % intervals, paired. The last rows: classical models, with and without rows of the policy.",
        write=write,
    )


if __name__ == "__main__":
    main()
