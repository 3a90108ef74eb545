"""A small simulated shop whose true preferences are known.

Everything follows from latent vectors of users and items in a space of twelve tastes. An item's
vector comes from its category, brand, colour, price and own style; the words of its title are drawn
from the vector. A user's comes from age, gender, city, device and own taste. So features tell a
part of the vectors, which is what a model can use for items that it has never seen.

A user picks items without repetition with probability proportional to

    popularity_i * exp(choice_strength * affinity_ui) * sqrt(exposure_ui)

where popularity follows a power law and exposure is the share of the user's time in which the item
was on sale; the root stands for the attention that a shop draws to what is new. All users draw at
once, with Gumbel noise (Plackett-Luce). Some items are launched late, and so are cold wherever
training ends before.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrs_augment import errors
from tfrs_augment.datasets import interactions

START = 1_704_067_200  # 2024-01-01 UTC
DAYS = 180
CHOICE_STRENGTH = 1.5
DAY = 86_400
MIN_ACTIVITY = 5

# A taste an entry: the words that titles use for it.
TASTES = (
    ("alpine", "trail", "waterproof", "thermal", "rugged", "summit"),
    ("tailored", "formal", "pressed", "office", "double", "pinstripe"),
    ("running", "training", "racing", "stretch", "sprint", "court"),
    ("fleece", "cosy", "soft", "lounge", "brushed", "quilted"),
    ("plain", "minimal", "basic", "essential", "clean", "slim"),
    ("retro", "vintage", "faded", "varsity", "corduroy", "heritage"),
    ("printed", "cartoon", "neon", "patchwork", "striped", "dotted"),
    ("merino", "organic", "linen", "hemp", "undyed", "woven"),
    ("silk", "cashmere", "evening", "satin", "velvet", "limited"),
    ("street", "cargo", "oversized", "hooded", "graphic", "boxy"),
    ("foldable", "travel", "packable", "light", "weekend", "cabin"),
    ("reflective", "heated", "smart", "seamless", "coated", "modular"),
)
CATEGORIES = (
    *("jacket", "trousers", "shirt", "shoes", "boots", "bag"),
    *("hat", "dress", "knitwear", "socks", "watch", "swimwear"),
)
BRAND_STEMS = ("alto", "bera", "cordo", "dune", "elm", "fjora", "gale", "hesta", "isla", "juno")
BRAND_ENDINGS = ("co", "works", "lab", "line")
COLOURS = ("black", "white", "grey", "navy", "red", "green", "yellow", "pink", "beige", "brown")
GENDERS = ("F", "M", "X")
_DEVICES = ("android", "ios", "desktop", "tablet")
CITIES = ("aarhus", "bilbao", "cork", "dresden", "espoo", "faro", "ghent", "haarlem")
AGE_KNOTS = np.array([16.0, 25.0, 35.0, 50.0, 80.0])


@dataclasses.dataclass(frozen=True)
class ShopSize:
    """How large a simulated shop is.

    Args:
      users: number of users, at least 1.
      items: number of items, at least 40.
      interactions: their expected number, at least 5 a user and at most an eighth of all pairs. The
        number drawn is within a few percent of it.

    Raises:
      InvalidArgumentError: a number is outside its range.
    """

    users: int
    items: int
    interactions: int

    def __post_init__(self) -> None:
        if self.users < 1 or self.items < 8 * MIN_ACTIVITY:
            raise errors.InvalidArgumentError(
                f"`users` must be at least 1 and `items` at least {8 * MIN_ACTIVITY}. Received: "
                f"{self}."
            )
        low, high = MIN_ACTIVITY * self.users, self.users * self.items // 8
        if not low <= self.interactions <= high:
            raise errors.InvalidArgumentError(
                f"`interactions` must be in [{low}, {high}] for {self.users} users and "
                f"{self.items} items. Received: interactions={self.interactions}."
            )


SIZES = {
    "tiny": ShopSize(users=200, items=160, interactions=4_000),
    "small": ShopSize(users=1_000, items=800, interactions=40_000),
}


@dataclasses.dataclass(frozen=True, eq=False)
class ShopTruth:
    """What the simulation knows and a model must find out.

    Args:
      user_ids: bytes `[users]`.
      item_ids: bytes `[items]`.
      user_vectors: float32 `[users, tastes]`.
      item_vectors: float32 `[items, tastes]`.
      popularity: float32 `[items]`, the weight of an item apart from taste; the mean is 1.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    user_vectors: np.ndarray
    item_vectors: np.ndarray
    popularity: np.ndarray

    def affinity(self, user_ids: np.ndarray, item_ids: np.ndarray) -> np.ndarray:
        """Returns float32 `[n]`, how much each user likes the item beside it.

        Args:
          user_ids: bytes `[n]`.
          item_ids: bytes `[n]`.

        Raises:
          DataError: an id is not in the shop.
        """
        users = interactions.find_ids(user_ids, self.user_ids, "the users of the shop")
        items = interactions.find_ids(item_ids, self.item_ids, "the items of the shop")
        return np.einsum("nk,nk->n", self.user_vectors[users], self.item_vectors[items])

    def affinity_matrix(self) -> np.ndarray:
        """Returns float32 `[users, items]` with mean 0 and standard deviation 1."""
        return self.user_vectors @ self.item_vectors.T

    def choice_scores(self) -> np.ndarray:
        """Returns float32 `[users, items]`, log popularity plus taste: the best ranking."""
        return np.log(self.popularity) + np.float32(CHOICE_STRENGTH) * self.affinity_matrix()


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedShopInteractions(interactions.Interactions):
    """`Interactions` with the truth behind them, which `take` keeps."""

    _: dataclasses.KW_ONLY
    truth: ShopTruth


def simulated_shop(size: str | ShopSize = "small", *, seed: int = 0) -> SimulatedShopInteractions:
    """Simulates a shop: its users, its catalogue, and half a year of rated purchases.

    Columns of `rows`, which are sorted by user and time: `user_id`, `item_id`; `timestamp` int64;
    `rating` float32 from 1 to 5; `user_age` float32 in years; `user_gender`, `user_device` and
    `user_city` bytes; `item_category`, `item_brand`, `item_colour` and `item_title` bytes;
    `item_title_words` `Ragged` of bytes; `item_price` float32; `item_launch` int64, the second from
    which the item was on sale: no interaction is earlier.

    Args:
      size: "small" (1,000 users, 800 items, 40,000 interactions), "tiny" (200, 160 and 4,000), or
        a `ShopSize`.
      seed: any integer of 0 or more; the same seed gives the same shop.

    Returns:
      The interactions, with `truth`.

    Raises:
      InvalidArgumentError: `size` is no known name.

    Example:
      >>> shop = simulated_shop("tiny", seed=3)
      >>> liked = shop.truth.affinity(shop.rows["user_id"], shop.rows["item_id"])
      >>> bool(liked.mean() > 0.5)  # over all pairs the mean is 0
      True
    """
    if isinstance(size, str):
        if size not in SIZES:
            raise errors.InvalidArgumentError(
                f"`size` must be a ShopSize or one of {', '.join(map(repr, SIZES))}. Received: "
                f"size={size!r}."
            )
        name, size = f"simulated-shop-{size}", SIZES[size]
    else:
        name = f"simulated-shop-{size.users}x{size.items}"
    # One stream a subject, so that a change to one leaves the draws of the others.
    item_rng, user_rng, choice_rng, time_rng = np.random.default_rng(seed).spawn(4)
    items, item_vectors, popularity = make_items(item_rng, size.items)
    users, user_vectors, joined = _make_users(user_rng, size.users)

    # Centring the items makes the mean affinity of every user 0.
    item_vectors -= item_vectors.mean(0)
    user_vectors /= (user_vectors @ item_vectors.T).std()
    truth = ShopTruth(
        users["user_id"],
        items["item_id"],
        user_vectors.astype(np.float32),
        item_vectors.astype(np.float32),
        popularity.astype(np.float32),
    )
    user, item = _choose(choice_rng, size, truth, joined, items["item_launch"])

    end = START + DAYS * DAY
    start = np.maximum(joined[user], items["item_launch"][item])
    timestamp = start + (time_rng.random(len(user)) * (end - start)).astype(np.int64)
    affinity = np.einsum("nk,nk->n", truth.user_vectors[user], truth.item_vectors[item])
    rating = np.clip(np.rint(3.0 + 0.6 * affinity + 0.7 * time_rng.normal(size=len(user))), 1, 5)
    order = np.lexsort((item, timestamp, user))
    events = {
        "user_id": users["user_id"][user],
        "item_id": items["item_id"][item],
        "timestamp": timestamp,
        "rating": rating.astype(np.float32),
    }
    joint = interactions.Interactions.from_tables(
        {column: values[order] for column, values in events.items()}, items, users
    )
    return SimulatedShopInteractions(joint.rows, items, users, name=name, truth=truth)


def make_items(
    rng: np.random.Generator, count: int
) -> tuple[dict[str, interactions.Column], np.ndarray, np.ndarray]:
    """Returns the catalogue, latent vectors `[count, tastes]` and popularity `[count]`."""
    tastes = len(TASTES)
    brands = [stem + ending for stem in BRAND_STEMS for ending in BRAND_ENDINGS]
    # A brand makes three categories, and few brands make most items.
    ranges = rng.permuted(np.tile(np.arange(len(CATEGORIES)), (len(brands), 1)), axis=1)[:, :3]
    share = 1.0 / np.arange(1, len(brands) + 1)
    brand = rng.choice(len(brands), count, p=share / share.sum())
    category = ranges[brand, rng.integers(0, 3, count)]
    colour = rng.integers(0, len(COLOURS), count)
    log_price = 3.5 + 0.5 * rng.normal(size=len(CATEGORIES))[category]
    luxury = 0.5 * rng.normal(size=len(brands))[brand] + 0.3 * rng.normal(size=count)
    vectors = (
        0.7 * rng.normal(size=(len(CATEGORIES), tastes))[category]
        + 0.5 * rng.normal(size=(len(brands), tastes))[brand]
        + 0.2 * rng.normal(size=(len(COLOURS), tastes))[colour]
        + 0.5 * luxury[:, None] * rng.normal(size=tastes)
        + 0.6 * rng.normal(size=(count, tastes))
    )
    titles, words = _make_titles(rng, vectors, category)

    # Zipf's law with Mandelbrot's offset, which keeps one item from being in every basket.
    popularity = (rng.permutation(count) + 5.0) ** -1.0
    # Seven of ten items are there from the start, three are launched on the way, half of these so
    # late that they are cold wherever training holds the first 80 % of interactions.
    kind = rng.random(count)
    late = np.where(kind < 0.85, rng.uniform(0.0, 0.8, count), rng.uniform(0.91, 0.93, count))
    launch = START + np.where(kind < 0.7, 0.0, late * DAYS * DAY).astype(np.int64)
    items = {
        "item_id": make_ids("i", count),
        "item_category": np.array(CATEGORIES, "S")[category],
        "item_brand": np.array(brands, "S")[brand],
        "item_colour": np.array(COLOURS, "S")[colour],
        "item_price": np.exp(log_price + luxury).round(2).astype(np.float32),
        "item_title": titles,
        "item_title_words": words,
        "item_launch": launch,
    }
    return items, vectors, popularity / popularity.mean()


def _make_titles(
    rng: np.random.Generator, vectors: np.ndarray, category: np.ndarray
) -> tuple[np.ndarray, interactions.Ragged]:
    """Returns titles and their words: one to three of strong tastes, then what the item is."""
    count = len(vectors)
    # The Gumbel trick: the largest of noisy scores are a draw without repetition.
    noisy = 2.5 * vectors + rng.gumbel(size=vectors.shape)
    taste = np.argsort(-noisy, axis=1)[:, :3]
    word = rng.integers(0, len(TASTES[0]), (count, 3))
    used = rng.integers(1, 4, count)
    lists = [
        [*(TASTES[t][w] for t, w in zip(taste[i, : used[i]], word[i], strict=False)), noun]
        for i, noun in enumerate(np.array(CATEGORIES)[category].tolist())
    ]
    titles = np.array([" ".join(words).capitalize() for words in lists], "S")
    return titles, interactions.Ragged.from_lists(lists, dtype="S")


def _make_users(
    rng: np.random.Generator, count: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Returns the users, latent vectors `[count, tastes]` and the second each joined `[count]`."""
    tastes = len(TASTES)
    age = np.clip(np.rint(rng.gamma(6.0, 4.0, count) + 14.0), AGE_KNOTS[0], AGE_KNOTS[-1])
    gender = rng.choice(len(GENDERS), count, p=(0.52, 0.45, 0.03))
    device = rng.choice(len(_DEVICES), count, p=(0.4, 0.3, 0.22, 0.08))
    city = rng.integers(0, len(CITIES), count)
    # Tastes change smoothly with age: straight lines between the vectors of a few ages.
    by_age = rng.normal(size=(len(AGE_KNOTS), tastes))
    vectors = (
        0.7 * np.stack([np.interp(age, AGE_KNOTS, column) for column in by_age.T], axis=1)
        + 0.5 * rng.normal(size=(len(GENDERS), tastes))[gender]
        + 0.2 * rng.normal(size=(len(_DEVICES), tastes))[device]
        + 0.3 * rng.normal(size=(len(CITIES), tastes))[city]
        + 0.8 * rng.normal(size=(count, tastes))
    )
    new = rng.random(count) < 0.4
    joined = START + (new * rng.uniform(0.0, 0.95, count) * DAYS * DAY).astype(np.int64)
    users = {
        "user_id": make_ids("u", count),
        "user_age": age.astype(np.float32),
        "user_gender": np.array(GENDERS, "S")[gender],
        "user_device": np.array(_DEVICES, "S")[device],
        "user_city": np.array(CITIES, "S")[city],
    }
    return users, vectors, joined


def _choose(
    rng: np.random.Generator,
    size: ShopSize,
    truth: ShopTruth,
    joined: np.ndarray,
    launch: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the users and items of all interactions."""
    activity = rng.lognormal(0.0, 0.9, size.users)
    spare = size.interactions - MIN_ACTIVITY * size.users
    counts = MIN_ACTIVITY + np.rint(spare * activity / activity.sum()).astype(np.int64)
    counts = np.minimum(counts, size.items // 3)
    end = START + DAYS * DAY
    exposure = (end - np.maximum(joined[:, None], launch)) / (end - joined)[:, None]
    scores = truth.choice_scores() + 0.5 * np.log(exposure) + rng.gumbel(size=exposure.shape)
    ranked = np.argsort(-scores, axis=1, kind="stable")
    chosen = np.arange(size.items) < counts[:, None]
    return np.nonzero(chosen)[0], ranked[chosen]


def make_ids(prefix: str, count: int, *, start: int = 0, total: int | None = None) -> np.ndarray:
    """Returns bytes `[count]`: the prefix and the number from `start + 1` on, of one width.

    Args:
      prefix: the letter before the number.
      count: how many ids.
      start: how many ids there are before these.
      total: how many there are in all, which sets the width; None is `count`.
    """
    width = len(str(total or count))
    numbers = range(start + 1, start + count + 1)
    return np.array([f"{prefix}{number:0{width}d}" for number in numbers], "S")
