"""The end of a job: what its workers staged becomes the result of a folder, the manifest last."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam

from tfrs_augment.beam import files
from tfrs_augment.beam.blocks import PROVENANCE
from tfrs_augment.beam.files import FITTED
from tfrs_augment.beam.pipelines import check_complete
from tfrs_augment.beam.synthetic import SYNTHESIZER
from tfrs_augment.beam.units import COUNTS, Job, add_counts
from tfrs_augment.errors import DataError

FORMAT_VERSION = 1
ITEM_COUNTS = "item_counts.json"


@dataclasses.dataclass(frozen=True)
class JobReport:
    """What a finished job did.

    Attributes:
      output: the folder of the result.
      manifest: the content of its manifest.json.
    """

    output: str
    manifest: Mapping[str, Any]

    @property
    def counts(self) -> Mapping[str, int]:
        """Records: "read" = "rejected" + intact ones; written are "kept", "made" and "synthesized" ones.

        "kept" are originals, "made" augmented copies, "synthesized" rows of the synthesizer.
        """
        return self.manifest["counts"]

    def __str__(self) -> str:
        c = self.counts
        made = f"{c['made']:,} made"
        synthesis = self.manifest["synthesis"]
        if synthesis:
            made += f", {c['synthesized']:,} synthesized"
        text = (
            f"{c['read']:,} records read, {c['kept']:,} kept, {made}, "
            f"{c['rejected']:,} rejected; {len(self.manifest['shards'])} shards in {self.output}"
        )
        if synthesis and synthesis["lacking"]:
            text += f"\nsynthesized rows do not have: {', '.join(synthesis['lacking'])}"
        if drift := self.manifest["drift"]:
            text += f"\n{_drift_line(drift)}"
        if c["rejected"]:
            text += f"\nrejected records and their reasons: {', '.join(self.manifest['rejected_files'])}"
        return text


class Publish(beam.DoFn):
    """(_, all reports) -> the result: moves what the workers staged, and writes the manifest last."""

    def __init__(self, job: Job):
        self._job = job

    def process(self, keyed: tuple[int, Iterable[dict]]):
        job = self._job
        reports = sorted(keyed[1], key=lambda report: report["shard"])
        check_complete(len({report["shard"] for report in reports}), job.units)
        counts = {name: sum(report["counts"][name] for report in reports) for name in COUNTS}
        rejected = [report for report in reports if report["rejected"]]
        if counts["rejected"] and counts["rejected"] == counts["read"]:
            raise DataError(
                f"`input` holds no usable record: {_first_line(rejected[0]['rejected'])}"
            )
        suffix = ".tfrecord.gz" if job.compression == "gzip" else ".tfrecord"
        shards, moves = [], []
        for report in reports:
            name = f"augmented-{report['shard']:05d}-of-{len(reports):05d}{suffix}"
            moves.append((report["path"], name))
            shards.append({"name": name, "bytes": report["bytes"], **report["counts"]})
        rejected_names = [
            f"rejected-{r['shard']:05d}-of-{len(reports):05d}.jsonl" for r in rejected
        ]
        moves += [(r["rejected"], name) for r, name in zip(rejected, rejected_names, strict=True)]
        if job.item_features:
            items: dict[str, dict] = {name: {} for name in job.item_features}
            for report in reports:
                add_counts(items, report["items"])
            staged = files.join(job.staging, ITEM_COUNTS)
            files.write_json(
                staged, {name: _sorted_counts(counts) for name, counts in items.items()}
            )
            moves.append((staged, ITEM_COUNTS))
        if job.policy.fitted is not None:
            staged = files.join(job.staging, FITTED)
            job.policy.fitted.save(staged)
            moves.append((staged, FITTED))
        if job.adaptation is not None:
            moves += job.adaptation.stage(job.staging)
        manifest = {
            "format_version": FORMAT_VERSION,
            "policy": job.policy.get_config(),
            "fingerprint": job.policy.fingerprint,
            "seed": job.policy.seed,
            "copies": job.copies,
            "synthesis": job.synthesis.get_config() if job.synthesis else None,
            "include_originals": job.include_originals,
            "compression": job.compression,
            "payload": job.payload,
            "balance": dataclasses.asdict(job.balance) if job.balance else None,
            "cleaning": job.cleaning.report(r["cleaning"] for r in reports) if job.cleaning else {},
            "cleaning_rules": job.cleaning.cleaning.get_config() if job.cleaning else None,
            "drift": job.adaptation.document() if job.adaptation else None,
            "provenance": [*PROVENANCE, *([SYNTHESIZER] if job.synthesis else [])]
            if job.provenance
            else [],
            "counts": counts,
            "shards": shards,
            "rejected_files": rejected_names,
            "files": [name for _, name in moves],
            "seconds": round(time.time() - job.started, 3),
        }
        files.publish(job.output, job.staging, moves, manifest)


def _drift_line(drift: Mapping[str, Any]) -> str:
    if not drift["columns"]:
        return "no reference for drift: statistics written"
    largest = drift["columns"][0]
    text = f"drift at most {largest['excess']:.3f} ({largest['name']})"
    if not drift["adapted"]:
        return f"{text}: policy as before"
    return f"{text}: policy adapted to {', '.join(drift['drifted'])}"


def _first_line(path: str) -> str:
    with files.open_input(files.InputFile(path, 0, "none")) as stream:
        return stream.readline().decode().strip()


def _sorted_counts(items: Mapping) -> dict[str, int]:
    """Counts by falling count, then by value; bytes ids as text."""
    ordered = sorted(items.items(), key=lambda item: (-item[1], item[0]))
    return {_as_text(value): count for value, count in ordered}


def _as_text(value: bytes | int) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
