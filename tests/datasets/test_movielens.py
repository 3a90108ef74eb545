"""Tests of the MovieLens loaders. Those of all rows use the real files beside the project."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfrs_augment import errors
from tfrs_augment.datasets import interactions, movielens

# Invented lines in the raw format; the é is one byte in latin-1.
RATINGS = "2\t1\t4\t500\n10\t2\t5\t300\n2\t2\t1\t400\n"
MOVIES = (
    "2|Café of the Long, Long and Very Slow Trains, The (Le Café) (1971)|||u|"
    + "|".join("1" if flag in (4, 18) else "0" for flag in range(19))
    + "\n1|untitled|||u|1"
    + "|0" * 18
    + "\n"
)
USERS = "10|60|F|doctor|00000\n2|21|M|none|T8H1N\n"


@pytest.fixture
def raw(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, text in (("u.data", RATINGS), ("u.item", MOVIES), ("u.user", USERS)):
        (tmp_path / name).write_text(text, encoding="latin-1")
    return tmp_path


@pytest.fixture(scope="module")
def real(shared_data: pathlib.Path) -> interactions.Interactions:
    return movielens.movielens_100k(shared_data / "ml-100k")


def assert_same(a: interactions.Interactions, b: interactions.Interactions) -> None:
    assert (a.name, a.item_id) == (b.name, b.item_id)
    for table in ("rows", "items", "users"):
        left, right = getattr(a, table), getattr(b, table)
        assert left.keys() == right.keys()
        for name in left:
            assert type(left[name]) is type(right[name])
            assert left[name].dtype == right[name].dtype
            if isinstance(left[name], interactions.Ragged):
                np.testing.assert_array_equal(left[name].row_splits, right[name].row_splits)
                np.testing.assert_array_equal(left[name].values, right[name].values)
            else:
                np.testing.assert_array_equal(left[name], right[name])


def test_raw_files_give_the_documented_columns(raw):
    data = movielens.movielens_100k(raw)
    rows = {
        name: (column.to_lists() if isinstance(column, interactions.Ragged) else column.tolist())
        for name, column in data.rows.items()
    }
    title = "Café of the Long, Long and Very Slow Trains, The (Le Café) (1971)".encode()
    assert rows == {
        # Sorted by number, not as text: 2 before 10; then by time.
        "user_id": [b"2", b"2", b"10"],
        "movie_id": [b"2", b"1", b"2"],
        "timestamp": [400, 500, 300],
        "user_rating": [1.0, 4.0, 5.0],
        "user_age": [21.0, 21.0, 60.0],
        "user_gender": [b"M", b"M", b"F"],
        "user_occupation": [b"none", b"none", b"doctor"],
        "movie_title": [title, b"untitled", title],
        "movie_title_words": [
            ["café".encode(), b"long", b"long", b"very", b"slow", b"trains"],
            [b"untitled"],
            ["café".encode(), b"long", b"long", b"very", b"slow", b"trains"],
        ],
        "movie_year": [1971.0, 1971.0, 1971.0],
        "movie_genres": [[b"Children", b"Western"], [b"Unknown"], [b"Children", b"Western"]],
    }
    assert data.items["movie_id"].tolist() == [b"1", b"2"]
    assert data.users["user_id"].tolist() == [b"2", b"10"]


def test_absent_files_are_named(tmp_path):
    (tmp_path / "u.data").write_text(RATINGS)
    with pytest.raises(errors.DataError, match=r"without u\.item, u\.user\. Unpack https"):
        movielens.movielens_100k(tmp_path)


@pytest.mark.parametrize(
    ("name", "line"), [("u.data", "2\t1\t4"), ("u.item", "3|Title"), ("u.user", "2|old|M|x|0")]
)
def test_a_wrong_line_is_shown_with_its_number(raw, name, line):
    with (raw / name).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(errors.DataError, match=rf"of {name}.*\(line \d of "):
        movielens.movielens_100k(raw)


def test_title_words():
    assert movielens.title_words("Land Before Time III: The Great Giving (1995) (V)") == [
        *("land", "before", "time", "iii", "great", "giving")
    ]
    assert movielens.title_words("Schindler's List (1993)") == ["schindler's", "list"]
    assert movielens.title_words("2001: A Space Odyssey (1968)") == ["2001", "space", "odyssey"]
    assert movielens.title_words("") == []


def test_title_years_fill_with_the_median():
    titles = ["A (1990)", "B (x) (1994) (V)", "2001", "C (2000)"]
    assert movielens.title_years(titles).tolist() == [1990, 1994, 1994, 2000]
    assert movielens.title_years(["none"]).tolist() == [0]


def test_real_files(real):
    assert len(real) == 100_000
    assert len(real.items["movie_id"]) == 1_682
    assert len(real.users["user_id"]) == 943
    user = real.rows["user_id"].astype(np.int64)
    assert (np.diff(user) >= 0).all()
    assert (np.diff(real.rows["timestamp"])[np.diff(user) == 0] >= 0).all()
    assert set(np.unique(real.rows["user_rating"])) == {1, 2, 3, 4, 5}
    assert set(np.unique(real.rows["user_gender"])) == {b"F", b"M"}
    genres = real.items["movie_genres"]
    assert len(np.unique(genres.values)) == 19
    assert genres.row_lengths().min() == 1
    words = real.items["movie_title_words"].row_lengths()
    assert (words.min(), words.max()) == (1, 6)
    assert real.items["movie_title"][0] == b"Toy Story (1995)"
    assert real.items["movie_year"][0] == 1995
    assert real.items["movie_year"].min() > 1920
    assert real.items["movie_year"].max() < 2000


@pytest.mark.slow
def test_the_tfds_builder_gives_the_same_rows(real, shared_data, tmp_path, monkeypatch):
    extracted = tmp_path / "extracted"
    extracted.mkdir()
    (extracted / "ml-100k").symlink_to(shared_data / "ml-100k", target_is_directory=True)
    asked = []

    def from_disk(self, url):
        asked.append(url)
        return str(extracted)

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", from_disk)
    loaded = movielens.movielens_from_tfds(data_dir=tmp_path / "prepared")
    assert asked == ["https://files.grouplens.org/datasets/movielens/ml-100k.zip"] * 2
    assert len(loaded) == 100_000
    assert_same(loaded, real)


@pytest.mark.parametrize("name", ["movielens/100k-movies", "movielens", "mnist"])
def test_tfds_names_that_are_no_ratings_are_refused(name):
    with pytest.raises(errors.InvalidArgumentError, match="movielens/100k-ratings"):
        movielens.movielens_from_tfds(name)
