"""The whole pipeline in real TFX: run, run again, refused, compiled; read back from ML Metadata."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import pytest

from tests.components import pipelines
from tests.components.conftest import MISSING

pytestmark = [
    pytest.mark.tfx,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    # Its fixtures run the pipeline.
    pytest.mark.timeout(2400),
]

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
COMPONENTS = (
    *("CsvExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "SynthesizerTrainer"),
    *("Augmenter", "Transform", "Trainer", "BaselineTrainer", "Evaluator"),
    *("AugmentationValidator", "Pusher"),
)
ABSURD = {
    "format_version": 1,
    "seed": 7,
    "key_features": ["user_id", "movie_id", "timestamp"],
    "ops": [
        {"op": "IdDropout", "feature": "movie_id", "rate": 1.0},
        {"op": "GaussianNoise", "feature": "user_age", "stddev": 500.0},
    ],
}
ROWS, STEPS = 8000, 80


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("tfx_pipeline", EXAMPLES / "tfx_pipeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(example, shared_data, tmp_path_factory) -> pathlib.Path:
    """The folder of a pipeline that ran once."""
    folder = tmp_path_factory.mktemp("run")
    run(example, shared_data, folder)
    return folder


def run(example, shared_data, folder, *more: str) -> None:
    data = ["--data_dir", str(shared_data / "ml-100k"), "--root", str(folder)]
    example.main([*data, "--rows", str(ROWS), "--steps", str(STEPS), *more])


def store(folder: pathlib.Path) -> pipelines.Store:
    return pipelines.Store(folder, "movielens")


def validation_of(folder: pathlib.Path) -> dict:
    uri = store(folder).output("AugmentationValidator", "validation").uri
    return json.loads((pathlib.Path(uri) / "validation.json").read_text())


def test_all_components_run(root):
    assert [store(root).states(name) for name in COMPONENTS] == [["COMPLETE"]] * len(COMPONENTS)


def test_augmented_rows_are_counted(root):
    given = store(root).output("CsvExampleGen", "examples")
    made = store(root).output("Augmenter", "augmented_examples")
    counts = {s: len(pipelines.read(given, s)) for s in ("train", "eval")}
    assert sum(counts.values()) >= ROWS
    assert len(pipelines.read(made, "train")) == 2 * counts["train"] + 2000
    assert pipelines.counted(made, "eval") == pipelines.counted(given, "eval")
    assert made.custom_properties["span"] == given.custom_properties["span"]


def test_evaluator_loads_the_model_and_judges_the_rating(root):
    import tensorflow_model_analysis as tfma

    uri = store(root).output("Evaluator", "evaluation").uri
    (overall,) = (
        metrics[""][""]
        for slice_key, metrics in tfma.load_eval_result(uri).slicing_metrics
        if not slice_key
    )
    rmse = overall["root_mean_squared_error"]["doubleValue"]
    # It is what AugmentationValidator finds for the same model and rows.
    (note,) = (f["note"] for f in validation_of(root)["findings"] if f["subject"] == "rmse")
    assert f"the model has {rmse:.4f}" in note
    assert 0.8 < rmse < 1.15


def test_model_is_blessed_and_pushed(root):
    found = validation_of(root)
    assert found["refusals"] == [] and found["blessed"]
    assert {f["check"] for f in found["findings"] if f["passed"]} == {
        "schema",
        "drift",
        "labels",
        "privacy",
        "quality",
        "model blessing",
    }
    pushed = store(root).output("Pusher", "pushed_model")
    assert pushed.custom_properties["pushed"].int_value == 1
    assert len(list((root / "serving").iterdir())) == 1


def test_second_run_is_cached(example, shared_data, root):
    run(example, shared_data, root)
    assert {name: store(root).states(name)[-1] for name in COMPONENTS} == dict.fromkeys(
        COMPONENTS, "CACHED"
    )


def test_absurd_augmentation_is_not_blessed_and_not_pushed(example, shared_data, root, tmp_path):
    path = tmp_path / "absurd.json"
    path.write_text(json.dumps(ABSURD))
    run(example, shared_data, root, "--policy", str(path))
    found = validation_of(root)
    assert not found["blessed"]
    refused = {f["subject"] for f in found["findings"] if f["passed"] is False}
    assert "'movie_id' (train)" in refused
    blessing = store(root).output("AugmentationValidator", "blessing")
    assert blessing.custom_properties["blessed"].int_value == 0
    pushed = store(root).output("Pusher", "pushed_model")
    assert pushed.custom_properties["pushed"].int_value == 0
    # What was pushed before stays alone.
    assert len(list((root / "serving").iterdir())) == 1


def test_compiles_for_kubeflow(example, tmp_path):
    path = tmp_path / "pipeline.json"
    image = "gcr.io/project/image"
    example.main(["--compile", str(path), "--image", image, "--root", "gs://bucket/run"])
    job = json.loads(path.read_text())
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    commands = {
        name: " ".join(executor["container"].get("args", []))
        for name, executor in executors.items()
        if "container" in executor
    }
    for name in ("Augmenter", "SynthesizerTrainer", "AugmentationValidator"):
        (command,) = (text for key, text in commands.items() if key == f"{name}_executor")
        assert f"tfrs_augment.components.{ROOMS[name]}.executor.Executor" in command
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    inputs = tasks["Augmenter"]["inputs"]
    assert set(inputs["artifacts"]) == {"examples", "schema", "synthesizer"}
    value = inputs["parameters"]["policy"]["runtimeValue"]
    policy = value.get("constant") or value["constantValue"]["stringValue"]
    assert json.loads(policy)["key_features"] == ABSURD["key_features"]
    assert tasks["Pusher"]["inputs"]["artifacts"]["model_blessing"]["taskOutputArtifact"] == {
        "producerTask": "AugmentationValidator",
        "outputArtifactKey": "blessing",
    }


ROOMS = {
    "Augmenter": "augmenter",
    "SynthesizerTrainer": "synthesizer",
    "AugmentationValidator": "validator",
}
