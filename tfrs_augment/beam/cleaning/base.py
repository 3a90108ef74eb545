"""What every cleaning rule is: a frozen dataclass that is its own configuration."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tfrs_augment.beam.cleaning.rows import Rows
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.json_file import part_from_config, register
from tfrs_augment.schema import Schema

_REGISTRY: dict[str, type[Rule]] = {}

Learned = Mapping[str, Any] | None
"""What a rule learnt from the whole data, as JSON values."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule of cleaning.

    A rule that must know the whole data learns in a pass of its own. It says how by `learns`:

    - "summary": `summarize` adds rows to what `summary` made; summaries merge; `learn` reads the result.
    - "messages": `messages` gives an array of what is to be compared over the whole data, with the
      fields of `MESSAGE` first. The messages of equal `hash_0` meet in one `judge`, which says for which of
      them the rule holds. Each unit of the input gets the tokens of its own ones back.

    Attributes:
      id: the rule's name in the manifest and in the reasons of rejected records. By default the class and
        its features; `Cleaning` makes it unique.
    """

    id: str = dataclasses.field(default="", kw_only=True)

    accepts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """For the arguments that name features: the kinds that these may have."""
    learns: ClassVar[str | None] = None
    reads_bytes: ClassVar[bool] = False
    """Whether the rule looks at the whole record, so that it must see all earlier changes."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs):
        super().__init_subclass__(**kwargs)
        if not abstract:
            register(_REGISTRY, cls, "a rule")

    def __post_init__(self):
        for argument in self.accepts:
            for name in self._named(argument):
                if not isinstance(name, str) or not name:
                    raise self.invalid(argument, "must name features", getattr(self, argument))
        if not isinstance(self.id, str):
            raise self.invalid("id", "must be a string", self.id)
        if not self.id:
            snake = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
            object.__setattr__(self, "id", ":".join([snake, *filter(None, [self._subject()])]))

    def _subject(self) -> str:
        """The features in the id."""
        return ",".join(self.features)

    def _named(self, argument: str) -> tuple[Any, ...]:
        value = getattr(self, argument)
        if value is None:
            return ()
        return tuple(value) if isinstance(value, tuple | list) else (value,)

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the rule reads."""
        names = [name for argument in self.accepts for name in self._named(argument)]
        return tuple(dict.fromkeys(names))

    @property
    def does(self) -> str:
        """What happens to the rows that it finds: "drop", "fill" or "clip"."""
        return getattr(self, "action", "drop")

    @property
    def changes(self) -> tuple[str, ...]:
        """The features that the rule gives new values."""
        return () if self.does == "drop" else (self.feature,)

    def check(self, schema: Schema) -> None:
        """Checks that the data have the rule's features, of kinds that it takes; see `Schema.require`."""
        for argument, kinds in self.accepts.items():
            for name in self._named(argument):
                schema.require(name, kinds, str(self))

    def summary(self) -> Any:
        """A new summary."""
        raise TypeError(f"{type(self).__name__} must define summary().")

    def summarize(self, summary: Any, rows: Rows) -> None:
        """Adds rows to a summary."""
        raise TypeError(f"{type(self).__name__} must define summarize(summary, rows).")

    def learn(self, summary: Any) -> Learned:
        """What the summary of the whole data tells, as JSON values."""
        raise TypeError(f"{type(self).__name__} must define learn(summary).")

    def messages(self, rows: Rows) -> np.ndarray:
        """What of the rows is compared over the whole data: a structured array."""
        raise TypeError(f"{type(self).__name__} must define messages(rows).")

    def judge(self, messages: np.ndarray, units: np.ndarray) -> np.ndarray:
        """For which messages the rule holds: bool `[m]`.

        Args:
          messages: from all units, in any order.
          units: int64 `[m]`, where each message is from.
        """
        raise TypeError(f"{type(self).__name__} must define judge(messages, units).")

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        """Drops or changes rows; returns how many.

        Args:
          rows: what the rules before have left of a block.
          learned: what `learn` returned, for a rule that learns by a summary.
          tokens: uint64, sorted; those of this unit's messages for which the rule holds.
        """
        raise TypeError(f"{type(self).__name__} must define apply(rows, learned, tokens).")

    def shown(self, learned: Learned) -> dict[str, Any]:
        """What of the learnt values is told in the manifest."""
        return {}

    def __str__(self) -> str:
        shown = ", ".join(repr(name) for name in self.features[:3])
        return f"{type(self).__name__} {shown}".strip()

    def invalid(self, argument: str, rule: str, value: Any) -> InvalidArgumentError:
        """The error for an argument that breaks its rule."""
        return InvalidArgumentError(
            f"`{argument}` {rule}. Received: {argument}={value!r} ({self})."
        )

    def reason(self, text: str) -> str:
        """The reason in the rejected file."""
        return f"cleaning rule '{self.id}': {text}"

    def get_config(self) -> dict[str, Any]:
        """The rule as JSON values: its class under "rule" and every argument."""
        config: dict[str, Any] = {"rule": type(self).__name__}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            config[field.name] = list(value) if isinstance(value, tuple) else value
        return config


@dataclasses.dataclass(frozen=True)
class FeatureRule(Rule, abstract=True):
    """A rule about one feature, with a choice of what to do."""

    feature: str

    actions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.feature, str):
            raise self.invalid("feature", "must name a feature", self.feature)
        if self.actions and self.action not in self.actions:
            allowed = " or ".join(f'"{action}"' for action in self.actions)
            raise self.invalid("action", f"must be {allowed}", self.action)


MESSAGE = (("hash_0", np.uint64), ("hash_1", np.uint64), ("token", np.uint64))


def new_messages(hashes: np.ndarray, tokens: np.ndarray, **more: np.ndarray) -> np.ndarray:
    """A structured array of messages; `more` are the fields after those of `MESSAGE`."""
    fields = [*MESSAGE, *((name, values.dtype) for name, values in more.items())]
    messages = np.empty(len(hashes), fields)
    messages["hash_0"], messages["hash_1"] = hashes[:, 0], hashes[:, 1]
    messages["token"] = tokens.astype(np.uint64)
    for name, values in more.items():
        messages[name] = values
    return messages


def sort_messages(
    messages: np.ndarray, units: np.ndarray, *fields: str
) -> tuple[np.ndarray, np.ndarray]:
    """Puts messages in an order that their content gives: by hash, then fields, then place.

    Returns:
      The order, int64 `[m]`, and whether a new hash begins at each place of it, bool `[m]`.
    """
    # Of lexsort's keys the last counts first.
    keys = [messages["token"], units, *(messages[name] for name in reversed(fields))]
    order = np.lexsort([*keys, messages["hash_1"], messages["hash_0"]])
    ordered = messages[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (ordered["hash_0"][1:] != ordered["hash_0"][:-1]) | (
        ordered["hash_1"][1:] != ordered["hash_1"][:-1]
    )
    return order, starts


def among(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Which values are among sorted tokens: bool `[n]`."""
    if not len(tokens):
        return np.zeros(len(values), bool)
    values = values.astype(np.uint64)
    places = np.minimum(np.searchsorted(tokens, values), len(tokens) - 1)
    return tokens[places] == values


def is_number(value: Any) -> bool:
    """Whether a value is a finite number and no bool."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a string, or an integer and no bool."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_utf8(value: str) -> bool:
    # Half of a surrogate pair stands for a byte that is no UTF-8; no JSON file could hold it.
    return not any("\ud800" <= character <= "\udfff" for character in value)


def check_value(rule: Rule, argument: str, value: Any, kind: str) -> None:
    """Checks that a given value is of the feature's kind."""
    fits = {
        "bytes": isinstance(value, str) and _is_utf8(value),
        "int64": is_whole(value) and not isinstance(value, str) and -(1 << 63) <= value < 1 << 63,
        "float": is_number(value),
    }
    if not fits[kind]:
        raise rule.invalid(
            argument, f"must fit '{rule.feature}', of kind {kind} (text in UTF-8)", value
        )


def rule_from_config(config: Mapping[str, Any], where: str) -> Rule:
    """Builds a rule from JSON values.

    Args:
      config: what `Rule.get_config` returns; arguments that have a default may be left out.
      where: the place in the file, for messages, such as "rules[2]".

    Raises:
      InvalidArgumentError: an unknown rule, an unknown or missing argument, or a value that breaks its rule.
    """
    return part_from_config(config, where, tag="rule", registry=_REGISTRY, convert=_from_json)


def _from_json(value: Any, where: str) -> Any:
    return tuple(value) if isinstance(value, list) else value
