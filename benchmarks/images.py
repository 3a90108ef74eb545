"""What the augmentation of images costs, against Keras's layers, ImageDataGenerator and OpenCV.

    python benchmarks/images.py [--quick]

CPU time of images of 150 x 150 x 3, float32, on one thread in batches of 32; the full run repeats it with
128. Peers run in turn; one that is not installed is left out. Figures, of the batch of 32:

- `speedup_over_keras2_stack` (bar 2.6): RandomAffine with everything on, against RandomFlip, RandomRotation,
  RandomTranslation and RandomZoom of tf_keras one after another;
- `speedup_over_keras3_stack` (bar 3.8): against the same of Keras 3 and RandomShear, in a process of its own;
- `speedup_over_image_data_generator_1t` (bar 2.7) and `..._2t` (bar 4.9): against random_transform of
  ImageDataGenerator with the same arguments, CPU time with one thread, and wall time with two, which the
  generator cannot use;
- `time_over_one_rotation` (bar 1): against one RandomRotation of tf_keras;
- `time_over_opencv` (aim 1.3): against cv2.warpAffine by the same matrices, both from uint8 to float32;
- `default_policy_over_affine` (bar 1.6): affine, colour and erasing.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys

import _common
import numpy as np

SIZE, ANGLE, SHARE = 150, 40, 0.2
BATCHES = (32, 128)
FROM_BYTES = "RandomAffine, uint8 to float32"


def photos(count: int) -> np.ndarray:
    """float32 images with slopes and grain, 0 to 255."""
    y, x = np.mgrid[:SIZE, :SIZE]
    grain = np.random.default_rng(0)
    images = [
        127 + 100 * np.sin(x / (5 + i)) * np.cos(y / (7 + i)) + 20 * grain.random((SIZE, SIZE))
        for i in range(count)
    ]
    first = np.clip(images, 0, 255)[..., None]
    return np.concatenate([first, 255 - first, first], -1).astype(np.float32)


def keras_3_seconds(batch: int, runs: int) -> list[float]:
    """CPU seconds a batch of the stack with RandomShear in Keras 3; run in a process of its own."""
    import keras
    import tensorflow as tf

    _threads(1)
    layers = keras.layers
    fill = {"fill_mode": "nearest"}
    stack = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(ANGLE / 360, **fill),
            layers.RandomTranslation(SHARE, SHARE, **fill),
            layers.RandomZoom(SHARE, SHARE, **fill),
            layers.RandomShear(SHARE, SHARE, **fill),
        ]
    )
    function = tf.function(lambda images: stack(images, training=True))
    images = tf.constant(photos(batch))
    timing = _common.alternate({"k3": lambda: function(images)}, runs=runs, warm_up=2)["k3"]
    return timing.cpu


def _threads(count: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def policies():
    """The affine alone, the same from uint8 to float32 as OpenCV's peer, and the whole default policy."""
    import tfrs_augment as aug

    given = {"rotation": ANGLE, "shift": SHARE, "shear": SHARE, "zoom": SHARE}
    given |= {"zoom_per_axis": True, "horizontal_flip": True}
    affine = aug.ops.RandomAffine("image", **given)
    to_float = aug.ops.RandomAffine("image", **given, rescale=1.0)
    jitter = aug.ops.ColorJitter("image", brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05)
    default = (affine, jitter, aug.ops.RandomErasing("image"))
    return {
        name: aug.AugmentationPolicy(ops, key_features=["id"])
        for name, ops in (
            ("RandomAffine", (affine,)),
            ("default policy", default),
            (FROM_BYTES, (to_float,)),
        )
    }


def own(policy, images: np.ndarray):
    """A function that augments the images at the next draw number."""
    import tensorflow as tf

    rows = {"id": tf.range(len(images)), "image": tf.constant(images)}
    augment = tf.function(lambda columns, draw: policy.augment(columns, draw=draw)["image"])
    draws = itertools.count()
    return lambda: augment(rows, tf.constant(next(draws)))


def generator(images: np.ndarray):
    """ImageDataGenerator's transformation of each image."""
    from tf_keras.preprocessing.image import ImageDataGenerator

    keras = ImageDataGenerator(
        rotation_range=ANGLE,
        width_shift_range=SHARE,
        height_shift_range=SHARE,
        shear_range=float(np.degrees(np.arctan(SHARE))),
        zoom_range=SHARE,
        horizontal_flip=True,
    )
    return lambda: [keras.random_transform(image) for image in images]


def opencv(policy, images: np.ndarray):
    """OpenCV's warp of the images by the op's own matrices, uint8 to float32; None where it is missing."""
    try:
        import cv2
    except ImportError:
        return None
    import tensorflow as tf

    from tfrs_augment.features import FeatureBatch
    from tfrs_augment.rng import KeyedRng

    cv2.setNumThreads(0)
    keys = tf.bitcast(tf.range(len(images), dtype=tf.int64), tf.uint64)
    op = policy.ops[0]
    rows = FeatureBatch({"image": tf.constant(images)}, keys)
    matrices = op.matrix(op.draw(rows, KeyedRng(0, keys)), (SIZE, SIZE)).numpy()
    pixels, result = images.astype(np.uint8), np.empty_like(images)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def warp() -> None:
        for i, matrix in enumerate(matrices):
            result[i] = cv2.warpAffine(
                pixels[i], matrix, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )

    return warp


def measure(batch: int, runs: int) -> dict[str, _common.Timing]:
    """CPU time on one thread; the generator's is that of 8 images, scaled to the batch."""
    import tensorflow as tf
    import tf_keras

    images, own_policies, layers = photos(batch), policies(), tf_keras.layers
    stack = tf_keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(ANGLE / 360, fill_mode="nearest"),
            layers.RandomTranslation(SHARE, SHARE, fill_mode="nearest"),
            layers.RandomZoom(SHARE, SHARE, fill_mode="nearest"),
        ]
    )
    rotation = layers.RandomRotation(ANGLE / 360, fill_mode="nearest")
    tensor = tf.constant(images)
    stacked = tf.function(lambda x: stack(x, training=True))
    rotated = tf.function(lambda x: rotation(x, training=True))
    peers = {
        name: own(policy, images.astype(np.uint8) if name == FROM_BYTES else images)
        for name, policy in own_policies.items()
    }
    peers["tf_keras, four layers"] = lambda: stacked(tensor)
    peers["tf_keras, RandomRotation"] = lambda: rotated(tensor)
    peers["ImageDataGenerator"] = generator(images[:8])
    peers["OpenCV, warpAffine"] = opencv(own_policies["RandomAffine"], images)
    peers = {name: peer for name, peer in peers.items() if peer is not None}
    timings = _common.alternate(peers, runs=runs, warm_up=2)
    for clock in (timings["ImageDataGenerator"].cpu, timings["ImageDataGenerator"].wall):
        clock[:] = [seconds * batch / 8 for seconds in clock]
    return timings


def two_threads(batch: int, runs: int) -> float:
    """The generator's wall time over that of tf.data with two threads; the best of the runs of each."""
    import tensorflow as tf

    images, policy = photos(batch), policies()["RandomAffine"]
    rows = {"id": tf.range(batch), "image": tf.constant(images)}
    batches = 64
    data = tf.data.Dataset.from_tensors(rows).repeat(batches)
    data = tf.data.Dataset.zip((data, tf.data.Dataset.range(batches)))
    data = data.map(
        lambda columns, draw: policy.augment(columns, draw=draw)["image"], num_parallel_calls=2
    )

    def augment() -> None:
        for _ in data:
            pass

    timings = _common.alternate(
        {"ours": augment, "generator": generator(images[:8])}, runs=runs, warm_up=1
    )
    return (min(timings["generator"].wall) / 8) / (min(timings["ours"].wall) / (batch * batches))


def in_another_process(function: str, batch: int, runs: int):
    """The result of a function of this file in a new process: with Keras 3, or with other threads."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    if function == "keras_3_seconds":
        environment |= {"TF_USE_LEGACY_KERAS": "0", "KERAS_BACKEND": "tensorflow"}
    here = pathlib.Path(__file__)
    done = subprocess.run(
        [sys.executable, here, "--call", function, str(batch), str(runs)],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(here.parents[1]), *sys.path[1:]])},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{function}: not measured: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--call", nargs=3, help=argparse.SUPPRESS)

    arguments = _common.parse(__doc__, add=add)
    if arguments.call:
        function, batch, runs = arguments.call
        if function == "two_threads":
            _threads(2)
        print(json.dumps(globals()[function](int(batch), int(runs))))
        return
    import tfrs_augment  # noqa: F401  Before TensorFlow: it asks for Keras 2.

    _threads(1)
    runs, figures, table = (3 if arguments.quick else 20), {}, []
    for batch in BATCHES[: 1 if arguments.quick else None]:
        timings = measure(batch, runs)
        keras_3 = in_another_process("keras_3_seconds", batch, runs)
        if keras_3 is not None:
            timings["Keras 3, four layers and shear"] = _common.Timing(keras_3, keras_3)
        table += [[batch, *row] for row in _rows(timings, batch)]
        if batch != BATCHES[0]:
            continue
        own_time = statistics.median(timings["RandomAffine"].cpu)
        if keras_3 is not None:
            figures["speedup_over_keras3_stack"] = statistics.median(keras_3) / own_time
        over = {
            "speedup_over_keras2_stack": ("tf_keras, four layers", "RandomAffine"),
            "speedup_over_image_data_generator_1t": ("ImageDataGenerator", "RandomAffine"),
            "time_over_one_rotation": ("RandomAffine", "tf_keras, RandomRotation"),
            "time_over_opencv": (FROM_BYTES, "OpenCV, warpAffine"),
            "default_policy_over_affine": ("default policy", "RandomAffine"),
        }
        for figure, (name, base) in over.items():
            if base in timings:
                figures[figure] = _common.ratio(timings, name, base)
            else:
                print(f"{base.split(',')[0]} is not installed: no {figure}.")
        two = in_another_process("two_threads", batch, max(runs // 4, 2))
        if two is not None:
            figures["speedup_over_image_data_generator_2t"] = two
    _common.finish(
        "images",
        figures,
        header=["batch", "peer", "images per CPU-second", "CPU us an image: median (range)"],
        table=table,
        notes=f"Images of {SIZE} x {SIZE} x 3, float32 unless said, one thread, peers in turn; rotation "
        f"{ANGLE} degrees, shifts, shear and zoom {SHARE}, horizontal flip, fill nearest. The default policy "
        "adds colours and erasing. OpenCV warps uint8 into float32, by matrices that are drawn before.",
        write=not arguments.quick,
    )


def _rows(timings: dict[str, _common.Timing], batch: int) -> list[list]:
    cells = _common.rows_of(timings, batch, "us")
    return [
        [name, f"{batch / statistics.median(timings[name].cpu):,.0f}", cpu]
        for name, cpu, _ in cells
    ]


if __name__ == "__main__":
    main()
