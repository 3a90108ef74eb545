"""Examples to columns: equal to protobuf's, and never more lenient than protobuf."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf

from tests.records import damage, samples
from tfrs_augment import records
from tfrs_augment.beam.blocks import canonicalize


def _decode(payloads, canonicalize=canonicalize):
    return records.decode(records.Frames.from_payloads(payloads), samples.WANTED, canonicalize)


def test_columns_are_those_of_protobuf():
    rng = random.Random(0)
    examples = [samples.example(rng) for _ in range(1000)]
    frames = records.Frames.from_payloads([made.SerializeToString() for made in examples])
    block = records.decode(frames, samples.WANTED)
    assert block.rejected == [] and block.slow_count == 0
    samples.assert_columns_equal(block, examples)
    np.testing.assert_array_equal(block.frames, frames.data)
    np.testing.assert_array_equal(block.file_offsets, frames.file_offsets)


def test_order_and_packing_do_not_matter():
    rng = random.Random(1)
    examples = [samples.example(rng) for _ in range(1000)]
    payloads = [samples.serialized(made, rng) for made in examples]
    block = _decode(payloads, canonicalize=None)
    assert block.rejected == []
    samples.assert_columns_equal(block, [samples.parsed(payload) for payload in payloads])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_damaged_records_are_read_as_protobuf_reads_them(seed):
    rng = random.Random(seed)
    payloads = []
    for _ in range(3000):
        made = samples.example(rng)
        payload = samples.serialized(made, rng) if rng.random() < 0.5 else made.SerializeToString()
        payloads.append(damage.damaged(payload, rng))
    examples = [samples.parsed(payload) for payload in payloads]
    accepted = [
        i for i, made in enumerate(examples) if made is not None and samples.has_wanted_kinds(made)
    ]
    frames = records.Frames.from_payloads(payloads)
    assert 300 < len(accepted) < 2700, "the damage must leave both kinds of records"

    block = records.decode(frames, samples.WANTED, canonicalize)
    np.testing.assert_array_equal(block.file_offsets, frames.file_offsets[accepted])
    samples.assert_columns_equal(block, [examples[i] for i in accepted])
    assert len(block.rejected) == len(payloads) - len(accepted)
    assert block.slow_count > 0

    # Without protobuf, fewer are accepted, and none otherwise.
    alone = records.decode(frames, samples.WANTED)
    places = {int(offset): i for i, offset in enumerate(frames.file_offsets)}
    kept = [places[int(offset)] for offset in alone.file_offsets]
    assert set(kept) < set(accepted)
    samples.assert_columns_equal(alone, [examples[i] for i in kept])
    assert alone.slow_count == block.slow_count
    assert alone.n + len(alone.rejected) == len(payloads)


INT_FEATURE = samples.field(0x1A, samples.field(0x0A, b"\x01"))  # [1]
NAME = samples.field(0x0A, b"i")
ENTRY = samples.field(0x0A, NAME + samples.field(0x12, INT_FEATURE))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (samples.field(0x0A, ENTRY) * 2, "not one `features` message"),
        (samples.field(0x0A, ENTRY) + b"\x78\x01", "not one `features` message"),
        (samples.field(0x0A, ENTRY + b"\x78\x01"), "not one `features` message"),
        (samples.field(0x0A, ENTRY + ENTRY), "occurs twice"),
        (samples.field(0x0A, samples.field(0x0A, NAME)), "not a name followed by a feature"),
        (
            samples.field(0x0A, samples.field(0x0A, samples.field(0x12, INT_FEATURE) + NAME)),
            "not a name followed by a feature",
        ),
        (
            samples.field(
                0x0A, samples.field(0x0A, NAME + samples.field(0x12, INT_FEATURE + INT_FEATURE))
            ),
            "not one list of a known kind",
        ),
        (
            samples.field(
                0x0A, samples.field(0x0A, NAME + samples.field(0x12, INT_FEATURE + b"\x78\x01"))
            ),
            "not one list of a known kind",
        ),
        (
            samples.field(
                0x0A,
                samples.field(0x0A, NAME + samples.field(0x12, samples.field(0x1A, b"\x10\x01"))),
            ),
            "list is malformed",
        ),
        (  # A tag of two bytes.
            samples.field(
                0x0A, samples.field(0x0A, b"\x8a\x00\x01i" + samples.field(0x12, INT_FEATURE))
            ),
            "not a name followed by a feature",
        ),
    ],
)
def test_uncommon_records_take_the_slow_path(payload, reason):
    made = samples.parsed(payload)
    assert made is not None
    block = _decode([payload])
    assert block.slow_count == 1 and block.rejected == []
    samples.assert_columns_equal(block, [made])
    assert records.Frames(block.frames, block.offsets, block.file_offsets).payloads() == [
        canonicalize(payload)
    ]
    alone = _decode([payload], canonicalize=None)
    assert alone.n == 0 and alone.slow_count == 1
    assert reason in alone.rejected[0].reason


@pytest.mark.parametrize(
    "name", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
)
def test_names_that_are_not_utf8_are_rejected(name):
    payload = samples.field(
        0x0A, samples.field(0x0A, samples.field(0x0A, name) + samples.field(0x12, INT_FEATURE))
    )
    assert samples.parsed(payload) is None
    block = _decode([payload, samples.field(0x0A, ENTRY)])
    assert block.n == 1 and block.slow_count == 1
    assert "no tf.train.Example" in block.rejected[0].reason
    assert "not UTF-8" in _decode([payload], canonicalize=None).rejected[0].reason


@pytest.mark.parametrize("name", ["é", "€", "\ud7ff", "\ue000", "\U0001f600", "\U0010ffff", "aé€"])
def test_names_in_utf8_are_canonical(name):
    made = tf.train.Example()
    made.features.feature[name].int64_list.value.append(1)
    block = records.decode(
        records.Frames.from_payloads([made.SerializeToString()] * 2), {name: records.INT64}
    )
    assert block.column(name).to_rows() == [[1], [1]]
    other = records.decode(
        records.Frames.from_payloads([made.SerializeToString()]), {"x": records.INT64}
    )
    assert other.n == 1 and other.slow_count == 0


def test_another_kind_is_rejected_with_both_kinds_named():
    made = tf.train.Example()
    made.features.feature["i"].float_list.value.append(1.0)
    good = samples.field(0x0A, ENTRY)
    frames = records.Frames.from_payloads([good, made.SerializeToString(), good])
    block = records.decode(frames, samples.WANTED, canonicalize)
    assert block.column("i").to_rows() == [[1], [1]]
    assert block.slow_count == 0
    assert block.rejected == [
        records.Rejection(
            int(frames.offsets[1]),
            int(frames.offsets[2] - frames.offsets[1]),
            "feature 'i' must be of kind int64. Received: float",
        )
    ]


def test_a_later_duplicate_may_repair_the_kind():
    float_entry = samples.field(
        0x0A, NAME + samples.field(0x12, samples.field(0x12, b"\x0d\x00\x00\x80\x3f"))
    )
    block = _decode([samples.field(0x0A, float_entry + ENTRY)])
    assert block.column("i").to_rows() == [[1]]
    block = _decode([samples.field(0x0A, ENTRY + float_entry)])
    assert block.n == 0 and "must be of kind int64" in block.rejected[0].reason


def test_a_canonicalizer_that_is_not_canonical_is_found_out():
    payload = samples.field(0x0A, ENTRY) + b"\x78\x01"  # An unknown field, passed through.
    block = _decode([payload], canonicalize=lambda payload: payload)
    assert block.n == 0 and "not a canonical" in block.rejected[0].reason


def test_no_kind_is_not_an_empty_list():
    unset, empty, absent = tf.train.Example(), tf.train.Example(), tf.train.Example()
    unset.features.feature["i"].SetInParent()
    empty.features.feature["i"].int64_list.SetInParent()
    block = _decode([made.SerializeToString() for made in (unset, empty, absent)])
    column = block.column("i")
    assert column.state.tolist() == [records.NO_KIND, records.LISTED, records.ABSENT]
    assert column.to_rows() == [None, [], None]


def test_more_entries_than_the_walker_remembers():
    made = tf.train.Example()
    for k in range(200):
        made.features.feature[f"feature_{k}"].int64_list.value.append(k)
    kinds = {f"feature_{k}": records.INT64 for k in range(0, 200, 3)}
    block = records.decode(records.Frames.from_payloads([made.SerializeToString()] * 3), kinds)
    for k in range(0, 200, 3):
        assert block.column(f"feature_{k}").to_rows() == [[k]] * 3


def test_no_features_wanted_and_no_records():
    payloads = [samples.example(random.Random(0)).SerializeToString()]
    assert records.decode(records.Frames.from_payloads(payloads), {}).n == 1
    block = _decode([])
    assert block.n == 0 and block.column("f").to_rows() == []
    assert block.encode({"f": records.Edit(block.column("f"))}).size == 0


def test_take_keeps_a_subset():
    rng = random.Random(2)
    examples = [samples.example(rng) for _ in range(50)]
    block = _decode([made.SerializeToString() for made in examples])
    mask = np.arange(50) % 3 == 0
    taken = block.take(mask)
    samples.assert_columns_equal(taken, examples[::3])
    np.testing.assert_array_equal(taken.file_offsets, block.file_offsets[::3])
    again = taken.take(np.zeros(taken.n, np.bool_))
    assert again.n == 0 and again.frames.size == 0
    with pytest.raises(ValueError, match="must be bool of shape"):
        block.take(np.arange(3))


def test_wrong_arguments_are_named():
    block = _decode([])
    with pytest.raises(ValueError, match="must be in the `kinds`.*'nope'"):
        block.column("nope")
    with pytest.raises(ValueError, match="`kinds` must map names to.*'x': 7"):
        records.decode(records.Frames.from_payloads([]), {"x": 7})
    with pytest.raises(ValueError, match="rising positions"):
        records.Frames(np.zeros(40, np.uint8), np.array([0, 20, 41]), np.array([0, 20]))
    with pytest.raises(ValueError, match="rising positions"):
        records.Frames(np.zeros(40, np.uint8), np.array([0, 30, 20]), np.array([0, 20]))
