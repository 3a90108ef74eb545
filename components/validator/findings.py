"""What the checks find: a number beside its bound."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.reporting.pages import frame
from tfrs_augment.evaluation.reporting.pages.markup import tag


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Up to where each number may go; None leaves a check out.

    Args:
      max_drift: by how much the distribution of a feature may differ from that of the source rows, in
        [0, 1]: the largest difference of the share of a value for text (L-infinity), and of the share of
        values below a number for numbers (Kolmogorov-Smirnov).
      max_drift_of: bounds of single features in place of `max_drift`.
      unknown_values: text that any feature may have beside the values of its domain: what ops write in place
        of a value.
      max_label_changes: share of the augmented rows whose label is none of those of their source row.
      max_closer_to_train: share of synthesized rows nearer to a training row than to a held-out one; 0.5 is
        ideal.
      max_copies: share of synthesized rows that equal a training row, less that of held-out rows.
      max_membership_auc: how well nearness to synthesized rows tells training rows; 0.5 is ideal.
      max_quality_loss: by how much the model may be worse than the baseline, as a share of the baseline's
        metric. A loss whose 95 % interval holds 0 is not refused: it may be chance.
    """

    max_drift: float | None = 0.2
    max_drift_of: Mapping[str, float] = dataclasses.field(default_factory=dict)
    unknown_values: Sequence[str] = ("[UNK]",)
    max_label_changes: float | None = 0.0
    max_closer_to_train: float | None = 0.6
    max_copies: float | None = 0.05
    max_membership_auc: float | None = 0.6
    max_quality_loss: float | None = 0.02

    def __post_init__(self):
        bounds = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        bounds.update({f"max_drift_of['{n}']": v for n, v in self.max_drift_of.items()})
        for name, value in bounds.items():
            if name in ("max_drift_of", "unknown_values") or value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise InvalidArgumentError(
                    f"`{name}` must be in [0, 1], or None. Received: {name}={value!r} (thresholds)."
                )
        if isinstance(self.unknown_values, str):
            raise InvalidArgumentError(
                "`unknown_values` must be a list of texts. "
                f"Received: unknown_values={self.unknown_values!r} (thresholds)."
            )

    @classmethod
    def of(cls, thresholds: Thresholds | Mapping[str, Any] | str | None) -> Thresholds:
        """Thresholds from an object, the arguments that differ from the defaults, or their JSON text.

        Raises:
          InvalidArgumentError: an argument is not known, or breaks its rule.
        """
        if isinstance(thresholds, Thresholds):
            return thresholds
        given = json.loads(thresholds) if isinstance(thresholds, str) else dict(thresholds or {})
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise InvalidArgumentError(
                    f"`thresholds` names '{name}'. {close_matches(name, known)}"
                )
        return cls(**given)

    def to_json(self) -> str:
        """The thresholds as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    def drift_of(self, feature: str) -> float | None:
        """The bound of the drift of a feature."""
        return self.max_drift_of.get(feature, self.max_drift)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One number that was judged, or a check that was not made.

    Attributes:
      check: "schema", "drift", "labels", "privacy", "quality" or "model blessing".
      subject: the feature or the measure, with the split where it matters.
      value: the number; NaN where there is none.
      bound: up to where it may go; NaN where there is none.
      passed: the judgement; None where the check was not made.
      note: what it is, or why it was not made.
    """

    check: str
    subject: str
    value: float
    bound: float
    passed: bool | None
    note: str

    @classmethod
    def judged(cls, check: str, subject: str, value: float, bound: float, note: str) -> Finding:
        """A number that must be at most its bound; one that is NaN does not pass."""
        return cls(check, subject, float(value), float(bound), bool(value <= bound), note)

    @classmethod
    def left_out(cls, check: str, why: str) -> Finding:
        """A check that was not made."""
        return cls(check, "", math.nan, math.nan, None, why)

    def __str__(self) -> str:
        """Such as "drift, 'age' (train): 0.41, at most 0.2: largest difference of ..."."""
        if self.passed is None:
            return f"{self.check}: not checked, {self.note}"
        number = "" if math.isnan(self.value) else f": {self.value:.4g}, at most {self.bound:g}"
        return f"{self.check}, {self.subject}{number}: {self.note}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; NaN becomes None."""
        values = dataclasses.asdict(self)
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in values.items()
        }


def page(findings: Sequence[Finding], title: str) -> str:
    """The findings as an HTML page without files beside it; refusals come first."""
    order = sorted(findings, key=lambda f: (f.passed is not False, f.passed is None))
    words = {True: "passed", False: "REFUSED", None: "not checked"}
    classes = {True: "helps", False: "hurts", None: "unclear"}
    rows = []
    for finding in order:
        numbers = [
            "" if math.isnan(number) else f"{number:.4g}"
            for number in (finding.value, finding.bound)
        ]
        rows.append(
            tag(
                "tr",
                tag("td", words[finding.passed], class_=f"words {classes[finding.passed]}"),
                *(tag("td", text, class_="words") for text in (finding.check, finding.subject)),
                *(tag("td", number) for number in numbers),
                tag("td", finding.note, class_="wrap"),
            )
        )
    heads = (("judgement", "words"), ("check", "words"), ("of", "words"), ("number", None))
    heads += (("bound", None), ("note", "wrap"))
    table = tag(
        "table",
        tag("caption", "Each number beside the most that it may be"),
        tag("thead", tag("tr", [tag("th", h, scope="col", class_=c) for h, c in heads])),
        tag("tbody", rows),
    )
    return frame.page(
        title, [frame.Section("findings", "Findings", frame.scrolled(table, "Findings"))]
    )
