"""Layers that mix rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.layers.mixing import beta, draw_mix
from tfrs_augment.rng import KeyedRng

COUNT = 200


def rows() -> dict[str, tf.Tensor]:
    numbers = np.arange(COUNT)
    return {
        "id": tf.constant([f"i{i}" for i in numbers]),
        "tags": tf.RaggedTensor.from_row_lengths(
            tf.repeat(numbers, numbers % 3), tf.constant(numbers % 3)
        ),
        "pair": tf.constant(np.stack([numbers, -numbers], axis=1)),
        "place": tf.constant(numbers, tf.int32),
        "label": tf.constant(numbers, tf.float32),
        "other": tf.constant(numbers),
    }


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.5, 1.0, 2.0, 4.0])
def test_ratios_are_of_the_beta_distribution(alpha):
    """By its moments: mean 1/2, variance 1 / (4 (2 a + 1)), kurtosis 3 - 6 / (2 a + 3)."""
    grid = (np.arange(200_000) + 0.5) / 200_000
    ratios = beta(tf.constant(grid, tf.float32), alpha).numpy().astype(np.float64)
    variance = 1 / (4 * (2 * alpha + 1))
    assert ((ratios >= 0) & (ratios <= 1)).all() and (np.diff(ratios) >= -1e-6).all()
    assert ratios.mean() == pytest.approx(0.5, abs=1e-4)
    assert ratios.var() == pytest.approx(variance, rel=1e-3)
    fourth = ((ratios - 0.5) ** 4).mean() / variance**2
    assert fourth == pytest.approx(3 - 6 / (2 * alpha + 3), rel=2e-3)


def test_partners_are_drawn_evenly():
    keys = tf.bitcast(tf.range(40_000, dtype=tf.int64), tf.uint64)
    _, partner = draw_mix(KeyedRng(0, keys, 0), tf.constant(8), 1.0)
    counts = np.bincount(partner.numpy(), minlength=8)
    assert len(counts) == 8 and (abs(counts - 5000) < 6 * np.sqrt(5000)).all()


def test_mixup_mixes_every_tensor_alike():
    layer = aug.layers.MixUp(alpha=1.0)
    numbers = tf.range(COUNT, dtype=tf.float32)
    inputs = {
        "embedded": tf.stack([numbers, -2 * numbers], axis=1),
        "label": numbers,
        "half": tf.cast(numbers, tf.float64)[:, None, None],
    }
    assert all(one is inputs[name] for name, one in layer(inputs).items())
    mixed = layer(inputs, training=True)
    found = mixed["label"].numpy()
    np.testing.assert_allclose(mixed["embedded"], np.stack([found, -2 * found], 1), rtol=1e-5)
    np.testing.assert_allclose(mixed["half"][:, 0, 0], found, rtol=1e-5)
    assert mixed["half"].dtype == tf.float64
    ratio, partner = draw_mix(
        KeyedRng(0, tf.bitcast(tf.range(COUNT, dtype=tf.int64), tf.uint64), 0).fork("mixup"),
        tf.constant(COUNT),
        1.0,
    )
    expected = ratio.numpy() * np.arange(COUNT) + (1 - ratio.numpy()) * partner.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert not np.allclose(layer(inputs, training=True)["label"], found)


def test_cutmix_takes_whole_values_and_mixes_the_label_by_their_share():
    layer = aug.layers.CutMix(("id", "tags", "pair", "place"), label="label")
    before = rows()
    same = layer(before)
    assert same is not before and all(same[name] is before[name] for name in before)
    after = layer(before, training=True)
    assert after["other"] is before["other"]
    sources = np.stack(
        [
            [int(one[1:]) for one in after["id"].numpy()],
            after["pair"].numpy()[:, 0],
            after["place"].numpy(),
        ],
        axis=1,
    )
    np.testing.assert_array_equal(after["pair"][:, 1], -sources[:, 1])
    shares, partners = [], 0
    for row in range(COUNT):
        others = set(sources[row]) - {row}
        assert len(others) <= 1  # One partner a row.
        if others:
            partner = others.pop()
            taken = [*(sources[row] == partner)]
            tags = after["tags"][row].numpy().tolist()
            by_tags = [
                [*taken, tags_of_partner]
                for tags_of_partner in (False, True)
                if tags
                == [partner if tags_of_partner else row]
                * ((partner if tags_of_partner else row) % 3)
            ]
            labels = [row + sum(one) / 4 * (partner - row) for one in by_tags]
            assert any(np.isclose(float(after["label"][row]), label) for label in labels)
            shares.append(np.mean(taken))
            partners += 1
    # Beta(1, 1): each of the three is taken half of the times.
    assert 0.4 * COUNT < partners < COUNT and 0.5 < np.mean(shares) < 0.85


def test_in_a_graph_the_same_rows_come_out():
    def mix(features):
        return aug.layers.CutMix(("id", "tags"), label="label", draw=4)(features, training=True)

    eager, graph = mix(rows()), tf.function(mix)(rows())
    for name, column in eager.items():
        if isinstance(column, tf.RaggedTensor):
            assert column.to_list() == graph[name].to_list()
        else:
            np.testing.assert_array_equal(column, graph[name])


def test_models_that_hold_them_are_saved_and_loaded(tmp_path):
    number, label = tf_keras.Input([2]), tf_keras.Input([1], name="label")
    word = tf_keras.Input([], dtype=tf.string, name="word")
    mixed = aug.layers.MixUp(0.5, seed=3, draw=1)([number, label])
    cut = aug.layers.CutMix(("word", "number"), label="label", draw=2)(
        {"word": word, "number": number, "label": label}
    )
    model = tf_keras.Model([number, label, word], [*mixed, cut["word"], cut["label"]])
    fed = [
        tf.random.stateless_normal([16, 2], [1, 2]),
        tf.range(16, dtype=tf.float32)[:, None],
        tf.strings.as_string(tf.range(16)),
    ]
    expected = model(fed, training=True)
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "saved", save_format="tf")
    for name in ("model.keras", "saved"):
        found = tf_keras.models.load_model(tmp_path / name)(fed, training=True)
        for one, other in zip(found, expected):
            if one.dtype == tf.string:
                assert one.numpy().tolist() == other.numpy().tolist()
            else:
                np.testing.assert_allclose(one, other, rtol=1e-6)


def test_arguments_and_columns_are_checked():
    for alpha in (0, -1, 5, "1", True):
        with pytest.raises(InvalidArgumentError, match="`alpha` of MixUp must be a number in"):
            aug.layers.MixUp(alpha)
    for features, label, message in (
        (("id",), "label", "`features` of CutMix must be at least two different names"),
        (("id", "id"), "label", "`features` of CutMix must be at least two different names"),
        (("id", "place"), "id", "`label` of CutMix must be the name of a column that is none"),
        (("id", "place"), None, "`label` of CutMix must be the name of a column that is none"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            aug.layers.CutMix(features, label=label)
    with pytest.raises(InvalidArgumentError, match="`seed` of MixUp must be an integer in"):
        aug.layers.MixUp(seed=-1)
    with pytest.raises(DataError, match="MixUp takes floats, and uint8 images .*Received: int32"):
        aug.layers.MixUp()(rows()["place"], training=True)
    with pytest.raises(DataError, match="label 'other' of CutMix must be dense floats"):
        aug.layers.CutMix(("id", "place"), label="other")(rows(), training=True)
    with pytest.raises(UnknownFeatureError, match="CutMix needs feature 'places'.*Did you mean"):
        aug.layers.CutMix(("id", "places"), label="label")(rows(), training=True)
