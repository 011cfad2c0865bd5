"""Codes arrays, each in the kind that takes the fewest bytes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.bitstream import lane_count, write_symbols
from thimble.codec.codebook import derive_codebook, store_codebook
from thimble.codec.container import Section
from thimble.codec.gaps import GapCode, choose_gap_code, split_gaps
from thimble.codec.huffman import MAX_CODED_SYMBOLS, code_lengths, coded_bits, pack_lengths
from thimble.codec.sections import compress

__all__ = ["SIDE_SECTIONS", "ArrayEncoder", "varint"]

# The sections that every package starts with, in this order.
SIDE_SECTIONS = ("codebooks", "tables", "numbers", "bits")
# A smaller array cannot pay for its own section: it shares one with its like.
_OWN_SECTION_BYTES = 4096
_LANE_BYTES = 2


def varint(value: int) -> bytes:
    """Return an unsigned LEB128: seven bits a byte, the lowest first, the high bit says more."""
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)


@dataclass(frozen=True)
class _Candidate:
    """A way to code an array: its kind, its estimated bytes, and how to write it.

    `write` returns the section that holds its plain bytes, or None.
    """

    kind: str
    cost: int
    write: Callable[[], int | None]


@dataclass
class _Group:
    """Plain bytes of items of one width, which will be one section."""

    width: int
    parts: list[bytes] = field(default_factory=list)
    packed: tuple[str, bytes] | None = None

    def section(self) -> Section:
        """Return the section, compressed unless its only part already was."""
        data = b"".join(self.parts)
        encoding, stored = self.packed or compress(data, self.width)
        return Section(encoding, len(data), stored)


class ArrayEncoder:
    """Collects coded arrays and makes the sections of a package of them.

    Attributes:
        codebooks, tables, numbers, bits: The side sections so far: codebook entries, code lengths,
            counts as varints, and coded streams.
    """

    def __init__(self, leading: Iterable[bytes] = ()) -> None:
        """Start with the plain byte sections `leading`, numbered after the side sections."""
        self.codebooks, self.tables, self.numbers, self.bits = (bytearray() for _ in range(4))
        self._groups = [_Group(1, [data]) for data in leading]
        self._shared: dict[int, int] = {}

    def add(
        self,
        patterns: NDArray[Any],
        dtype: str,
        entries: NDArray[Any] | None = None,
        indices: NDArray[np.integer] | None = None,
    ) -> tuple[str, int | None]:
        """Code one array.

        Args:
            patterns: Little-endian unsigned bit patterns, shape (elements,).
            dtype: Of the items.
            entries: The codebook's patterns where it must be kept; else one is derived if it pays.
            indices: The codebook index of each element; needed with `entries`.

        Returns:
            The kind, and the section of its plain bytes or None.
        """
        candidates = []
        if entries is None:
            candidates += [self._raw(patterns), *self._sparse(patterns)]
            entries = derive_codebook(patterns, dtype)
            if entries is not None:
                indices = _symbols_of(patterns, entries)
        if entries is not None and indices is not None:
            candidates += self._with_codebook(entries, indices, dtype)
        best = min(candidates, key=lambda candidate: candidate.cost)
        return best.kind, best.write()

    def sections(self) -> list[Section]:
        """Return all sections, each in its smallest encoding."""
        sides = [_Group(1, [bytes(getattr(self, name))]) for name in SIDE_SECTIONS]
        return [group.section() for group in [*sides, *self._groups]]

    def _raw(self, patterns: NDArray[Any]) -> _Candidate:
        """Plain bytes."""
        data, width = patterns.tobytes(), patterns.itemsize
        packed = compress(data, width)
        return _Candidate("raw", len(packed[1]), lambda: self._plain(data, width, packed))

    def _sparse(self, patterns: NDArray[Any]) -> list[_Candidate]:
        """Gaps between the patterns that are not 0, and those as plain bytes."""
        kept = np.flatnonzero(patterns)
        if 2 * len(kept) >= len(patterns):
            return []
        values = patterns[kept].tobytes()
        gap_code, gaps = _gaps_of(kept)
        width = patterns.itemsize

        def write() -> int:
            self.numbers += varint(len(kept))
            self._write_gaps(gap_code, gaps)
            return self._plain(values, width, packed)

        packed = compress(values, width)
        cost = _gap_bytes(gap_code, gaps) + len(packed[1])
        return [_Candidate("sparse", cost, write)]

    def _with_codebook(
        self, entries: NDArray[Any], indices: NDArray[np.integer], dtype: str
    ) -> list[_Candidate]:
        """Codebook kinds: plain indices, dense codes, and gaps with values."""
        book, stored = store_codebook(entries, dtype)
        numbers = varint(book.form) + varint(len(entries))
        counts = np.bincount(indices, minlength=len(entries)).astype(np.int64)
        plain = np.ascontiguousarray(indices, f"<u{1 if len(entries) <= 256 else 2}")

        def start() -> None:
            self.codebooks += stored
            self.numbers += numbers

        def write_indexed() -> int:
            start()
            return self._plain(plain.tobytes(), plain.itemsize, packed)

        fixed = len(stored) + len(numbers)
        packed = compress(plain.tobytes(), plain.itemsize)
        candidates = [_Candidate("indexed", fixed + len(packed[1]), write_indexed)]
        if 0 < np.count_nonzero(counts) <= MAX_CODED_SYMBOLS:
            candidates.append(self._dense(plain, counts, fixed, start))
            candidates.append(self._gap(plain, counts, fixed, start))
        return candidates

    def _dense(
        self,
        symbols: NDArray[Any],
        counts: NDArray[np.int64],
        fixed: int,
        start: Callable[[], None],
    ) -> _Candidate:
        """One Huffman code for all symbols."""
        lengths = code_lengths(counts)

        def write() -> None:
            start()
            self._write_stream(symbols, lengths)

        return _Candidate("dense", fixed + _stream_bytes(counts, lengths), write)

    def _gap(
        self,
        symbols: NDArray[Any],
        counts: NDArray[np.int64],
        fixed: int,
        start: Callable[[], None],
    ) -> _Candidate:
        """Gaps between the symbols that are not the most frequent one, and their values."""
        skipped = int(np.argmax(counts))
        kept = np.flatnonzero(symbols != skipped)
        numbers = varint(skipped) + varint(len(kept))
        others = counts.copy()
        others[skipped] = 0
        lengths = code_lengths(others)
        cost = fixed + len(numbers)
        gap_code, gaps = _gaps_of(kept)
        cost += _gap_bytes(gap_code, gaps) + _stream_bytes(others, lengths)

        def write() -> None:
            start()
            self.numbers += numbers
            self._write_gaps(gap_code, gaps)
            self._write_stream(symbols[kept], lengths)

        return _Candidate("gap", cost, write)

    def _write_gaps(self, gap_code: GapCode | None, gaps: NDArray[np.int64]) -> None:
        """Write the gap stream, if any value is kept."""
        if gap_code is not None:
            for number in (gap_code.bits, gap_code.escapes, len(gap_code.lengths)):
                self.numbers += varint(number)
            self._write_stream(split_gaps(gaps, gap_code.bits), gap_code.lengths)

    def _write_stream(self, symbols: NDArray[Any], lengths: NDArray[np.uint8]) -> None:
        """Write code lengths, lane lengths and bits; nothing for a stream without symbols."""
        if len(symbols):
            coded, lane_bits = write_symbols(symbols, lengths)
            self.tables += pack_lengths(lengths)
            self.numbers += b"".join(varint(bits) for bits in lane_bits)
            self.bits += coded

    def _plain(self, data: bytes, width: int, packed: tuple[str, bytes]) -> int:
        """Put bytes in a section of their own, or in one shared by small arrays of their width."""
        if len(data) < _OWN_SECTION_BYTES:
            if width not in self._shared:
                self._shared[width] = len(self._groups)
                self._groups.append(_Group(width))
            place = self._shared[width]
        else:
            place = len(self._groups)
            self._groups.append(_Group(width, packed=packed))
        self._groups[place].parts.append(data)
        return len(SIDE_SECTIONS) + place


def _symbols_of(patterns: NDArray[Any], entries: NDArray[Any]) -> NDArray[np.integer]:
    """Return the index in `entries`, each of which occurs once, of every pattern."""
    order = np.argsort(entries, kind="stable")
    return order[np.searchsorted(entries[order], patterns)]


def _gaps_of(kept: NDArray[np.int64]) -> tuple[GapCode | None, NDArray[np.int64]]:
    """Return the gaps before the kept positions and their best code (None for no position)."""
    gaps = np.diff(kept, prepend=-1) - 1
    return (choose_gap_code(gaps) if len(gaps) else None), gaps


def _gap_bytes(gap_code: GapCode | None, gaps: NDArray[np.int64]) -> int:
    """Return the bytes of a gap stream with its table and lane lengths."""
    if gap_code is None:
        return 0
    lanes = lane_count(len(gaps) + gap_code.escapes)
    return -(-gap_code.cost_bits // 8) + 4 + _LANE_BYTES * lanes


def _stream_bytes(counts: NDArray[np.int64], lengths: NDArray[np.uint8]) -> int:
    """Return the bytes of a stream with its table and lane lengths."""
    total = int(counts.sum())
    if not total:
        return 0
    bits = coded_bits(counts, lengths)
    return -(-bits // 8) + (len(lengths) + 1) // 2 + _LANE_BYTES * lane_count(total)
