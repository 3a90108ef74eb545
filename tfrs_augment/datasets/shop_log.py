"""The click log of a simulated shop, of any size: devices, sessions, searches and drift.

`simulated_shop` draws from all pairs of users and items, which is exact and ends at some million
pairs. This log keeps its catalogue and its tastes, and draws sessions: a user opens the shop on a
device, is shown a slate of items drawn by the popularity of the week, and takes some of them with
probability proportional to

    exp(choice_strength * (user_u(t) + device_d) . item_i + price_taste_d * price_i)

without repetition within the session (Plackett-Luce). Two things move over the half year, both in
proportion to `drift`. Popularity: that of an item is base_i * exp(drift * trend_i * (2 t - 1)), `t`
from 0 to 1, and the trends of a category go together. Taste: a user's vector turns by
drift * 90 degrees, from one that follows from the user's features to one that follows from a
fashion, the same for all, and from chance.

Rows are drawn in blocks of users. A block depends on the seed, the size and its number alone, so
any worker gives the same rows in any order, and memory is that of one block.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from tfrs_augment import errors
from tfrs_augment.datasets import interactions, queries, shop

BLOCK_USERS = 1_000
MAX_SESSION = 12
_SLATE = 48
_WEEK = 7 * shop.DAY
_WEEKS = -(-shop.DAYS // 7)
# One stream a subject: the second number of the seed of its generator.
_CATALOGUE, _WORLD, _BLOCK = range(3)

SIZES = {
    "1k": shop.ShopSize(users=100, items=160, interactions=1_000),
    "10k": shop.ShopSize(users=500, items=400, interactions=10_000),
    "100k": shop.ShopSize(users=4_000, items=2_000, interactions=100_000),
    "1m": shop.ShopSize(users=25_000, items=10_000, interactions=1_000_000),
    "10m": shop.ShopSize(users=200_000, items=50_000, interactions=10_000_000),
    "100m": shop.ShopSize(users=2_000_000, items=200_000, interactions=100_000_000),
}


@dataclasses.dataclass(frozen=True)
class Device:
    """How people shop on a kind of device.

    Args:
      share: chance of being a user's main device.
      session_length: mean of the geometric law of the items a session, cut at `MAX_SESSION` and
        where the user's last item is reached.
      search_rate: chance of an item to be found by a search, and not by browsing.
      typo_rate: chance of a word of a query to be mistyped.
      price_taste: score that a standard deviation of the log price adds; negative buys cheap.
      hour: the time of day, UTC, around which sessions start.
      hour_spread: standard deviation of that time, in hours.
    """

    share: float
    session_length: float
    search_rate: float
    typo_rate: float
    price_taste: float
    hour: float
    hour_spread: float


DEVICES: Mapping[str, Device] = {
    "web": Device(0.3, 5.0, 0.6, 0.05, 0.3, 13.0, 3.0),
    "ios": Device(0.25, 2.5, 0.4, 0.12, 0.4, 19.0, 4.0),
    "android": Device(0.35, 2.5, 0.4, 0.15, -0.5, 18.0, 4.0),
    "tablet": Device(0.1, 4.0, 0.3, 0.08, 0.0, 21.0, 1.5),
}


@dataclasses.dataclass(frozen=True, eq=False)
class LogTruth:
    """What the simulation knows and a model must find out; the rest is in `DEVICES`.

    Args:
      user_ids: bytes `[users]`.
      item_ids: bytes `[items]`.
      first_vectors: float32 `[users, tastes]`, what users like on the first day.
      last_vectors: float32 `[users, tastes]`, what they would like after a turn of 90 degrees.
      device_vectors: float32 `[devices, tastes]`, in the order of `DEVICES`.
      item_vectors: float32 `[items, tastes]`.
      popularity: float32 `[weeks, items]`, 0 before an item is on sale; the mean is 1.
      drift: as of `simulated_shop_log`.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    first_vectors: np.ndarray
    last_vectors: np.ndarray
    device_vectors: np.ndarray
    item_vectors: np.ndarray
    popularity: np.ndarray
    drift: float

    def user_vectors(self, user_ids: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
        """Returns float32 `[n, tastes]`, what each user likes at the second beside it.

        Args:
          user_ids: bytes `[n]`.
          timestamp: int64 `[n]`, seconds since 1970.

        Raises:
          DataError: an id is not in the shop.
        """
        users = interactions.find_ids(user_ids, self.user_ids, "the users of the shop")
        vectors = _turn(self.first_vectors[users], self.last_vectors[users], self.drift, timestamp)
        return vectors.astype(np.float32)

    def affinity(
        self, user_ids: np.ndarray, item_ids: np.ndarray, timestamp: np.ndarray
    ) -> np.ndarray:
        """Returns float32 `[n]`, how much each user likes the item beside it at that second.

        Args:
          user_ids: bytes `[n]`.
          item_ids: bytes `[n]`.
          timestamp: int64 `[n]`, seconds since 1970.

        Raises:
          DataError: an id is not in the shop.
        """
        items = interactions.find_ids(item_ids, self.item_ids, "the items of the shop")
        vectors = self.user_vectors(user_ids, timestamp)
        return np.einsum("nk,nk->n", vectors, self.item_vectors[items])


@dataclasses.dataclass(frozen=True, eq=False)
class ShopLog(interactions.Interactions):
    """`Interactions` with the truth behind them, which `take` keeps."""

    _: dataclasses.KW_ONLY
    truth: LogTruth


def simulated_shop_log(
    size: str | shop.ShopSize = "10k", *, seed: int = 0, drift: float = 0.3
) -> ShopLog:
    """Simulates the click log of a shop in memory; TFDS's `simulated_shop_log` makes large ones.

    Columns of `rows`, sorted by user and time, beside those of `simulated_shop`: `device` bytes, on
    which the session took place (`user_device` is the user's main one); `session_id` int64;
    `session_position` int64 from 1; `query` bytes, what was typed, empty where the item was found
    by browsing; `query_intended` bytes, the same without typing errors: truth, and no feature.

    Args:
      size: "1k", "10k", "100k", "1m", "10m" or "100m", the number of interactions, which is exact
        ("1m" takes about 1 GB of memory), or a `ShopSize`.
      seed: any integer of 0 or more; the same seed gives the same log.
      drift: how far popularity and taste move over the half year, in [0, 1]; 0 keeps them still.

    Returns:
      The interactions, with `truth`.

    Raises:
      InvalidArgumentError: `size` is no known name, or `drift` is out of range.

    Example:
      >>> log = simulated_shop_log("1k", seed=3)
      >>> len(log), sorted(set(log.rows["device"].tolist()))
      (1000, [b'android', b'ios', b'tablet', b'web'])
    """
    world = ShopWorld(size_of(size), seed, drift)
    blocks = [world.block(number) for number in range(world.blocks)]
    rows, users = (
        {name: _concatenate([table[name] for table in tables]) for name in tables[0]}
        for tables in zip(*[(block.rows, block.users) for block in blocks], strict=True)
    )
    truth = LogTruth(
        users["user_id"],
        world.items["item_id"],
        np.concatenate([block.first_vectors for block in blocks]).astype(np.float32),
        np.concatenate([block.last_vectors for block in blocks]).astype(np.float32),
        world.device_vectors.astype(np.float32),
        world.item_vectors.astype(np.float32),
        world.popularity.astype(np.float32),
        drift,
    )
    name = size if isinstance(size, str) else f"{size.users}x{size.items}"
    return ShopLog(rows, world.items, users, name=f"simulated-shop-log-{name}", truth=truth)


def size_of(size: str | shop.ShopSize) -> shop.ShopSize:
    """Returns the size that a name stands for, and a `ShopSize` as it is."""
    if isinstance(size, shop.ShopSize):
        return size
    if size not in SIZES:
        raise errors.InvalidArgumentError(
            f"`size` must be a ShopSize or one of {', '.join(map(repr, SIZES))}. Received: "
            f"size={size!r}."
        )
    return SIZES[size]


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """The users of a block, their rows, and their vectors `[users, tastes]` at both ends."""

    users: dict[str, np.ndarray]
    rows: dict[str, interactions.Column]
    first_vectors: np.ndarray
    last_vectors: np.ndarray


class ShopWorld:
    """What all blocks of a log share, and the blocks.

    Args:
      size: as of `simulated_shop_log`.
      seed: as of `simulated_shop_log`.
      drift: as of `simulated_shop_log`.

    Raises:
      InvalidArgumentError: `drift` is out of range.
    """

    def __init__(self, size: shop.ShopSize, seed: int = 0, drift: float = 0.3):
        if not 0 <= drift <= 1:
            raise errors.InvalidArgumentError(
                f"`drift` must be in [0, 1]. Received: drift={drift}."
            )
        self._size, self._seed, self._drift = size, seed, drift
        rng = np.random.default_rng([seed, _CATALOGUE])
        self.items, vectors, base = shop.make_items(rng, size.items)
        self.item_vectors = vectors - vectors.mean(0)
        log_price = np.log(self.items["item_price"])
        self._price = (log_price - log_price.mean()) / log_price.std()
        self._query_maker = queries.QueryMaker(self.items)

        rng = np.random.default_rng([seed, _WORLD])
        tastes = vectors.shape[1]
        self._by_age = 0.7 * rng.normal(size=(len(shop.AGE_KNOTS), tastes))
        self._by_gender = 0.5 * rng.normal(size=(len(shop.GENDERS), tastes))
        self._by_city = 0.3 * rng.normal(size=(len(shop.CITIES), tastes))
        self._fashion = 0.7 * rng.normal(size=tastes)
        self.device_vectors = rng.normal(size=(len(DEVICES), tastes))
        category = np.unique(self.items["item_category"], return_inverse=True)[1]
        trend = 0.8 * rng.normal(size=len(shop.CATEGORIES))[category]
        trend += 0.6 * rng.normal(size=size.items)
        # What is launched within a week is shown from the next week on.
        week = np.arange(_WEEKS)[:, None]
        popularity = base * np.exp(drift * trend * (2 * week / (_WEEKS - 1) - 1))
        popularity *= self.items["item_launch"] <= shop.START + week * _WEEK
        self.popularity = popularity / popularity.mean(1, keepdims=True)
        self._cumulative = self.popularity.cumsum(1) / self.popularity.sum(1, keepdims=True)

        # Taste has the weight that it has in `simulated_shop`: its standard deviation over pairs
        # is 1. A sample of users sets the scale, since a block must not depend on the others.
        self._scales = np.ones(2)
        sample = self._draw_users(rng, 4_096)[1:3]
        self._scales = np.array([1 / self._spread(vectors) for vectors in sample])
        # A device weighs half as much as the user.
        self.device_vectors *= 0.5 / self._spread(self.device_vectors)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return -(-self._size.users // BLOCK_USERS)

    def first_row(self, number: int) -> int:
        """Returns the number of the rows before a block."""
        users = min(number * BLOCK_USERS, self._size.users)
        return self._size.interactions * users // self._size.users

    def block(self, number: int) -> Block:
        """Returns a block of users and their rows, sorted by user and time.

        Args:
          number: which block, from 0 to `blocks - 1`.
        """
        rng = np.random.default_rng([self._seed, _BLOCK, number])
        start = number * BLOCK_USERS
        count = min(BLOCK_USERS, self._size.users - start)
        users, first, last, device_bounds, joined = self._draw_users(rng, count)
        ids = shop.make_ids("u", count, start=start, total=self._size.users)
        users = {"user_id": ids, **users}

        rows_left = self.first_row(number + 1) - self.first_row(number)
        counts = _share(rng.lognormal(0.0, 0.9, count), rows_left)
        user, device, length, begin = _sessions(rng, counts, device_bounds, joined)
        vectors = _turn(first[user], last[user], self._drift, begin)
        item = self._pick(rng, vectors, device, length, begin)

        session = np.repeat(np.arange(len(user)), length)
        position = np.arange(len(session)) - np.repeat(np.cumsum(length) - length, length)
        pause = 5 + rng.lognormal(3.5, 0.8, len(session)).astype(np.int64)
        passed = np.cumsum(pause)
        before = (passed - pause)[position == 0]
        timestamp = begin[session] + passed - before[session]
        # Two sessions of a user may overlap.
        order = np.lexsort((timestamp, user[session]))
        session, position, timestamp, item = (
            column[order] for column in (session, position, timestamp, item)
        )
        liked = np.einsum("nk,nk->n", vectors[session], self.item_vectors[item])
        rating = np.clip(np.rint(3.0 + 0.6 * liked + 0.7 * rng.normal(size=len(item))), 1, 5)
        query, intended = self._search(rng, device[session], item)
        of_user = np.arange(len(user)) - np.searchsorted(user, user)
        rows = {
            "user_id": ids[user][session],
            "item_id": self.items["item_id"][item],
            "timestamp": timestamp,
            "rating": rating.astype(np.float32),
            "device": np.array(list(DEVICES), "S")[device][session],
            "session_id": ((start + user) * 100_000 + of_user)[session],
            "session_position": position + 1,
            "query": query,
            "query_intended": intended,
        }
        for table, index in ((self.items, item), (users, user[session])):
            for name, column in table.items():
                rows.setdefault(name, interactions.take_column(column, index))
        return Block(users, rows, first, last)

    def _spread(self, vectors: np.ndarray) -> float:
        """Returns the standard deviation of `vectors @ item_vectors.T`, whose mean is 0."""
        covariance = self.item_vectors.T @ self.item_vectors / len(self.item_vectors)
        return float(np.sqrt(np.einsum("nk,kl,nl->n", vectors, covariance, vectors).mean()))

    def _draw_users(
        self, rng: np.random.Generator, count: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns features, first and last vectors, bounds of devices, and days of joining."""
        low, high = shop.AGE_KNOTS[[0, -1]]
        age = np.clip(np.rint(rng.gamma(6.0, 4.0, count) + 14.0), low, high)
        gender = rng.choice(len(shop.GENDERS), count, p=(0.52, 0.45, 0.03))
        city = rng.integers(0, len(shop.CITIES), count)
        by_age = np.stack([np.interp(age, shop.AGE_KNOTS, c) for c in self._by_age.T], axis=1)
        first = by_age + self._by_gender[gender] + self._by_city[city]
        first += 0.8 * rng.normal(size=first.shape)
        last = self._fashion + 1.1 * rng.normal(size=first.shape)

        shares = np.array([device.share for device in DEVICES.values()])
        main = rng.choice(len(shares), count, p=shares / shares.sum())
        # The main device takes most sessions, each other that the user owns a part.
        weights = (rng.random((count, len(shares))) < 0.4).astype(np.float64)
        weights[np.arange(count), main] = 3.0
        bounds = weights.cumsum(1) / weights.sum(1, keepdims=True)
        joined = (rng.random(count) < 0.4) * rng.uniform(0.0, 0.95, count) * (shop.DAYS - 1)
        users = {
            "user_age": age.astype(np.float32),
            "user_gender": np.array(shop.GENDERS, "S")[gender],
            "user_device": np.array(list(DEVICES), "S")[main],
            "user_city": np.array(shop.CITIES, "S")[city],
        }
        return users, self._scales[0] * first, self._scales[1] * last, bounds, joined

    def _pick(
        self,
        rng: np.random.Generator,
        vectors: np.ndarray,
        device: np.ndarray,
        length: np.ndarray,
        begin: np.ndarray,
    ) -> np.ndarray:
        """Returns the items that the sessions take, session by session."""
        week = (begin - shop.START) // _WEEK
        shown = np.empty((len(device), _SLATE), np.int64)
        draws = rng.random(shown.shape)
        for number in np.unique(week):
            chosen = week == number
            shown[chosen] = np.searchsorted(self._cumulative[number], draws[chosen], side="right")
        shown.sort(axis=1)
        price_taste = np.array([each.price_taste for each in DEVICES.values()])
        taste = shop.CHOICE_STRENGTH * (vectors + self.device_vectors[device])
        scores = rng.gumbel(size=shown.shape)
        # A few sessions at a time: the vectors of all that is shown would fill the memory.
        for part in np.array_split(np.arange(len(device)), max(len(device) // 2_048, 1)):
            items = shown[part]
            scores[part] += np.einsum("sk,sik->si", taste[part], self.item_vectors[items])
            scores[part] += price_taste[device[part], None] * self._price[items]
        # What is on the slate twice is taken twice only where the slate has nothing else.
        scores[:, 1:][shown[:, 1:] == shown[:, :-1]] -= 1e6
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :MAX_SESSION]
        taken = np.arange(MAX_SESSION) < length[:, None]
        return np.take_along_axis(shown, ranked, axis=1)[taken]

    def _search(
        self, rng: np.random.Generator, device: np.ndarray, item: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the queries as typed and as intended, empty where there was no search."""
        search_rate = np.array([each.search_rate for each in DEVICES.values()])
        typo_rate = np.array([each.typo_rate for each in DEVICES.values()])
        found = rng.random(len(item)) < search_rate[device]
        result = []
        for text in self._query_maker.make(rng, item[found], typo_rate[device[found]]):
            column = np.zeros(len(item), text.dtype)
            column[found] = text
            result.append(column)
        return result[0], result[1]


@functools.lru_cache(maxsize=2)
def cached_world(size: str, seed: int = 0, drift: float = 0.3) -> ShopWorld:
    """Returns the world of a named size, kept, since a worker makes many blocks of it."""
    return ShopWorld(size_of(size), seed, drift)


def _turn(first: np.ndarray, last: np.ndarray, drift: float, timestamp: np.ndarray) -> np.ndarray:
    """Returns `[n, tastes]`, the vectors turned as far as the time has come."""
    angle = (drift * np.pi / 2 * (timestamp - shop.START) / (shop.DAYS * shop.DAY))[:, None]
    return np.cos(angle) * first + np.sin(angle) * last


def _share(activity: np.ndarray, rows: int) -> np.ndarray:
    """Returns int64 `[users]`, the rows of each user by activity; their sum is exactly `rows`."""
    spare = rows - shop.MIN_ACTIVITY * len(activity)
    bounds = np.rint(spare * activity.cumsum() / activity.sum()).astype(np.int64)
    return shop.MIN_ACTIVITY + np.diff(bounds, prepend=0)


def _sessions(
    rng: np.random.Generator, counts: np.ndarray, device_bounds: np.ndarray, joined: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns user, device, length and first second of the sessions, by user and time."""
    # As many sessions as there are rows are enough; those after a user's last row are dropped.
    user = np.repeat(np.arange(len(counts)), counts)
    device = (rng.random(len(user))[:, None] >= device_bounds[user]).sum(axis=1)
    means = np.array([each.session_length for each in DEVICES.values()])
    length = np.minimum(rng.geometric(1 / means[device]), MAX_SESSION)
    passed = np.cumsum(length) - length
    passed -= np.repeat(passed[np.cumsum(counts) - counts], counts)
    kept = passed < counts[user]
    user, device, passed, length = user[kept], device[kept], passed[kept], length[kept]
    length = np.minimum(length, counts[user] - passed)

    hour, spread = (
        np.array([getattr(each, name) for each in DEVICES.values()])[device]
        for name in ("hour", "hour_spread")
    )
    # No session starts on the last day, so that all end within the half year.
    day = np.floor(rng.uniform(joined[user], shop.DAYS - 1)).astype(np.int64)
    second = (3600 * (rng.normal(hour, spread) % 24)).astype(np.int64)
    begin = shop.START + day * shop.DAY + second
    order = np.lexsort((begin, user))
    return user[order], device[order], length[order], begin[order]


def _concatenate(columns: list[interactions.Column]) -> interactions.Column:
    """Returns the columns of several blocks as one."""
    if not isinstance(columns[0], interactions.Ragged):
        return np.concatenate(columns)
    lengths = np.concatenate([column.row_lengths() for column in columns])
    values = np.concatenate([column.values for column in columns])
    return interactions.Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
