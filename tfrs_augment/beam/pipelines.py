"""Running a pipeline: the local engine by default, and errors as they were raised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from tfrs_augment.beam.errors import original_error
from tfrs_augment.errors import OutputError


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's options, with the local engine where no runner is named."""
    options = PipelineOptions(list(beam_args))
    if options.view_as(StandardOptions).runner is None:
        # DirectRunner would first look for a binary to download; this is the local engine by its name.
        options.view_as(StandardOptions).runner = "FnApiRunner"
    return options


def check_complete(done: int, planned: int) -> None:
    """Checks that a runner has done each unit of work exactly once, for some lose elements in silence.

    Raises:
      OutputError: it has not.
    """
    if done != planned:
        raise OutputError(
            f"the runner did {done} of {planned} units of work, so the result would be incomplete and is not "
            "written. Use another runner, or another --direct_running_mode than multi_threading."
        )


def run_pipeline(options: PipelineOptions, build: Callable[[beam.Pipeline], object]) -> None:
    """Runs a pipeline to its end; an error of ours that was raised in a worker is raised as itself."""
    try:
        with beam.Pipeline(options=options) as pipeline:
            build(pipeline)
    except Exception as error:
        if str(error).startswith("KeyboardInterrupt [while running"):
            # In the local engine Ctrl-C may meet the code of a worker, which hands on all errors as its own.
            raise KeyboardInterrupt from error
        original = original_error(error)
        if original is None:
            raise
        raise original from error
