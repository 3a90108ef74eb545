"""A report as scalars of TensorBoard."""

from __future__ import annotations

import math
import os
import pathlib
import re
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.report import Report

_SCALAR = 1
"""DATA_CLASS_SCALAR of summary.proto."""


def write_scalars(report: Report, folder: str | os.PathLike) -> None:
    """Writes a run of TensorBoard an arm, with the figures, and one an arm and seed, with the curves.

    Figures stand at step 0 as `recall@10/cold`, their differences to the baseline as
    `difference in recall@10/cold`; curves at the number of the epoch, from 1, as `loss` and
    `validation ndcg@50` (of ranking models `rmse` or `log_loss`). Numbers that are not known are left out.

    Args:
      report: what to write.
      folder: what TensorBoard is to be given.
    """
    folder = pathlib.Path(folder)
    names = _folders(report.arms)
    every = report.settings.get("protocol", {}).get("validate_every", 1)
    for (arm, seed), run in report.runs.items():
        if not run.loss:
            continue
        epochs = len(run.loss)
        at = [min(every * i, epochs) for i in range(1, len(run.validation) + 1)]
        with _writer(folder / names[arm] / f"seed {seed}"):
            for epoch, value in enumerate(run.loss, start=1):
                _write("loss", value, step=epoch)
            for epoch, value in zip(at, run.validation):
                _write(f"validation {report.validation_metric}", value, step=epoch)
    for arm, by_slice in report.figures.items():
        with _writer(folder / names[arm]):
            for name, by_metric in by_slice.items():
                for metric, figure in by_metric.items():
                    if math.isnan(figure.mean):
                        continue
                    _write(f"{metric}/{name}", figure.mean, step=0)
                    if arm != report.baseline:
                        title = f"difference in {metric}/{name}"
                        _write(title, figure.difference, step=0)


def _write(name: str, value: float, *, step: int) -> None:
    """Writes what `tf.summary.scalar` does, which needs TensorBoard to be installed here too."""
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
        data_class=_SCALAR,
    )
    tf.summary.write(name, tf.constant(value, tf.float32), step=step, metadata=metadata)


def _writer(folder: pathlib.Path):
    return tf.summary.create_file_writer(str(folder)).as_default()


def _folders(arms: tuple[str, ...]) -> dict[str, str]:
    """Names of arms as names of folders, distinct."""
    found: dict[str, str] = {}
    for arm in arms:
        plain = re.sub(r"[^A-Za-z0-9 ._-]+", "-", arm).strip(" .") or "arm"
        while plain in found.values():
            plain += "-"
        found[arm] = plain
    return found
