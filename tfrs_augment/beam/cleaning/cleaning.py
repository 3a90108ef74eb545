"""A list of rules as an object: JSON, checks, and which of them learn together."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from tfrs_augment.beam.cleaning.base import Rule, rule_from_config
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.json_file import JsonFile, check_document
from tfrs_augment.schema import Schema

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Cleaning(JsonFile):
    """Rules that are applied to rows before they are augmented, in this order.

    Each rule sees what the rules before it have left: a mean that is filled in is that of the rows without
    the outliers which an earlier rule has dropped. A rule that must know the whole data reads it in a pass
    of its own; see `next_pass` for those that share one.

    Args:
      rules: of this module.

    Raises:
      InvalidArgumentError: there is no rule, or one is none.
    """

    rules: tuple[Rule, ...]

    json_name: ClassVar[str] = "cleaning"

    def __post_init__(self):
        rules = (self.rules,) if isinstance(self.rules, Rule) else tuple(self.rules)
        for rule in rules:
            if not isinstance(rule, Rule):
                raise InvalidArgumentError(
                    f"`rules` must hold rules of aug.beam.cleaning. Received: {rule!r}."
                )
        if not rules:
            raise InvalidArgumentError(
                "`rules` must hold at least one rule. Received: none; leave `cleaning` out instead."
            )
        unique: dict[str, Rule] = {}
        for rule in rules:
            name, number = rule.id, 1
            while name in unique:
                number += 1
                name = f"{rule.id}#{number}"
            unique[name] = dataclasses.replace(rule, id=name)
        object.__setattr__(self, "rules", tuple(unique.values()))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the rules read."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.features))

    def check(self, schema: Schema) -> None:
        """Checks that the data have what the rules need.

        Raises:
          UnknownFeatureError: a feature is missing; the message lists close matches.
          DataError: a feature is of a kind that its rule does not take.
          InvalidArgumentError: a value of a rule is not of its feature's kind.
        """
        for rule in self.rules:
            rule.check(schema)

    def next_pass(self, known: Collection[int]) -> list[int]:
        """The numbers of the rules that learn in the next pass over the data, empty after the last.

        They are the first rule that has still to learn and those after it that see the same rows whether the
        rules between are applied or not, since these drop no row and change no feature that they read.

        Args:
          known: the numbers of the rules that have learnt.
        """
        waiting = [i for i, rule in enumerate(self.rules) if rule.learns and i not in known]
        if not waiting:
            return []
        together, changed = [waiting[0]], set()
        for i in range(waiting[0] + 1, len(self.rules)):
            before = self.rules[i - 1]
            changed.update(before.changes)
            if before.does == "drop":
                break
            rule = self.rules[i]
            independent = not rule.reads_bytes and not changed.intersection(rule.features)
            if i in waiting and independent:
                together.append(i)
        return together

    def get_config(self) -> dict[str, Any]:
        """The rules as JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "rules": [rule.get_config() for rule in self.rules],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Cleaning:
        """The inverse of `get_config`.

        Raises:
          InvalidArgumentError: a newer format, an unknown field, rule or argument, or a value that breaks
            its rule; the message says where.
        """
        known = ("format_version", "rules")
        entries = check_document(config, cls.json_name, known, "rules", FORMAT_VERSION)
        return cls([rule_from_config(entry, f"rules[{i}]") for i, entry in enumerate(entries)])
