"""Curves of trainings: which panels there are, what each shows, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import tfrs_augment as aug
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation import plot_training

PLAIN = {"loss": [3.0, 2.0, 1.5], "accuracy": [0.1, 0.4, 0.6], "val_loss": [3.2, 2.9, 3.0]}
LONGER = {"loss": [2.9, 2.0, 1.7, 1.6], "val_recall": [0.1, np.nan, 0.3, 0.2]}


def lines(axes) -> dict[tuple[str, str], list[float]]:
    """The values that a panel shows, by colour and style; marks of epochs are left out."""
    return {
        (line.get_color(), line.get_linestyle()): list(line.get_ydata())
        for line in axes.get_lines()
        if line.get_linestyle() != "None"
    }


def test_a_metric_and_its_validation_share_a_panel(tmp_path):
    figure = plot_training({"plain": PLAIN, "longer": LONGER}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "recall"]
    loss, accuracy, recall = map(lines, figure.axes)
    (first, _), (second, _) = (key for key in loss if key[1] == ":")
    assert first != second
    assert loss == {
        (first, ":"): PLAIN["loss"],
        (first, "-"): PLAIN["val_loss"],
        (second, ":"): LONGER["loss"],
    }
    assert accuracy == {(first, ":"): PLAIN["accuracy"]}
    # The second training alone has it, for validation alone.
    assert list(recall) == [(second, "-")]
    np.testing.assert_array_equal(recall[second, "-"], LONGER["val_recall"])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["plain", "longer", "training", "validation"]
    assert list(figure.axes[0].get_lines()[0].get_xdata()) == [1, 2, 3]


def test_the_history_of_keras_is_taken_as_it_is():
    model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    numbers = np.arange(8, dtype=np.float32)[:, None]
    history = model.fit(numbers, numbers, epochs=2, validation_split=0.5, verbose=0)
    figure = plot_training({"line": history})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "mae"]
    shown = {style: values for (_, style), values in lines(figure.axes[1]).items()}
    assert shown == {":": history.history["mae"], "-": history.history["val_mae"]}


def test_the_epoch_that_was_kept_is_marked_on_the_validation_line():
    figure = plot_training({"plain": PLAIN, "longer": LONGER}, best_epochs={"plain": 1})
    marks = {
        axes.get_title(): [(*line.get_xdata(), *line.get_ydata()) for line in axes.get_lines()
                           if line.get_linestyle() == "None"]
        for axes in figure.axes
    }  # fmt: skip
    # Accuracy has no validation: the training's own value is marked.
    assert marks == {"loss": [(2, 2.9)], "accuracy": [(2, 0.4)], "recall": []}
    assert figure.legends[0].get_texts()[-1].get_text() == "epoch that was kept"


def test_metrics_are_chosen_and_panels_wrap():
    assert [a.get_title() for a in plot_training({"x": PLAIN}, metrics=["accuracy"]).axes] == [
        "accuracy"
    ]
    many = plot_training({"x": {f"m{i}": [1.0] for i in range(5)}})
    assert len(many.axes) == 5
    # One epoch shows as a dot.
    assert many.axes[0].get_lines()[0].get_marker() == "."
    assert aug.evaluation.plot_training is plot_training


@pytest.mark.parametrize(
    ("histories", "options", "error", "message"),
    [
        ({}, {}, InvalidArgumentError, "at least one epoch of one training. Received: none"),
        ({"x": {"loss": []}}, {}, InvalidArgumentError, "Received: 'x', without a value"),
        ({"x": [1.0]}, {}, InvalidArgumentError, "Received: a list for 'x'"),
        ({"x": {"loss": ["high"]}}, {}, DataError, r"numbers, one an epoch. Received: \['high'\]"),
        ({"x": {"loss": [[1.0]]}}, {}, DataError, "for 'loss' of 'x'"),
        ({"x": PLAIN}, {"metrics": ["acuracy"]}, InvalidArgumentError, "Did you mean 'accuracy'"),
        ({"x": PLAIN}, {"metrics": []}, InvalidArgumentError, "`metrics` must name at least one"),
        ({"x": PLAIN}, {"best_epochs": {"y": 0}}, InvalidArgumentError, "Known: 'x'"),
        ({"x": PLAIN}, {"best_epochs": {"x": 3}}, InvalidArgumentError, "from 0 to 2. Received: 3"),
    ],
)
def test_bad_arguments_are_refused(histories, options, error, message):
    with pytest.raises(error, match=message):
        plot_training(histories, **options)
