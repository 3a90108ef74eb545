"""MovieLens as `Interactions`, from the raw files of 100K or from TensorFlow Datasets.

The data are GroupLens's, for research use and not to be redistributed; no file of theirs is part of
this library. Reference: Harper and Konstan, "The MovieLens Datasets: History and Context", 2015.

Columns of `rows`: `user_id`, `movie_id`, `movie_title` and `user_occupation` bytes, `user_gender`
b"M" or b"F", `user_age` float32 in years, `movie_title_words` and `movie_genres` `Ragged` of bytes,
`movie_year` float32, `user_rating` float32 from 1 to 5, `timestamp` int64.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from tfrs_augment import errors
from tfrs_augment.datasets import interactions

_RAW_FILES = ("u.data", "u.item", "u.user")
_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
# Genres of the 19 flags of u.item, in order, under the names that TensorFlow Datasets uses.
_GENRES = (
    *("Unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary"),
    *("Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi"),
    *("Thriller", "War", "Western"),
)
_STOP_WORDS = frozenset(
    ("a", "an", "and", "de", "for", "from", "in", "la", "le", "les", "of", "on", "the", "to")
)
_MAX_TITLE_WORDS = 6


def movielens_100k(data_dir: str | os.PathLike[str]) -> interactions.Interactions:
    """Loads MovieLens 100K from its raw files.

    Args:
      data_dir: the folder with `u.data`, `u.item` and `u.user`.

    Returns:
      100,000 interactions sorted by user, time and movie, with 1,682 movies and 943 users. The same
      as `movielens_from_tfds("movielens/100k-ratings")` gives.

    Raises:
      DataError: a file is absent or a line of it does not have the right fields.
    """
    folder = pathlib.Path(data_dir)
    absent = [name for name in _RAW_FILES if not (folder / name).is_file()]
    if absent:
        raise errors.DataError(
            f"`data_dir` must hold {', '.join(_RAW_FILES)}. Received: {folder} without "
            f"{', '.join(absent)}. Unpack {_URL} and pass its folder ml-100k."
        )
    ratings = _fields(folder / "u.data", "\t", 4, numeric=(0, 1, 2, 3))
    movies = _fields(folder / "u.item", "|", 24, numeric=(0, *range(5, 24)))
    users = _fields(folder / "u.user", "|", 5, numeric=(0, 1))
    genres = [
        [g for g, flag in zip(_GENRES, row[5:], strict=True) if flag == "1"] for row in movies
    ]
    return _build(
        events={
            "user_id": _bytes(row[0] for row in ratings),
            "movie_id": _bytes(row[1] for row in ratings),
            "user_rating": np.array([row[2] for row in ratings]).astype(np.float32),
            "timestamp": np.array([row[3] for row in ratings]).astype(np.int64),
        },
        movies={
            "movie_id": _bytes(row[0] for row in movies),
            "movie_title": _bytes(row[1] for row in movies),
            "movie_genres": interactions.Ragged.from_lists(genres, dtype="S"),
        },
        users={
            "user_id": _bytes(row[0] for row in users),
            "user_age": np.array([row[1] for row in users]).astype(np.float32),
            "user_gender": _bytes(row[2] for row in users),
            "user_occupation": _bytes(row[3] for row in users),
        },
        name="movielens-100k",
    )


def movielens_from_tfds(
    name: str = "movielens/100k-ratings", data_dir: str | os.PathLike[str] | None = None
) -> interactions.Interactions:
    """Loads a MovieLens data set from TensorFlow Datasets, which downloads it where it must.

    Args:
      name: a ratings set of the TFDS builder `movielens`: "movielens/100k-ratings" or the same of
        1m, latest-small, 20m and 25m. 1m has the lower end of an age range in place of the age; the
        last three have no features of users.
      data_dir: where TFDS keeps prepared data; None is its default, ~/tensorflow_datasets.

    Returns:
      All ratings, sorted by user, time and movie, joined with the `-movies` set of the same name.

    Raises:
      InvalidArgumentError: `name` is not a ratings set of MovieLens.
    """
    match = re.fullmatch(r"movielens/([\w-]+)-ratings(:[\d.]+)?", name)
    if not match:
        raise errors.InvalidArgumentError(
            "`name` must be 'movielens/<version>-ratings', for example 'movielens/100k-ratings'. "
            f"Received: name={name!r}."
        )
    # The import takes time and a package that raw files do without.
    from tfrs_augment.datasets import tfds_columns

    features = ("user_gender", "user_occupation_text", "raw_user_age", "bucketized_user_age")
    ids = ("user_id", "movie_id", "user_rating", "timestamp")
    ratings = tfds_columns.load_columns(name, (*ids, *features), data_dir=data_dir)
    movies = tfds_columns.load_columns(
        name.replace("-ratings", "-movies"),
        ("movie_id", "movie_title", "movie_genres"),
        data_dir=data_dir,
    )
    user_ids, first = np.unique(ratings["user_id"], return_index=True)
    users = {"user_id": user_ids}
    if "user_gender" in ratings:
        age = ratings.get("raw_user_age", ratings["bucketized_user_age"])
        users["user_age"] = age[first]
        users["user_gender"] = np.where(ratings["user_gender"][first] == 1, b"M", b"F")
        users["user_occupation"] = ratings["user_occupation_text"][first]
    return _build(
        events={column: ratings[column] for column in ids},
        movies=movies,
        users=users,
        name=f"movielens-{match.group(1)}",
    )


def title_words(title: str) -> list[str]:
    """Returns at most six lowercase words of a title, without brackets (the year) and stop words.

    Example:
      >>> title_words("Usual Suspects, The (1995)")
      ['usual', 'suspects']
    """
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", re.sub(r"\(.*?\)", " ", title).lower())
    return [word for word in words if word not in _STOP_WORDS][:_MAX_TITLE_WORDS]


def title_years(titles: Sequence[str]) -> np.ndarray:
    """Returns float32 `[n]`, the year in brackets of each title; where none is, their median."""
    found = [re.findall(r"\((\d{4})\)", title) for title in titles]
    years = np.array([float(years[-1]) if years else np.nan for years in found], np.float32)
    known = years[~np.isnan(years)]
    # The median, not 0: a normalized 0 would be an outlier of two thousand years.
    years[np.isnan(years)] = np.float32(int(np.median(known))) if len(known) else 0.0
    return years


def _build(
    events: interactions.Table, movies: interactions.Table, users: interactions.Table, *, name: str
) -> interactions.Interactions:
    """Derives the features of titles and puts the three tables in their canonical order."""
    titles = [title.decode("utf-8") for title in movies["movie_title"].tolist()]
    words = [[word.encode("utf-8") for word in title_words(title)] for title in titles]
    movies = {
        **movies,
        "movie_title_words": interactions.Ragged.from_lists(words, dtype="S"),
        "movie_year": title_years(titles),
    }
    by_event = np.lexsort(
        (_number(events["movie_id"]), events["timestamp"], _number(events["user_id"]))
    )
    return interactions.Interactions.from_tables(
        _take(events, by_event),
        _take(movies, np.argsort(_number(movies["movie_id"]))),
        _take(users, np.argsort(_number(users["user_id"]))),
        item_id="movie_id",
        name=name,
    )


def _take(table: interactions.Table, index: np.ndarray) -> interactions.Table:
    return {name: interactions.take_column(column, index) for name, column in table.items()}


def _number(ids: np.ndarray) -> np.ndarray:
    """Returns the ids, which are written as decimal numbers, as int64 to sort by."""
    return ids.astype(np.int64)


def _bytes(texts: Iterable[str]) -> np.ndarray:
    return np.array([text.encode("utf-8") for text in texts], "S")


def _fields(
    path: pathlib.Path, separator: str, count: int, *, numeric: Sequence[int]
) -> list[list[str]]:
    """Returns the fields of every line of a raw file."""
    # Not `splitlines`, which also cuts at characters that latin-1 titles may hold.
    lines = path.read_text(encoding="latin-1").rstrip("\n").split("\n")
    rows = [line.split(separator) for line in lines]
    for number, row in enumerate(rows, 1):
        if len(row) != count or not all(row[i].isdecimal() for i in numeric):
            raise errors.DataError(
                f"A line of {path.name} must have {count} fields, and numbers where MovieLens's "
                f"README says so. Received: {lines[number - 1][:80]!r} (line {number} of {path})."
            )
    return rows
