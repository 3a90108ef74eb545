"""Objects that are a JSON file: the policy, and the rules of cleaning; and the parts in them, by name."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError, close_matches

if TYPE_CHECKING:
    from typing_extensions import Self


class JsonFile:
    """Text and files for a class that has `get_config()` and `from_config(config)`.

    Fitted statistics are no part of it: they have a file of their own.
    """

    json_name: ClassVar[str]
    """What the object is called in messages."""

    def get_config(self) -> dict[str, Any]:
        """The object as JSON values."""
        raise TypeError(f"{type(self).__name__} must define get_config().")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of `get_config`."""
        raise TypeError(f"{cls.__name__} must define from_config(config).")

    def to_json(self) -> str:
        """The object as JSON text."""
        return json.dumps(self.get_config(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads JSON text.

        Raises:
          InvalidArgumentError: it is no JSON, or `from_config` refuses it.
        """
        try:
            config = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidArgumentError(
                f"The {cls.json_name} is not valid JSON: {error}."
            ) from error
        return cls.from_config(config)

    def save(self, path: str | pathlib.Path) -> None:
        """Writes a JSON file, on any file system that TensorFlow knows."""
        with tf.io.gfile.GFile(str(path), "w") as file:
            file.write(self.to_json())

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Self:
        """Reads what `save` wrote.

        Raises:
          InvalidArgumentError: the file cannot be read, or holds something else; the message names it.
        """
        try:
            with tf.io.gfile.GFile(str(path), "r") as file:
                text = file.read()
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            raise InvalidArgumentError(
                f"The {cls.json_name} file '{path}' cannot be read: {error}"
            ) from error
        try:
            return cls.from_json(text)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{path}: {error}") from error


def register(registry: dict[str, type], cls: type, what: str) -> None:
    """Notes a class under its name, by which JSON knows it.

    Raises:
      InvalidArgumentError: a class of another module has the name.
    """
    taken = registry.get(cls.__name__)
    if taken is not None and taken.__module__ != cls.__module__:
        raise InvalidArgumentError(
            f"There is {what} '{cls.__name__}' already, in {taken.__module__}: JSON could not tell them "
            f"apart. Name the one in {cls.__module__} otherwise."
        )
    registry[cls.__name__] = cls


def check_document(
    config: Any, name: str, known: Sequence[str], parts: str, version: int
) -> Sequence[Any]:
    """Checks the outer object of a file, and returns the list of its parts.

    Args:
      config: what was read.
      name: what the object is called in messages.
      known: the fields that it may have.
      parts: the field with the list.
      version: the newest format that is understood.

    Raises:
      InvalidArgumentError: a newer format, an unknown field, or no list.
    """
    if not isinstance(config, Mapping):
        raise InvalidArgumentError(f"A {name} must be a JSON object. Received: {config!r}.")
    found = config.get("format_version")
    if not isinstance(found, int) or not 1 <= found <= version:
        raise InvalidArgumentError(
            f"`format_version` must be from 1 to {version}. Received: {found!r}. "
            "A higher one was written by a newer tfrs-augment: upgrade."
        )
    for field in config:
        if field not in known:
            raise InvalidArgumentError(
                f"Unknown field '{field}' in the {name}. {close_matches(field, known)}"
            )
    entries = config.get(parts, [])
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise InvalidArgumentError(f"`{parts}` must be a list. Received: {parts}={entries!r}.")
    return entries


def part_from_config(
    config: Any,
    where: str,
    *,
    tag: str,
    registry: Mapping[str, type],
    convert: Callable[[Any, str], Any],
    hidden: Sequence[str] = (),
) -> Any:
    """Builds a part, a dataclass that is known by its name, from JSON values.

    Args:
      config: the name under `tag`, and the arguments; those that have a default may be left out.
      where: the place in the file, for messages, such as "ops[2]".
      tag: the field with the name, which is also what a part is called.
      registry: name to class.
      convert: makes an argument of a JSON value and its place.
      hidden: fields of the classes that are no part of the JSON.

    Raises:
      InvalidArgumentError: an unknown part, an unknown or missing argument, or a value that breaks its rule.
    """
    if not isinstance(config, Mapping) or tag not in config:
        raise InvalidArgumentError(
            f'{where} must be an object with {_article(tag)} "{tag}". Received: {config!r}.'
        )
    arguments = {
        name: convert(value, f"{where}.{name}") for name, value in config.items() if name != tag
    }
    name = config[tag]
    if name not in registry:
        raise InvalidArgumentError(
            f"{where}: there is no {tag} '{name}'. {close_matches(str(name), registry)}"
        )
    cls = registry[name]
    fields = {field.name: field for field in dataclasses.fields(cls) if field.name not in hidden}
    for argument in arguments:
        if argument not in fields:
            raise InvalidArgumentError(
                f"{where} ({name}): unknown argument '{argument}'. {close_matches(argument, fields)}"
            )
    for field in fields.values():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and field.name not in arguments:
            raise InvalidArgumentError(f"{where} ({name}): the argument '{field.name}' is missing.")
    try:
        return cls(**arguments)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: {error}") from error


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
