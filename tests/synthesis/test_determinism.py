"""With TensorFlow's deterministic ops, a fit gives the same synthesizer each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import tfrs_augment as aug
import numpy as np
import tensorflow as tf
from tests.synthesis import cases
from tests.synthesis.tables import digest

# For the whole process: hence one of its own.
tf.config.experimental.enable_op_determinism()


def fits():
    # No seed of TensorFlow, Keras or NumPy is set: all that is random hangs on the synthesizer's.
    for case in cases.EVERY:
        if "seed" in case.new().get_config():
            table = {name: values[:400] for name, values in case.table.items()}
            yield str(case), digest(case.new().fit(table).sample(50))
    photos = np.random.default_rng(0).integers(0, 255, [32, 64, 64, 1]).astype(np.uint8)
    gan = aug.synthesis.ImageGAN(epochs=1, steps_per_epoch=2, batch_size=4, filters=2, noise_dim=4)
    yield "ImageGAN", gan.fit(photos).sample(2).tobytes()


first, second = dict(fits()), dict(fits())
assert {"TabularGAN", "TabularVAE", "FactorizationSampler", "InteractionGAN"} < set(first)
assert [name for name in first if first[name] != second[name]] == []
print("alike")
"""


@pytest.mark.slow
def test_a_fit_repeats():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["alike"], done.stderr[-2000:]
