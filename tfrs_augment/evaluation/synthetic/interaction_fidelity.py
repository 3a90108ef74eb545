"""What synthesized interactions are worth as pairs of a user and an item.

| measure | what it is |
|---|---|
| `lift` | how often a synthesized pair that training lacks is a held-out one, over items drawn at random |
| `popularity_lift` | the same of items drawn by their training counts: what popularity alone reaches |
| `lift_over_popularity` | the one over the other |
| `popularity_spearman` | rank correlation of the items' synthetic and training counts, over the catalogue |
| `item_coverage` | share of the training items that occur |
| `distinct` | number of different pairs, as a share of the rows |
| `seen` | share of the rows whose pair is in training |

A random generator has a lift of 1, and popularity is the control that any model must pass: it is known
without one. A pair counts once for a lift, however often it was made. Intervals are those of 2,000 resamples
of the users, each with all of its pairs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Interactions, find_ids
from tfrs_augment.errors import DataError
from tfrs_augment.evaluation.splitting.splits import catalogue_size
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.rank_statistics import spearman
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.inputs import read_table
from tfrs_augment.synthesis.interactions import InteractionSynthesizer

_NAMING = 0.5
"""Different values for each user or item above which a text is taken for a name of it."""

LIFTS = ("lift", "popularity_lift", "lift_over_popularity")


def telling_columns(synthesizer: Synthesizer) -> tuple[list[str], list[str]]:
    """Returns the columns whose fidelity and privacy are worth measuring, and names that are left out.

    Of interactions neither ids tell anything of a row, nor texts that name nearly every user or item as an
    id does, such as titles. Of other rows all columns count.

    Args:
      synthesizer: a fitted one.
    """
    names = list(synthesizer.spec.names)
    if not isinstance(synthesizer, InteractionSynthesizer):
        return names, []
    layout, spec = synthesizer.layout, synthesizer.spec
    owners = dict.fromkeys(layout.user_features, len(synthesizer.user_ids()))
    owners |= dict.fromkeys(layout.item_features, len(synthesizer.item_ids()))
    naming = [
        name
        for name, count in owners.items()
        if spec[name].dtype == "bytes" and len(spec[name].categories) > _NAMING * count
    ]
    left_out = {*synthesizer.id_columns(), *naming}
    return [name for name in names if name not in left_out], naming


@dataclasses.dataclass(frozen=True)
class InteractionFidelity:
    """What `measure_interactions` found; see the module.

    Attributes:
      rows: how many synthetic rows were measured.
      unseen: how many different pairs of them training lacks.
      hits: how many of these are held-out pairs.
      values: by the measure's name; NaN where it is not defined, as a lift without unseen pairs.
      intervals: of `lift`, `popularity_lift` and `lift_over_popularity`, 95 %.
    """

    rows: int
    unseen: int
    hits: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]

    def table(self) -> str:
        """Returns the measures as a Markdown table."""
        lines = ["| measure | value | 95 % interval |", "| --- | --- | --- |"]
        for name, value in self.values.items():
            shown = "" if math.isnan(value) else f"{value:.4g}"
            low, high = self.intervals.get(name, (math.nan, math.nan))
            interval = "" if math.isnan(low) else f"[{low:.4g}, {high:.4g}]"
            lines.append(f"| {name} | {shown} | {interval} |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; NaN becomes None."""
        return {
            "rows": self.rows,
            "unseen": self.unseen,
            "hits": self.hits,
            "values": {k: None if math.isnan(v) else v for k, v in self.values.items()},
            "intervals": {
                k: None if math.isnan(v[0]) else list(v) for k, v in self.intervals.items()
            },
        }


def measure_interactions(
    real: Interactions, synthetic: Any, heldout: Interactions, *, seed: int = 0
) -> InteractionFidelity:
    """Measures synthesized pairs of users and items.

    Args:
      real: the interactions that the synthesizer was fitted on.
      synthetic: its rows: whatever `synthesis.read_table` reads, with the two id columns of `real`.
      heldout: real interactions of the same users and catalogue that it has not seen. Pairs that are in
        `real` too don't count.
      seed: of the resampling.

    Returns:
      The measures.

    Raises:
      UnknownFeatureError: `synthetic` lacks an id column.
      DataError: it has no rows, or an id that is not in the tables of `real`.

    Example:
      >>> from tfrs_augment.datasets import simulated_shop
      >>> shop = simulated_shop("tiny")
      >>> half = np.arange(len(shop)) % 2 == 0
      >>> found = measure_interactions(shop.take(half), shop.take(~half), shop.take(~half))
      >>> found.values["lift"] > 5 > found.values["popularity_lift"]
      True
    """
    items = catalogue_size(real)
    users = len(real.users[real.user_id])
    user, item = _pairs_of(synthetic, real)
    known = np.unique(_codes(real.user_index(), real.item_index(), items))
    held_user, held_item = _pairs_of(heldout, real)
    held = np.setdiff1d(_codes(held_user, held_item, items), known)

    rows = _codes(user, item, items)
    pairs = np.unique(rows)
    unseen = ~np.isin(pairs, known)
    hit = np.isin(pairs, held)
    owner = pairs // items
    counts = np.bincount(real.item_index(), minlength=items)
    chance = _chances(known, held, counts, users)
    hits = np.bincount(owner, hit, users)
    random, popular = (
        np.bincount(owner, np.where(unseen, one[owner], 0.0), users) for one in chance
    )
    # Ratios of sums over users: hits, or those expected of popularity, over expected ones. A user without an
    # unseen pair adds nothing to any sum.
    some = np.bincount(owner, unseen, users) > 0
    sums = bootstrap.Sums(
        totals=np.stack([hits, popular, hits], axis=1)[some],
        counts=np.stack([random, random, popular], axis=1)[some],
    )
    values = dict(zip(LIFTS, map(float, bootstrap.means([sums])), strict=True))
    intervals = dict.fromkeys(LIFTS, (math.nan, math.nan))
    if some.any():
        samples = bootstrap.resample([sums], seed=seed)
        intervals = {k: bootstrap.interval(v) for k, v in zip(LIFTS, samples.T, strict=True)}
    drawn = np.bincount(item, minlength=items)
    values |= {
        "popularity_spearman": spearman(drawn, counts),
        "item_coverage": float((drawn[counts > 0] > 0).mean()),
        "distinct": len(pairs) / len(rows),
        "seen": float(np.isin(rows, known).mean()),
    }
    return InteractionFidelity(len(rows), int(unseen.sum()), int(hit.sum()), values, intervals)


def _pairs_of(rows: Any, real: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places in the tables of `real` of each row's user and item."""
    table = read_table(rows, columns=[real.user_id, real.item_id])
    if not len(table[real.user_id]):
        raise DataError("`synthetic` and `heldout` must have rows. Received: none.")
    user = find_ids(table[real.user_id], real.users[real.user_id], "the users of `real`")
    item = find_ids(table[real.item_id], real.items[real.item_id], "the items of `real`")
    return user, item


def _codes(user: np.ndarray, item: np.ndarray, items: int) -> np.ndarray:
    return user.astype(np.int64) * items + item


def _chances(
    known: np.ndarray, held: np.ndarray, counts: np.ndarray, users: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float64 `[users]` twice: the chance that an unseen item of a user is a held-out one.

    The item is drawn evenly, and by its training count. Both chances are exact: nothing is drawn.

    Args:
      known: codes of the training pairs.
      held: codes of the held-out pairs that are not in training.
      counts: training rows of each item.
      users: how many there are.
    """
    chances = []
    for weight in (np.ones(len(counts)), counts.astype(np.float64)):
        wanted = np.bincount(held // len(counts), weight[held % len(counts)], users)
        seen = np.bincount(known // len(counts), weight[known % len(counts)], users)
        left = weight.sum() - seen
        chances.append(np.divide(wanted, left, out=np.zeros(users), where=left > 0))
    return chances[0], chances[1]
