"""Blocks of decoded records: named features as columns, and records rewritten with new columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .codec import encode_entries, splice
from .columns import KIND_NAMES, Column, read_column
from .compiling import kernel_input
from .frames import FOOTER_BYTES, HEADER_BYTES, Frames, Rejection, frame_array, gather
from .wire import OTHER_KIND, SPAN_FIELDS, VERDICTS, build_name_table, walk

Canonicalize = Callable[[bytes], bytes]


class _Wanted:
    """The features to be located, laid out for the walker."""

    def __init__(self, kinds: Mapping[str, int]):
        for name, kind in kinds.items():
            if kind not in KIND_NAMES:
                raise ValueError(
                    f"`kinds` must map names to 1 (bytes), 2 (float) or 3 (int64). Received: "
                    f"{name!r}: {kind!r}."
                )
        self.names = list(kinds)
        self.encoded = [name.encode("utf-8") for name in self.names]
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.kinds = kernel_input(list(kinds.values()), np.int64)
        self.name_bytes = kernel_input(np.frombuffer(b"".join(self.encoded), np.uint8), np.uint8)
        ends = np.cumsum([0] + [len(name) for name in self.encoded])
        self.name_offsets = kernel_input(ends, np.int64)
        # At most a quarter full: names that are not wanted mostly meet an empty slot.
        table = np.full(max(8, 1 << (4 * len(self.names)).bit_length()), -1, np.int32)
        build_name_table(self.name_bytes, self.name_offsets, table)
        self.table = kernel_input(table, np.int32)

    def walk(self, data: np.ndarray, offsets: np.ndarray) -> _Walked:
        n = len(offsets) - 1
        walked = _Walked(
            spans=np.empty((n, len(self.names), SPAN_FIELDS), np.int32),
            bodies=np.empty(n, np.int32),
            verdicts=np.empty(n, np.uint8),
            details=np.empty(n, np.int64),
        )
        walked.refused = walk(
            data,
            offsets,
            self.name_bytes,
            self.name_offsets,
            self.kinds,
            self.table,
            walked.spans,
            walked.bodies,
            walked.verdicts,
            walked.details,
        )
        return walked

    def reason(self, verdict: int, detail: int) -> str:
        """Why a record with this verdict is rejected."""
        if verdict != OTHER_KIND:
            return f"the record is not a canonical tf.train.Example: {VERDICTS[verdict]}"
        feature, found = divmod(detail, 4)
        return (
            f"feature {self.names[feature]!r} must be of kind {KIND_NAMES[self.kinds[feature]]}. "
            f"Received: {KIND_NAMES[found]}"
        )


@dataclasses.dataclass
class _Walked:
    """What the walker found; see `wire.walk`."""

    spans: np.ndarray
    bodies: np.ndarray
    verdicts: np.ndarray
    details: np.ndarray
    refused: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Edit:
    """New values of one feature.

    Attributes:
        column: A row for each record, or a single row that every record gets. A record whose state
            in the column is ABSENT loses the feature; NO_KIND writes a feature without a kind.
        rows: bool `[n]`; the records to change; None for all.
    """

    column: Column
    rows: np.ndarray | None = None

    @classmethod
    def constant(cls, kind: int, values: Sequence[Any], rows: np.ndarray | None = None) -> Edit:
        """The same list of values in every record; cheaper than a column of them."""
        return cls(Column.from_rows(kind, [values]), rows)


class Block:
    """Records with their wanted features located. Made by `decode`.

    Attributes:
        n: How many records it has.
        frames: uint8; the framed records, as they were read if they were canonical.
        offsets: int64 `[n + 1]`; record i is `frames[offsets[i]:offsets[i + 1]]`.
        file_offsets: int64 `[n]`; where each record starts in the decompressed file.
        kinds: The wanted features and their kinds.
        rejected: The records left out, in the order of the file: those that the frames' reader
            rejected, those that are no Example, and those that have a feature of another kind.
        slow_count: How many records were not canonical, and went to `canonicalize`.
    """

    def __init__(
        self,
        frames: Frames,
        wanted: _Wanted,
        spans: np.ndarray,
        bodies: np.ndarray,
        slow_count: int = 0,
    ):
        self.n = len(frames)
        self.frames = frames.data
        self.offsets = frames.offsets
        self.file_offsets = frames.file_offsets
        self.rejected = frames.rejected
        self.slow_count = slow_count
        self._wanted = wanted
        self._spans = kernel_input(spans, np.int32)
        self._bodies = kernel_input(bodies, np.int32)
        self._columns: dict[str, Column] = {}

    def __len__(self) -> int:
        return self.n

    @property
    def kinds(self) -> dict[str, int]:
        return dict(zip(self._wanted.names, self._wanted.kinds.tolist()))

    def _number(self, name: str) -> int:
        try:
            return self._wanted.numbers[name]
        except KeyError:
            raise ValueError(
                f"a feature must be in the `kinds` given to `decode`. Received: {name!r}; "
                f"`kinds` has {self._wanted.names}."
            ) from None

    def column(self, name: str) -> Column:
        """The values of one wanted feature; read once, then kept with the block."""
        if name not in self._columns:
            feature = self._number(name)
            kind = int(self._wanted.kinds[feature])
            self._columns[name] = read_column(self.frames, self.offsets, self._spans, feature, kind)
        return self._columns[name]

    def take(self, mask: np.ndarray) -> Block:
        """The records where the bool `mask` is true, with the same rejections and slow count."""
        mask = self._mask(mask)
        data, offsets = gather(self.frames, self.offsets, mask)
        return Block(
            Frames(data, offsets, self.file_offsets[mask], self.rejected),
            self._wanted,
            self._spans[mask],
            self._bodies[mask],
            self.slow_count,
        )

    def _mask(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != (self.n,):
            raise ValueError(
                f"a mask of rows must be bool of shape ({self.n},). Received: {mask.dtype} of "
                f"shape {mask.shape}."
            )
        return mask

    def encode(self, edits: Mapping[str, Edit], drop: Iterable[str] = ()) -> np.ndarray:
        """The records with some features replaced, as framed bytes (uint8).

        An edited feature takes the place of the old one, and stands at the record's end where there
        was none. All other bytes are passed through as they are, and a record without a change
        keeps its CRC too. All features named here must be in `kinds`: a feature that was not
        located could end up in the record twice.

        Args:
            edits: New values, by feature.
            drop: Features taken out of every record.
        """
        drop = list(dict.fromkeys(drop))
        if set(drop) & set(edits):
            raise ValueError(
                "a feature must be edited or dropped, not both. Received: "
                f"{sorted(set(drop) & set(edits))}."
            )
        names = list(edits) + drop
        features = [self._number(name) for name in names]
        everywhere = np.ones(self.n, np.bool_)
        columns: list[Column | None] = []
        rows = []
        for name, edit in edits.items():
            kind = self._wanted.kinds[self._number(name)]
            if edit.column.kind != kind:
                raise ValueError(
                    f"the edit of {name!r} must be of kind {KIND_NAMES[kind]}. Received: "
                    f"{KIND_NAMES[edit.column.kind]}."
                )
            if len(edit.column) not in (1, self.n):
                raise ValueError(
                    f"the edit of {name!r} must have {self.n} rows, or one row for all. Received: "
                    f"{len(edit.column)} rows."
                )
            columns.append(edit.column)
            rows.append(everywhere if edit.rows is None else self._mask(edit.rows))
        columns += [None] * len(drop)
        rows += [everywhere] * len(drop)
        if not names:
            return self.frames[self.offsets[0] : self.offsets[-1]].copy()
        entries = encode_entries([self._wanted.encoded[k] for k in features], columns, rows)
        return splice(self.frames, self.offsets, self._bodies, self._spans, features, entries)


def decode(
    frames: Frames, kinds: Mapping[str, int], canonicalize: Canonicalize | None = None
) -> Block:
    """Locates the wanted features of serialized tf.train.Example records.

    Records as serializers write them are walked through here. Others (a feature's name twice,
    several `features` messages, unknown fields, a map entry reversed or without its value) are
    handed to `canonicalize` one by one, and take its result. Names that are not wanted are not
    compared with one another.

    Args:
        frames: Verified frames.
        kinds: The wanted features and their kinds (BYTES, FLOAT, INT64). A record may lack them.
        canonicalize: Gives the canonical serialization of a payload, without unknown fields; raises
            ValueError with the reason where it is no Example. Without it, records that are not
            canonical are rejected.

    Returns:
        The block of accepted records. A record with a wanted feature of another kind is rejected.

    Example:
        >>> import io
        >>> from tfrs_augment import records
        >>> column = records.Column.from_rows(records.INT64, [[3], [1, 2]])
        >>> file = io.BytesIO(records.encode_rows({"n": column}).tobytes())
        >>> frames = next(records.read_frames(file, compression="none"))
        >>> records.decode(frames, {"n": records.INT64}).column("n").to_rows()
        [[3], [1, 2]]
    """
    wanted = _Wanted(kinds)
    walked = wanted.walk(frames.data, frames.offsets)
    if not walked.refused:
        return Block(frames, wanted, walked.spans, walked.bodies)
    repaired, slow_count = _repair(frames, wanted, walked, canonicalize)
    walked = wanted.walk(repaired.data, repaired.offsets)
    return Block(repaired, wanted, walked.spans, walked.bodies, slow_count)


def _repair(
    frames: Frames, wanted: _Wanted, walked: _Walked, canonicalize: Canonicalize | None
) -> tuple[Frames, int]:
    """Frames that the walker accepts: others made canonical, or rejected with their reason."""
    offsets = frames.offsets
    flagged = np.flatnonzero(walked.verdicts).tolist()
    reasons: dict[int, str] = {}
    remade: dict[int, np.ndarray] = {}
    slow_count = 0
    for i in flagged:
        verdict = int(walked.verdicts[i])
        reasons[i] = wanted.reason(verdict, int(walked.details[i]))
        if verdict == OTHER_KIND:
            continue
        slow_count += 1
        if canonicalize is not None:
            payload = frames.data[offsets[i] + HEADER_BYTES : offsets[i + 1] - FOOTER_BYTES]
            try:
                remade[i] = frame_array([canonicalize(payload.tobytes())])
            except ValueError as error:
                reasons[i] = str(error)
    if remade:
        again = wanted.walk(*_joined(list(remade.values())))
        for k, i in enumerate(remade):
            if again.verdicts[k]:
                reasons[i] = wanted.reason(int(again.verdicts[k]), int(again.details[k]))
            else:
                del reasons[i]

    pieces = []
    copied = offsets[0]
    sizes = np.diff(offsets)
    for i in flagged:
        pieces.append(frames.data[copied : offsets[i]])
        copied = offsets[i + 1]
        if i not in reasons:
            pieces.append(remade[i])
            sizes[i] = len(remade[i])
    pieces.append(frames.data[copied : offsets[-1]])
    keep = np.ones(len(frames), np.bool_)
    keep[list(reasons)] = False
    new_offsets = np.zeros(np.count_nonzero(keep) + 1, np.int64)
    np.cumsum(sizes[keep], out=new_offsets[1:])
    rejected = frames.rejected + [
        Rejection(int(frames.file_offsets[i]), int(offsets[i + 1] - offsets[i]), reason)
        for i, reason in reasons.items()
    ]
    repaired = Frames(
        np.concatenate(pieces), new_offsets, frames.file_offsets[keep], sorted(rejected)
    )
    return repaired, slow_count


def _joined(framed: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Framed records one after the other, and their offsets."""
    offsets = np.cumsum([0] + [len(record) for record in framed])
    return kernel_input(np.concatenate(framed), np.uint8), kernel_input(offsets, np.int64)


def encode_rows(columns: Mapping[str, Column]) -> np.ndarray:
    """Framed tf.train.Example records from columns alone.

    The records are those of `SerializeToString(deterministic=True)` in Python: features sorted by
    the bytes of their names, a name behind the longer ones that it begins, and numbers packed. A
    feature is left out of the rows where its state is ABSENT.

    Args:
        columns: Columns of equal length, by feature.

    Returns:
        uint8; the records, one after the other.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`columns` must have equal lengths. Received: {lengths}.")
    n = next(iter(lengths.values()), 0)
    empty = frame_array([b"\x0a\x00"])  # An Example whose `features` has no entries.
    frames = Frames(np.tile(empty, n), np.arange(n + 1) * len(empty), np.zeros(n, np.int64))
    names = sorted(columns, key=lambda name: [*name.encode("utf-8"), 256])
    block = decode(frames, {name: columns[name].kind for name in names})
    return block.encode({name: Edit(columns[name]) for name in names})
