"""A whole TFX pipeline around one policy, on MovieLens 100K.

It needs TFX (`make test-tfx` makes an environment with it, .venv-tfx):

  .venv-tfx/bin/python examples/tfx_pipeline.py --data_dir path/to/ml-100k --root tfx_run

CsvExampleGen, StatisticsGen, SchemaGen, ExampleValidator; SynthesizerTrainer and Augmenter; Transform, two
Trainers (with the augmented rows and the policy in the model, and a baseline without either), Evaluator;
AugmentationValidator, which judges rows and models; and Pusher, which pushes what it blesses. A second run is
cached. `--policy examples/policies/movielens.json` is the default; try one of absurd strength, and it is not
pushed.

`--compile pipeline.json` writes the pipeline for Kubeflow Pipelines v2 and Vertex instead, and needs no
cluster.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
from collections.abc import Sequence

# First: it has TensorFlow use Keras 2, which TensorFlow Recommenders needs. The variable is for the
# processes that Beam starts.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
import tfrs_augment as aug  # isort: skip

# TFMA itself exports some of these messages in one lane and not in the other.
from tensorflow_model_analysis.proto import config_pb2
from tfx import v1 as tfx
from tfx.types import channel

from tfrs_augment.components import AugmentationValidator, Augmenter, SynthesizerTrainer

HERE = pathlib.Path(__file__).resolve().parent
POLICY = HERE / "policies" / "movielens.json"
MODULE = HERE / "tfx_module" / "two_tower.py"
IMAGE_MODULE = "tfx_module.two_tower"
COLUMNS = (
    *("user_id", "movie_id", "user_rating", "timestamp", "user_age", "user_gender"),
    *("user_occupation", "movie_genres", "movie_year"),
)


def write_csv(data_dir: str, folder: pathlib.Path, rows: int | None = None) -> None:
    """Writes MovieLens as one CSV file, as CsvExampleGen reads it: a line a rating, genres joined by "|".

    Args:
      data_dir: folder of the raw files.
      folder: where `ratings.csv` goes; a file that is there stays, so that a second run finds the same.
      rows: how many, evenly spread over all; None is all.
    """
    path = folder / "ratings.csv"
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    data = aug.datasets.movielens_100k(data_dir)
    step = 1 if rows is None else max(1, len(data) // rows)
    columns = []
    for name in COLUMNS:
        column = data.rows[name]
        if name == "movie_genres":
            cells = [b"|".join(row).decode() for row in column.to_lists()]
        elif column.dtype.kind == "S":
            cells = [cell.decode() for cell in column.tolist()]
        else:
            # A missing year is an empty cell.
            cells = ["" if cell != cell else cell for cell in column.tolist()]
        columns.append(cells[::step])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*columns, strict=True))


def make_pipeline(
    *,
    root: str,
    data: str,
    serving: str,
    policy: aug.AugmentationPolicy,
    copies: int = 1,
    num_synthetic: int = 2000,
    train_steps: int = 3000,
    eval_steps: int = 20,
    metadata: str | None = None,
    module: str | None = str(MODULE),
) -> tfx.dsl.Pipeline:
    """The pipeline.

    Args:
      root: folder of the artifacts.
      data: folder of CSV files.
      serving: folder that models are pushed to.
      policy: the augmentation.
      copies: augmented rows a source row.
      num_synthetic: how many synthesized rows are added.
      train_steps: batches of 512 rows that each Trainer sees. Augmented rows take longer to learn: with 600
        steps the validator refuses them on all of MovieLens 100K, with 3,000 they lose nothing clear.
      eval_steps: batches that it validates on.
      metadata: file of the metadata; None where an orchestrator of a cluster keeps them.
      module: the module file of Transform and Trainer; None takes the module that the image has installed.
    """
    gen = tfx.components.CsvExampleGen(input_base=data)
    examples = gen.outputs["examples"]
    statistics = tfx.components.StatisticsGen(examples=examples)
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    synthesizer = SynthesizerTrainer(
        examples,
        schema=schema.outputs["schema"],
        synthesizer=aug.synthesis.FactorizationSampler(item_id="movie_id", steps=200),
        sample_rows=5000,
    )
    augmenter = Augmenter(
        examples,
        policy,
        schema=schema.outputs["schema"],
        copies=copies,
        synthesizer=synthesizer.outputs["synthesizer"],
        num_synthetic=num_synthetic,
    )
    augmented = augmenter.outputs["augmented_examples"]
    transform = tfx.components.Transform(
        examples=augmented,
        schema=schema.outputs["schema"],
        materialize=False,
        **_function("preprocessing_fn", module),
    )

    def trainer(rows: channel.BaseChannel, config: dict[str, str], name: str):
        return tfx.components.Trainer(
            examples=rows,
            transform_graph=transform.outputs["transform_graph"],
            schema=schema.outputs["schema"],
            train_args=tfx.proto.TrainArgs(num_steps=train_steps),
            eval_args=tfx.proto.EvalArgs(num_steps=eval_steps),
            custom_config=config,
            **_function("run_fn", module),
        ).with_id(name)

    trained = trainer(augmented, {"policy": policy.to_json()}, "Trainer")
    baseline = trainer(examples, {}, "BaselineTrainer")
    evaluator = tfx.components.Evaluator(
        examples=examples, model=trained.outputs["model"], eval_config=eval_config()
    )
    judge = AugmentationValidator(
        examples,
        augmented,
        schema=schema.outputs["schema"],
        model=trained.outputs["model"],
        baseline_model=baseline.outputs["model"],
        # What Evaluator refuses is refused too, so Pusher looks at one blessing.
        model_blessing=evaluator.outputs["blessing"],
        label="user_rating",
        item_feature="movie_id",
        user_feature="user_id",
        thresholds={"max_quality_loss": 0.1},
    )
    pusher = tfx.components.Pusher(
        model=trained.outputs["model"],
        model_blessing=judge.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=serving)
        ),
    )
    components = [gen, statistics, schema, validator, synthesizer, augmenter, transform]
    components += [trained, baseline, evaluator, judge, pusher]
    connection = None
    if metadata is not None:
        connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(metadata)
    return tfx.dsl.Pipeline(
        pipeline_name="movielens",
        pipeline_root=root,
        components=components,
        enable_cache=True,
        metadata_connection_config=connection,
    )


def eval_config() -> config_pb2.EvalConfig:
    """The rating that `serving_default` predicts, against the one that was given."""
    everybody = config_pb2.SlicingSpec()
    # The mean rating alone has 1.13. A slice's own error is shown, and is no ground for a refusal.
    bound = config_pb2.PerSliceMetricThreshold(
        slicing_specs=[everybody],
        threshold=config_pb2.MetricThreshold(
            value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": 1.15})
        ),
    )
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(signature_name="serving_default", label_key="user_rating")
        ],
        slicing_specs=[everybody, config_pb2.SlicingSpec(feature_keys=["user_gender"])],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                    config_pb2.MetricConfig(
                        class_name="RootMeanSquaredError", per_slice_thresholds=[bound]
                    ),
                ]
            )
        ],
    )


def _function(name: str, module: str | None) -> dict[str, str]:
    """Where a component finds its function: in a file, or by its name in the image."""
    return {name: f"{IMAGE_MODULE}.{name}"} if module is None else {"module_file": module}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder with the raw files of MovieLens 100K")
    parser.add_argument("--root", default="tfx_run", help="folder to write to (default: tfx_run)")
    parser.add_argument("--policy", default=str(POLICY), help="a policy file")
    parser.add_argument("--rows", type=int, help="how many ratings (default: all)")
    parser.add_argument("--steps", type=int, default=3000, help="steps of training (default: 3000)")
    parser.add_argument(
        "--compile", metavar="FILE", help="write it for Kubeflow v2, and run nothing"
    )
    parser.add_argument("--image", help="with --compile: the image of the components")
    parser.add_argument("--data", help="with --compile: folder of the CSV files, such as gs://...")
    options = parser.parse_args(arguments)
    policy = aug.AugmentationPolicy.load(options.policy)
    if options.compile:
        compile_for_kubeflow(options, policy)
        return
    if options.data_dir is None:
        parser.error("--data_dir is needed: the folder with u.data, u.item and u.user.")
    root = pathlib.Path(options.root).resolve()
    write_csv(options.data_dir, root / "data", options.rows)
    tfx.orchestration.LocalDagRunner().run(
        make_pipeline(
            root=str(root / "artifacts"),
            data=str(root / "data"),
            serving=str(root / "serving"),
            policy=policy,
            train_steps=options.steps,
            metadata=str(root / "metadata.sqlite"),
        )
    )
    print(f"Artifacts: {root}/artifacts; pushed models, if blessed: {root}/serving.")


def compile_for_kubeflow(options: argparse.Namespace, policy: aug.AugmentationPolicy) -> None:
    """Writes what Kubeflow Pipelines v2 and Vertex take."""
    config = tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(default_image=options.image)
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=config, output_filename=options.compile
    )
    runner.run(
        make_pipeline(
            root=options.root,
            data=options.data or f"{options.root}/data",
            serving=f"{options.root}/serving",
            policy=policy,
            train_steps=options.steps,
            module=None,
        )
    )
    print(f"Written: {options.compile}")


if __name__ == "__main__":
    main()
