"""The interface of all synthesizers: fit, sample under conditions, impute, save and load."""

from __future__ import annotations

import abc
import dataclasses
import operator
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from tqdm import tqdm

from tfrs_augment import json_file
from tfrs_augment.errors import DataError, InvalidArgumentError, close_matches
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis import files, imputation, inputs
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions

if TYPE_CHECKING:
    from typing_extensions import Self

_REGISTRY: dict[str, type[Synthesizer]] = {}


@dataclasses.dataclass(frozen=True)
class Block:
    """A run of rows to be sampled: the unit of work of a worker.

    Attributes:
      number: the block's place, from 0; what its random numbers hang on.
      start: the place of its first row among all.
      rows: how many rows it has, at least 1.
    """

    number: int
    start: int
    rows: int


@dataclasses.dataclass(kw_only=True, eq=False)
class Synthesizer(abc.ABC):
    """A model of a table that is fitted on real rows and gives new ones.

    A subclass is a dataclass of its arguments and defines `_fit`, `_draw`, `_state` and `_restore`.
    Its name is in its files, so it never changes meaning.

    Rows are sampled in blocks. The rows of a block depend on the fitted state, the seed, the block's
    number and the conditions alone: not on other blocks, the process, or how many rows are asked
    for, so a larger sample begins with the rows of a smaller one.

    Args:
      columns: the names of the columns to model, in the order of the output; None is all.
      max_tries: how often a block is drawn anew until enough of its rows meet the conditions, where
        they are not met by construction.
    """

    block_rows: ClassVar[int] = 4096
    """Rows of a whole block, and of each draw."""

    columns: Sequence[str] | None = None
    max_tries: int = 100

    spec: TableSpec | None = dataclasses.field(init=False, default=None, repr=False)
    """The columns, once fitted."""
    loss_history: dict[str, list[float]] = dataclasses.field(
        init=False, default_factory=dict, repr=False
    )
    """By name, a value an epoch; empty where nothing is trained."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        json_file.register(_REGISTRY, cls, "a synthesizer")

    def __post_init__(self) -> None:
        if self.columns is not None:
            if isinstance(self.columns, str) or len(set(self.columns)) != len(self.columns):
                raise InvalidArgumentError(
                    f"`columns` must be names, none twice. Received: columns={self.columns!r}."
                )
            self.columns = tuple(self.columns)
        if self.max_tries < 1:
            raise InvalidArgumentError(
                f"`max_tries` must be at least 1. Received: max_tries={self.max_tries}."
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments as JSON values; `type(self)(**config)` is an unfitted copy."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def fit(
        self,
        data: Any,
        *,
        schema: Schema | None = None,
        progress: bool = False,
        callbacks: Sequence[Any] = (),
    ) -> Self:
        """Learns from rows; an earlier fit is forgotten.

        Args:
          data: at least 2 rows, as `read_table` takes them.
          schema: kinds, bounds and vocabularies; None infers them from the data.
          progress: whether a bar shows the epochs, where there are any.
          callbacks: of the training, where there is any.

        Returns:
          The synthesizer itself.

        Raises:
          DataError: the rows can't be read or modelled; see `read_table`.
          InvalidArgumentError: training diverged; `learning_rate` is too high.
        """
        table = self._read(data, schema)
        spec = TableSpec.of(table, schema)
        self.spec, self.loss_history = None, {}
        self._fit(table, spec, progress=progress, callbacks=callbacks)
        for name, values in self.loss_history.items():
            if not np.isfinite(values).all():
                raise InvalidArgumentError(
                    f"Training must not diverge. Received: {name!r} of "
                    f"{values[int(np.isfinite(values).argmin())]} ({type(self).__name__}). Lower "
                    "`learning_rate`."
                )
        self.spec = spec
        return self

    def blocks(self, n: int, *, conditions: Mapping[str, Any] | None = None) -> list[Block]:
        """Cuts n rows into blocks, to be sampled in any order and anywhere.

        Args:
          n: how many rows.
          conditions: as of `sample`; only checked here.

        Raises:
          InvalidArgumentError: n is negative, or the conditions break a rule.
        """
        self._conditions(conditions)
        n = as_integer("n", n)
        starts = range(0, n, self.block_rows)
        return [Block(i, start, min(self.block_rows, n - start)) for i, start in enumerate(starts)]

    def sample_block(
        self, block: Block, *, seed: int = 0, conditions: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Samples the rows of one block of `blocks`.

        Args:
          block: the block.
          seed: as of `sample`.
          conditions: as of `sample`.

        Returns:
          Columns `[block.rows]`.

        Raises:
          DataError: too few of the rows that were tried meet the conditions.
        """
        wanted = self._conditions(conditions)
        seed = as_integer("seed", seed)
        parts, found = [], 0
        for attempt in range(self.max_tries):
            # Always a whole block of rows, so that those of a shorter one are its beginning.
            rng = np.random.default_rng([seed, block.number, attempt])
            rows = self._draw(rng, self.block_rows, wanted)
            if wanted:
                fits = wanted.mask(rows)
                rows = {name: values[fits] for name, values in rows.items()}
            parts.append(rows)
            found += len(next(iter(rows.values())))
            if found >= block.rows:
                names = self.spec.names
                joined = {name: np.concatenate([p[name] for p in parts]) for name in names}
                return {name: values[: block.rows] for name, values in joined.items()}
        tried = self.max_tries * self.block_rows
        raise DataError(
            f"The conditions can't be met: {found} of {tried} sampled rows fit, and {block.rows} are "
            "wanted. Loosen the conditions, ask for fewer rows, or raise `max_tries`."
        )

    def sample(
        self,
        n: int,
        *,
        conditions: Mapping[str, Any] | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> dict[str, np.ndarray]:
        """Samples new rows.

        Args:
          n: how many rows, at least 0.
          conditions: column to what its values must be: one value, a list of values of which any
            fits, or a range `(low, high)` with both ends included. All rows meet all of them.
          seed: an integer of 0 or more; the same seed gives the same rows.
          progress: whether a bar shows the blocks.

        Returns:
          Columns `[n]` in the order, the dtypes and within the bounds and vocabularies of `spec`.

        Raises:
          UnknownFeatureError: a condition on a column that is not there.
          InvalidArgumentError: it is not fitted, or an argument or condition breaks its rule.
          DataError: the conditions have no probability, or too little.
        """
        blocks = self.blocks(n, conditions=conditions)
        bar = tqdm(blocks, desc="sample", unit="block", disable=not progress)
        parts = [self.sample_block(block, seed=seed, conditions=conditions) for block in bar]
        if not parts:
            return self.spec.empty()
        return {name: np.concatenate([part[name] for part in parts]) for name in self.spec.names}

    def impute(self, rows: Table, *, seed: int = 0, draws: int = 1) -> dict[str, np.ndarray]:
        """Fills missing cells, given the cells of their row that are there.

        A single draw keeps the spread of the data, which augmentation wants. Many draws are averaged
        to the best single guess.

        Args:
          rows: a mapping of columns `[n]`, or a DataFrame; a cell is missing if it is None, NaN or b"",
            and a column of integers may come as float for that. A column that is absent is missing
            throughout.
          seed: an integer of 0 or more.
          draws: how many values are drawn for a cell; of numbers it gets the mean, of categories the
            most frequent one, of ties the first.

        Returns:
          Columns `[n]` as of `sample`; cells that were there stay exactly as they are, numbers beyond
          the bounds too. Only a column that had no value at all in the fit stays missing.

        Raises:
          UnknownFeatureError: a column is not the synthesizer's.
          InvalidArgumentError: it is not fitted, or an argument breaks its rule.
          DataError: a value is of another kind than its column, or outside its vocabulary.
        """
        spec = self._fitted()
        if as_integer("draws", draws) < 1:
            raise InvalidArgumentError(f"`draws` must be at least 1. Received: draws={draws}.")
        table, missing = imputation.incomplete_table(rows, spec)
        seed = as_integer("seed", seed)
        gaps = any(absent.any() for absent in missing.values())
        filled = [
            self._impute(np.random.default_rng([seed, draw]), table, missing)
            for draw in range(draws if gaps else 0)
        ]
        return imputation.combine(spec, table, missing, filled)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fitted synthesizer to one file of arrays and JSON, without rows of the data.

        Args:
          path: the file, on any file system that TensorFlow knows; replaced if it is there.

        Raises:
          InvalidArgumentError: it is not fitted.
        """
        columns, arrays = self._fitted().to_parts()
        state, more = self._state()
        document = {
            "class": type(self).__name__,
            "config": self.get_config(),
            "spec": columns,
            "state": state,
            "loss_history": self.loss_history,
        }
        files.write(
            path,
            document,
            {
                **{f"spec/{name}": array for name, array in arrays.items()},
                **{f"state/{name}": array for name, array in more.items()},
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote; `Synthesizer.load` reads a synthesizer of any class.

        Raises:
          InvalidArgumentError: the file can't be read, is not whole, is of a newer version, or holds
            another class than the one that is asked for; the message names it.
        """
        document, arrays = files.read(path)
        kind = _class_of(str(document.get("class")), path)
        if not issubclass(kind, cls):
            raise InvalidArgumentError(
                f"'{path}' must hold a {cls.__name__}. Received: a {kind.__name__}. "
                f"{kind.__name__}.load reads it."
            )
        parts: dict[str, dict[str, np.ndarray]] = {"spec": {}, "state": {}}
        with files.content_of(path):
            for name, array in arrays.items():
                part, _, rest = name.partition("/")
                parts[part][rest] = array
            synthesizer = kind(**document["config"])
            synthesizer.spec = TableSpec.from_parts(document["spec"], parts["spec"])
            synthesizer.loss_history = document["loss_history"]
            synthesizer._restore(document["state"], parts["state"])
        return synthesizer

    def _read(self, data: Any, schema: Schema | None) -> dict[str, np.ndarray]:
        """The rows to fit on, as columns; a subclass that needs more of the data overrides it."""
        return inputs.read_table(data, columns=self.columns, schema=schema)

    @abc.abstractmethod
    def _fit(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        """Learns from columns `[n]`, n at least 2; `spec` becomes `self.spec` afterwards."""

    @abc.abstractmethod
    def _draw(
        self, rng: np.random.Generator, n: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        """Draws n rows in the spec's dtypes.

        Rows that miss a condition are left out and drawn anew, so a subclass may pass over the
        conditions; one that meets them by construction saves the tries.
        """

    def _impute(
        self,
        rng: np.random.Generator,
        table: Table,
        missing: Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """Fills the cells where `missing` is true, once; the others of its columns are not used.

        Without a better way of the subclass, a row takes the cells from one of the sampled rows that
        are most like it.
        """
        sampled = self._draw(rng, self.block_rows, Conditions({}))
        return imputation.from_donors(rng, self.spec, table, missing, sampled)

    @abc.abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was learnt, as JSON values and arrays."""

    @abc.abstractmethod
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `_state`; `self.spec` is set already."""

    def _fitted(self) -> TableSpec:
        if self.spec is None:
            raise InvalidArgumentError(
                f"The {type(self).__name__} must be fitted first: call fit(data), or load a file."
            )
        return self.spec

    def _conditions(self, conditions: Mapping[str, Any] | None) -> Conditions:
        return Conditions.parse(conditions, self._fitted())


def _class_of(name: str, path: str | os.PathLike[str]) -> type[Synthesizer]:
    """The class of a name, whose module may not be imported yet."""
    # The package's names are lazy, and only it knows which module a class is in.
    from tfrs_augment import synthesis

    if name not in _REGISTRY and name in synthesis.__all__:
        getattr(synthesis, name)
    if name not in _REGISTRY:
        if name in synthesis.__all__:
            raise InvalidArgumentError(
                f"'{path}' must hold a synthesizer of tables. Received: a {name}. {name}.load reads it."
            )
        raise InvalidArgumentError(
            f"'{path}' holds a synthesizer '{name}', which is not known. "
            f"{close_matches(name, _REGISTRY)} One of your own must be imported first."
        )
    return _REGISTRY[name]


def as_integer(name: str, value: Any) -> int:
    """Returns an argument as an integer of 0 or more.

    Raises:
      InvalidArgumentError: it is none; the message names it.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidArgumentError(
            f"`{name}` must be an integer of 0 or more. Received: {name}={value!r}."
        )
    return number
