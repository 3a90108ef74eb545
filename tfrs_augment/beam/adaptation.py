"""Adaptation to drift: a policy is fitted anew, and changed, where rows are no longer those it was made for.

A pass of its own sketches the incoming rows, and they are compared with the sketches of the rows that the
policy was fitted on. Where they have not moved everything stays as it was.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from apache_beam.io.filesystems import FileSystems

from tfrs_augment.beam import files
from tfrs_augment.beam.guard import DriftGuard
from tfrs_augment.drift import ALPHA, Drift
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.fitting.sketches import CATEGORIES, KINDS, NUMBERS, sketch_drift
from tfrs_augment.ops import FittedState, IdDropout, Requirement
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

FEWEST = 100
"""A column with fewer incoming values never counts as drifted: nothing should be fitted on so few."""
DRIFT, STATISTICS, ADAPTED = "drift.json", "statistics.json", "adapted_policy.json"
"""The files of a guarded job beside the others."""
FORMAT_VERSION = 1

Fit = Callable[[AugmentationPolicy, Sequence[Requirement]], FittedState]

_STATISTICS = {"bytes": (CATEGORIES,), "float": (NUMBERS,), "int64": (NUMBERS, CATEGORIES)}
"""How features of a kind can be sketched, the usual way first."""
_NUMERIC = ("moments", "pool")
"""What ops ask of features that need be no categories."""
_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """What a guarded job found and did.

    Attributes:
      guard: what it was asked.
      given: the fingerprint of the policy that the job was given, without its seed and its statistics.
      given_statistics: the digest of the statistics that this policy came with; None where it had none.
      drifts: of each column, that of the largest `excess` first; none without a reference.
      drifted: the columns that have drifted.
      statistics: the sketches that the next job is to compare with.
      policy: the policy that the job runs with, where it is another than the one given.
    """

    guard: DriftGuard
    given: str
    given_statistics: str | None
    drifts: Sequence[Drift]
    drifted: Sequence[str]
    statistics: FittedState
    policy: AugmentationPolicy | None

    def document(self) -> dict[str, Any]:
        """As JSON values, for drift.json and the manifest."""
        return {
            "format_version": FORMAT_VERSION,
            "reference": self.guard.reference,
            "threshold": self.guard.threshold,
            "alpha": ALPHA,
            "columns": [
                {
                    "name": drift.name,
                    "kind": drift.kind,
                    "distance": round(drift.distance, _DIGITS),
                    "excess": round(drift.excess, _DIGITS),
                    "p_value": float(f"{drift.p_value:.{_DIGITS}g}"),
                }
                for drift in self.drifts
            ],
            "drifted": list(self.drifted),
            "adapted": bool(self.drifted),
            "given": self.given,
            "given_statistics": self.given_statistics,
        }

    def stage(self, staging: str) -> list[tuple[str, str]]:
        """Writes the files into a folder; (path, name) of each."""
        paths = {name: files.join(staging, name) for name in (DRIFT, STATISTICS)}
        files.write_json(paths[DRIFT], self.document())
        self.statistics.save(paths[STATISTICS])
        if self.policy is not None:
            paths[ADAPTED] = files.join(staging, ADAPTED)
            self.policy.save(paths[ADAPTED])
        return [(path, name) for name, path in paths.items()]


@dataclasses.dataclass(frozen=True)
class Start:
    """What a guarded job begins with.

    Attributes:
      guard: what it is asked.
      given: the policy that it was given.
      policy: the policy to run with where nothing has drifted.
      reference: the sketches to compare with; None at the first run.
    """

    guard: DriftGuard
    given: AugmentationPolicy
    policy: AugmentationPolicy
    reference: FittedState | None

    @classmethod
    def of(cls, guard: DriftGuard, policy: AugmentationPolicy) -> Start:
        """Reads the reference.

        Raises:
          InvalidArgumentError: the guard is none, or the policy.
          DataError: the reference cannot be read, or holds no statistics to compare with.
        """
        if not isinstance(guard, DriftGuard) or not isinstance(policy, AugmentationPolicy):
            raise InvalidArgumentError(
                "`drift` must be an aug.beam.DriftGuard, and goes with a `policy`. "
                f"Received: drift={guard!r}, policy={policy!r}."
            )
        path = guard.reference
        if path is None:
            return cls(guard, policy, policy, None)
        if path.endswith(".json"):
            return cls(guard, policy, policy, _load_statistics(path))
        if not _exists(path, STATISTICS):
            raise DataError(
                f"The reference '{path}' has no {STATISTICS} to compare with. A first run with a drift "
                "threshold and no reference writes it."
            )
        reference = _load_statistics(files.join(path, STATISTICS))
        given, statistics = None, None
        if _exists(path, DRIFT) or _exists(path, ADAPTED):
            given, statistics = _given(path)
        current, same = policy, given == _identity(policy)
        if same and _exists(path, ADAPTED):
            adapted = AugmentationPolicy.load(files.join(path, ADAPTED))
            current = dataclasses.replace(adapted, seed=policy.seed, fitted=policy.fitted)
        # Of what the reference was given too it may have fitted another since, as may one before it.
        replaced = same and policy.fitted is not None and statistics == _digest(policy)
        if (replaced or current.missing_requirements()) and _exists(path, files.FITTED):
            earlier = FittedState.load(files.join(path, files.FITTED)).arrays
            held = policy.fitted.arrays if policy.fitted is not None and not replaced else {}
            current = current.with_fitted(FittedState({**earlier, **held}))
        return cls(guard, policy, current, reference)

    def sketches(self, schema: Schema) -> list[Requirement]:
        """What is to be known of the incoming rows.

        Raises:
          UnknownFeatureError: a column is not there.
          DataError: the reference does not have it, or has it as one of another kind.
          InvalidArgumentError: there is no column to compare.
        """
        held = {r.feature: r for r in self.reference.arrays} if self.reference is not None else {}
        names = self.guard.columns or tuple(held) or _used(self.policy)
        if not names:
            raise InvalidArgumentError(
                "`columns` of `drift` must be named, for the policy changes no feature. Received: None."
            )
        categories = _categories(self.policy)
        wanted = []
        for name in names:
            kind = schema.require(name, tuple(_STATISTICS), "`columns` of `drift`")
            if held and name not in held:
                raise DataError(
                    f"The reference '{self.guard.reference}' has no statistics of '{name}'. It has those "
                    f"of {', '.join(sorted(held))}."
                )
            statistic = CATEGORIES if name in categories else _STATISTICS[kind][0]
            requirement = held.get(name, Requirement(statistic, name))
            if requirement.statistic not in _STATISTICS[kind]:
                raise DataError(
                    f"The feature '{name}' must be of one kind in `input` and in the reference "
                    f"'{self.guard.reference}'. Received: {kind}, and a {KINDS[requirement.statistic][0]}."
                )
            wanted.append(requirement)
        return wanted

    def adapted(
        self, schema: Schema, fit: Fit, rows: Sequence[str]
    ) -> tuple[AugmentationPolicy, Adaptation]:
        """Compares the incoming rows with the reference, and adapts the policy where they have drifted.

        Args:
          schema: of the incoming rows.
          fit: learns statistics of the incoming rows; they join those that the policy has.
          rows: the files of the incoming rows.

        Raises:
          DataError: there is no usable row to compare.
          InvalidArgumentError: `adapt` raises an error, or returns no policy.
        """
        policy = self.policy
        wanted, missing = self.sketches(schema), policy.missing_requirements()
        state = fit(policy.with_fitted(None), [*wanted, *missing])
        statistics = FittedState({r: state[r] for r in wanted})
        rows_of = {r.feature: _values(state[r]) for r in wanted}
        drifts = []
        if self.reference is not None:
            if not all(rows_of.values()):
                raise DataError("`input` holds no usable record to compare with the reference.")
            drifts = [sketch_drift(r, self.reference[r], state[r]) for r in wanted]
            drifts.sort(key=lambda drift: (-drift.excess, drift.name))
        drifted = [
            drift.name
            for drift in drifts
            if drift.excess > self.guard.threshold
            and drift.significant()
            and rows_of[drift.name] >= FEWEST
        ]
        fresh = {r: state[r] for r in missing}
        if drifted:
            policy = policy.with_fitted(FittedState(fresh) if fresh else None)
            if again := policy.missing_requirements():
                policy = policy.with_fitted(fit(policy, again))
            policy = self._call(policy, drifts, rows)
        else:
            if fresh:
                held = policy.fitted.arrays if policy.fitted is not None else {}
                policy = policy.with_fitted(FittedState({**held, **fresh}))
            # The rows that the policy was made for stay the measure, or a slow drift would never be seen.
            statistics = self.reference or statistics
        changed = policy.get_config() != self.given.get_config()
        return policy, Adaptation(
            self.guard,
            _identity(self.given),
            _digest(self.given),
            drifts,
            drifted,
            statistics,
            policy if changed else None,
        )

    def _call(
        self, policy: AugmentationPolicy, drifts: Sequence[Drift], rows: Sequence[str]
    ) -> AugmentationPolicy:
        if self.guard.adapt is None:
            return policy
        try:
            adapted = self.guard.adapt(policy, drifts, rows)
        except Exception as error:
            raise InvalidArgumentError(
                f"`adapt` of `drift` raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(adapted, AugmentationPolicy):
            raise InvalidArgumentError(
                f"`adapt` of `drift` must return an AugmentationPolicy. Received: {adapted!r}."
            )
        return dataclasses.replace(adapted, seed=policy.seed)


def _identity(policy: AugmentationPolicy) -> str:
    """The fingerprint of a policy without its seed and its statistics."""
    return dataclasses.replace(policy, seed=0, fitted=None).fingerprint


def _digest(policy: AugmentationPolicy) -> str | None:
    """That of a policy's statistics."""
    return policy.fitted.digest() if policy.fitted is not None else None


def _used(policy: AugmentationPolicy) -> tuple[str, ...]:
    """The features that a policy changes or has statistics of."""
    others = (name for requirement in policy.requirements() for name in requirement.features)
    return tuple(dict.fromkeys((*policy.features, *others)))


def _categories(policy: AugmentationPolicy) -> set[str]:
    """The features that a policy takes for categories, whatever they hold."""
    parts = [part for op in policy.ops for part in op.parts()]
    found = {part.feature for part in parts if isinstance(part, IdDropout)}
    for requirement in policy.requirements():
        if requirement.statistic not in _NUMERIC:
            found.update(requirement.features)
    return found


def _load_statistics(path: str) -> FittedState:
    """The sketches in a file, checked."""
    state = FittedState.load(path)
    sketches = {r: arrays for r, arrays in state.arrays.items() if r.statistic in KINDS}
    if not sketches:
        raise DataError(
            f"'{path}' holds no statistics to compare with. Pass the {STATISTICS} that a job with `drift` "
            "has written."
        )
    for requirement, arrays in sketches.items():
        wanted = {"codes", "counts", "missing", "present", KINDS[requirement.statistic][1].bound}
        whole = set(arrays) == wanted and arrays["codes"].shape == arrays["counts"].shape
        if not whole or not _values(arrays):
            raise DataError(f"'{path}' is damaged: the {requirement} is not whole.")
    return FittedState(sketches)


def _values(sketch: Mapping[str, np.ndarray]) -> int:
    """How many values a sketch has seen, the missing ones too."""
    return int(sketch["present"]) + int(sketch["missing"])


def _exists(folder: str, name: str) -> bool:
    return FileSystems.exists(files.join(folder, name))


def _given(folder: str) -> tuple[str, str | None]:
    """The fingerprint of the policy that a result's job was given, and the digest of its statistics."""
    path = files.join(folder, DRIFT)
    try:
        with files.open_input(files.InputFile(path, 0, "none")) as stream:
            document: Mapping[str, Any] = json.loads(stream.read())
        return document["given"], document.get("given_statistics")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' is no {DRIFT} of a job: {error}") from error
