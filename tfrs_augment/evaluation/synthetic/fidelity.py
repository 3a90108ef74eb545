"""How near synthetic rows come to real ones, beside the two ends that any figure needs.

A score alone says little: SDMetrics gives columns that are sampled independently of each other, which hold no
relation at all, 0.88 of 1 on MovieLens 100K. So each score stands beside

- the floor: the columns of the real table, each sampled on its own;
- the ceiling: other real rows, the hold-out;

and the skill is `(score - floor) / (ceiling - floor)`: 0 for rows that know the columns alone, 1 for rows as
good as real ones. Chance takes it a little beyond both. All three are measured on equally many rows.

| measure | what it is |
|---|---|
| `quality` | mean of `shapes` and `pairs`, the score of SDMetrics' QualityReport |
| `shapes` | mean over columns: 1 minus the Kolmogorov-Smirnov statistic, or the total variation distance |
| `pairs` | mean over pairs of columns that go together in the real table; see below |
| `all_pairs` | mean over all pairs |
| `transfer` | AUC or RMSE on the hold-out of a gradient boosted tree that was trained on the rows |
| `coverage` | mean over columns of the share of real categories, or tenths of the numbers, that occur |
| `distinct` | number of different rows, as a share of the rows |

Columns go together where their correlation, of two numbers, is above 0.5, or else Cramér's V above 0.3.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.evaluation.synthetic import similarity
from tfrs_augment.evaluation.synthetic.coded_tables import (
    Coded,
    CodedTables,
    code_tables,
    draw,
    row_codes,
    rows_of,
)
from tfrs_augment.evaluation.synthetic.transfer import target_of, train_and_test

# SDMetrics' QualityReport counts only pairs beyond these (version 0.32).
_MIN_CORRELATION = 0.5
_MIN_ASSOCIATION = 0.3
# A skill over less than this share of the ceiling would be one of noise over noise.
_MIN_GAP = 0.02


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure of synthetic rows between its two ends.

    Attributes:
      value: of the synthetic rows.
      floor: of columns sampled independently.
      ceiling: of the hold-out.
      lower_is_better: as of an error.
    """

    value: float
    floor: float
    ceiling: float
    lower_is_better: bool = False

    @property
    def skill(self) -> float:
        """`(value - floor) / (ceiling - floor)`; NaN unless the ceiling is above the floor by 2 %.

        It is not where chance outweighs all relations: in small tables of many rare categories.
        """
        gap = self.ceiling - self.floor
        better = -gap if self.lower_is_better else gap
        if not better >= _MIN_GAP * max(abs(self.ceiling), abs(self.floor)):
            return math.nan
        return (self.value - self.floor) / gap


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """What `measure_fidelity` found.

    Attributes:
      rows: how many rows of each table were measured.
      scores: by the measure's name; see the module.
      columns: the shape of each column.
      pairs: the trend of each pair of columns; NaN where a column is constant.
      associated: the pairs that `pairs` of the scores counts.
      target: the column and metric of `transfer`, "" without.
    """

    rows: int
    scores: Mapping[str, Score]
    columns: Mapping[str, Score]
    pairs: Mapping[tuple[str, str], Score]
    associated: frozenset[tuple[str, str]]
    target: str = ""

    def table(self) -> str:
        """Returns the scores as a Markdown table."""
        lines = [
            "| measure | synthetic | floor | ceiling | skill |",
            "| --- | --- | --- | --- | --- |",
        ]
        for name, score in self.scores.items():
            shown = f"{name} ({self.target})" if name == "transfer" else name
            ends = [_shown(end, 4) for end in (score.value, score.floor, score.ceiling)]
            # Independent columns cover and repeat as real ones do, or better: no floor of a skill.
            skill = "" if name in ("coverage", "distinct") else _shown(score.skill, 2)
            lines.append(f"| {' | '.join([shown, *ends, skill])} |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; NaN becomes None. A pair is named "first, second"."""
        return {
            "rows": self.rows,
            "target": self.target,
            "scores": {name: _json_values(score) for name, score in self.scores.items()},
            "columns": {name: _json_values(score) for name, score in self.columns.items()},
            "pairs": {
                ", ".join(pair): {**_json_values(score), "associated": pair in self.associated}
                for pair, score in self.pairs.items()
            },
        }


def measure_fidelity(
    real: Any,
    synthetic: Any,
    *,
    holdout: Any,
    columns: Sequence[str] | None = None,
    target: str | None = None,
    positive: Sequence[Any] | None = None,
    seed: int = 0,
) -> Fidelity:
    """Measures synthetic rows against the real ones that a synthesizer was fitted on.

    Columns of numbers with few different values count as categories, as they do for a synthesizer. Leave
    ids out of `columns`; `measure_interactions` measures those.

    Args:
      real: the rows that the synthesizer was fitted on: whatever `synthesis.read_table` reads, such as
        `Interactions`, a mapping of columns `[n]`, or a pandas DataFrame.
      synthetic: its rows.
      holdout: other real rows, which it has not seen.
      columns: what is measured. Default: all columns of `real` with one value a row.
      target: a column that a gradient boosted tree predicts from the others, trained on synthetic, on
        independently sampled and on real rows and tested on the hold-out. Default: none. Needs scikit-learn.
      positive: the values of `target` that are the positive class of an AUC, such as ratings of 4 and
        5. Default: of two values the second; a numeric target is predicted itself, for an RMSE.
      seed: of the floor, of the rows that are measured, and of the trees.

    Returns:
      The scores.

    Raises:
      UnknownFeatureError: a table lacks a column.
      InvalidArgumentError: `positive` breaks its rule.
      DataError: the tables do not fit each other or have fewer than two rows.
      AugmentError: `target` is given and scikit-learn is not installed.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> def rows(n):
      ...     age = rng.integers(18, 60, n)
      ...     return {"age": age, "spends": (age * 10 + rng.integers(0, 100, n))}
      >>> found = measure_fidelity(rows(2000), rows(2000), holdout=rows(2000))
      >>> 0.9 < found.scores["pairs"].skill < 1.1
      True

    Reference:
      SDMetrics: KSComplement, TVComplement, CorrelationSimilarity, ContingencySimilarity, QualityReport.
      Here numbers of all tables are binned by the range of the real ones, as ContingencySimilarity does by
      itself; QualityReport bins each table by its own range, and scores differ in the third place.
    """
    tables = code_tables({"real": real, "synthetic": synthetic, "holdout": holdout}, columns)
    rng = np.random.default_rng([seed, 0xF1DE])
    given = tables.tables
    count = min(map(rows_of, given.values()))
    parts = {
        "value": draw(given["synthetic"], count, rng),
        "floor": _independent(given["real"], count, rng),
        "ceiling": draw(given["holdout"], count, rng),
    }
    shapes, pairs, associated, scores = _compare(tables, given["real"], parts)
    described = ""
    if target is not None:
        goal = target_of(tables, target, positive)
        described = f"{goal.metric} of {target}"
        # Real rows to train on are those of `real`: the hold-out tests.
        trained = {**parts, "ceiling": draw(given["real"], count, rng)}
        scores["transfer"] = Score(
            **{
                end: train_and_test(tables, part, given["holdout"], goal, seed=seed)
                for end, part in trained.items()
            },
            lower_is_better=goal.positive is None,
        )
    scores["coverage"] = Score(**{end: _coverage(tables, part) for end, part in parts.items()})
    distinct = row_codes(CodedTables(tables.categories, tables.numbers, parts))
    scores["distinct"] = Score(**{end: len(np.unique(c)) / count for end, c in distinct.items()})
    return Fidelity(count, scores, shapes, pairs, frozenset(associated), described)


def compare_with_source(tables: CodedTables, *, seed: int = 0) -> Fidelity:
    """Compares augmented rows with the very rows that they were made of.

    All rows of both count, so that rows without a change score 1 whatever their number; the ceiling is the
    source itself, and the floor as many rows of its columns drawn independently.

    Args:
      tables: "source" and "augmented", coded.
      seed: of the floor.
    """
    source, augmented = tables.tables["source"], tables.tables["augmented"]
    rng = np.random.default_rng([seed, 0xF1DE])
    floor = _independent(source, rows_of(source), rng)
    parts = {"value": augmented, "floor": floor, "ceiling": source}
    shapes, pairs, associated, scores = _compare(tables, source, parts)
    return Fidelity(rows_of(augmented), scores, shapes, pairs, frozenset(associated))


def _compare(tables: CodedTables, real: Coded, parts: Mapping[str, Coded]):
    """The shape of each column, the trend of each pair, the pairs that go together, and their means."""
    shapes = {
        name: Score(**{end: _shape(tables, real, part, name) for end, part in parts.items()})
        for name in tables.names
    }
    pairs, associated = _pairs(tables, real, parts)
    scores = {"shapes": _mean(shapes.values()), "pairs": _mean(pairs[pair] for pair in associated)}
    scores["all_pairs"] = _mean(pairs.values())
    scores = {"quality": _mean([scores["shapes"], scores["pairs"]]), **scores}
    return shapes, pairs, associated, scores


def _independent(real: Coded, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns rows whose columns are each drawn on their own."""
    return {name: column[rng.integers(len(column), size=count)] for name, column in real.items()}


def _shape(tables: CodedTables, real: Coded, part: Coded, name: str) -> float:
    measure = similarity.tv_complement if name in tables.categories else similarity.ks_complement
    return measure(real[name], part[name])


def _pairs(
    tables: CodedTables, real: Coded, parts: Mapping[str, Coded]
) -> tuple[dict[tuple[str, str], Score], list[tuple[str, str]]]:
    """Returns the score of each pair, and the pairs that go together in the real table."""
    edges = {
        name: similarity.bin_edges(real[name])
        for name in tables.numbers
        if not np.isnan(real[name]).all()
    }

    def codes(table: Coded, name: str) -> np.ndarray:
        if name in tables.categories:
            return table[name]
        return similarity.binned(table[name], edges[name])

    scores, associated = {}, []
    for pair in itertools.combinations(tables.names, 2):
        first, second = pair
        if first in tables.numbers and second in tables.numbers:
            truth = similarity.correlation(real[first], real[second])
            ends = {
                end: similarity.correlation_similarity(
                    truth, similarity.correlation(part[first], part[second])
                )
                for end, part in parts.items()
            }
            together = abs(truth) > _MIN_CORRELATION
        else:
            joint = similarity.pair_codes(codes(real, first), codes(real, second))
            ends = {
                end: similarity.contingency_similarity(
                    joint, similarity.pair_codes(codes(part, first), codes(part, second))
                )
                for end, part in parts.items()
            }
            association = similarity.cramers_v(codes(real, first), codes(real, second))
            together = association > _MIN_ASSOCIATION
        scores[pair] = Score(**ends)
        if together:
            associated.append(pair)
    return scores, associated


def _coverage(tables: CodedTables, part: Coded) -> float:
    """The mean over columns of the share of real values that occur."""
    real = tables.tables["real"]
    shares = []
    for name in tables.names:
        mine, theirs = part[name], real[name]
        if name in tables.numbers:
            known = theirs[~np.isnan(theirs)]
            if not len(known):
                continue
            tenths = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1]))
            mine, theirs = similarity.binned(mine, tenths), similarity.binned(theirs, tenths)
        values = np.unique(theirs)
        shares.append(np.isin(values, mine).mean())
    return float(np.mean(shares))


def _mean(scores: Iterable[Score]) -> Score:
    """The mean of scores, each end over those where it is known."""
    scores = list(scores)
    ends = {}
    for end in ("value", "floor", "ceiling"):
        known = [v for score in scores if not math.isnan(v := getattr(score, end))]
        ends[end] = float(np.mean(known)) if known else math.nan
    return Score(**ends)


def _shown(value: float, places: int) -> str:
    return "" if math.isnan(value) else f"{value:.{places}f}"


def _json_values(score: Score) -> dict[str, float | None]:
    values = {end: getattr(score, end) for end in ("value", "floor", "ceiling", "skill")}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
