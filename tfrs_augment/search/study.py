"""Optuna's part of a search: it draws the candidates, keeps them in a study file, and rates parameters."""

from __future__ import annotations

import json
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.errors import AugmentError, DataError, InvalidArgumentError
from tfrs_augment.search.parameters import Choice, Float, Integer, Parameter, Switch
from tfrs_augment.search.space import Candidate, Space

if TYPE_CHECKING:
    import optuna

    from tfrs_augment.search.result import Trial

_NAME = "search"
_MOST_DRAWS = 50
"""Draws a candidate, after which a space is taken for exhausted."""


def import_optuna():
    """Returns the module.

    Raises:
      AugmentError: it is not installed; the message names the extra.
    """
    try:
        import optuna
    except ImportError as error:
        raise AugmentError(
            f"A search needs Optuna, which cannot be imported: {error}. Run: pip install "
            "'tfrs-augment[search]'."
        ) from error
    return optuna


def draw(space: Space, count: int, seed: int) -> list[Candidate]:
    """Returns the candidates of a search: the base policy, where the space holds it, and random ones.

    Args:
      space: from which they are drawn; each parameter by itself.
      count: how many, all different. None has all ops left out: that is the baseline's.
      seed: of the draws.

    Raises:
      InvalidArgumentError: the space has fewer.
    """
    optuna = import_optuna()
    sampler = optuna.samplers.RandomSampler(seed=seed)
    drawing = _quietly(optuna.create_study, sampler=sampler)
    distributions = _distributions(space)
    found: dict[str, Candidate] = {}
    base = space.base()
    for attempt in range(count * _MOST_DRAWS):
        if attempt == 0 and base is not None:
            values = base
        else:
            trial = drawing.ask(distributions)
            values = {n: _value(p, trial.params[n]) for n, p in space.parameters.items()}
            drawing.tell(trial, 0.0)
        candidate = space.candidate(len(found) + 1, values)
        if candidate.policy is not None or candidate.copies > 1:
            found.setdefault(json.dumps(candidate.get_config()["values"]), candidate)
        if len(found) == count:
            return list(found.values())
    raise InvalidArgumentError(
        f"`candidates` must be at most as many as the space has. Received: candidates={count}, of which "
        f"{len(found)} were found. Give parameters more values, or take fewer."
    )


class StudyFile:
    """What a search found, as a journal that Optuna and its dashboard read.

    Args:
      folder: where `study.journal` is; None keeps it in memory.
      space: of the candidates.
      settings: of the search, as JSON values. A journal of other settings is refused.
      overwrite: whether it is dropped instead. Finished trainings beside it stay.

    Raises:
      InvalidArgumentError: the folder holds another search.
      DataError: the journal cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike | None,
        space: Space,
        settings: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ):
        self._optuna, self._space = import_optuna(), space
        path = None if folder is None else pathlib.Path(folder) / "study.journal"
        text = json.dumps(settings, sort_keys=True)
        self._study = _open(path)
        known = self._study.user_attrs.get("settings")
        if known is not None and known != text:
            if not overwrite:
                old, new = json.loads(known), json.loads(text)
                names = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
                raise InvalidArgumentError(
                    f"`folder` '{folder}' holds another search, of other {', '.join(names)}. Pass overwrite "
                    "(--overwrite) to drop it, finished trainings are kept; or choose another folder."
                )
            path.unlink()
            self._study, known = _open(path), None
        if known is None:
            self._study.set_user_attr("settings", text)

    def add(self, trial: Trial) -> None:
        """Adds what became of a candidate, once."""
        candidate, space = trial.candidate, self._space
        number = candidate.number
        if any(known.user_attrs.get("number") == number for known in self._study.trials):
            return
        states = self._optuna.trial.TrialState
        done = trial.state in ("done", "winner")
        failed = trial.state == "failed"
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.FAIL if failed else states.COMPLETE if done else states.PRUNED,
                value=list(trial.values.values())[-1] if done else None,
                params={n: _param(space.parameters[n], v) for n, v in candidate.values.items()},
                distributions={
                    n: distribution
                    for n, distribution in _distributions(space).items()
                    if n in candidate.values
                },
                intermediate_values=dict(trial.values),
                user_attrs={"number": number, "policy": candidate.describe()},
            )
        )


def importances(
    space: Space, candidates: Sequence[Candidate], values: Sequence[float]
) -> dict[str, float]:
    """Returns the share of each parameter in what sets good candidates apart, largest first.

    Args:
      space: of the candidates.
      candidates: those that were trained equally long.
      values: the objective of each.

    Raises:
      InvalidArgumentError: there are fewer than four.

    Reference:
      Watanabe et al., PED-ANOVA, IJCAI 2023, in Optuna.
    """
    if len(candidates) < 4:
        raise InvalidArgumentError(
            f"`importance` needs at least four candidates. Received: {len(candidates)}."
        )
    optuna = import_optuna()
    study = _quietly(optuna.create_study, direction="maximize")
    distributions = _distributions(space)
    # Of an op that is left out the other parameters have no value: its switch speaks for it.
    names = [n for n in distributions if all(n in c.values for c in candidates)]
    for candidate, value in zip(candidates, values, strict=True):
        params = {n: _param(space.parameters[n], candidate.values[n]) for n in names}
        study.add_trial(
            optuna.trial.create_trial(
                value=value, params=params, distributions={n: distributions[n] for n in names}
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.34)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    optuna = import_optuna()
    kinds = optuna.distributions
    found = {}
    for name, parameter in space.parameters.items():
        if isinstance(parameter, Float):
            found[name] = kinds.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        elif isinstance(parameter, Integer):
            found[name] = kinds.IntDistribution(parameter.low, parameter.high)
        elif isinstance(parameter, Choice):
            # By place: values may be what a study file does not hold.
            found[name] = kinds.CategoricalDistribution(range(len(parameter.values)))
        else:
            found[name] = kinds.FloatDistribution(0.0, 1.0)
    return found


def _value(parameter: Parameter, drawn: Any) -> Any:
    """What a drawn number stands for."""
    if isinstance(parameter, Choice):
        return parameter.values[drawn]
    if isinstance(parameter, Switch):
        return bool(drawn < parameter.rate)
    if isinstance(parameter, Float):
        # Three digits: no search is finer, and a policy file stays readable.
        return min(max(float(f"{drawn:.3g}"), parameter.low), parameter.high)
    return drawn


def _param(parameter: Parameter, value: Any) -> Any:
    """The number that a study keeps for a value."""
    if isinstance(parameter, Choice):
        return parameter.values.index(value)
    if isinstance(parameter, Switch):
        return parameter.rate / 2 if value else (1 + parameter.rate) / 2
    return value


def _open(path: pathlib.Path | None) -> optuna.Study:
    """The study in a file, new where there is none; None keeps it in memory."""
    try:
        return _quietly(
            import_optuna().create_study,
            storage=None if path is None else _journal(path),
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"The study file '{path}' cannot be read: {error}. Remove it: what was trained is kept in "
            f"'{path.parent / 'runs'}'."
        ) from error


def _journal(path: pathlib.Path) -> optuna.storages.JournalStorage:
    """A file as a storage."""
    storages = import_optuna().storages
    return _quietly(storages.JournalStorage, storages.journal.JournalFileBackend(os.fspath(path)))


def _quietly(function, *args, **options):
    """Calls Optuna, which else says on stderr what it does."""
    optuna = import_optuna()
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return function(*args, **options)
    finally:
        optuna.logging.set_verbosity(level)
