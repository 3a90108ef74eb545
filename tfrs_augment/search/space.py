"""The policies among which a search looks: a base policy, and what of it may vary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.ops.base import Op
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.search.parameters import Choice, Float, Integer, Parameter, Switch, shown, to_json

COPIES = "copies"
"""The parameter that is no op's: how often each training row stands in the list of an epoch."""
_FIXED = ("id", "fitted")
"""Fields of ops that a search leaves alone."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One policy of a space.

    Attributes:
      number: its place among the candidates of a search.
      values: what was drawn, by parameter; of an op that is left out only that.
      policy: None where all ops are left out.
      copies: how often each training row stands in the list that an epoch's batches are cut from.
    """

    number: int
    values: Mapping[str, Any]
    policy: AugmentationPolicy | None
    copies: int

    @property
    def name(self) -> str:
        """What it is called in tables and reports."""
        return f"candidate {self.number}"

    def describe(self) -> str:
        """Returns the values as text."""
        said = []
        for name, value in self.values.items():
            if isinstance(value, bool):
                said += [] if value else [f"no {name}"]
            else:
                said.append(f"{name} {shown(value)}")
        return ", ".join(said) or "as given"

    def get_config(self) -> dict[str, Any]:
        """The candidate as JSON values."""
        return {
            "number": self.number,
            "values": {name: to_json(value) for name, value in self.values.items()},
            "policy": None if self.policy is None else self.policy.get_config(),
            "copies": self.copies,
        }


@dataclasses.dataclass(frozen=True)
class Space:
    """A base policy, and what of it may vary.

    Args:
      policy: the base. What is not among the parameters stays as it is here.
      parameters: by name, what varies:

        - `"<op id>.<field>"`, such as "id_dropout:movie_id.rate": a `Float`, an `Integer` or a `Choice` of
          values for the field;
        - `"<op id>"`: a `Switch`, whether the op is in the policy at all;
        - `"copies"`: an `Integer` or a `Choice`, how often each training row stands in the list of an epoch.

        The ids of a policy's ops are `[op.id for op in policy.ops]`.

    Raises:
      InvalidArgumentError: a name or a value breaks its rule; values are tried on the op.

    Example:
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy(
      ...     [aug.ops.IdDropout("movie_id", rate=0.1), aug.ops.GaussianNoise("age", stddev=0.05)],
      ...     key_features=["user_id", "movie_id"],
      ... )
      >>> [op.id for op in policy.ops]
      ['id_dropout:movie_id', 'gaussian_noise:age']
      >>> space = Space(policy, {
      ...     "id_dropout:movie_id.rate": Float(0.0, 0.5),
      ...     "gaussian_noise:age": Switch(),
      ...     "gaussian_noise:age.stddev": Float(0.01, 1.0, log=True),
      ... })
      >>> space.candidate(
      ...     1, {"id_dropout:movie_id.rate": 0.3, "gaussian_noise:age": False}
      ... ).describe()
      'id_dropout:movie_id.rate 0.3, no gaussian_noise:age'
    """

    policy: AugmentationPolicy
    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        if not isinstance(self.policy, AugmentationPolicy):
            raise InvalidArgumentError(
                f"`policy` of a Space must be an AugmentationPolicy. Received: {self.policy!r}."
            )
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise InvalidArgumentError(
                "`parameters` of a Space must be a dict of at least one name and what it may be. "
                f"Received: {self.parameters!r}."
            )
        object.__setattr__(self, "parameters", dict(self.parameters))
        for name, parameter in self.parameters.items():
            self._check(name, parameter)

    @classmethod
    def of(cls, policy: AugmentationPolicy) -> Space:
        """Returns the space around a policy: each op in or out, each rate from 0 to min(2 * rate, 1).

        Rates of 0 and rates by popularity stay as they are.

        Args:
          policy: the base, of at least one op.

        Raises:
          InvalidArgumentError: it has no op.

        Example:
          >>> import tfrs_augment as aug
          >>> policy = aug.AugmentationPolicy([aug.ops.IdDropout("movie_id", rate=0.1)])
          >>> for name, parameter in Space.of(policy).parameters.items():
          ...     print(name, parameter)
          id_dropout:movie_id Switch(rate=0.5)
          id_dropout:movie_id.rate Float(low=0.0, high=0.2, log=False)
        """
        if not isinstance(policy, AugmentationPolicy) or not policy.ops:
            raise InvalidArgumentError(
                f"`policy` must be an AugmentationPolicy with at least one op. Received: {policy!r}."
            )
        parameters: dict[str, Parameter] = {}
        for op in policy.ops:
            parameters[op.id] = Switch()
            if isinstance(op.rate, int | float) and op.rate > 0:
                parameters[f"{op.id}.rate"] = Float(0.0, min(2.0 * op.rate, 1.0))
        return cls(policy, parameters)

    def base(self) -> dict[str, Any] | None:
        """Returns the values of the base policy itself, or None where it lies outside of the space."""
        ops = {op.id: op for op in self.policy.ops}
        values: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if isinstance(parameter, Switch):
                values[name] = True
                continue
            owner, _, field = name.rpartition(".")
            value = 1 if name == COPIES else getattr(ops[owner], field)
            if not parameter.holds(value):
                return None
            values[name] = value
        return values

    def candidate(self, number: int, values: Mapping[str, Any]) -> Candidate:
        """Returns the policy of some values.

        Args:
          number: of the candidate.
          values: by parameter; of an op that is left out none but its switch counts.
        """
        out = {n for n, p in self.parameters.items() if isinstance(p, Switch) and not values[n]}
        kept = {
            name: values[name]
            for name in self.parameters
            if name in out or name.rpartition(".")[0] not in out
        }
        ops = []
        for op in self.policy.ops:
            if op.id in out:
                continue
            changed = {
                name.rpartition(".")[2]: value
                for name, value in kept.items()
                if name.rpartition(".")[0] == op.id
            }
            ops.append(dataclasses.replace(op, **changed))
        policy = dataclasses.replace(self.policy, ops=tuple(ops)) if ops else None
        return Candidate(number, kept, policy, kept.get(COPIES, 1))

    def get_config(self) -> dict[str, Any]:
        """The space as JSON values."""
        parameters = {name: value.get_config() for name, value in self.parameters.items()}
        return {"policy": self.policy.get_config(), "parameters": parameters}

    def _check(self, name: str, parameter: Parameter) -> None:
        ops = {op.id: op for op in self.policy.ops}
        if name == COPIES:
            whole = isinstance(parameter, Integer | Choice) and all(
                isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in parameter.ends()
            )
            if not whole:
                raise InvalidArgumentError(
                    "`copies` of a Space must be an Integer or a Choice of integers of at least 1. "
                    f"Received: copies={parameter!r}."
                )
            return
        if name in ops:
            if not isinstance(parameter, Switch):
                raise InvalidArgumentError(
                    f"`{name}` of a Space is an op, which may be a Switch(). Received: {parameter!r}. A "
                    f"field of it is '{name}.rate', say."
                )
            return
        owner, _, field = name.rpartition(".")
        if owner not in ops:
            raise InvalidArgumentError(
                f"`parameters` of a Space must be ids of ops, or fields of them. Received: {name!r}. "
                f"{close_matches(owner or name, [*ops, COPIES])}"
            )
        self._check_field(ops[owner], name, field, parameter)

    def _check_field(self, op: Op, name: str, field: str, parameter: Parameter) -> None:
        fields = [f.name for f in dataclasses.fields(op) if f.name not in _FIXED]
        if field not in fields:
            raise InvalidArgumentError(
                f"`{name}` of a Space must name a field of {op}. Received: {field!r}. "
                f"{close_matches(field, fields)}"
            )
        if not isinstance(parameter, Float | Integer | Choice):
            raise InvalidArgumentError(
                f"`{name}` of a Space must be a Float, an Integer or a Choice. Received: {parameter!r}."
            )
        for value in parameter.ends():
            try:
                dataclasses.replace(op, **{field: value})
            except (InvalidArgumentError, TypeError) as error:
                raise InvalidArgumentError(
                    f"`{name}` of a Space may be {shown(value)}, which its op refuses: {error}"
                ) from error
