"""A deep convolutional generative adversarial network for item photos."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.synthesis import files, networks, training
from tfrs_augment.synthesis.frechet import frechet_distance
from tfrs_augment.synthesis.identity import identity_of
from tfrs_augment.synthesis.image_networks import SIZE, DeepTrainer, new_generator

if TYPE_CHECKING:
    from typing_extensions import Self

_LOOKED_AT = 512
_SAMPLED_AT_ONCE = 64
# Of the validation measure: photos are averaged down to it, so that their covariance can be estimated.
_COARSE = 6


@dataclasses.dataclass(kw_only=True, eq=False)
class ImageGAN:
    """Generates photos of 64 x 64 pixels: a DCGAN.

    A generator makes photos of noise, a discriminator tells them from real ones; both are trained in turns.
    After each epoch, photos are compared with held-out ones by the Fréchet distance of their pixels, averaged
    down to 6 x 6; the weights of the best epoch are kept.

    Args:
      epochs: the most epochs.
      steps_per_epoch: steps of both networks in each.
      patience: epochs without a better distance after which training stops.
      minutes: training stops with the epoch after which so many have passed; None sets no limit.
      batch_size: photos of a step.
      noise_dim: width of the noise.
      filters: channels of the generator's last hidden layer; earlier ones have 2, 4 and 8 times as many.
      learning_rate: of Adam, for both networks.
      averaging: the weights that are sampled with are an exponential moving average over the steps; this is
        what remains of it after each. 0 takes the last weights.
      validation_share: of photos held out, in [0, 0.5]; fewer than 100 photos serve as both.
      seed: an integer of 0 or more, of weights, batches and noise.
      checkpoint_dir: a folder from which a fit that was cut off goes on; None keeps none.

    Raises:
      InvalidArgumentError: an argument is outside its range.

    Example:
      >>> photos = np.random.default_rng(0).integers(0, 255, [32, 64, 64, 3]).astype(np.uint8)
      >>> gan = ImageGAN(epochs=1, steps_per_epoch=1, batch_size=4, filters=2).fit(photos)
      >>> gan.sample(2, seed=7).shape
      (2, 64, 64, 3)

    References:
      Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
      Networks", ICLR 2016, section 3.
      Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
      NeurIPS 2017, for the distance.
    """

    epochs: int = 100
    steps_per_epoch: int = 50
    patience: int = 30
    minutes: float | None = None
    batch_size: int = 64
    noise_dim: int = 64
    filters: int = 32
    learning_rate: float = 2e-4
    averaging: float = 0.995
    validation_share: float = 0.1
    seed: int = 0
    checkpoint_dir: str | None = None

    loss_history: dict[str, list[float]] = dataclasses.field(
        init=False, default_factory=dict, repr=False
    )
    """By name, a value an epoch."""

    def __post_init__(self) -> None:
        whole = ("epochs", "steps_per_epoch", "patience", "batch_size", "noise_dim", "filters")
        networks.check_integers("ImageGAN", {name: getattr(self, name) for name in whole})
        networks.check_integers("ImageGAN", {"seed": self.seed}, low=0)
        numbers = {
            "learning_rate": (self.learning_rate, 1e-9, math.inf),
            "averaging": (self.averaging, 0.0, 0.99999),
            "validation_share": (self.validation_share, 0.0, 0.5),
        }
        if self.minutes is not None:
            numbers["minutes"] = (self.minutes, 0.0, math.inf)
        networks.check_numbers("ImageGAN", numbers)
        self._model: tf_keras.Model | None = None

    def get_config(self) -> dict[str, Any]:
        """The arguments as JSON values; `ImageGAN(**config)` is an unfitted copy."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def fit(
        self, images: np.ndarray, *, progress: bool = False, callbacks: Sequence[Any] = ()
    ) -> Self:
        """Learns from photos; an earlier fit is forgotten.

        Args:
          images: uint8 `[n, 64, 64, channels]`, n at least 2, of 1 or 3 channels.
          progress: whether a bar shows the epochs.
          callbacks: Keras callbacks, such as `ImageGrid` and `tf_keras.callbacks.TensorBoard`; they get the
            generator as their model.

        Returns:
          The synthesizer itself.

        Raises:
          DataError: the photos have another shape or dtype.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] not in ((SIZE, SIZE, 1), (SIZE, SIZE, 3)):
            raise DataError(
                f"`images` must be uint8 of shape [n, {SIZE}, {SIZE}, 1 or 3]. Received: {images.dtype} "
                f"of shape {list(images.shape)}. Resize them first, for instance with tf.image.resize."
            )
        if len(images) < 2:
            raise DataError(f"`images` must be at least 2. Received: {len(images)}.")
        train, validation = networks.held_out(len(images), self.validation_share, self.seed)
        trainer = DeepTrainer(self, images[train])
        real = _coarse(images[validation[:_LOOKED_AT]])
        self._model = trainer.model

        def validate() -> dict[str, float]:
            distance = frechet_distance(_coarse(self.sample(_LOOKED_AT)), real)
            # The loop looks for the largest measure.
            return {"minus_distance": -distance}

        limit = [] if self.minutes is None else [_Limit(60.0 * self.minutes)]
        history = training.run(
            trainer.epoch,
            validate,
            training.Schedule(self.epochs, 1, self.patience, self.checkpoint_dir),
            model=trainer.model,
            state=trainer.state,
            measure="minus_distance",
            identity=identity_of(self, [images], free=["minutes"]),
            progress=progress,
            callbacks=[*callbacks, *limit],
            description="ImageGAN",
        )
        self.loss_history = {name: values for name, values in history.items() if name != "step"}
        return self

    def sample(self, n: int, *, seed: int = 0) -> np.ndarray:
        """Samples new photos; those of a larger sample begin with those of a smaller one.

        Args:
          n: how many.
          seed: an integer of 0 or more; the same seed gives the same photos.

        Returns:
          uint8 `[n, 64, 64, channels]`.

        Raises:
          InvalidArgumentError: it is not fitted, or an argument breaks its rule.
        """
        model = self._fitted()
        networks.check_integers("ImageGAN", {"n": n, "seed": seed}, low=0)
        parts = [np.zeros([0, *model.output_shape[1:]], np.uint8)]
        for number in range(math.ceil(n / _SAMPLED_AT_ONCE)):
            rng = np.random.default_rng([seed, number])
            noise = rng.normal(size=[_SAMPLED_AT_ONCE, self.noise_dim])
            parts.append(to_pixels(model(tf.constant(noise, tf.float32), training=False)))
        return np.concatenate(parts)[:n]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fitted generator to one file of arrays and JSON, without photos of the data.

        Args:
          path: the file, on any file system that TensorFlow knows; replaced if it is there.

        Raises:
          InvalidArgumentError: it is not fitted.
        """
        model = self._fitted()
        document = {
            "class": "ImageGAN",
            "config": self.get_config(),
            "channels": model.output_shape[-1],
            "loss_history": self.loss_history,
        }
        weights = {f"weight/{i}": weight for i, weight in enumerate(model.get_weights())}
        files.write(path, document, weights)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote.

        Raises:
          InvalidArgumentError: the file can't be read, is of a newer version, or holds something else.
        """
        document, arrays = files.read(path)
        if document.get("class") != "ImageGAN":
            raise InvalidArgumentError(
                f"'{path}' must hold an ImageGAN. Received: a {document.get('class')}. "
                "Synthesizer.load reads synthesizers of tables."
            )
        with files.content_of(path):
            gan = cls(**document["config"])
            gan.loss_history = document["loss_history"]
            gan._model = new_generator(gan, document["channels"])
            gan._model.set_weights([arrays[f"weight/{i}"] for i in range(len(gan._model.weights))])
        return gan

    def _fitted(self) -> tf_keras.Model:
        if self._model is None:
            raise InvalidArgumentError(
                "The ImageGAN must be fitted first: call fit(images), or load a file."
            )
        return self._model


class ImageGrid(tf_keras.callbacks.Callback):
    """Writes a PNG of sampled photos after each epoch, always of the same noise.

    Args:
      folder: where `epoch_001.png` and so on go; made if it is not there.
      rows: of the grid.
      columns: of the grid.
      seed: of the noise.
    """

    def __init__(
        self, folder: str | os.PathLike[str], rows: int = 4, columns: int = 8, seed: int = 0
    ):
        super().__init__()
        self._folder, self._shape, self._seed = pathlib.Path(folder), (rows, columns), seed

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        size = [math.prod(self._shape), self.model.input_shape[-1]]
        noise = np.random.default_rng(self._seed).normal(size=size)
        photos = to_pixels(self.model(tf.constant(noise, tf.float32), training=False))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_grid(self._folder / f"epoch_{epoch + 1:03d}.png", photos, self._shape[1])


def write_grid(path: str | os.PathLike[str], photos: np.ndarray, columns: int) -> None:
    """Writes photos side by side as one PNG.

    Args:
      path: the file.
      photos: uint8 `[n, height, width, channels]`; n is a multiple of `columns`.
      columns: how many stand in a row.
    """
    n, height, width, channels = photos.shape
    rows = photos.reshape([n // columns, columns, height, width, channels]).swapaxes(1, 2)
    picture = rows.reshape([n // columns * height, columns * width, channels])
    tf.io.write_file(os.fspath(path), tf.io.encode_png(picture))


def to_pixels(photos: tf.Tensor) -> np.ndarray:
    """uint8 of photos in [-1, 1]."""
    return np.rint(127.5 * (photos.numpy() + 1.0)).astype(np.uint8)


class _Limit(tf_keras.callbacks.Callback):
    """Stops training after some seconds."""

    def __init__(self, seconds: float):
        super().__init__()
        self._seconds = seconds

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if time.monotonic() - self._start >= self._seconds:
            self.model.stop_training = True


def _coarse(photos: np.ndarray) -> np.ndarray:
    """float64 `[n, 6 * 6 * channels]`: photos averaged down."""
    small = tf.image.resize(tf.cast(photos, tf.float32) / 255.0, [_COARSE, _COARSE], "area")
    return small.numpy().reshape([len(photos), -1]).astype(np.float64)
