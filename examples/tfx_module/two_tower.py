"""`preprocessing_fn` of Transform and `run_fn` of Trainer: a two-tower with a policy in the model.

TFX packs all Python files beside a module file, so it stands in a folder of its own. Copy it and change
the features; `custom_config` of Trainer says the rest:

  policy: the policy as JSON text; absent trains without one.
  learning_rate, batch_size, embedding_dim, seed: as below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

# First: it has TensorFlow use Keras 2, which TensorFlow Recommenders needs.
import tfrs_augment as aug  # isort: skip

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tensorflow_transform as tft
import tf_keras
from tfx_bsl.public import tfxio

LABEL = "user_rating"
# Integers whose vocabularies Transform learns.
IDS = ("user_id", "movie_id")
QUERY = {"user_id": "id", "user_gender": "word", "user_occupation": "word", "user_age": "number"}
CANDIDATE = {"movie_id": "id", "movie_genres": "words", "movie_year": "number"}
FEATURES = {**QUERY, **CANDIDATE}
# What the policy's keys need beside the features.
KEYS = ("timestamp",)
WORDS = 64  # hash buckets; more than there are occupations and genres

Columns = Mapping[str, tf.Tensor]


def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Numbers to mean 0 and deviation 1, ids as they are, with vocabularies; text as it is."""
    outputs = {}
    for name, kind in {**FEATURES, LABEL: "label", **dict.fromkeys(KEYS, "key")}.items():
        column = _dense(inputs[name])
        if name in IDS:
            tft.vocabulary(column, vocab_filename=name)
        outputs[name] = tft.scale_to_z_score(column) if kind == "number" else column
    return outputs


def run_fn(fn_args) -> None:
    """Trains on the examples, with the policy in the model, and saves it with its signatures."""
    config = fn_args.custom_config or {}
    tf_keras.utils.set_random_seed(config.get("seed", 1))
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    batch_size = config.get("batch_size", 512)
    train, evaluated = (
        _dataset(fn_args, files, transformed, batch_size)
        for files in (fn_args.train_files, fn_args.eval_files)
    )
    vocabularies = {
        name: [int(v) for v in transformed.vocabulary_by_name(name) if int(v) >= 0] for name in IDS
    }
    model = MovieModel(vocabularies, config.get("embedding_dim", 32))
    if "policy" in config:
        # In training alone; the towers and what is saved know nothing of it.
        aug.wrap(model, aug.AugmentationPolicy.from_json(config["policy"]))
    model.compile(tf_keras.optimizers.Adam(config.get("learning_rate", 0.005)))
    model.fit(
        train.repeat(),
        steps_per_epoch=fn_args.train_steps,
        validation_data=evaluated,
        validation_steps=fn_args.eval_steps,
        verbose=2,
    )
    save(model, transformed, fn_args.serving_model_dir)


class MovieModel(tfrs.Model):
    """Two towers for retrieval, and on their embeddings a rating.

    Args:
      vocabularies: the known values of each id.
      dim: width of the embeddings.
    """

    def __init__(self, vocabularies: Mapping[str, list[int]], dim: int):
        super().__init__()
        self.query_model = Tower(QUERY, vocabularies, dim)
        self.candidate_model = Tower(CANDIDATE, vocabularies, dim)
        self.rating_model = tf_keras.Sequential(
            [tf_keras.layers.Dense(dim, "relu"), tf_keras.layers.Dense(1)]
        )
        self.retrieval = tfrs.tasks.Retrieval(temperature=0.1, remove_accidental_hits=True)
        self.ranking = tfrs.tasks.Ranking(
            tf_keras.losses.MeanSquaredError(),
            metrics=[tf_keras.metrics.RootMeanSquaredError(name="rmse")],
        )

    def call(self, features: Columns, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, 1]`, the rating."""
        return self._rating(*self._embeddings(features, training), training)

    def compute_loss(self, features: Columns, training: bool = False) -> tf.Tensor:
        query, candidate = self._embeddings(features, training)
        retrieval = self.retrieval(
            query, candidate, candidate_ids=features["movie_id"], compute_metrics=False
        )
        ranking = self.ranking(
            labels=features[LABEL][:, tf.newaxis],
            predictions=self._rating(query, candidate, training),
        )
        # TFRS sums the first over the batch, and takes the mean of the second.
        return retrieval / tf.cast(tf.shape(query)[0], tf.float32) + ranking

    def _embeddings(self, features, training):
        query = self.query_model(features, training=training)
        candidate = self.candidate_model(features, training=training)
        return tf.math.l2_normalize(query, 1), tf.math.l2_normalize(candidate, 1)

    def _rating(self, query, candidate, training):
        both = tf.concat([query, candidate, query * candidate], axis=1)
        return self.rating_model(both, training=training)


class Tower(tf_keras.Model):
    """Features of one side to an embedding `[batch, dim]`."""

    def __init__(self, kinds: Mapping[str, str], vocabularies: Mapping[str, list[int]], dim: int):
        super().__init__()
        self._kinds = dict(kinds)
        self._lookups, self._tables = {}, {}
        for name, kind in kinds.items():
            if kind == "id":
                # -1 is what IdDropout writes, and like ids that were never met it becomes 0.
                lookup = tf_keras.layers.IntegerLookup(vocabulary=vocabularies[name])
                size = lookup.vocabulary_size()
            elif kind != "number":
                lookup, size = tf_keras.layers.Hashing(WORDS), WORDS
            else:
                continue
            self._lookups[name] = lookup
            self._tables[name] = tf_keras.layers.Embedding(size, dim)
        self._deep = tf_keras.Sequential(
            [tf_keras.layers.Dense(2 * dim, "relu"), tf_keras.layers.Dense(dim)]
        )

    def call(self, features: Columns, training: bool | None = None) -> tf.Tensor:
        parts = []
        for name, kind in self._kinds.items():
            column = features[name]
            if kind == "number":
                parts.append(column[:, tf.newaxis])
                continue
            if kind == "words":
                column = tf.strings.split(column, "|")
            embedded = self._tables[name](self._lookups[name](column))
            parts.append(tf.reduce_mean(embedded, axis=1) if kind == "words" else embedded)
        return self._deep(tf.concat(parts, axis=1), training=training)


def save(model: MovieModel, transformed: tft.TFTransformOutput, folder: str) -> None:
    """Saves a model with signatures that take serialized Examples without the label.

    `serving_default` gives the rating, for Evaluator; `query_embedding` and `candidate_embedding` are for
    AugmentationValidator, and for an index to retrieve from.
    """
    # A function of a signature needs what it reads to be tracked by the model.
    model.transform = transformed.transform_features_layer()
    signatures = {
        "serving_default": _signature(
            model, transformed, FEATURES, "rating", lambda f: model(f)[:, 0]
        ),
        "query_embedding": _signature(
            model,
            transformed,
            QUERY,
            "embedding",
            lambda f: tf.math.l2_normalize(model.query_model(f), 1),
        ),
        "candidate_embedding": _signature(
            model,
            transformed,
            CANDIDATE,
            "embedding",
            lambda f: tf.math.l2_normalize(model.candidate_model(f), 1),
        ),
    }
    tf.saved_model.save(model, folder, signatures)


def _signature(
    model: MovieModel,
    transformed: tft.TFTransformOutput,
    names: Mapping[str, str],
    output: str,
    function: Callable[[Columns], tf.Tensor],
):
    spec = {n: s for n, s in transformed.raw_feature_spec().items() if n in names}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def signature(examples):
        return {output: function(model.transform(tf.io.parse_example(examples, spec)))}

    return signature


def _dataset(
    fn_args, files, transformed: tft.TFTransformOutput, batch_size: int
) -> tf.data.Dataset:
    """Batches of transformed features; shuffled."""
    options = tfxio.TensorFlowDatasetOptions(batch_size=batch_size, num_epochs=1)
    raw = fn_args.data_accessor.tf_dataset_factory(files, options, transformed.raw_metadata.schema)
    layer = transformed.transform_features_layer()
    return raw.map(layer).prefetch(tf.data.AUTOTUNE)


def _dense(column: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """`[batch]`, with 0 or "" where a record has no value."""
    if isinstance(column, tf.SparseTensor):
        shape = [column.dense_shape[0], 1]
        column = tf.sparse.to_dense(tf.SparseTensor(column.indices, column.values, shape))
    return tf.squeeze(column, 1) if column.shape.rank == 2 else column
