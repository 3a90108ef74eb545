"""Pipelines of real TFX for the tests, and what ML Metadata holds of them."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Sequence

import tensorflow as tf

from tests.beam import rows


def write_source(
    folder: pathlib.Path, *, span: int = 3, version: int = 2, train: int = 600, evaluated: int = 200
) -> pathlib.Path:
    """Gzipped TFRecords in folders of a span and a version, as ImportExampleGen reads them."""
    place = folder / f"span-{span}" / f"version-{version}"
    serialized = rows.records(train + evaluated)
    rows.write(place / "train" / "part-0.gz", serialized[: train // 2], "GZIP")
    rows.write(place / "train" / "part-1.gz", serialized[train // 2 : train], "GZIP")
    rows.write(place / "eval" / "part-0.gz", serialized[train:], "GZIP")
    return folder


def example_gen(folder: pathlib.Path, payload: str | None = None):
    """ImportExampleGen of `write_source`."""
    from tfx.components import ImportExampleGen
    from tfx.proto import example_gen_pb2

    splits = [
        example_gen_pb2.Input.Split(
            name=name, pattern="span-{SPAN}/version-{VERSION}/" + name + "/*"
        )
        for name in ("train", "eval")
    ]
    options = {}
    if payload is not None:
        options["payload_format"] = example_gen_pb2.PayloadFormat.Value(payload)
    return ImportExampleGen(
        str(folder), input_config=example_gen_pb2.Input(splits=splits), **options
    )


def run(folder: pathlib.Path, components: Sequence, *, cache: bool = False, beam_args=()) -> Store:
    """Runs a pipeline in this process by LocalDagRunner, and opens its metadata."""
    from tfx.orchestration import metadata, pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner

    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name="test",
            pipeline_root=str(folder / "root"),
            components=list(components),
            enable_cache=cache,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(folder / "metadata.sqlite")
            ),
            beam_pipeline_args=list(beam_args),
        )
    )
    return Store(folder)


class Store:
    """The metadata of a pipeline's runs, read back."""

    def __init__(self, folder: pathlib.Path, pipeline: str = "test"):
        import ml_metadata
        from tfx.orchestration import metadata

        config = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))
        self._prefix = f"{pipeline}."
        self.store = ml_metadata.MetadataStore(config)

    def states(self, component: str) -> list[str]:
        """The states of all executions of a component, oldest first."""
        from ml_metadata.proto import metadata_store_pb2 as pb

        found = [e for e in self.store.get_executions() if self._component(e) == component]
        found.sort(key=lambda e: e.id)
        return [pb.Execution.State.Name(e.last_known_state) for e in found]

    def output(self, component: str, key: str):
        """The newest artifact that a component's finished executions gave under a key."""
        from ml_metadata.proto import metadata_store_pb2 as pb

        done = {
            e.id
            for e in self.store.get_executions()
            if self._component(e) == component and e.last_known_state == pb.Execution.COMPLETE
        }
        ids = [
            event.artifact_id
            for event in self.store.get_events_by_execution_ids(sorted(done))
            if event.type == pb.Event.OUTPUT and any(step.key == key for step in event.path.steps)
        ]
        return self.store.get_artifacts_by_id([max(ids)])[0]

    def _component(self, execution) -> str:
        contexts = self.store.get_contexts_by_execution(execution.id)
        (node,) = (c.name for c in contexts if c.type == "node")
        return node.removeprefix(self._prefix)


def read(artifact, split: str) -> list[bytes]:
    """All records of a split of an Examples artifact of ML Metadata, by TensorFlow's own reader."""
    files = sorted((pathlib.Path(artifact.uri) / f"Split-{split}").iterdir())
    dataset = tf.data.TFRecordDataset([str(f) for f in files], compression_type="GZIP")
    return list(dataset.as_numpy_iterator())


def counted(artifact, split: str) -> collections.Counter:
    return collections.Counter(read(artifact, split))
