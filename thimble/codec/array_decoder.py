"""Decodes the arrays of a package: first every length is checked, then the streams are read."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.array_encoder import SIDE_SECTIONS
from thimble.codec.bitstream import Stream, lane_count, read_streams
from thimble.codec.codebook import (
    FLOAT16,
    MAX_ENTRIES,
    RANGE,
    Codebook,
    load_codebook,
    stored_bytes,
)
from thimble.codec.container import Section, whole_number
from thimble.codec.errors import BadChecksum, CorruptPackage
from thimble.codec.gaps import MAX_GAP_BITS, join_gaps
from thimble.codec.huffman import MAX_CODE_BITS, check_lengths, unpack_lengths
from thimble.codec.rows import CODEBOOK_KINDS, ArrayRow

__all__ = ["ArrayDecoder", "DecodedArray"]

# Streams are decoded together up to this many symbols: enough lanes to be fast, few bytes to hold.
_BATCH_SYMBOLS = 1 << 22
_MAX_COUNT = 1 << 62


@dataclass(frozen=True)
class DecodedArray:
    """One array.

    Attributes:
        values: In the row's shape and dtype.
        indices: Codebook index of each element in the row's shape, or None where the row is not
            to give them back.
        codebook: Or None.
        used: Expanded bytes that the row took from each section, shape (sections,).
    """

    values: NDArray[Any]
    indices: NDArray[Any] | None
    codebook: Codebook | None
    used: NDArray[np.int64]


@dataclass(frozen=True)
class _Plan:
    """A row whose streams are located but not yet decoded."""

    row: ArrayRow
    codebook: Codebook | None
    plain: bytes
    skipped: int
    kept: int
    gap_bits: int
    streams: list[Stream]
    used: NDArray[np.int64]


class ArrayDecoder:
    """Reads rows in order; each takes the next bytes of the sections it needs."""

    def __init__(self, sections: Sequence[Section], lane_symbols: int) -> None:
        """Expand the sections.

        Raises:
            CorruptPackage: If one does not expand, or a side section is missing.
        """
        if len(sections) < len(SIDE_SECTIONS):
            raise CorruptPackage(
                f"The package has {len(sections)} sections. Expected at least "
                f"{len(SIDE_SECTIONS)}: {', '.join(SIDE_SECTIONS)}. Get it again."
            )
        self._data = [section.data() for section in sections]
        self._place = np.zeros(len(sections), np.int64)
        self._lane_symbols = lane_symbols

    def plain(self, section: int, size: int) -> bytes:
        """Take the next `size` bytes of a section.

        Raises:
            CorruptPackage: If the section has fewer.
        """
        place = int(self._place[section])
        if size > len(self._data[section]) - place:
            raise CorruptPackage(
                f"Section {section} has {len(self._data[section])} bytes. Expected {size} more "
                f"after {place}. Get the package again."
            )
        self._place[section] += size
        return self._data[section][place : place + size]

    def rest(self, section: int) -> bytes:
        """Take all bytes of a section that are left."""
        return self.plain(section, len(self._data[section]) - int(self._place[section]))

    def decode(self, rows: Sequence[ArrayRow]) -> list[DecodedArray]:
        """Decode all rows, in the order of the index.

        Raises:
            PackageError: If a length, a table or a checksum does not fit.
        """
        arrays: list[DecodedArray] = []
        batch: list[_Plan] = []
        symbols = 0
        for row in rows:
            plan = self._plan(row)
            batch.append(plan)
            symbols += sum(stream.count for stream in plan.streams)
            if symbols >= _BATCH_SYMBOLS:
                arrays += self._finish(batch)
                batch, symbols = [], 0
        return arrays + self._finish(batch)

    def check_consumed(self) -> None:
        """Check that the rows used every byte.

        Raises:
            CorruptPackage: If bytes are left that no row names.
        """
        for number, data in enumerate(self._data):
            if self._place[number] != len(data):
                raise CorruptPackage(
                    f"Section {number} holds {len(data)} bytes but the index names "
                    f"{self._place[number]}. Get the package again."
                )

    def _plan(self, row: ArrayRow) -> _Plan:
        """Read what a row has in the side sections, and locate its streams."""
        before = self._place.copy()
        codebook = self._codebook(row) if row.kind in CODEBOOK_KINDS else None
        skipped = kept = gap_bits = 0
        streams: list[Stream] = []
        if row.kind == "dense" and row.elements and codebook is not None:
            streams.append(self._stream(len(codebook.entries), row.elements))
        if row.kind == "gap" and codebook is not None:
            skipped = self._number(len(codebook.entries) - 1, "A skipped symbol")
        if row.kind in {"gap", "sparse"}:
            kept = self._number(row.elements, "A count of kept values")
            if kept:
                gap_bits, gap_stream = self._gap_stream(row.elements, kept)
                streams.append(gap_stream)
        if row.kind == "gap" and kept and codebook is not None:
            streams.append(self._stream(len(codebook.entries), kept))
        plain = b""
        if row.section is not None:
            size = {"raw": row.elements * row.width, "sparse": kept * row.width}
            if codebook is not None:
                size["indexed"] = row.elements * (1 if len(codebook.entries) <= 256 else 2)
            plain = self.plain(row.section, size.get(row.kind, 0))
        used = self._place - before
        return _Plan(row, codebook, plain, skipped, kept, gap_bits, streams, used)

    def _codebook(self, row: ArrayRow) -> Codebook:
        """Read a codebook."""
        form = self._number(RANGE, "A codebook's form")
        symbols = self._number(MAX_ENTRIES, "A codebook's size")
        if (form == FLOAT16 and row.dtype != "float32") or (not symbols and row.elements):
            raise CorruptPackage(
                f"A codebook of form {form} with {symbols} entries cannot make {row.dtype} items. "
                "Get the package again."
            )
        stored = self.plain(0, stored_bytes(form, symbols, row.width))
        return load_codebook(form, symbols, row.width, stored)

    def _gap_stream(self, elements: int, kept: int) -> tuple[int, Stream]:
        """Read the head of a gap stream and locate it."""
        gap_bits = whole_number(self._number(MAX_GAP_BITS, "A gap width"), 1, 12, "A gap width")
        escape = (1 << gap_bits) - 1
        escapes = self._number((elements - kept) // escape, "A count of escapes")
        symbols = self._number(escape + 1, "A gap table's size")
        return gap_bits, self._stream(symbols, kept + escapes)

    def _stream(self, symbols: int, count: int) -> Stream:
        """Read code lengths and lane lengths, and locate the bits."""
        lengths = unpack_lengths(self.plain(1, (symbols + 1) // 2), symbols)
        check_lengths(lengths)
        first_byte = int(self._place[3])
        if np.count_nonzero(lengths) == 1:
            return Stream(lengths, count, self._lane_symbols, np.zeros(0, np.int64), first_byte)
        lanes = lane_count(count, self._lane_symbols)
        # One byte at least holds each lane's length: check before making the list.
        if lanes > len(self._data[2]) - int(self._place[2]):
            raise CorruptPackage(f"A stream claims {lanes} lanes. Get the package again.")
        last = count - (lanes - 1) * self._lane_symbols
        lane_bits = [
            self._number(MAX_CODE_BITS * self._lane_symbols, "A lane's bits") for _ in range(lanes)
        ]
        if min(lane_bits[:-1], default=self._lane_symbols) < self._lane_symbols or (
            lane_bits[-1] < last
        ):
            raise CorruptPackage("A lane has fewer bits than symbols. Get the package again.")
        self.plain(3, (sum(lane_bits) + 7) // 8)
        bits = np.array(lane_bits, np.int64)
        return Stream(lengths, count, self._lane_symbols, bits, first_byte)

    def _number(self, high: int, what: str) -> int:
        """Read a varint from 0 to `high`."""
        value = shift = 0
        while True:
            byte = self.plain(2, 1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if value > _MAX_COUNT or shift > 63:
                raise CorruptPackage(f"{what} exceeds 63 bits. Get the package again.")
        # One way to write a number: equal content gives equal bytes.
        if shift > 7 and byte == 0:
            raise CorruptPackage(f"{what} has a needless zero byte. Get the package again.")
        return whole_number(value, 0, high, what)

    def _finish(self, batch: Sequence[_Plan]) -> list[DecodedArray]:
        """Decode the streams of a batch together and assemble its arrays."""
        streams = [stream for plan in batch for stream in plan.streams]
        first = min((stream.first_byte for stream in streams), default=0)
        end = int(self._place[3])
        moved = [
            Stream(s.lengths, s.count, s.lane_symbols, s.lane_bits, s.first_byte - first)
            for s in streams
        ]
        decoded = iter(read_streams(memoryview(self._data[3])[first:end], moved))
        return [_assemble(plan, [next(decoded) for _ in plan.streams]) for plan in batch]


def _assemble(plan: _Plan, streams: list[NDArray[np.uint16]]) -> DecodedArray:
    """Make an array of a row's decoded streams and check it."""
    row = plan.row
    indices = None if plan.codebook is None else _indices(plan, streams)
    if plan.codebook is None or indices is None:
        patterns = _without_codebook(plan, streams)
    else:
        patterns = plan.codebook.entries[indices]
    data = np.ascontiguousarray(patterns, f"<u{row.width}")
    if zlib.crc32(data.tobytes()) != row.crc:
        raise BadChecksum(
            f"Array {row.name or 'of a TFLite buffer'} does not match its CRC-32. Get the package "
            "again."
        )
    little = data.view(np.dtype(row.dtype).newbyteorder("<"))
    values = little.astype(row.dtype, copy=False).reshape(row.shape)
    if row.indices is None or indices is None:
        return DecodedArray(values, None, plan.codebook, plan.used)
    shaped = indices.astype(row.indices).reshape(row.shape)
    return DecodedArray(values, shaped, plan.codebook, plan.used)


def _without_codebook(plan: _Plan, streams: list[NDArray[np.uint16]]) -> NDArray[Any]:
    """Return the patterns of kinds raw and sparse."""
    row = plan.row
    plain = np.frombuffer(plan.plain, f"<u{row.width}")
    if row.kind == "raw":
        return plain.copy()
    patterns = np.zeros(row.elements, f"<u{row.width}")
    if streams:
        patterns[join_gaps(streams[0], plan.gap_bits, plan.kept, row.elements)] = plain
    return patterns


def _indices(plan: _Plan, streams: list[NDArray[np.uint16]]) -> NDArray[Any]:
    """Return the codebook indices of kinds indexed, dense and gap."""
    row = plan.row
    symbols = len(plan.codebook.entries) if plan.codebook is not None else 0
    if row.kind == "indexed":
        indices = np.frombuffer(plan.plain, f"<u{1 if symbols <= 256 else 2}")
        if len(indices) and int(indices.max()) >= symbols:
            raise CorruptPackage("An index is outside its codebook. Get the package again.")
        return indices
    if row.kind == "dense":
        return streams[0] if streams else np.zeros(0, np.uint16)
    indices = np.full(row.elements, plan.skipped, np.uint8 if symbols <= 256 else np.uint16)
    if streams:
        indices[join_gaps(streams[0], plan.gap_bits, plan.kept, row.elements)] = streams[1]
    return indices
