"""Sliding windows in tf.data: which rows, and which errors."""

from __future__ import annotations

import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.datasets import sliding_windows
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError

ROWS = {
    "user": tf.constant(["u", "v", "w", "x"]),
    "seen": tf.ragged.constant([list("abcdef"), ["a"], [], ["g", "h"]]),
    "when": tf.ragged.constant([[1, 2, 3, 4, 5, 6], [1], [], [7, 8]], tf.int64),
    "tags": tf.ragged.constant([["t"], [], ["s", "r"], ["q"]]),
    "movie": tf.constant(["old"] * 4),
}


def listed(columns) -> dict:
    return {
        n: c.to_list() if isinstance(c, tf.RaggedTensor) else c.numpy().tolist()
        for n, c in columns.items()
    }


def test_every_item_with_one_before_it_is_a_target():
    found = listed(
        sliding_windows(ROWS, history=("seen", "when"), target={"seen": "movie", "when": "time"})
    )
    assert found["user"] == [b"u"] * 5 + [b"x"]
    assert found["movie"] == [b"b", b"c", b"d", b"e", b"f", b"h"]
    assert found["time"] == [2, 3, 4, 5, 6, 8]
    assert found["aug/position"] == [1, 2, 3, 4, 5, 1]
    assert found["seen"] == [list(map(str.encode, "abcdef"[:n])) for n in range(1, 6)] + [[b"g"]]
    assert found["when"] == [list(range(1, n + 1)) for n in range(1, 6)] + [[7]]
    assert found["tags"] == [[b"t"]] * 5 + [[b"q"]]


@pytest.mark.parametrize(
    ("arguments", "positions", "lengths"),
    [
        ({"window": 2}, [1, 2, 3, 4, 5, 1], [1, 2, 2, 2, 2, 1]),
        ({"min_history": 3}, [3, 4, 5], [3, 4, 5]),
        ({"stride": 2}, [1, 3, 5, 1], [1, 3, 5, 1]),
        ({"stride": 3, "min_history": 2, "window": 4}, [2, 5], [2, 4]),
        ({"min_history": 6}, [], []),
        ({"position": "place"}, [1, 2, 3, 4, 5, 1], [1, 2, 3, 4, 5, 1]),
    ],
)
def test_window_min_history_and_stride(arguments, positions, lengths):
    found = listed(sliding_windows(ROWS, history="seen", target="next", **arguments))
    assert found[arguments.get("position", "aug/position")] == positions
    assert list(map(len, found["seen"])) == lengths


def test_in_tf_data_with_a_key_of_its_own_for_each_window():
    policy = aug.AugmentationPolicy(
        [aug.ops.SequenceMask("seen", share=0.5)], key_features=("user", "aug/position")
    )
    dataset = (
        tf.data.Dataset.from_tensor_slices(ROWS)
        .batch(3)
        .map(lambda rows: sliding_windows(rows, history="seen", target="next"))
        .unbatch()
        .batch(4)
    )
    rows = list(dataset)
    assert [len(batch["user"]) for batch in rows] == [4, 2]
    keys = [key for batch in rows for key in policy.row_keys(batch).numpy().tolist()]
    assert len(set(keys)) == 6
    assert policy.augment(rows[0])["seen"].shape[0] == 4


def test_bad_arguments():
    for arguments, message in (
        ({"history": (), "target": "n"}, "`history` must name features"),
        ({"history": "seen", "target": {"when": "n"}}, "`target` must be a name, or map features"),
        ({"history": "seen", "target": "seen"}, "`target` must name at least one feature"),
        ({"history": "seen", "target": {}}, "`target` must name at least one feature"),
        ({"history": "seen", "target": "n", "position": "n"}, "`target` must name at least one"),
        (
            {"history": "seen", "target": "n", "window": 0},
            "`window` must be an integer of at least",
        ),
        ({"history": "seen", "target": "n", "stride": 1.5}, "`stride` must be an integer"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            sliding_windows(ROWS, **arguments)
    with pytest.raises(UnknownFeatureError, match="The history 'sen' is missing .*'seen'"):
        sliding_windows(ROWS, history="sen", target="n")
    with pytest.raises(DataError, match="'user' must be ragged"):
        sliding_windows(ROWS, history="user", target="n")
    with pytest.raises(DataError, match="'seen' and 'tags' must have equally many values"):
        sliding_windows(ROWS, history=("seen", "tags"), target="n")
