"""What a search found: the policy, or that none helps; and all that was tried."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.reporting.report import Report
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.search.objective import Gain
from tfrs_augment.search.schedule import Rung
from tfrs_augment.search.space import Candidate, Space
from tfrs_augment.search.study import importances

BASELINE = "baseline"
_FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Trial:
    """What became of a candidate.

    Attributes:
      candidate: the policy.
      values: by the epochs of a rung, the objective, the mean over the seeds.
      state: "winner"; "done", where it was trained to the end; "dropped", where others went on; "failed".
      error: why it failed, or "".
    """

    candidate: Candidate
    values: Mapping[int, float]
    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
      policy: the policy that was found, or None: keep training without augmentation.
      copies: that go with it, 1 where there is no policy.
      winner: the candidate that came out of the rungs, whatever the confirmation said of it.
      gain: its objective less the baseline's in the confirmation, on the users who had no say in the rungs,
        with a 95 % interval and a verdict.
      trials: every candidate.
      baseline: the objective without augmentation, by the epochs of a rung.
      rungs: as planned.
      confirmation: the comparison of winner and baseline, on development rows of other seeds; of all users.
      budget: epochs that were set aside for all trainings.
      spent: epochs that were trained; early stopping leaves some.
      space: that was searched.
      settings: of the search, as JSON values.
    """

    policy: AugmentationPolicy | None
    copies: int
    winner: Candidate
    gain: Gain
    trials: tuple[Trial, ...]
    baseline: Mapping[int, float]
    rungs: tuple[Rung, ...]
    confirmation: Report
    budget: int
    spent: int
    space: Space
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        gain = self.gain
        objective = self.settings["objective_text"]
        said = (
            f"{self.winner.name} ({self.winner.describe()}) against no augmentation, {objective} on "
            f"development rows of other users, {len(self.confirmation.seeds)} other seeds: {gain.mean:+.4f} "
            f"[{gain.low:+.4f}, {gain.high:+.4f}], {gain.verdict}."
        )
        if self.policy is not None:
            return f"Found: {said}"
        return f"Keep training without augmentation. The best of {len(self.trials)}: {said}"

    def importance(self) -> dict[str, float]:
        """Returns how much each parameter sets the better third of the first rung apart; shares of 1.

        With a dozen candidates that is a hint and no more.

        Raises:
          InvalidArgumentError: fewer than four candidates were trained.
        """
        first = self.rungs[0].epochs
        tried = [trial for trial in self.trials if first in trial.values]
        return importances(
            self.space, [t.candidate for t in tried], [t.values[first] for t in tried]
        )

    def table(self) -> str:
        """Returns a Markdown table, aligned for a terminal: a line a candidate, the best first."""
        epochs = [rung.epochs for rung in self.rungs]
        lines = [["", *(f"{n} epochs" for n in epochs), "", "policy"]]

        def cells(values: Mapping[int, float]) -> list[str]:
            return [f"{values[n]:.4f}" if n in values else "" for n in epochs]

        lines.append([BASELINE, *cells(self.baseline), "", "no augmentation"])
        for trial in sorted(self.trials, key=_furthest):
            one = trial.candidate
            lines.append([one.name, *cells(trial.values), trial.state, one.describe()])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        lines.insert(1, ["-" * max(width, 3) for width in widths])
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the search as JSON values.

        Within a `format_version` keys may be added; none is taken away or changes its meaning.
        """
        return {
            "format_version": _FORMAT_VERSION,
            "found": self.policy is not None,
            "winner": self.winner.number,
            "gain": {k: None if v != v else v for k, v in dataclasses.asdict(self.gain).items()},
            "budget": self.budget,
            "spent": self.spent,
            "rungs": [dataclasses.asdict(rung) for rung in self.rungs],
            "baseline": {str(epochs): found for epochs, found in self.baseline.items()},
            "trials": [
                {
                    **trial.candidate.get_config(),
                    "state": trial.state,
                    "objective": {str(epochs): v for epochs, v in trial.values.items()},
                    "error": trial.error,
                }
                for trial in self.trials
            ],
            "settings": dict(self.settings),
        }

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes `to_dict()` to a file."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=1)
            file.write("\n")

    def save(self, path: str | os.PathLike) -> None:
        """Writes the policy that was found, as `AugmentationPolicy.save` does.

        Raises:
          InvalidArgumentError: none was found. `winner.policy.save(path)` writes the best that was tried.
        """
        if self.policy is None:
            raise InvalidArgumentError(
                f"The search found no policy to save: {self} `winner.policy.save(path)` writes it "
                "all the same."
            )
        self.policy.save(os.fspath(path))

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: the objective of each candidate rung by rung, and the winner's confirmation."""
        from tfrs_augment.search.plots import plot_search

        plot_search(self, path)


def _furthest(trial: Trial) -> tuple[int, float]:
    values = list(trial.values.values())
    return -len(values), -values[-1] if values else 0.0
