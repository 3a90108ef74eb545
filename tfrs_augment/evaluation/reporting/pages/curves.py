"""Curves of trainings as panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfrs_augment.evaluation.measuring.registry import REGISTRY
from tfrs_augment.evaluation.reporting.pages.axes import panel
from tfrs_augment.evaluation.reporting.pages.frame import scrolled
from tfrs_augment.evaluation.reporting.pages.lines import Line, key, lines
from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag
from tfrs_augment.evaluation.statistics.figures import metric_name

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.curves import History


def trainings(document: Mapping[str, Any]) -> Markup | None:
    """Returns loss and validation metric of each arm, a part a seed; None where nothing was trained."""
    runs = [run for run in document["runs"] if run["loss"]]
    if not runs:
        return None
    metric = document.get("validation_metric", "ndcg@50")
    names = list(dict.fromkeys(run["arm"] for run in runs))
    every = document["settings"].get("protocol", {}).get("validate_every", 1)
    parts = []
    for seed in dict.fromkeys(run["seed"] for run in runs):
        drawn = _seed([run for run in runs if run["seed"] == seed], names, every, seed, metric)
        # One seed is open; the others are there for who wants to see how far they differ.
        parts.append(
            join(tag("h3", f"Seed {seed}"), drawn)
            if not parts
            else tag("details", tag("summary", f"Seed {seed}"), drawn)
        )
    text = "Loss of the training steps and the metric of the validation rows, epoch by epoch."
    return join(
        tag("p", text), key(names, ringed="the epoch that was kept"), parts, _table(runs, metric)
    )


def histories(given: Mapping[str, History]) -> Markup:
    """Returns a panel a metric, training thin and validation thick."""
    from tfrs_augment.evaluation.reporting.curves import _VALIDATION, _metrics, _values

    found = {name: _values(name, history) for name, history in given.items()}
    panels = []
    for metric in _metrics(found, None):
        drawn = []
        for place, (name, values) in enumerate(found.items()):
            for prefix, said in (("", "training"), (_VALIDATION, "validation")):
                y = values.get(prefix + metric, ())
                epochs = list(range(1, len(y) + 1))
                drawn.append(Line(f"{name}, {said}", place, epochs, list(y), thin=not prefix))
        shown = [line for line in drawn if len(line.y)]
        label = f"{metric} by epoch, training and validation"
        panels.append(panel(metric, None, lines(shown, label=label, x_name="epoch")))
    text = "What the models logged: training as a fine line, validation as a thick one."
    return join(
        tag("h3", "Metrics of training and validation"),
        tag("p", text),
        key(list(found)),
        tag("div", panels, class_="panels"),
    )


def _seed(runs, names, every: int, seed: int, metric: str) -> Markup:
    loss, watched = [], []
    for run in runs:
        place, kept = names.index(run["arm"]), run["best_epoch"]
        epochs = list(range(1, len(run["loss"]) + 1))
        loss.append(Line(run["arm"], place, epochs, run["loss"], kept))
        values = run[f"validation_{metric}"]
        # The last epoch validates whatever its number.
        at = [min(every * i, len(epochs)) for i in range(1, len(values) + 1)]
        watched.append(Line(run["arm"], place, at, values, kept))
    panels = [
        panel(title, None, lines(shown, label=f"{title} by epoch, seed {seed}", x_name="epoch"))
        for title, shown in zip(
            ("Training loss", f"Validation {metric_name(metric)}"), (loss, watched)
        )
    ]
    return tag("div", panels, class_="panels")


def _table(runs, metric: str) -> Markup:
    """What the curves say, in numbers."""
    best_title = f"best validation {metric_name(metric)}"
    titles = ("arm", "seed", "epochs", "kept", "last loss", best_title, "seconds")
    better = min if metric in REGISTRY and not REGISTRY[metric].higher_is_better else max
    rows = []
    for run in runs:
        best = better(run[f"validation_{metric}"], default=None)
        cells = [run["seed"], len(run["loss"]), run["best_epoch"], f"{run['loss'][-1]:.4g}"]
        cells += ["" if best is None else f"{best:.4f}", f"{run['seconds']:,.1f}"]
        cells = [tag("td", cell) for cell in cells]
        rows.append(tag("tr", tag("th", run["arm"], scope="row"), cells))
    head = tag("tr", [tag("th", title, scope="col") for title in titles])
    caption = "Trainings: epochs run, epoch kept, loss and metric"
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", rows))
    return tag("details", tag("summary", "Trainings in numbers"), scrolled(table, caption))
