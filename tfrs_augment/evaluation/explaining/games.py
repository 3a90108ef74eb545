"""Who did what: the gain of a whole shared out among its parts, from the values of subsets of them.

A game gives a value to every subset of its players: the metric of a model trained with some of a
policy's ops, or the score of a row with some of its features. Leaving a player out of the whole says
what the whole lacks without it. Its Shapley value is its marginal contribution, the value of a subset
with it less that without it, averaged over all orders in which players may join. Both are linear in
the values, so whatever resamples the values resamples the contributions with them.

Shapley values are the only ones that share out the whole gain (efficiency), give players alike in
every subset alike (symmetry), a player that changes nothing 0 (dummy), and add up over games.
"""

from __future__ import annotations

import dataclasses
import fractions
import math

import numpy as np

from tfrs_augment.errors import InvalidArgumentError


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which subsets a game must be valued on, and what its players contribute then.

    Attributes:
      subsets: bool `[subsets, players]`, each once; the first has no player, the last one all.
    """

    subsets: np.ndarray

    @property
    def players(self) -> int:
        """How many players the game has."""
        return self.subsets.shape[1]

    def find(self, subset: np.ndarray) -> int | None:
        """Returns the place of a subset, bool `[players]`; None where it is not valued."""
        (found,) = np.nonzero((self.subsets == subset).all(axis=1))
        return int(found[0]) if len(found) else None

    def contributions(self, values: np.ndarray) -> np.ndarray:
        """Returns what each player contributes.

        Args:
          values: of the subsets, numbers `[subsets, ...]`.

        Returns:
          `[samples, players, ...]`: estimates whose mean is the contribution; one where it is exact.
        """
        raise TypeError(f"{type(self).__name__} must define contributions(values).")

    def alone(self, player: int) -> int | None:
        """Returns the place of the subset of one player."""
        return self.find(np.arange(self.players) == player)

    def without(self, player: int) -> int | None:
        """Returns the place of the subset of all other players."""
        return self.find(np.arange(self.players) != player)


class LeaveOneOut(Plan):
    """The whole, and the whole without each player.

    Args:
      players: how many.

    Example:
      >>> plan = LeaveOneOut.of(2)
      >>> plan.contributions(np.array([0.0, 1.0, 1.0, 1.0])).tolist()  # either does what both do
      [[0.0, 0.0]]
    """

    @classmethod
    def of(cls, players: int) -> LeaveOneOut:
        """Returns the plan for a number of players."""
        everyone = np.ones(players, bool)
        return cls(_distinct([~everyone, *~np.eye(players, dtype=bool), everyone]))

    def contributions(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        left = [self.without(player) for player in range(self.players)]
        return (values[-1] - values[left])[None]


class ExactShapley(Plan):
    """All subsets, so that Shapley values are exact.

    Example:
      >>> plan = ExactShapley.of(2)
      >>> plan.subsets.astype(int).tolist()
      [[0, 0], [1, 0], [0, 1], [1, 1]]
      >>> plan.contributions(np.array([0.0, 1.0, 1.0, 1.0])).tolist()
      [[0.5, 0.5]]

    Reference:
      Shapley, "A Value for n-Person Games", Contributions to the Theory of Games II, 1953: the formula of
      its theorem.
    """

    @classmethod
    def of(cls, players: int) -> ExactShapley:
        """Returns the plan for a number of players: `2 ** players` subsets."""
        codes = np.arange(1 << players)
        return cls((codes[:, None] >> np.arange(players) & 1).astype(bool))

    def contributions(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        n = self.players
        # Exact fractions, so that values that are fractions themselves stay exact.
        weights = np.array(
            [
                fractions.Fraction(
                    math.factorial(size) * math.factorial(n - size - 1), math.factorial(n)
                )
                for size in range(n)
            ]
        )
        if values.dtype != object:
            weights = weights.astype(np.float64)
        codes, sizes = np.arange(len(self.subsets)), self.subsets.sum(axis=1)
        shares = []
        for player in range(n):
            before = codes[~self.subsets[:, player]]
            marginal = values[before | 1 << player] - values[before]
            shares.append(np.tensordot(weights[sizes[before]], marginal, axes=1))
        return np.stack(shares)[None]


@dataclasses.dataclass(frozen=True)
class SampledShapley(Plan):
    """The subsets that sampled orders of the players pass; each order comes with its reverse.

    An order and its reverse are one sample: a player that is early in one is late in the other, so what
    depends on being early cancels. The contributions of every sample sum to the whole gain.

    Attributes:
      orders: int `[orders, players]`, those at even places each followed by its reverse.
      visits: int `[orders, players + 1]`, the subsets that an order passes, from none to all.

    Reference:
      Castro, Gomez and Tejada, "Polynomial calculation of the Shapley value based on sampling", Computers &
      Operations Research 36, 2009: the estimator. Mitchell, Cooper, Frank and Holmes, "Sampling Permutations
      for Shapley Value Estimation", JMLR 23, 2022: antithetic samples are orders and their reverses.
    """

    orders: np.ndarray
    visits: np.ndarray

    @classmethod
    def of(cls, players: int, permutations: int, *, seed: int = 0) -> SampledShapley:
        """Returns the plan of a number of sampled orders.

        Args:
          players: how many.
          permutations: how many orders, reverses counted; an even number of at least 4.
          seed: of the orders.

        Raises:
          InvalidArgumentError: `permutations` is not such a number.
        """
        check_permutations(permutations)
        rng = np.random.default_rng([seed, 0x5A])
        forward = [rng.permutation(players) for _ in range(permutations // 2)]
        orders = np.stack([order for first in forward for order in (first, first[::-1])])
        passed = np.zeros((len(orders), players + 1, players), bool)
        for step in range(players):
            passed[:, step + 1] = passed[:, step]
            passed[np.arange(len(orders)), step + 1, orders[:, step]] = True
        subsets = _distinct(passed.reshape(-1, players))
        place = {subset.tobytes(): index for index, subset in enumerate(subsets)}
        visits = [[place[subset.tobytes()] for subset in order] for order in passed]
        return cls(subsets, orders, np.array(visits))

    def contributions(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        marginal = np.diff(values[self.visits], axis=1)
        shares = np.empty_like(marginal)
        shares[np.arange(len(self.orders))[:, None], self.orders] = marginal
        return (shares[0::2] + shares[1::2]) / 2


def check_permutations(permutations: int) -> None:
    """Raises an InvalidArgumentError unless it is an even integer of at least 4."""
    whole = isinstance(permutations, int) and not isinstance(permutations, bool)
    if not whole or permutations < 4 or permutations % 2:
        raise InvalidArgumentError(
            "`permutations` must be an even integer of at least 4: each order comes with its reverse, and "
            f"the chance of the orders shows between such pairs. Received: permutations={permutations!r}."
        )


def shapley_plan(
    players: int, permutations: int | None, *, exact_to: int, default: int, seed: int = 0
) -> ExactShapley | SampledShapley:
    """Returns the plan for Shapley values: of all subsets, or of sampled orders.

    Args:
      players: how many.
      permutations: how many orders to sample. Default: none to `exact_to` players, `default` beyond.
      exact_to: up to how many players all subsets are valued.
      default: how many orders are sampled beyond.
      seed: of the orders.

    Raises:
      InvalidArgumentError: `permutations` is not an even integer of at least 4.
    """
    if permutations is None and players <= exact_to:
        return ExactShapley.of(players)
    permutations = default if permutations is None else permutations
    return SampledShapley.of(players, permutations, seed=seed)


def _distinct(subsets) -> np.ndarray:
    """Subsets once each, by size and then in the order of the players: none first, all last."""
    subsets = np.unique(np.asarray(subsets, bool), axis=0)
    order = sorted(range(len(subsets)), key=lambda i: (subsets[i].sum(), (~subsets[i]).tolist()))
    return subsets[order]
