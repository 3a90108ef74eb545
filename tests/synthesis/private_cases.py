"""A small private fit: its settings, its schema, and a budget that it spends."""

from __future__ import annotations

from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis.private import DifferentialPrivacy, PrivacyBudget

QUICK = {"validate_every": 5, "generator_units": (16,), "critic_units": (16, 8), "batch_size": 40}
PRIVACY = DifferentialPrivacy(noise_multiplier=1.0, delta=1e-4)
SCHEMA = Schema(
    {"kind": "bytes", "size": "bytes", "price": "float"},
    {
        "kind": Domain(values=frozenset([b"hat", b"bag", b"shirt", b"shoe", b"scarf"])),
        "size": Domain(values=frozenset([b"s", b"m", b"l"])),
        "price": Domain(0.0, 200.0),
    },
)
SPENT = PrivacyBudget(
    epsilon=0.0,
    delta=1e-5,
    unit="row",
    noise_multiplier=1.1,
    clip_norm=1.0,
    count_noise_multiplier=10.0,
    sampling_probability=0.01,
    steps=1000,
)
