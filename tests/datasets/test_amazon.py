"""Amazon Beauty from its files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfrs_augment.datasets import amazon_beauty
from tfrs_augment.errors import DataError


def write(folder, lines, attributes):
    (folder / "Beauty.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "Beauty_item2attributes.json").write_text(json.dumps(attributes))
    return folder


def test_rows_are_the_actions_in_order(tmp_path):
    data = amazon_beauty(write(tmp_path, ["1 10 2", "2 2"], {"2": [7], "10": [7, 3], "99": []}))
    assert data.rows["user_id"].tolist() == [b"1", b"1", b"2"]
    assert data.rows["item_id"].tolist() == [b"10", b"2", b"2"]
    assert data.rows["timestamp"].tolist() == [0, 1, 0]
    assert data.rows["attributes"].to_lists() == [[b"7", b"3"], [b"7"], [b"7"]]
    # An item that nobody bought is not in the catalogue.
    assert data.items["item_id"].tolist() == [b"2", b"10"]


@pytest.mark.parametrize(
    ("lines", "attributes", "message"),
    [
        ([], {}, "must have a line a user"),
        (["1 10", "2"], {"10": []}, "line 2"),
        (["1 10 x"], {"10": []}, "must be the number of a user and of the user's items"),
        (["1 10"], {}, "1 items that it lacks, among them 10"),
        (["1 10"], {"10": 3}, "must be JSON of item numbers to lists"),
        (["1 10"], {"10": ["x"]}, "must be JSON of item numbers to lists"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, lines, attributes, message):
    with pytest.raises(DataError, match=message):
        amazon_beauty(write(tmp_path, lines, attributes))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match="without Beauty.txt, Beauty_item2attributes.json"):
        amazon_beauty(tmp_path)


def test_the_published_files(shared_data):
    data = amazon_beauty(shared_data / "amazon-beauty")
    counts = len(data), len(data.users["user_id"]), len(data.items["item_id"])
    assert counts == (198_502, 22_363, 12_101)
    assert np.bincount(data.user_index()).min() == 5
    assert data.items["attributes"].row_lengths().min() == 1
