"""What carries a recommendation: a table, JSON values and a plot."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from tfrs_augment.errors import InvalidArgumentError

_FORMAT_VERSION = 1
_SHOWN_CHARACTERS = 32


@dataclasses.dataclass(frozen=True)
class FeatureShare:
    """What one feature, item of a history or word contributes to a score.

    Attributes:
      name: such as "age", "history[2]" or "title: summer".
      value: what the row has there.
      side: "query", "item" or "both".
      contribution: its Shapley value, in the unit of the score.
      error: the standard error of the contribution from the sampled orders; 0 where it is exact.
      lost: the score less the score with this alone masked.
      rank_without: the item's rank with this alone masked; None without a catalogue.
    """

    name: str
    value: Any
    side: str
    contribution: float
    error: float
    lost: float
    rank_without: float | None

    @property
    def shown_value(self) -> str:
        """The value as text, shortened."""
        text = " ".join(str(self.value).split())
        return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


@dataclasses.dataclass(frozen=True)
class RecommendationExplanation:
    """Which features carry the score of an item for a query. `str()` of it is made to be read.

    Attributes:
      score: of the item, as the model scores it.
      masked_score: with everything masked; contributions sum to `score - masked_score`.
      rank: of the item in the catalogue, 1 the best, ties counted half; None without a catalogue.
      masked_rank: with everything masked.
      candidates: items in the catalogue; None without one.
      shares: of the features, in the order given.
      method: "exact", or "sampled" where orders were sampled.
      warnings: what speaks against reading it, where that is known.
    """

    score: float
    masked_score: float
    rank: float | None
    masked_rank: float | None
    candidates: int | None
    shares: tuple[FeatureShare, ...]
    method: str
    warnings: tuple[str, ...] = ()

    def share(self, name: str) -> FeatureShare:
        """Returns the share of a feature by its name.

        Raises:
          InvalidArgumentError: there is none of that name, or several.
        """
        found = [share for share in self.shares if share.name == name]
        if len(found) != 1:
            raise InvalidArgumentError(
                f"`name` must be of one of the shares. Received: {name!r}, {len(found)} of "
                f"{[share.name for share in self.shares]}."
            )
        return found[0]

    def ranked(self) -> list[FeatureShare]:
        """Returns the shares, those that move the score the most first."""
        return sorted(self.shares, key=lambda share: -abs(share.contribution))

    def table(self) -> str:
        """Returns a Markdown table, aligned for a terminal: a line a feature, the heaviest first.

        A line holds the Shapley value, what the score loses where this alone is masked, and the rank then.
        """
        sampled = self.method != "exact"
        head = ["feature", "value", "side", "contribution", *(["±"] if sampled else []), "lost"]
        lines = [[*head, "rank without"]]
        silent = [share.name for share in self.shares if not (share.contribution or share.lost)]
        for share in self.ranked():
            if share.name in silent:
                continue
            lines.append(
                [
                    share.name,
                    share.shown_value.replace("|", "/"),
                    share.side,
                    f"{share.contribution:+.4f}",
                    *([f"{share.error:.4f}"] if sampled else []),
                    f"{share.lost:+.4f}",
                    _rank(share.rank_without),
                ]
            )
        total = self.score - self.masked_score
        blank = [""] * (len(lines[0]) - 4)
        lines.append(["all of them", "", "", f"{total:+.4f}", *blank[:-1], _rank(self.masked_rank)])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        lines.insert(1, ["-" * width for width in widths])
        text = "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines
        )
        return f"{text}\n\nWithout any effect: {', '.join(silent)}." if silent else text

    def __str__(self) -> str:
        rank = "" if self.rank is None else f", rank {_rank(self.rank)} of {self.candidates:,}"
        first = f"score {self.score:.4f}{rank}; {self.masked_score:.4f} with everything masked"
        return "\n".join([first, *(f"! {warning}" for warning in self.warnings), "", self.table()])

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: the contribution of each feature, the heaviest first."""
        from tfrs_augment.evaluation.explaining.explain_plots import plot_explanation

        plot_explanation(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Returns the explanation as JSON values.

        Within a `format_version` keys may be added; none is taken away or changes its meaning.
        """
        found = {"format_version": _FORMAT_VERSION, **dataclasses.asdict(self)}
        found["warnings"] = list(self.warnings)
        found["shares"] = list(found["shares"])
        return found


def _rank(rank: float | None) -> str:
    return "" if rank is None else f"{rank:,.0f}" if rank == int(rank) else f"{rank:,.1f}"
