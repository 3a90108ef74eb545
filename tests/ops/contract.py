"""The contract that every op keeps. A test class of an op inherits `OpContract` and names its cases."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tests import golden
from tfrs_augment import records
from tfrs_augment.beam.blocks import BlockAugmenter
from tfrs_augment.ops import Op, op_from_config
from tfrs_augment.ops.sequence_layout import SequenceOp

ROWS = 600
RAGGED_ONLY = ("test_padded_and_ragged_columns_draw_alike",)
"""Tests for the cases with a ragged column."""


@functools.cache
def _photos() -> tf.Tensor:
    """PNGs of 3 x 4 to 5 x 4 pixels that are no mirror images of themselves."""
    pixels = np.random.default_rng(8).integers(50, 150, [ROWS, 5, 4, 3], dtype=np.uint8)
    return tf.constant(
        [tf.io.encode_png(image[: 3 + i % 3]).numpy() for i, image in enumerate(pixels)]
    )


def batch(rows: int = ROWS) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Rows with a column of every kind and shape; no value is one that an op puts in."""
    numbers = np.arange(rows)
    lengths = numbers % 4
    total = int(lengths.sum())
    strings = np.array([f"v{i % 37}" for i in range(total)], dtype=object)
    steps = numbers % 3 * 4 + numbers % 5 % 4
    items = np.concatenate(
        [row % 31 + 1 + np.arange(n) * (row % 3 + 1) for row, n in enumerate(steps)]
    )
    return {
        "row": tf.constant(numbers, tf.int64),
        "word": tf.constant([f"w{i % 41}" for i in numbers]),
        "words": tf.constant([[f"a{i % 11}", f"b{i % 7}", f"c{i % 5}"] for i in numbers]),
        # Texts of 0 to 4 different words, one of them with letters outside ASCII.
        "query": tf.constant(
            [
                " ".join(f"{w}{i % 7}" for w in ("red", "maxi", "robe", "été")[: i % 5])
                for i in numbers
            ]
        ),
        "photo": _photos()[:rows],
        "count": tf.constant(numbers % 29 + 1, tf.int64),
        "small": tf.constant(numbers % 13 + 1, tf.int32),
        "number": tf.constant(numbers % 101 / 7.0 + 0.5, tf.float32),
        "double": tf.constant(numbers % 17 / 3.0 + 0.5, tf.float64),
        "vector": tf.constant(numbers[:, None] * [0.25, 0.5] + 1.0, tf.float32),
        "tags": tf.RaggedTensor.from_row_lengths(tf.constant(strings, tf.string), lengths),
        "ids": tf.RaggedTensor.from_row_lengths(tf.range(1, total + 1, dtype=tf.int64), lengths),
        "places": tf.RaggedTensor.from_row_lengths(
            tf.range(total, dtype=tf.float32) / 3.0, lengths
        ),
        "times": tf.RaggedTensor.from_row_lengths(
            tf.range(1, total + 1, dtype=tf.float32), lengths
        ),
        # Three features of one history of 0 to 11 different items, and two of one recording.
        "history": tf.RaggedTensor.from_row_lengths(tf.constant(items, tf.int64), steps),
        "names": tf.RaggedTensor.from_row_lengths(
            tf.constant([f"i{item}" for item in items]), steps
        ),
        "moments": tf.RaggedTensor.from_row_lengths(
            tf.range(1, len(items) + 1, dtype=tf.int64) * 60, steps
        ),
        "sound": tf.constant(
            numbers[:, None, None] % 7 + np.arange(1, 25).reshape(6, 4), tf.float32
        ),
        "sounds": tf.RaggedTensor.from_row_lengths(
            tf.range(1, 3 * total + 1, dtype=tf.float32), 3 * lengths
        ),
    }


def rows_of(column) -> list:
    return column.to_list() if isinstance(column, tf.RaggedTensor) else column.numpy().tolist()


def take(features, index):
    return {name: tf.gather(column, index) for name, column in features.items()}


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        assert found[name].dtype == expected[name].dtype, name
        assert rows_of(found[name]) == rows_of(expected[name]), name


def as_example_column(column):
    """A column in the types that a tf.train.Example has: bytes, float32 and int64."""
    if column.dtype == tf.string:
        return column
    return tf.cast(column, tf.float32 if column.dtype.is_floating else tf.int64)


def to_record_column(column) -> records.Column:
    kind = records.KINDS[aug.schema.kind_of_dtype(column.dtype)]
    return records.Column.from_rows(kind, [np.ravel(row).tolist() for row in rows_of(column)])


@dataclasses.dataclass(frozen=True)
class Case:
    """An op to test.

    Attributes:
      op: the op, at a rate strictly between 0 and 1.
      effect_rate: the chance that a value that is there differs afterwards.
      per_row: whether the chance is that of a row's feature, and not of a value.
      layouts_agree: whether a ragged column and a padded one are changed alike.
    """

    op: Op
    effect_rate: float
    per_row: bool = False
    layouts_agree: bool = True

    @property
    def name(self) -> str:
        return self.op.id

    @property
    def has_ragged(self) -> bool:
        return self.layouts_agree and any(
            isinstance(batch()[n], tf.RaggedTensor) for n in self.op.features
        )


class OpContract:
    """Inherit, and give `cases`; the tests run on each."""

    cases: tuple[Case, ...] = ()

    def pytest_generate_tests(self, metafunc):
        if "case" in metafunc.fixturenames:
            cases = [
                case
                for case in self.cases
                if metafunc.function.__name__ not in RAGGED_ONLY or case.has_ragged
            ]
            # The first case of an op runs everywhere; the others, on TensorFlow's newest release alone.
            first = {type(case.op): case for case in reversed(cases)}
            parameters = [
                pytest.param(case, marks=[] if first[type(case.op)] is case else [pytest.mark.slow])
                for case in cases
            ]
            metafunc.parametrize("case", parameters, ids=lambda case: case.name)

    def policy(self, op: Op, seed: int = 11) -> aug.AugmentationPolicy:
        policy = aug.AugmentationPolicy([op], seed=seed, key_features=("row",))
        return aug.fitting.fit(policy, batch())

    def test_rate_zero_is_the_identity(self, case):
        policy = self.policy(dataclasses.replace(case.op, rate=0.0))
        assert_equal(policy.augment(batch(), draw=1), batch())

    def test_the_input_stays_as_it_was_and_untouched_columns_are_the_same_objects(self, case):
        features = batch()
        before = dict(features)
        result = self.policy(case.op).augment(features, draw=1)
        assert all(features[name] is before[name] for name in before)
        assert_equal(features, batch())
        for name in set(features) - set(case.op.features):
            assert result[name] is features[name]

    def test_shapes_and_dtypes_are_kept(self, case):
        result = self.policy(case.op).augment(batch(), draw=1)
        for name, column in batch().items():
            assert result[name].dtype == column.dtype
            assert result[name].shape.rank == column.shape.rank
            assert isinstance(result[name], tf.RaggedTensor) == isinstance(column, tf.RaggedTensor)
            assert len(rows_of(result[name])) == ROWS

    def test_the_rate_of_the_effect_is_within_its_binomial_bound(self, case):
        augment, changed, total = tf.function(self.policy(case.op).augment), 0, 0
        for draw in range(10):
            result = augment(batch(), draw=tf.constant(draw))
            for name in case.op.features:
                before, after = rows_of(batch()[name]), rows_of(result[name])
                if case.per_row:
                    there = [(b, a) for b, a in zip(before, after, strict=True) if b != []]
                else:
                    there = list(
                        zip(
                            np.concatenate([np.ravel(r) for r in before]).tolist(),
                            np.concatenate([np.ravel(r) for r in after]).tolist(),
                            strict=True,
                        )
                    )
                changed += sum(b != a for b, a in there)
                total += len(there)
        bound = 4.9 * np.sqrt(total * case.effect_rate * (1 - case.effect_rate))
        assert abs(changed - total * case.effect_rate) <= bound + 1

    def test_the_result_does_not_depend_on_batching_or_order(self, case):
        policy = self.policy(case.op)
        whole = policy.augment(batch(), draw=5)
        order = np.random.default_rng(3).permutation(ROWS)
        for part in np.array_split(order, 7):
            assert_equal(policy.augment(take(batch(), part), draw=5), take(whole, part))

    def test_eager_graph_and_tf_data_agree(self, case):
        policy = self.policy(case.op)
        eager = policy.augment(batch(), draw=5)
        assert_equal(tf.function(policy.augment)(batch(), draw=tf.constant(5)), eager)
        dataset = tf.data.Dataset.from_tensor_slices(batch()).batch(ROWS)
        assert_equal(next(iter(dataset.map(lambda rows: policy.augment(rows, draw=5)))), eager)

    def test_padded_and_ragged_columns_draw_alike(self, case):
        op, features = case.op, batch()
        padded = {
            n: c.to_tensor() if isinstance(c, tf.RaggedTensor) else c for n, c in features.items()
        }
        ragged = self.policy(op).augment(features, draw=2)
        if isinstance(op, SequenceOp):
            op = dataclasses.replace(op, padding="trailing")
        dense = self.policy(op).augment(padded, draw=2)
        for name in op.features:
            if isinstance(features[name], tf.RaggedTensor):
                pairs = zip(rows_of(ragged[name]), rows_of(dense[name]), strict=True)
                # A padded row that became too long keeps its last values.
                assert all(r[-len(d) :] == d[: len(r)] for r, d in pairs)

    def test_draws_and_seeds_matter_and_seed_zero_counts(self, case):
        def changed(seed, draw):
            result = self.policy(case.op, seed).augment(batch(), draw=draw)
            return [rows_of(result[name]) for name in case.op.features]

        assert changed(0, 0) == changed(0, 0)
        assert changed(0, 0) != changed(1, 0)
        assert changed(0, 0) != changed(0, 1)
        assert changed(0, 0) != [rows_of(batch()[name]) for name in case.op.features]

    def test_an_empty_batch(self, case):
        result = self.policy(case.op).augment(take(batch(), tf.zeros([0], tf.int64)), draw=0)
        assert all(len(rows_of(column)) == 0 for column in result.values())

    def test_json_round_trip(self, case):
        op = op_from_config(json.loads(json.dumps(case.op.get_config())), "ops[0]")
        assert op == case.op

    def test_keras_and_saved_model_round_trips(self, case, tmp_path: pathlib.Path):
        features = batch()
        inputs = {
            name: tf_keras.Input(
                column.shape[1:],
                dtype=column.dtype,
                ragged=isinstance(column, tf.RaggedTensor),
                name=name,
            )
            for name, column in features.items()
            if name in (*case.op.features, "row")
        }
        fed = {name: features[name] for name in inputs}
        layer = aug.layers.Augment(self.policy(case.op), draw=5)
        model = tf_keras.Model(inputs, layer(inputs))
        expected = self.policy(case.op).augment(fed, draw=5)
        assert_equal(model(fed, training=True), expected)
        model.save(tmp_path / "model.keras")
        assert_equal(
            tf_keras.models.load_model(tmp_path / "model.keras")(fed, training=True), expected
        )
        model.save(tmp_path / "saved_model", save_format="tf")
        loaded = tf_keras.models.load_model(tmp_path / "saved_model")
        assert_equal(loaded(fed, training=True), expected)
        assert_equal(loaded(fed, training=False), fed)

    def test_the_beam_job_agrees(self, case):
        """The same rows come out of the job's block engine, features being what an Example can hold."""
        if case.op.stage != "feature":
            return
        features = {name: as_example_column(column) for name, column in batch().items()}
        policy = aug.AugmentationPolicy([case.op], seed=11, key_features=("row",))
        policy = aug.fitting.fit(policy, features)
        kinds = dict(aug.schema.Schema.of_tensors(features).kinds)
        framed = records.encode_rows({n: to_record_column(c) for n, c in features.items()})
        augmenter = BlockAugmenter(policy, kinds)
        found = {name: [] for name in case.op.features}
        for frames in records.read_frames(
            io.BytesIO(framed), compression="none", block_records=251
        ):
            result, _ = augmenter.augment(augmenter.decode(frames), draw=4)
            for block in records.read_frames(io.BytesIO(result), compression="none"):
                decoded = records.decode(block, {n: records.KINDS[k] for n, k in kinds.items()})
                for name in found:
                    found[name] += decoded.column(name).to_rows()
        expected = policy.augment(features, draw=4)
        for name, rows in found.items():
            assert rows == [np.ravel(row).tolist() for row in rows_of(expected[name])]

    def test_golden(self, case):
        result = self.policy(case.op).augment(batch(), draw=1)
        for name in case.op.features:
            rows = rows_of(result[name])
            key = f"{case.name} {name}"
            if result[name].dtype.is_floating:
                flat = np.concatenate([np.ravel(row) for row in rows])[:40].tolist()
                golden.check("ops.json", key, flat, rtol=1e-5)
            else:
                golden.check("ops.json", key, hashlib.sha256(repr(rows).encode()).hexdigest())

    def test_unknown_and_unfit_features_are_named(self, case):
        policy = self.policy(case.op)
        name = case.op.features[0]
        features = {other: column for other, column in batch().items() if other != name}
        with pytest.raises(aug.errors.UnknownFeatureError, match=f"no feature '{name}'"):
            policy.augment(features | {f"{name}_x": batch()[name]}, draw=0)
        refused = [k for k in ("bytes", "float", "int64") if k not in case.op.kinds]
        wrong = {"bytes": batch()["word"], "float": batch()["number"], "int64": batch()["count"]}
        for kind in refused:
            with pytest.raises(aug.errors.DataError, match=f"'{name}' of type"):
                policy.augment({**batch(), name: wrong[kind]}, draw=0)

    @pytest.mark.parametrize("rate", [-0.1, 1.3, float("nan"), "0.5", None])
    def test_a_rate_outside_the_unit_interval_is_refused(self, case, rate):
        with pytest.raises(
            aug.errors.InvalidArgumentError, match=r"`rate` must be in \[0, 1\]. Received: rate="
        ):
            dataclasses.replace(case.op, rate=rate)
