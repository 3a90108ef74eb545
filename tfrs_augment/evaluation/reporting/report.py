"""What a comparison found: figures with intervals, as JSON, a table, plots and a page."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.measuring.registry import REGISTRY
from tfrs_augment.evaluation.measuring.run import Run as Run
from tfrs_augment.evaluation.measuring.slices import MAIN_SLICES, SLICES, Slices
from tfrs_augment.evaluation.measuring.summary import Summary, Table, figures_of, summarize
from tfrs_augment.evaluation.reporting.report_values import report_values
from tfrs_augment.evaluation.reporting.report_words import report_words
from tfrs_augment.evaluation.statistics.figures import Figure
from tfrs_augment.evaluation.statistics.permutation import Permutation, permute
from tfrs_augment.evaluation.statistics.power import seeds_needed
from tfrs_augment.evaluation.statistics.significance import Spread
from tfrs_augment.evaluation.statistics.verdicts import ALPHA, Verdict

if TYPE_CHECKING:
    from tfrs_augment.evaluation.augmented.augmented_data import AugmentedData
    from tfrs_augment.evaluation.reporting.curves import History
    from tfrs_augment.evaluation.reporting.pages.samples import Sample

METRICS = ("recall@10", "recall@50", "ndcg@10")
"""The metrics of tables unless others are asked for; `Report.metrics` has all."""


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """The outcome of `compare`.

    Attributes:
      name: what was compared on which data.
      baseline: the arm that the others are paired with.
      seeds: the seeds that were run.
      runs: by arm and seed, with the rank of every test row.
      slices: by seed, which test rows belong to which slice.
      settings: the protocol and the arms, as JSON values.

    Raises:
      InvalidArgumentError: the baseline was not run, or the runs have no metric in common.
    """

    name: str
    baseline: str
    seeds: tuple[int, ...]
    runs: Mapping[tuple[str, int], Run]
    slices: Mapping[int, Slices]
    settings: Mapping[str, Any]
    _table: Table = dataclasses.field(init=False, repr=False, compare=False)
    _summary: Summary = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.baseline not in self.arms:
            raise InvalidArgumentError(
                f"`baseline` must be an arm of `runs`. Received: {self.baseline!r}. "
                f"{close_matches(self.baseline, self.arms)}"
            )
        table = Table(self.runs, {seed: self.slices[seed] for seed in self.seeds})
        summary = summarize(table, self.baseline)
        object.__setattr__(self, "_table", table)
        object.__setattr__(self, "_summary", summary)

    def __repr__(self) -> str:
        """A line an arm, not the ranks of every row: notebooks show it, and messages that quote it."""
        return report_words(self)

    @functools.cached_property
    def figures(self) -> Mapping[str, Mapping[str, Mapping[str, Figure]]]:
        """By arm, slice and metric; NaN where a slice has no rows, or the metric is not defined on it."""
        return figures_of(self._table, self.baseline)

    @property
    def verdicts(self) -> Mapping[str, Mapping[str, Mapping[str, Verdict]]]:
        """By arm other than the baseline, slice and metric.

        They are corrected for all comparisons of the metric, on all slices. See
        `evaluation.statistics.significance`.
        """
        return self._summary.verdicts

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, in the order given."""
        return tuple(dict.fromkeys(arm for arm, _ in self.runs))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that every run has, in the order of tables."""
        return tuple(metric.name for metric in self._summary.metrics)

    @property
    def slice_names(self) -> tuple[str, ...]:
        """The names of the slices: those of items first, then cold users and segments."""
        return self._summary.slices

    @property
    def main_metric(self) -> str:
        """What tables, plots and verdicts are of unless another is asked for: Recall@10, or the first."""
        return "recall@10" if "recall@10" in self.metrics else self.metrics[0]

    @property
    def validation_metric(self) -> str:
        """What early stopping watched: "ndcg@50", or "log_loss" or "rmse" of ranking models."""
        if self.settings.get("protocol", {}).get("label") is None:
            return "ndcg@50"
        return "log_loss" if "log_loss" in self.metrics else "rmse"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, in sentences: rare values of segments."""
        notes = [note for seed in self.seeds for note in self.slices[seed].left_out]
        return tuple(dict.fromkeys(notes))

    def slices_of(self, metric: str) -> tuple[str, ...]:
        """Returns the names of the slices that a metric is defined on.

        Metrics of the lists shown are so on all rows and on slices of users alone.
        """
        self._check("metric", metric, self.metrics)
        return self._summary.defined[metric]

    def figure(self, arm: str, slice_name: str, metric: str | None = None) -> Figure:
        """Returns the figure of one arm on one slice, of the main metric unless another is named."""
        return self.figures[arm][slice_name][metric or self.main_metric]

    def rows(self, slice_name: str) -> float:
        """Returns the mean number of test rows in a slice over the seeds."""
        masks = [self.slices[seed].masks.get(slice_name) for seed in self.seeds]
        return float(np.mean([0 if mask is None else mask.sum() for mask in masks]))

    def spread(self, arm: str, slice_name: str = "all", metric: str | None = None) -> Spread:
        """Returns the parts of the variance of an arm's difference to the baseline, arrays of one number.

        Args:
          arm: other than the baseline.
          slice_name: a slice with rows.
          metric: default: the main one.

        Raises:
          InvalidArgumentError: an argument breaks its rule.
        """
        metric = metric or self.main_metric
        self._columns(arm, slice_name, metric)
        return self._summary.spreads[arm, slice_name, metric]

    def permutation(
        self,
        arm: str,
        slice_name: str = "all",
        metric: str | None = None,
        *,
        permutations: int = 10_000,
        seed: int = 0,
    ) -> Permutation:
        """Tests an arm against the baseline, given the models that were trained, by flipping users.

        It asks whether these models differ on users like those tested, and says nothing of what other
        seeds would train; verdicts do. See `evaluation.statistics.permutation`.

        Args:
          arm: other than the baseline.
          slice_name: a slice with rows.
          metric: a mean over rows or queries. Default: the main one.
          permutations: how many.
          seed: of the permutations.

        Raises:
          InvalidArgumentError: an argument breaks its rule.
        """
        metric = metric or self.main_metric
        column, base = self._columns(arm, slice_name, metric)
        return permute(
            self._table.sums,
            column,
            base,
            root=REGISTRY[metric].root,
            permutations=permutations,
            seed=seed,
        )

    def seeds_needed(
        self,
        arm: str,
        slice_name: str = "all",
        metric: str | None = None,
        *,
        effect: float,
        power: float = 0.8,
    ) -> int:
        """Returns how many seeds it takes that the verdict finds an effect, by the spread seen here.

        Corrected for as many comparisons as this report makes of the metric: a report of fewer arms and
        slices needs fewer.

        Args:
          arm: other than the baseline.
          slice_name: a slice with rows.
          metric: default: the main one.
          effect: the difference to find, in the metric's unit, not 0.
          power: the chance to find it.

        Raises:
          InvalidArgumentError: an argument breaks its rule; the report has one seed, or its seeds do
            not differ; or the test users are too few for the effect with any number of seeds.
        """
        metric = metric or self.main_metric
        spread = self.spread(arm, slice_name, metric)
        if not spread.seeds[0] > 0:
            raise InvalidArgumentError(
                "`seeds_needed` takes the spread of a difference over at least two seeds. Received: "
                f"a report of {len(self.seeds)} whose differences do not vary."
            )
        judged = [
            verdict
            for by_slice in self.verdicts.values()
            for by_metric in by_slice.values()
            if not math.isnan((verdict := by_metric[metric]).p_value)
        ]
        return seeds_needed(
            effect,
            stddev=math.sqrt(spread.seeds[0] * (spread.seed_degrees[0] + 1)),
            users_error=math.sqrt(spread.users[0]),
            comparisons=len(judged),
            alpha=ALPHA,
            power=power,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures, verdicts and settings as JSON values; NaN becomes None.

        Within a `format_version` keys may be added; none is taken away or changes its meaning.
        """
        return report_values(self)

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes `to_dict()` to a file."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=1)
            file.write("\n")

    def to_html(
        self,
        path: str | os.PathLike,
        *,
        metric: str | None = None,
        samples: Mapping[str, Sample] | None = None,
        strengths: Mapping[str, float] | None = None,
        histories: Mapping[str, History] | None = None,
        data: AugmentedData | None = None,
    ) -> None:
        """Writes a page: verdicts, figures, plots, curves, policies and how to reproduce it, in one file.

        The page loads nothing, so it can be mailed or kept; see `evaluation.reporting.pages`.

        Args:
          path: of the HTML file.
          metric: what verdicts and plots are of; the others have tables of their own. Default: the main
            one.
          samples: name to what `policy.explain(row)` returned, to a list of these, or to a figure of
            matplotlib such as `aug.plot_augmentations` returns. Default: none is shown.
          strengths: arm to the strength of its augmentation, at least two, for curves of the gain over it.
            The baseline may be one of them, at 0, say. Default: no curves.
          histories: name to what `model.fit` returned, as for `plot_training`: metrics that a model
            logs for training and validation, beside the report's own curves. Default: none.
          data: what `measure_augmented` found of the augmented rows: warnings, figures and distributions.
            Default: none is shown.

        Raises:
          InvalidArgumentError: an argument breaks its rule.
        """
        from tfrs_augment.evaluation.reporting.pages.report import report_page

        text = report_page(
            self.to_dict(),
            metric=metric or self.main_metric,
            samples=samples or {},
            strengths=strengths or {},
            histories=histories or {},
            data=data,
        )
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def to_markdown(self, path: str | os.PathLike | None = None) -> str:
        """Returns verdicts, tables and how to reproduce them as Markdown; writes it where a path is given."""
        from tfrs_augment.evaluation.reporting.markdown import report_markdown

        text = report_markdown(self)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return text

    def to_tensorboard(self, folder: str | os.PathLike) -> None:
        """Writes loss, validation metric and figures as scalars: a folder an arm, and one an arm and seed.

        Args:
          folder: what `tensorboard --logdir` is to be given.
        """
        from tfrs_augment.evaluation.reporting.tensorboard import write_scalars

        write_scalars(self, folder)

    def table(self, metric: str | None = None, slices: Sequence[str] | None = None) -> str:
        """Returns a Markdown table, aligned for a terminal: a line an arm, grouped by slice.

        A line holds the mean over seeds and its 95 % interval; then, but for the baseline, the
        difference to it with an interval, as a share of the baseline where that is known well
        enough (to half its value), and "helps" or "hurts" where the verdict says so: intervals are of
        each difference by itself, verdicts are corrected for all of the metric.

        Args:
          metric: one of `metrics`. Default: the main one.
          slices: names of slices, in order. Default: the main ones, cold users and segments; of those the
            ones that the metric is defined on.

        Raises:
          InvalidArgumentError: there is no such metric or slice.
        """
        from tfrs_augment.evaluation.reporting.markdown import document_table
        from tfrs_augment.evaluation.reporting.pages.document import Document

        metric = self._check("metric", metric or self.main_metric, self.metrics)
        slices = self.default_slices(metric) if slices is None else slices
        for name in slices:
            self._check("slices", name, self.slice_names)
        return document_table(Document(self.to_dict(), metric), metric, slices)

    def default_slices(self, metric: str) -> tuple[str, ...]:
        """Returns the main slices, cold users and segments, of these the ones that a metric is defined on."""
        named = (*MAIN_SLICES, *(name for name in self.slice_names if name not in SLICES))
        return tuple(name for name in named if name in self.slices_of(metric))

    def plot(self, path: str | os.PathLike, *, metric: str | None = None) -> None:
        """Writes a PNG: a metric of each arm on each slice, and its difference to the baseline."""
        from tfrs_augment.evaluation.reporting import plots

        plots.plot_report(
            self, path, self._check("metric", metric or self.main_metric, self.metrics)
        )

    def plot_frontier(
        self,
        path: str | os.PathLike,
        *,
        x: str = "warm",
        y: str = "cold",
        metric: str | None = None,
    ) -> None:
        """Writes a PNG: a metric of each arm on one slice against another, less the baseline."""
        from tfrs_augment.evaluation.reporting import plots

        metric = self._check("metric", metric or self.main_metric, self.metrics)
        for name, value in (("x", x), ("y", y)):
            self._check(name, value, self.slices_of(metric))
        plots.plot_frontier(self, path, x=x, y=y, metric=metric)

    def plot_training(self, path: str | os.PathLike, *, seed: int | None = None) -> None:
        """Writes a PNG: loss and validation metric of each arm, epoch by epoch, with the epoch that was kept.

        Args:
          path: of the PNG.
          seed: whose trainings are drawn. Default: the first. Arms that train nothing are left out.

        Raises:
          InvalidArgumentError: the seed was not run, or no arm trained.
        """
        from tfrs_augment.evaluation.reporting.curves import plot_training

        seed = self.seeds[0] if seed is None else seed
        if seed not in self.seeds:
            raise InvalidArgumentError(
                f"`seed` must be one of {self.seeds}, which were run. Received: seed={seed}."
            )
        every = self.settings["protocol"]["validate_every"]
        histories, best = {}, {}
        for arm in self.arms:
            run = self.runs[arm, seed]
            if run.loss:
                epochs = np.arange(1, len(run.loss) + 1)
                # The last epoch validates whatever its number.
                validated = np.minimum(every * np.arange(1, len(run.validation) + 1), epochs[-1])
                watched = np.interp(epochs, validated, run.validation, left=np.nan)
                name = self.validation_metric
                histories[arm] = {"loss": run.loss, name: [], f"val_{name}": watched}
                best[arm] = run.best_epoch
        plot_training(histories, path, best_epochs=best)

    def _columns(self, arm: str, slice_name: str, metric: str) -> tuple[int, int]:
        """The columns of an arm and of the baseline, -1 of a metric that has none."""
        self._check("arm", arm, [name for name in self.arms if name != self.baseline])
        self._check("metric", metric, self.metrics)
        self._check("slice_name", slice_name, self.slices_of(metric))
        if math.isnan(self._summary.spreads[arm, slice_name, metric].difference[0]):
            raise InvalidArgumentError(
                f"`slice_name` must be a slice with rows. Received: {slice_name!r}, which has none."
            )
        places = ((name, slice_name, metric) for name in (arm, self.baseline))
        return tuple(self._table.place.get(place, -1) for place in places)

    @staticmethod
    def _check(argument: str, value: str, known: Sequence[str]) -> str:
        if value not in known:
            raise InvalidArgumentError(
                f"`{argument}` must be one of the report's: {', '.join(known)}. "
                f"Received: {value!r}. {close_matches(value, known)}"
            )
        return value
