"""Which features carry a score: on models whose arithmetic is known, and on those of the library."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrs_augment import evaluation, ops
from tfrs_augment.datasets.interactions import Interactions, Ragged
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation.explaining.explanation import explain
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.towers import Ranking, SequentialTwoTower, TwoTower


class Linear(tf_keras.Model):
    """A two-tower with one number an embedding: a sum over the query times a sum over the item."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def query_model(self, features):
        self.calls.append(len(features["age"]))
        return (1.0 + features["age"] + 10.0 * _known(features["city"]))[:, None]

    def candidate_model(self, features):
        return (2.0 * features["price"] + _known(features["item_id"]))[:, None]


def _known(ids):
    return tf.cast(tf.not_equal(ids, "[UNK]"), tf.float32)


QUERY = {"age": 3.0, "city": "Rome"}
ITEM = {"price": 5.0, "item_id": "a"}


def test_contributions_sum_to_the_score_less_the_masked_score():
    found = explain(Linear(), QUERY, ITEM)
    assert (found.score, found.masked_score) == (14.0 * 11.0, 1.0 * 0.0)
    assert sum(s.contribution for s in found.shares) == pytest.approx(154.0, abs=1e-9)
    assert found.method == "exact" and all(share.error == 0 for share in found.shares)


def test_what_is_lost_is_the_score_less_the_score_without_one_feature():
    found = explain(Linear(), QUERY, ITEM)
    lost = {share.name: share.lost for share in found.shares}
    assert lost == {"age": 33.0, "city": 110.0, "price": 140.0, "item_id": 14.0}
    assert {s.name: s.side for s in found.shares} == {
        "age": "query", "city": "query", "price": "item", "item_id": "item"
    }  # fmt: skip


def test_values_are_those_of_the_row():
    found = explain(Linear(), {"age": np.float32(3.0), "city": b"Rome"}, ITEM)
    assert [share.value for share in found.shares] == [3.0, "Rome", 5.0, "a"]


def test_a_tower_is_called_once_for_all_copies_of_its_side():
    model = Linear()
    explain(model, QUERY, ITEM)
    # The four subsets of the query's two features, whatever the item's are: exact, then left out.
    assert model.calls == [4, 4]


def test_a_feature_that_the_model_does_not_read_has_no_effect():
    found = explain(Linear(), QUERY | {"mood": "good"}, ITEM)
    share = found.share("mood")
    assert (share.contribution, share.lost) == (0.0, 0.0)
    assert found.table().endswith("Without any effect: mood.")


def test_features_that_a_mask_takes_together():
    both = ops.FeatureMask(("city", "age"), rate=1.0, mask_values={"age": -1.0})
    found = explain(Linear(), QUERY, ITEM, features=[both])
    (share,) = found.shares
    assert share.name == "city + age" and share.value == {"city": "Rome", "age": 3.0}
    assert (found.score, found.masked_score, share.lost) == (154.0, 0.0, 154.0)


def test_a_feature_of_both_rows_is_masked_in_both():
    class Both(Linear):
        def candidate_model(self, features):
            return features["age"][:, None]

    found = explain(Both(), QUERY, {"age": 3.0}, features=["age"])
    (share,) = found.shares
    assert (share.side, share.value) == ("both", 3.0)
    assert (found.score, found.masked_score) == (42.0, 0.0)


def test_a_feature_of_both_rows_must_have_one_value():
    def one(model, features):
        return tf.ones([features["history"].nrows(), 1])

    rows = {"history": ["a", "b", "c"], "age": 1.0}, {"history": ["a"], "age": math.nan}
    towers = {"query_fn": one, "candidate_fn": one}
    history = [ops.SequenceMask("history")]
    for options in ({"features": history, **towers}, {"features": ["history"], **towers}, towers):
        with pytest.raises(InvalidArgumentError, match=r"Received: 'history'.*\['a', 'b', 'c'\]"):
            explain(None, *rows, **options)
    # What is not masked may differ between towers; a ranking model is given one value.
    same = rows[0], rows[1] | {"history": ["a", "b", "c"]}
    assert len(explain(None, *same, features=history, **towers).shares) == 3
    with pytest.raises(InvalidArgumentError, match="Received: 'age' of 1.0 and nan"):
        explain(None, *same, features=history, predict=lambda m, f: f["age"])
    missing = {"age": math.nan}, {"age": math.nan}
    found = explain(None, *missing, predict=lambda m, f: tf.zeros([len(f["age"])]))
    assert found.share("age").side == "both"


def test_many_features_are_sampled_and_still_sum_to_the_whole():
    names = [f"f{i}" for i in range(12)]
    row = {name: float(i) for i, name in enumerate(names)}

    def predict(model, features):
        first = features["f1"] * features["f2"] * features["f3"]
        return first + tf.add_n([features[name] for name in names])

    found = explain(None, row, {"x": 1.0}, predict=predict, permutations=40)
    assert found.method == "sampled"
    assert sum(s.contribution for s in found.shares) == pytest.approx(found.score, abs=1e-9)
    assert found.share("f7").contribution == pytest.approx(7.0)
    assert found.share("f7").error == pytest.approx(0.0, abs=1e-9)
    three = found.share("f3")
    assert abs(three.contribution - (3.0 + 2.0)) < 4 * three.error and three.error > 0
    assert "±" in found.table()
    again = explain(None, row, {"x": 1.0}, predict=predict, permutations=40)
    other = explain(None, row, {"x": 1.0}, predict=predict, permutations=40, seed=1)
    assert again == found != other


def test_items_of_a_history_by_themselves():
    def predict(model, features):
        weight = tf.where(tf.equal(features["history"], "b"), 5.0, 1.0)
        known = tf.cast(tf.not_equal(features["history"], "[UNK]"), tf.float32)
        return tf.reduce_sum(known * weight, axis=1)

    history = ops.SequenceMask("history")
    row = {"history": ["a", "b", "c"]}
    found = explain(None, row, {"x": 1.0}, features=[history], predict=predict)
    assert [(s.name, s.value, s.contribution) for s in found.shares] == [
        ("history[0]", "a", 1.0),
        ("history[1]", "b", 5.0),
        ("history[2]", "c", 1.0),
    ]
    padded = ops.SequenceMask("history", padding="trailing")
    dense = {"history": tf.constant([["a", "b", "c", ""]])}
    found = explain(None, dense, {"x": 1.0}, features=[padded], predict=predict)
    assert [share.contribution for share in found.shares] == [1.0, 5.0, 1.0]


def test_words_of_a_text_by_themselves():
    def predict(model, features):
        return tf.strings.length(tf.strings.regex_replace(features["title"], " ", ""))

    word = ops.TokenDropout("title", rate=0.1)
    found = explain(
        None, {"title": "red summer dress"}, {"x": 1.0}, features=[word], predict=predict
    )
    assert {s.name: s.contribution for s in found.shares} == {
        "title: red": 3.0, "title: summer": 6.0, "title: dress": 5.0
    }  # fmt: skip
    assert found.masked_score == 0.0


CATALOGUE = {
    "item_id": np.array([b"a", b"b", b"c", b"d"]),
    "price": np.float32([5.0, 9.0, 5.0, 1.0]),
}


def test_ranks_in_the_catalogue():
    found = explain(Linear(), QUERY, "a", items=CATALOGUE, item_id="item_id")
    assert found.candidates == 4
    # b is dearer, and c is equal: half a place.
    assert found.rank == 2.5
    assert found.share("price").rank_without == 4.0
    assert found.share("item_id").rank_without == 3.0
    # A query that only scales all scores moves no item.
    assert found.share("age").rank_without == 2.5
    assert found.masked_rank == 4.0
    given = explain(
        Linear(), QUERY, {"item_id": "a", "price": 5}, items=CATALOGUE, item_id="item_id"
    )
    assert given == found


def test_ranks_of_a_ranking_model():
    def predict(model, features):
        likes = tf.where(tf.equal(features["city"], "[UNK]"), -1.0, 1.0)
        return (likes * features["price"])[:, None]

    found = explain(
        None, {"city": "Rome"}, "b", items=CATALOGUE, item_id="item_id", predict=predict
    )
    assert (found.rank, found.share("city").rank_without) == (1.0, 4.0)
    assert found.share("price").rank_without == 4.0
    assert {s.name: s.side for s in found.shares}["price"] == "item"


@pytest.fixture(scope="module")
def trained(shop):
    tf_keras.utils.set_random_seed(0)
    train = splits.split(shop, cold_share=0.1).train
    model = TwoTower(train, dropout=0.2, min_count=1)
    model.compile("adam")
    model.fit(train.dataset(512, shuffle_seed=0), epochs=1, verbose=0)
    return model, train


def test_a_two_tower_of_the_library(trained):
    model, train = trained
    query = {"user_id": "u03", "age": float(train.users["age"][3]), "unread": "x"}
    found = explain(model, query, "i05", items=train)
    # Those that the towers say they read: not the title, which is the id in disguise.
    assert {share.name for share in found.shares} == {
        "user_id", "age", "item_id", "kind", "price", "tags"
    }  # fmt: skip
    total = sum(share.contribution for share in found.shares)
    assert total == pytest.approx(found.score - found.masked_score, abs=1e-9)
    served = model.query_model(
        {"user_id": tf.constant(["u03"]), "age": tf.constant([query["age"]])}
    )
    items = model.candidate_model(_tensors(train))
    scores = (served @ tf.transpose(items)).numpy()[0]
    place = list(train.items["item_id"]).index(b"i05")
    assert found.score == pytest.approx(scores[place], abs=1e-6)
    assert found.rank == pytest.approx(1 + (scores > scores[place] + 1e-6).sum(), abs=0.51)


@pytest.mark.parametrize(("name", "value"), [("age", np.array([30.0])), ("user_id", ["u03"])])
def test_a_list_of_one_value_is_not_a_value(trained, name, value):
    model, train = trained
    query = {"user_id": "u03", "age": 30.0} | {name: value}
    with pytest.raises(DataError, match=f"'{name}' must hold one value a row.*value by itself"):
        explain(model, query, "i05", items=train)


def _tensors(train):
    from tfrs_augment.datasets.interactions import columns_to_tensors

    return columns_to_tensors(train.items)


def test_a_row_of_plain_values_is_that_of_the_catalogue(trained):
    model, train = trained
    query = {"user_id": "u03", "age": 30}
    by_id = explain(model, query, "i08", items=train)
    place = list(train.items["item_id"]).index(b"i08")
    row = {"item_id": "i08", "kind": "k0", "price": float(train.items["price"][place]), "tags": []}
    assert train.items["tags"].to_lists()[place] == []
    assert explain(model, query, row, items=train) == by_id


def test_a_ranking_model_of_the_library(shop):
    rated = shop.rows | {"user_rating": np.float32(1 + np.arange(len(shop)) % 5)}
    train = Interactions(rated, shop.items, shop.users)
    model = Ranking(train, crosses=1, hidden=8, min_count=1)
    query = {"user_id": "u03", "age": 30.0}
    found = explain(model, query, "i05", items=train, predict=lambda model, rows: model(rows))
    assert found.method == "exact" and found.candidates == 40
    names = {share.name for share in found.shares if share.contribution}
    assert names == {"user_id", "age", "item_id", "kind", "price", "tags"}
    total = sum(share.contribution for share in found.shares)
    assert total == pytest.approx(found.score - found.masked_score, abs=1e-9)


def test_a_history_of_the_library():
    ids, rng = np.array([b"a", b"b", b"c", b"d"]), np.random.default_rng(0)
    rows = {
        "user_id": np.repeat(np.array([b"u"]), 64),
        "item_id": ids[rng.integers(4, size=64)],
        "timestamp": np.arange(64),
        "history": Ragged.from_lists(
            [list(ids[rng.integers(4, size=3)]) for _ in range(64)], dtype="S"
        ),
    }
    train = Interactions(
        rows,
        items={
            "item_id": ids,
            "attributes": Ragged.from_lists([[b"x"], [b"y"], [], [b"x"]], dtype="S"),
        },
        users={"user_id": np.array([b"u"])},
    )
    model = SequentialTwoTower(train, encoder="mean", embedding_dim=8, hidden=8)
    found = explain(
        model,
        {"history": ["a", "c", "d"]},
        "b",
        items=train,
        features=[ops.SequenceMask("history"), "item_id", "attributes"],
    )
    assert [share.name for share in found.shares[:3]] == ["history[0]", "history[1]", "history[2]"]
    assert all(share.contribution for share in found.shares)
    total = sum(share.contribution for share in found.shares)
    assert total == pytest.approx(found.score - found.masked_score, abs=1e-9)


def test_masks_that_training_has_not_seen_are_told():
    policy = AugmentationPolicy(
        [
            ops.OneOf([ops.IdDropout("item_id", rate=0.1), ops.FeatureMask("price", rate=0.1)]),
            ops.FeatureMask("city", rate=0.0),
        ],
        key_features=("item_id",),
    )
    found = explain(Linear(), QUERY, ITEM, policy=policy)
    (warning,) = found.warnings
    assert "masked none of age, city in training" in warning
    assert f"! {warning}" in str(found)
    assert explain(Linear(), QUERY, ITEM, features=["price"], policy=policy).warnings == ()
    assert explain(Linear(), QUERY, ITEM).warnings == ()  # Not known, so not said.


def test_the_table_the_json_and_the_plot(tmp_path):
    found = explain(Linear(), QUERY | {"mood": "a|b"}, "a", items=CATALOGUE, item_id="item_id")
    lines = found.table().split("\n\n")[0].splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines] == [
        "feature", lines[1].split("|")[1].strip(), "price", "city", "age", "item_id", "all of them"
    ]  # fmt: skip
    assert str(found).startswith("score 154.0000, rank 2.5 of 4; 0.0000 with everything masked")
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["score"] == 154.0 and read["shares"][0]["name"] == "age"
    found.plot(tmp_path / "e.png")
    assert (tmp_path / "e.png").read_bytes()[:4] == b"\x89PNG"
    silent = explain(Linear(), QUERY | {"mood": "good"}, ITEM, features=["mood"])
    silent.plot(tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"query": {}}, InvalidArgumentError, "`query` must map the names of features"),
        ({"query": [1]}, InvalidArgumentError, "`query` must map the names of features"),
        ({"query": {"age": None}}, InvalidArgumentError, "Received: age=None"),
        ({"query": {7: 1.0}}, InvalidArgumentError, "named by strings"),
        ({"query": {"age": tf.ones([2])}}, InvalidArgumentError, "batch dimension of 1"),
        ({"query": {"age": 3.0}}, UnknownFeatureError, "'city', which the query lacks"),
        ({"features": ["agee"]}, UnknownFeatureError, "Did you mean 'age'"),
        ({"features": []}, InvalidArgumentError, "at least one"),
        ({"features": ["age", "age"]}, InvalidArgumentError, "each feature once"),
        (
            {"features": [ops.GaussianNoise("age", stddev=1.0)]},
            InvalidArgumentError,
            "TokenDropout",
        ),
        (
            {
                "query": {"age": 1.0, "city": "x", "seen": []},
                "features": [ops.SequenceMask("seen")],
            },
            InvalidArgumentError,
            "something to mask",
        ),
        ({"features": [3]}, InvalidArgumentError, "`features` must hold"),
        ({"features": ["age"], "permutations": 3}, InvalidArgumentError, "even integer"),
        ({"item": "a"}, InvalidArgumentError, "an id does with `items`"),
        ({"item": "z", "items": CATALOGUE}, DataError, "`item` must be in the catalogue"),
        ({"item": ITEM | {"item_id": "z"}, "items": CATALOGUE}, DataError, "in the catalogue"),
        ({"item": {"price": 1.0}, "items": CATALOGUE}, UnknownFeatureError, "must have its id"),
        ({"item": ITEM | {"price": "x"}, "items": CATALOGUE}, DataError, "price of type string"),
        ({"item": ITEM | {"price": [1.0]}, "items": CATALOGUE}, DataError, "price as a list"),
        ({"items": CATALOGUE, "item_id": "movie_id"}, InvalidArgumentError, "`item_id` must name"),
        ({"items": [1]}, InvalidArgumentError, "`items` must be Interactions or a table"),
        ({"policy": "mine"}, InvalidArgumentError, "`policy` must be an AugmentationPolicy"),
        ({"query": {"age": math.nan, "city": "x"}}, DataError, "Scores must be finite"),
        ({"model": tf_keras.Sequential()}, InvalidArgumentError, "`model` must have `query_model`"),
        ({"predict": lambda m, f: tf.ones([1, 2])}, DataError, "a row for each"),
        ({"predict": lambda m, f: tf.ones([len(f["age"]), 2])}, DataError, "one score a row"),
        ({"query_fn": lambda m, f: f["age"]}, DataError, "must be [batch, dim]"),
        ({"query_fn": lambda m, f: tf.ones([len(f["age"]), 3])}, DataError, "of equal width"),
    ],
)
def test_bad_input_is_named(change, error, message):
    options = {"model": Linear(), "query": QUERY, "item": ITEM} | change
    if "items" in options:
        options = {"item_id": "item_id"} | options
    model, query, item = (options.pop(name) for name in ("model", "query", "item"))
    with pytest.raises(error) as raised:
        explain(model, query, item, **options)
    assert message in str(raised.value)


def test_the_row_is_left_as_it_is():
    query, item = dict(QUERY), dict(ITEM)
    explain(Linear(), query, item)
    assert (query, item) == (QUERY, ITEM)


def test_it_is_public():
    assert evaluation.explain is explain
