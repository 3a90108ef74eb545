"""What of a policy may vary, and within which bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops.popularity import PopularityRate


@dataclasses.dataclass(frozen=True)
class Float:
    """A number between two bounds, drawn evenly.

    Args:
      low: the least, finite.
      high: the most, above `low`.
      log: whether its logarithm is drawn evenly, for strengths over several orders; `low` is then above 0.

    Raises:
      InvalidArgumentError: a bound breaks its rule.
    """

    low: float
    high: float
    _: dataclasses.KW_ONLY
    log: bool = False

    def __post_init__(self) -> None:
        numbers = all(_is_number(bound) for bound in (self.low, self.high))
        if not numbers or not self.low < self.high or not math.isfinite(self.high - self.low):
            raise InvalidArgumentError(
                "`low` and `high` of Float must be finite numbers with low < high. Received: "
                f"low={self.low!r}, high={self.high!r}."
            )
        if self.log and not self.low > 0:
            raise InvalidArgumentError(
                f"`low` of Float must be above 0 with log=True. Received: low={self.low!r}."
            )

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all where an op is tried out."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        """Whether it may take a value."""
        return _is_number(value) and self.low <= value <= self.high

    def get_config(self) -> dict[str, Any]:
        """The bounds as JSON values."""
        return {"float": [self.low, self.high], "log": self.log}


@dataclasses.dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included, drawn evenly.

    Args:
      low: the least.
      high: the most, at least `low`.

    Raises:
      InvalidArgumentError: a bound breaks its rule.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        whole = all(_is_number(n) and isinstance(n, int) for n in (self.low, self.high))
        if not whole or self.low > self.high:
            raise InvalidArgumentError(
                "`low` and `high` of Integer must be integers with low <= high. Received: "
                f"low={self.low!r}, high={self.high!r}."
            )

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all where an op is tried out."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        """Whether it may take a value."""
        return isinstance(value, int) and _is_number(value) and self.low <= value <= self.high

    def get_config(self) -> dict[str, Any]:
        """The bounds as JSON values."""
        return {"integer": [self.low, self.high]}


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values, drawn evenly.

    Args:
      values: at least two, each what the op's field takes: numbers, strings, pairs of a range, or a
        `PopularityRate`.

    Raises:
      InvalidArgumentError: they are fewer.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, str | Mapping) or not hasattr(self.values, "__iter__"):
            raise InvalidArgumentError(
                f"`values` of Choice must be a list. Received: values={self.values!r}."
            )
        values = tuple(tuple(v) if isinstance(v, list) else v for v in self.values)
        if len(values) < 2 or any(value in values[:i] for i, value in enumerate(values)):
            raise InvalidArgumentError(
                f"`values` of Choice must be at least two, all different. Received: {values!r}."
            )
        object.__setattr__(self, "values", values)

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all where an op is tried out: all."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether it may take a value."""
        return value in self.values

    def get_config(self) -> dict[str, Any]:
        """The values as JSON values."""
        return {"choice": [to_json(value) for value in self.values]}


@dataclasses.dataclass(frozen=True)
class Switch:
    """Whether an op is in the policy at all.

    Args:
      rate: the chance that a candidate has it, in (0, 1). Default: 0.5.

    Raises:
      InvalidArgumentError: `rate` is out of its range.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not _is_number(self.rate) or not 0 < self.rate < 1:
            raise InvalidArgumentError(
                f"`rate` of Switch must be in (0, 1). Received: rate={self.rate!r}."
            )

    def get_config(self) -> dict[str, Any]:
        """The chance as JSON values."""
        return {"switch": self.rate}


Parameter = Float | Integer | Choice | Switch


def to_json(value: Any) -> Any:
    """A value of a parameter as JSON values."""
    if isinstance(value, PopularityRate):
        return value.get_config()
    return [to_json(v) for v in value] if isinstance(value, tuple) else value


def shown(value: Any) -> str:
    """A value of a parameter as text."""
    if isinstance(value, bool) or not isinstance(value, float | tuple | PopularityRate):
        return str(value)
    if isinstance(value, PopularityRate):
        return f"min({value.maximum:g}, {value.scale:g}/count)"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    return f"{value:.3g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
