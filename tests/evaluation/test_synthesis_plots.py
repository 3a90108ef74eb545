"""Plots of synthetic rows: what is drawn is what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation import sdmetrics_reference
from tfrs_augment.errors import UnknownFeatureError
from tfrs_augment.evaluation import (
    measure_fidelity,
    measure_privacy,
    plot_distances,
    plot_marginals,
    plot_pairs,
    plot_popularity,
)


def test_marginals_are_shares_of_the_rows(tmp_path):
    real, other = sdmetrics_reference.tables()
    figure = plot_marginals(real, other, tmp_path / "marginals.png")
    assert (tmp_path / "marginals.png").read_bytes().startswith(b"\x89PNG")
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(panels) == list(real)
    # A bar a city and table: the share of its rows.
    heights = [bar.get_height() for bar in panels["city"].patches]
    labels = [label.get_text() for label in panels["city"].get_xticklabels()]
    shares = [np.mean(table["city"] == c.encode()) for table in (real, other) for c in labels]
    assert heights == pytest.approx(shares)
    # Missing numbers are no part of the curve.
    spent = [patch.get_data().values.sum() for patch in panels["spent"].patches]
    known = [np.mean(~np.isnan(table["spent"])) for table in (real, other)]
    assert spent == pytest.approx(known)
    with pytest.raises(UnknownFeatureError, match="city"):
        plot_marginals(real, {"age": other["age"]}, columns=["city"])


def test_pairs_show_what_is_lost(tmp_path):
    real, other = sdmetrics_reference.tables()
    found = measure_fidelity(real, other, holdout=other)
    figure = plot_pairs(found, tmp_path / "pairs.png")
    image = figure.axes[0].images[0].get_array()
    names = list(found.columns)
    assert image[names.index("city"), names.index("age")] == pytest.approx(
        1 - found.pairs["age", "city"].value
    )
    assert image[names.index("city"), names.index("city")] == pytest.approx(
        1 - found.columns["city"].value
    )


def test_popularity_and_distances_are_drawn(shop, tmp_path):
    half = np.arange(len(shop)) % 2 == 0
    figure = plot_popularity(shop.take(half), shop.take(~half), tmp_path / "popularity.png")
    for line in figure.axes[0].lines:
        assert line.get_ydata()[-1] == pytest.approx(1)
    names = ["age", "kind", "price"]
    found = measure_privacy(shop.take(half), shop, holdout=shop.take(~half), columns=names)
    figure = plot_distances(found, tmp_path / "distances.png")
    assert "closer to training" in figure.axes[0].get_title()
    for name in ("popularity", "distances"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
