"""Objects that are a JSON file: the policy, and the rules of cleaning."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError

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
