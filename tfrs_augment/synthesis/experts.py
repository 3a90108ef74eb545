"""A discrete column given its row's contexts: a product of experts over smoothed counts.

With contexts `x` such as the user, the item, or the user together with an earlier column,

    p(c | row) is proportional to p(c) exp(b_c) prod_x (p(c | x) / p(c | parent of x)) ** w_x

where `p(c | x) = (count(x, c) + k_x p(c | parent of x)) / (count(x) + k_x)` backs off to its parent: the
marginal, or for a pair of contexts the first of them alone. Everything that is chosen is chosen on
leave-one-out counts, those without the row itself: the strengths `k_x` one by one, then the contexts, by
what each gains alone, and at last `w` and `b` together, by maximum likelihood (a concave problem, solved by
Newton's method).

References:
  MacKay and Peto, "A hierarchical Dirichlet language model", 1995 (the smoothing).
  Hinton, "Products of experts", 1999 (the combination).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Codes = Mapping[str, np.ndarray]

_STRENGTHS = 2.0 ** np.arange(-1, 10)
_MIN_GAIN = 2e-4  # nats a row
_MIN_WEIGHT = 0.02
# Tables of more numbers than these would outweigh what they tell.
_MAX_TABLE = 20_000_000
_FIT_ROWS = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Expert:
    """What one context says of the column.

    Args:
      names: the columns that are the context: one, or two of which the first is the parent.
      sizes: how many codes each of them has.
      keys: int64 `[m]`, the values of the context that were met, sorted.
      log_ratio: float32 `[m, cells]`, `log p(c | x) - log p(c | parent)`.
      weight: `w_x`.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    keys: np.ndarray
    log_ratio: np.ndarray
    weight: float

    def __call__(self, codes: Codes) -> np.ndarray:
        """Returns float32 `[n, cells]`, weighted; zeros where the context was not met."""
        keys = context_keys(codes, self.names, self.sizes)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        met = self.keys[place] == keys
        return np.float32(self.weight) * self.log_ratio[place] * met[:, None]


@dataclasses.dataclass(frozen=True, eq=False)
class Conditional:
    """The fitted distribution of a column of cells.

    Args:
      base: float32 `[cells]`, `log p(c) + b_c`.
      experts: see `Expert`.
    """

    base: np.ndarray
    experts: tuple[Expert, ...]

    def logits(self, codes: Codes, rows: int) -> np.ndarray:
        """Returns float32 `[rows, cells]`, log-probabilities up to a constant a row."""
        logits = np.tile(self.base, (rows, 1))
        for expert in self.experts:
            logits += expert(codes)
        return logits

    def log_probabilities(self, codes: Codes, rows: int) -> np.ndarray:
        """Returns float32 `[rows, cells]`."""
        return log_softmax(self.logits(codes, rows))

    def get_config(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {
            "experts": [
                {"names": list(e.names), "sizes": list(e.sizes), "weight": e.weight}
                for e in self.experts
            ]
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of it, by a name each."""
        arrays = {"base": self.base}
        for number, expert in enumerate(self.experts):
            arrays[f"{number}/keys"] = expert.keys
            arrays[f"{number}/log_ratio"] = expert.log_ratio
        return arrays

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Conditional:
        """The inverse of `get_config` and `arrays`."""
        experts = tuple(
            Expert(
                tuple(one["names"]),
                tuple(one["sizes"]),
                arrays[f"{number}/keys"],
                arrays[f"{number}/log_ratio"],
                one["weight"],
            )
            for number, one in enumerate(config["experts"])
        )
        return cls(arrays["base"], experts)


def fit_conditional(
    target: np.ndarray,
    cells: int,
    codes: Codes,
    sizes: Mapping[str, int],
    contexts: Sequence[tuple[str, ...]],
    *,
    max_experts: int = 8,
    seed: int = 0,
) -> Conditional:
    """Fits the distribution of a column.

    Args:
      target: int64 `[n]`, the column's cells.
      cells: how many there are.
      codes: the columns of contexts, int64 `[n]`.
      sizes: how many codes each of them has.
      contexts: the candidates, a pair after its first column alone.
      max_experts: how many of them to keep at most.
      seed: which rows weights are fitted on, where there are more than 20,000.

    Returns:
      The distribution.
    """
    counts = np.bincount(target, minlength=cells).astype(np.float64)
    marginal = (counts + 0.5) / (counts.sum() + 0.5 * cells)
    base = np.log(marginal)
    if cells == 1 or len(target) < 2:
        return Conditional(base.astype(np.float32), ())
    chosen = np.random.default_rng(seed).permutation(len(target))[:_FIT_ROWS]
    chosen.sort()
    smoothed: dict[tuple[str, ...], _Smoothed] = {}
    for names in contexts:
        parent = smoothed.get(names[:1]) if len(names) > 1 else None
        if len(names) > 1 and parent is None:
            continue
        one = _Smoothed.fit(names, target, cells, codes, sizes, chosen, marginal, parent)
        if one is not None:
            smoothed[names] = one
    best = sorted((s for s in smoothed.values() if s.gain > _MIN_GAIN), key=lambda s: -s.gain)
    kept = best[:max_experts]
    while True:
        features = [one.left_out for one in kept]
        weights, bias = _newton(target[chosen], base, features)
        strong = [one for one, weight in zip(kept, weights) if weight > _MIN_WEIGHT]
        if len(strong) == len(kept):
            break
        kept = strong
    experts = tuple(
        Expert(
            one.names,
            tuple(sizes[name] for name in one.names),
            one.keys,
            one.log_ratio.astype(np.float32),
            float(weight),
        )
        for one, weight in zip(kept, weights)
    )
    return Conditional((base + bias).astype(np.float32), experts)


def context_keys(codes: Codes, names: Sequence[str], sizes: Sequence[int]) -> np.ndarray:
    """Returns int64 `[n]`, one number a value of the context; -1 where a part of it is unknown."""
    keys = np.zeros(len(codes[names[0]]), np.int64)
    known = np.ones(len(keys), bool)
    for name, size in zip(names, sizes):
        keys = keys * size + codes[name]
        known &= codes[name] >= 0
    return np.where(known, keys, -1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the softmax along the last axis."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@dataclasses.dataclass(frozen=True, eq=False)
class _Smoothed:
    """A candidate: its table, and what it says of the rows that weights are fitted on."""

    names: tuple[str, ...]
    keys: np.ndarray
    probability: np.ndarray  # [m, cells]
    log_ratio: np.ndarray  # [m, cells]
    left_out_probability: np.ndarray  # [chosen, cells]
    left_out: np.ndarray  # [chosen, cells], the ratio of it
    place: np.ndarray  # [n], the place of each row's key
    gain: float

    @classmethod
    def fit(cls, names, target, cells, codes, sizes, chosen, marginal, parent) -> _Smoothed | None:
        keys = context_keys(codes, names, [sizes[name] for name in names])
        unique, place = np.unique(keys, return_inverse=True)
        if len(unique) < 2 or len(unique) * cells > _MAX_TABLE:
            return None
        counts = np.bincount(place * cells + target, minlength=len(unique) * cells)
        counts = counts.reshape(len(unique), cells).astype(np.float64)
        if parent is None:
            prior = np.broadcast_to(marginal, counts.shape)
            prior_out = np.broadcast_to(marginal, (len(chosen), cells))
        else:
            first = np.zeros(len(unique), np.int64)
            first[place] = parent.place
            prior, prior_out = parent.probability[first], parent.left_out_probability
        own = np.arange(len(chosen)), target[chosen]
        rest = counts[place[chosen]]
        rest[own] -= 1.0
        totals = rest.sum(axis=1)
        scores = [
            np.log((rest[own] + k * prior_out[own]) / (totals + k)).mean() for k in _STRENGTHS
        ]
        strength = _STRENGTHS[int(np.argmax(scores))]
        probability = (counts + strength * prior) / (counts.sum(1, keepdims=True) + strength)
        out = (rest + strength * prior_out) / (totals[:, None] + strength)
        gain = max(scores) - np.log(prior_out[own]).mean()
        return cls(
            names=tuple(names),
            keys=unique,
            probability=probability,
            log_ratio=np.log(probability) - np.log(prior),
            left_out_probability=out,
            left_out=np.log(out) - np.log(prior_out),
            place=place,
            gain=float(gain),
        )


def _newton(
    target: np.ndarray, base: np.ndarray, features: Sequence[np.ndarray], steps: int = 25
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights `[experts]` and biases `[cells]` of the largest penalized likelihood."""
    rows, cells = len(target), len(base)
    if not features:
        return np.zeros(0), np.zeros(cells)
    stack = np.stack(features, axis=2)
    count = stack.shape[2]
    flat = stack.reshape(-1, count)
    truth = np.zeros((rows, cells))
    truth[np.arange(rows), target] = 1.0
    # Enough to hold the common offset of the biases, and twins among the experts, in place.
    ridge = np.full(count + cells, 1.0)
    theta = np.zeros(count + cells)
    for _ in range(steps):
        probability = np.exp(log_softmax(base + theta[count:] + stack @ theta[:count]))
        residual = truth - probability
        gradient = np.concatenate([residual.ravel() @ flat, residual.sum(0)]) - ridge * theta
        # [cells, experts] a row, weighted by the probability of the cell.
        weighted = probability[:, :, None] * stack
        mean = weighted.sum(axis=1)
        cross = weighted.sum(axis=0) - probability.T @ mean
        hessian = np.diag(ridge)
        hessian[:count, :count] += weighted.reshape(-1, count).T @ flat - mean.T @ mean
        hessian[:count, count:] += cross.T
        hessian[count:, :count] += cross
        hessian[count:, count:] += np.diag(probability.sum(0)) - probability.T @ probability
        step = np.linalg.solve(hessian, gradient)
        # From zero weights, which are far from the optimum in no direction, full steps converge; the
        # bound only guards against a first step that is too long.
        theta += step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-5:
            break
    return theta[:count], theta[count:]
