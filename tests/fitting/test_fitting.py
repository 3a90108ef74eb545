"""Fitted statistics: exact, mergeable, and an artifact of arrays and JSON."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.fitting import Fitter
from tfrs_augment.ops import FittedState, Requirement
from tfrs_augment.ops.fitted import bytes_table

MARGINAL, NUMBERS, MOMENTS = (
    Requirement("marginal", "g"),
    Requirement("marginal", "n"),
    Requirement("moments", "x"),
)


def data(rows: int = 5000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "g": rng.choice(
            np.array([b"a", b"bb", b"c\x00", b""], object), rows, p=[0.5, 0.3, 0.1, 0.1]
        ),
        "n": rng.integers(-3, 4, rows),
        "x": (rng.normal(1000.0, 1e-3, rows) * 10.0 ** rng.integers(-3, 4, rows)).astype(
            np.float32
        ),
    }


def fit(columns) -> FittedState:
    fitter = Fitter([MARGINAL, NUMBERS, MOMENTS])
    fitter.add(columns)
    return fitter.state()


def test_the_statistics_are_those_of_the_data():
    columns, state = data(), fit(data())
    for value, count in zip(bytes_table(state[MARGINAL]), state[MARGINAL]["counts"], strict=True):
        assert count == columns["g"].tolist().count(value)
    assert list(state[MARGINAL]["counts"]) == sorted(state[MARGINAL]["counts"], reverse=True)
    assert dict(
        zip(
            *map(np.ndarray.tolist, (state[NUMBERS]["values"], state[NUMBERS]["counts"])),
            strict=True,
        )
    ) == {int(v): int(c) for v, c in zip(*np.unique(columns["n"], return_counts=True), strict=True)}
    x = columns["x"].astype(np.float64)
    np.testing.assert_allclose(state[MOMENTS]["mean"], x.mean(), rtol=1e-12)
    np.testing.assert_allclose(state[MOMENTS]["stddev"], x.std(), rtol=1e-9)


def test_order_and_cuts_do_not_matter_to_the_bit():
    columns, whole = data(), fit(data()).digest()
    order = np.random.default_rng(1).permutation(5000)
    total = Fitter([MARGINAL, NUMBERS, MOMENTS])
    for part in np.array_split(order, 13):
        fitter = Fitter([MARGINAL, NUMBERS, MOMENTS])
        fitter.add({name: column[part] for name, column in columns.items()})
        total.merge(fitter)
    assert total.state().digest() == whole


def test_ragged_columns_and_nan():
    ragged = tf.RaggedTensor.from_row_lengths(tf.constant([1.0, np.nan, 3.0, np.inf]), [2, 0, 2])
    fitter = Fitter([MOMENTS])
    fitter.add({"x": ragged})
    assert fitter.state()[MOMENTS]["count"] == 2 and fitter.state()[MOMENTS]["mean"] == 2.0


def test_extreme_numbers_are_summed_exactly():
    fitter = Fitter([MOMENTS])
    fitter.add({"x": np.array([1e300, 5e-324, -1e300, 3 * 5e-324])})
    assert float(fitter.state()[MOMENTS]["mean"]) == 5e-324


def test_save_load_and_config(tmp_path: pathlib.Path):
    state = fit(data())
    state.save(tmp_path / "fitted.json")
    loaded = FittedState.load(tmp_path / "fitted.json")
    assert loaded.digest() == state.digest()
    assert all(loaded[r][n].dtype == state[r][n].dtype for r in state.arrays for n in state[r])


def test_broken_artifacts_are_refused(tmp_path: pathlib.Path):
    path = tmp_path / "fitted.json"
    with pytest.raises(DataError, match="fitted.json' cannot be read"):
        FittedState.load(path)
    for text, message in (
        ("{", "cannot be read"),
        ("[]", "holds no fitted state"),
        ('{"format_version": 1}', "holds no fitted state"),
        ('{"format_version": 2, "statistics": []}', "format_version from 1 to 1. Received: 2"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            FittedState.load(path)


def test_data_that_cannot_be_fitted():
    with pytest.raises(
        UnknownFeatureError, match="marginal of 'g' cannot be fitted: the data have no such feature"
    ):
        fit({"gg": np.array([1])})
    with pytest.raises(DataError, match="holds strings"):
        fit({**data(), "x": data()["g"]})
    with pytest.raises(
        DataError, match="moments of 'x' cannot be fitted: the data hold no finite value"
    ):
        fit({**data(), "x": np.full(5000, np.nan)})
    with pytest.raises(
        InvalidArgumentError, match="There is no statistic 'moment'. Did you mean 'moments'"
    ):
        Fitter([Requirement("moment", "x")])


def test_fit_takes_batches_of_a_dataset():
    columns = data()
    policy = aug.AugmentationPolicy([aug.ops.CategorySwap("g", rate=0.5)], key_features=("n",))
    whole = aug.fitting.fit(policy, columns)
    batched = aug.fitting.fit(
        policy, tf.data.Dataset.from_tensor_slices({"g": columns["g"].tolist()}).batch(77)
    )
    assert batched.fingerprint == whole.fingerprint
