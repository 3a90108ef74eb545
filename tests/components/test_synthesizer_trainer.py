"""The SynthesizerTrainer in real pipelines, and its rows in the Augmenter's."""

from __future__ import annotations

import collections
import json
import pathlib

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.rows import POLICY
from tests.components import pipelines
from tfrs_augment.errors import InvalidArgumentError

# A pipeline of several processes takes long on a busy machine.
pytestmark = [pytest.mark.tfx, pytest.mark.slow, pytest.mark.timeout(1800)]

TRAIN, EVAL, SYNTHETIC = 600, 200, 150
COLUMNS = ["user_id", "movie_id", "timestamp", "gender", "age"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The metadata of a pipeline in which synthesized rows join the augmented ones."""
    from tfrs_augment.components import Augmenter, SynthesizerTrainer

    folder = tmp_path_factory.mktemp("pipeline")
    gen = pipelines.example_gen(pipelines.write_source(folder / "in", train=TRAIN, evaluated=EVAL))
    trainer = SynthesizerTrainer(
        gen.outputs["examples"],
        synthesizer=aug.synthesis.PopularitySampler(item_id="movie_id"),
        columns=COLUMNS,
        sample_rows=200,
    )
    augmenter = Augmenter(
        gen.outputs["examples"],
        POLICY,
        synthesizer=trainer.outputs["synthesizer"],
        num_synthetic=SYNTHETIC,
        balance="movie_id",
    )
    return pipelines.run(folder, [gen, trainer, augmenter])


def test_saved_synthesizer_samples(ran):
    model = ran.output("SynthesizerTrainer", "synthesizer")
    assert model.custom_properties["class"].string_value == "PopularitySampler"
    synthesizer = aug.synthesis.Synthesizer.load(f"{model.uri}/synthesizer.npz")
    assert list(synthesizer.sample(5)) == COLUMNS


def test_quality_is_measured_beside_its_ends(ran):
    quality = ran.output("SynthesizerTrainer", "quality")
    document = json.loads((pathlib.Path(quality.uri) / "quality.json").read_text())
    assert document["rows"] == {"train": TRAIN, "synthetic": 200, "holdout": EVAL}
    scores = document["fidelity"]["scores"]["quality"]
    assert 0 < scores["value"] <= 1 and {"floor", "ceiling"} <= set(scores)
    # Ids are no property of a row.
    assert set(document["fidelity"]["columns"]) == {"age", "gender", "timestamp"}
    # ML Metadata keeps six digits.
    kept = quality.custom_properties["quality"].double_value
    assert kept == pytest.approx(scores["value"], abs=1e-5)
    assert 0 <= quality.custom_properties["closer_to_train"].double_value <= 1
    assert "closer_to_train" in (pathlib.Path(quality.uri) / "quality.md").read_text()


def test_synthesized_rows_join_the_augmented_ones(ran):
    made = ran.output("Augmenter", "augmented_examples")
    found = [rows.values(record) for record in pipelines.read(made, "train")]
    kinds = collections.Counter(
        "synthesized" if "aug/synthesizer" in row else "made" if "aug/draw" in row else "kept"
        for row in found
    )
    assert kinds["kept"] == TRAIN and kinds["synthesized"] == SYNTHETIC
    report = ran.output("Augmenter", "augmentation_report").custom_properties
    assert report["synthesized"].int_value == SYNTHETIC
    assert report["made"].int_value == kinds["made"]
    fingerprint = ran.output("SynthesizerTrainer", "synthesizer").custom_properties["fingerprint"]
    assert {row["aug/synthesizer"][0].decode() for row in found if "aug/synthesizer" in row} == {
        fingerprint.string_value
    }
    # The eval split gets none.
    assert len(pipelines.read(made, "eval")) == EVAL


def test_synthesized_rows_are_those_of_the_synthesizer(ran):
    path = f"{ran.output('SynthesizerTrainer', 'synthesizer').uri}/synthesizer.npz"
    expected = aug.synthesis.Synthesizer.load(path).sample(SYNTHETIC, seed=POLICY.seed)
    made = ran.output("Augmenter", "augmented_examples")
    found = [rows.values(record) for record in pipelines.read(made, "train")]
    found = sorted(
        (row["aug/draw"][0], row["user_id"][0], row["movie_id"][0])
        for row in found
        if "aug/synthesizer" in row
    )
    ids = zip(range(SYNTHETIC), expected["user_id"].tolist(), expected["movie_id"].tolist())
    assert found == list(ids)


def test_balance_gives_rare_items_more_copies(tmp_path):
    from tfrs_augment.components import Augmenter

    source = tmp_path / "in" / "span-1" / "version-1"
    serialized = [
        rows.example(user_id=[b"u"], movie_id=[b"often" if i % 10 else b"rare"], timestamp=[i])
        for i in range(200)
    ]
    rows.write(source / "train" / "a.gz", serialized, "GZIP")
    rows.write(source / "eval" / "a.gz", serialized, "GZIP")
    gen = pipelines.example_gen(tmp_path / "in")
    policy = aug.AugmentationPolicy([], key_features=("user_id", "timestamp"))
    balance = aug.beam.Balance("movie_id", exponent=1.0)
    augmenter = Augmenter(gen.outputs["examples"], policy, balance=balance)
    store = pipelines.run(tmp_path, [gen, augmenter])
    made = pipelines.read(store.output("Augmenter", "augmented_examples"), "train")
    copies = collections.Counter(
        row["movie_id"][0] for row in map(rows.values, made) if "aug/draw" in row
    )
    assert np.isclose(copies[b"rare"] / copies[b"often"], 1.0, rtol=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"synthesizer": "PopularitySample"}, "Did you mean 'PopularitySampler'"),
        ({"synthesizer": 3}, "`synthesizer` must be a Synthesizer, the name of its class"),
        ({"columns": "age"}, "`columns` must be a list of distinct names"),
        ({"holdout_split": "train"}, "`holdout_split` must be another than `split`"),
        ({"sample_rows": 1}, "`sample_rows` must be an integer of at least 2"),
        ({"seed": -1}, "`seed` must be an integer of 0 or more"),
    ],
)
def test_arguments_are_refused_when_the_pipeline_is_made(tmp_path, arguments, message):
    from tfrs_augment.components import SynthesizerTrainer

    gen = pipelines.example_gen(tmp_path)
    with pytest.raises(InvalidArgumentError, match=message):
        SynthesizerTrainer(gen.outputs["examples"], **arguments)


def test_fitted_synthesizer_is_refused(tmp_path):
    from tfrs_augment.components import SynthesizerTrainer

    gen = pipelines.example_gen(tmp_path)
    fitted = aug.synthesis.IndependentSampler().fit({"age": np.arange(30)})
    with pytest.raises(InvalidArgumentError, match="must not be fitted"):
        SynthesizerTrainer(gen.outputs["examples"], synthesizer=fitted)
