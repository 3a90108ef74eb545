"""What a comparison found: figures with intervals, as JSON, a table, plots and a page."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation import bootstrap
from tfrs_augment.evaluation.figures import Figure, figure_cells
from tfrs_augment.evaluation.metrics import Ranks
from tfrs_augment.evaluation.slices import CORPORA, MAIN_SLICES, SLICES, Slices
from tfrs_augment.evaluation.verdicts import UNCLEAR, Verdict, verdicts

if TYPE_CHECKING:
    from tfrs_augment.evaluation.curves import History
    from tfrs_augment.evaluation.pages.samples import Sample

METRICS = ("recall@10", "recall@50", "ndcg@10")

_FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Run:
    """One arm trained with one seed.

    Attributes:
      ranks: of all test rows of the seed's split, by the names in `slices.CORPORA`.
      loss: the mean loss of each epoch's training steps.
      validation: the validation metric (NDCG@50) of each validation, by default one an epoch.
      best_epoch: index of the epoch whose weights were kept.
      seconds: wall time of training and evaluation.
    """

    ranks: Mapping[str, Ranks]
    loss: Sequence[float]
    validation: Sequence[float]
    best_epoch: int
    seconds: float

    def values(self, slice_name: str, metric: str) -> np.ndarray:
        """Returns float64 `[rows]`: a metric of every test row, ranked as the slice says."""
        kind, k = metric.split("@")
        corpus = next(name for name, slices in CORPORA.items() if slice_name in slices)
        return getattr(self.ranks[corpus], kind)(int(k))


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of `compare`.

    Attributes:
      name: what was compared on which data.
      baseline: the arm that the others are paired with.
      seeds: the seeds that were run.
      runs: by arm and seed, with the rank of every test row.
      slices: by seed, which test rows belong to which slice.
      settings: the protocol and the arms, as JSON values.
      figures: by arm, slice and metric.
      verdicts: by arm other than the baseline, slice and metric; corrected for all comparisons of the
        metric, on all slices.
    """

    name: str
    baseline: str
    seeds: tuple[int, ...]
    runs: Mapping[tuple[str, int], Run]
    slices: Mapping[int, Slices]
    settings: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Mapping[str, Figure]]] = dataclasses.field(init=False)
    verdicts: Mapping[str, Mapping[str, Mapping[str, Verdict]]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", self._summarize())
        object.__setattr__(self, "verdicts", self._judge())

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, in the order given."""
        return tuple(dict.fromkeys(arm for arm, _ in self.runs))

    def figure(self, arm: str, slice_name: str, metric: str = "recall@10") -> Figure:
        """Returns the figure of one arm on one slice."""
        return self.figures[arm][slice_name][metric]

    def rows(self, slice_name: str) -> float:
        """Returns the mean number of test rows in a slice over the seeds."""
        return float(np.mean([s.masks[slice_name].sum() for s in self.slices.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures, verdicts and settings as JSON values; NaN becomes None.

        Within a `format_version` keys may be added; none is taken away or changes its meaning.
        """
        return {
            "format_version": _FORMAT_VERSION,
            "name": self.name,
            "baseline": self.baseline,
            "seeds": list(self.seeds),
            "settings": dict(self.settings),
            "rows": {name: self.rows(name) for name in SLICES},
            "figures": {
                arm: {
                    name: {metric: _json_values(figure) for metric, figure in by_metric.items()}
                    for name, by_metric in by_slice.items()
                }
                for arm, by_slice in self.figures.items()
            },
            "verdicts": {
                arm: {
                    name: {metric: _json_values(verdict) for metric, verdict in by_metric.items()}
                    for name, by_metric in by_slice.items()
                }
                for arm, by_slice in self.verdicts.items()
            },
            "runs": [
                {
                    "arm": arm,
                    "seed": seed,
                    "validations": len(run.validation),
                    "best_epoch": run.best_epoch + 1,
                    "loss": list(run.loss),
                    "validation_ndcg@50": list(run.validation),
                    "seconds": round(run.seconds, 1),
                }
                for (arm, seed), run in self.runs.items()
            ],
        }

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes `to_dict()` to a file."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=1)
            file.write("\n")

    def to_html(
        self,
        path: str | os.PathLike,
        *,
        metric: str = "recall@10",
        samples: Mapping[str, Sample] | None = None,
        strengths: Mapping[str, float] | None = None,
        histories: Mapping[str, History] | None = None,
    ) -> None:
        """Writes a page: verdicts, figures, plots, curves, policies and how to reproduce it, in one file.

        The page loads nothing, so it can be mailed or kept; see `evaluation.pages`.

        Args:
          path: of the HTML file.
          metric: what verdicts and plots are of; the others have tables of their own.
          samples: name to what `policy.explain(row)` returned, to a list of these, or to a figure of
            matplotlib such as `aug.plot_augmentations` returns. Default: none is shown.
          strengths: arm to the strength of its augmentation, at least two, for curves of the gain over it.
            The baseline may be one of them, at 0, say. Default: no curves.
          histories: name to what `model.fit` returned, as for `plot_training`: metrics that a model
            logs for training and validation, beside the report's own curves. Default: none.

        Raises:
          InvalidArgumentError: an argument breaks its rule.
        """
        from tfrs_augment.evaluation.pages.report import report_page

        text = report_page(
            self.to_dict(),
            metric=metric,
            samples=samples or {},
            strengths=strengths or {},
            histories=histories or {},
        )
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def to_markdown(self, path: str | os.PathLike | None = None) -> str:
        """Returns verdicts, tables and how to reproduce them as Markdown; writes it where a path is given."""
        from tfrs_augment.evaluation.markdown import report_markdown

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
        from tfrs_augment.evaluation.tensorboard import write_scalars

        write_scalars(self, folder)

    def table(self, metric: str = "recall@10", slices: Sequence[str] = MAIN_SLICES) -> str:
        """Returns a Markdown table, aligned for a terminal: a line an arm, grouped by slice.

        A line holds the mean over seeds and its 95 % interval; then, but for the baseline, the
        difference to it with an interval, as a share of the baseline where that is known well
        enough (to half its value), and "helps" or "hurts" where the verdict says so: intervals are of
        each difference by itself, verdicts are corrected for all of the metric.

        Args:
          metric: "recall@10", "recall@50" or "ndcg@10".
          slices: names of slices, in order.
        """
        lines = [[metric, "mean", "95 % interval", f"against {self.baseline}", "95 % interval", ""]]
        for name in slices:
            lines.append([f"{name}, {self.rows(name):,.0f} rows", "", "", "", "", ""])
            lines += [[f"  {arm}", *self._cells(arm, name, metric)] for arm in self.arms]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines
        )

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: Recall@10 of each arm on each slice, and its difference to the baseline."""
        from tfrs_augment.evaluation import plots

        plots.plot_report(self, path)

    def plot_frontier(self, path: str | os.PathLike, *, x: str = "warm", y: str = "cold") -> None:
        """Writes a PNG: Recall@10 of each arm on one slice against another, less the baseline."""
        from tfrs_augment.evaluation import plots

        plots.plot_frontier(self, path, x=x, y=y)

    def plot_training(self, path: str | os.PathLike, *, seed: int | None = None) -> None:
        """Writes a PNG: loss and validation metric of each arm, epoch by epoch, with the epoch that was kept.

        Args:
          path: of the PNG.
          seed: whose trainings are drawn. Default: the first. Arms that train nothing are left out.

        Raises:
          InvalidArgumentError: the seed was not run, or no arm trained.
        """
        from tfrs_augment.evaluation.curves import plot_training

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
                histories[arm] = {"loss": run.loss, "ndcg@50": [], "val_ndcg@50": watched}
                best[arm] = run.best_epoch
        plot_training(histories, path, best_epochs=best)

    def _cells(self, arm: str, slice_name: str, metric: str) -> list[str]:
        figure = self.figure(arm, slice_name, metric)
        if arm == self.baseline:
            return [*figure_cells(figure, None), ""]
        base = self.figure(self.baseline, slice_name, metric)
        # What can't be told is left blank, so that the eye finds the others.
        word = self.verdicts[arm][slice_name][metric].word
        return [*figure_cells(figure, base), "" if word == UNCLEAR else word]

    def _judge(self) -> dict[str, dict[str, dict[str, Verdict]]]:
        judged: dict[str, dict[str, dict[str, Verdict]]] = {}
        others = [arm for arm in self.arms if arm != self.baseline]
        for metric in METRICS:
            places = [(arm, name) for arm in others for name in SLICES]
            figures = [self.figure(arm, name, metric) for arm, name in places]
            found = verdicts([(f.difference, f.difference_low, f.difference_high) for f in figures])
            for (arm, name), verdict in zip(places, found):
                judged.setdefault(arm, {}).setdefault(name, {})[metric] = verdict
        return judged

    def _summarize(self) -> dict[str, dict[str, dict[str, Figure]]]:
        columns = [(a, s, m) for a in self.arms for s in SLICES for m in METRICS]
        sums = []
        for seed in self.seeds:
            masks = self.slices[seed].masks
            values = [self.runs[arm, seed].values(name, metric) for arm, name, metric in columns]
            sums.append(
                bootstrap.Sums.of(
                    self.slices[seed].users, values, [masks[name] for _, name, _ in columns]
                )
            )
        means, samples = bootstrap.means(sums), bootstrap.resample(sums)
        place = {column: index for index, column in enumerate(columns)}
        figures: dict[str, dict[str, dict[str, Figure]]] = {}
        for (arm, name, metric), index in place.items():
            base = place[self.baseline, name, metric]
            figure = _figure(means[index], means[base], samples[:, index], samples[:, base])
            figures.setdefault(arm, {}).setdefault(name, {})[metric] = figure
        return figures


def _figure(mean, base_mean, samples, base_samples) -> Figure:
    difference = samples - base_samples
    positive = base_samples > 0
    # A ratio to a baseline that is nearly always 0 says nothing; the difference does.
    known = base_mean > 0 and positive.mean() > 0.99
    ratio = difference[positive] / base_samples[positive] if known else np.array([])
    return Figure(
        float(mean),
        *bootstrap.interval(samples),
        float(mean - base_mean),
        *bootstrap.interval(difference),
        float((mean - base_mean) / base_mean) if known else math.nan,
        *bootstrap.interval(ratio),
    )


def _json_values(found: Figure | Verdict) -> dict[str, float | str | None]:
    values = dataclasses.asdict(found)
    return {name: None if value != value else value for name, value in values.items()}
