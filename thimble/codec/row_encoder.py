"""Codes one array in the kind that takes the fewest bytes (SPEC.md, section 3)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.codebook import derive_codebook, halves_of, store_codebook
from thimble.codec.gaps import GapStream, choose_gap_stream, split_gaps
from thimble.codec.kinds import patterns_of
from thimble.codec.scales import find_scales
from thimble.codec.stream_encoder import (
    Stream,
    high_bytes,
    histogram,
    low_bytes,
    streams_of,
    varint,
)

__all__ = ["EncodedRow", "encode_indices", "plan_row"]

Part = bytes | Stream


@dataclass(frozen=True)
class EncodedRow:
    """A row whose tables may still move to the pool.

    Attributes:
        kind: `<positions>-<values>`.
        parts: Bytes and streams, in the order of the row.
    """

    kind: str
    parts: list[Part]

    @property
    def data(self) -> bytes:
        """The bytes of the row."""
        last = len(self.parts) - 1
        return b"".join(
            part if isinstance(part, bytes) else part.data(number == last)
            for number, part in enumerate(self.parts)
        )

    @property
    def streams(self) -> list[Stream]:
        """The streams among the parts."""
        return [part for part in self.parts if isinstance(part, Stream)]


@dataclass(frozen=True)
class _Candidate:
    """A way to code the array: its estimated bytes, symbols to decode, and how to make it."""

    kind: str
    cost: int
    symbols: int
    make: Callable[[], list[Part]]


def encode_indices(codebook: NDArray[np.float32], indices: NDArray[Any]) -> EncodedRow:
    """Code a float32 array that is given by a codebook.

    Args:
        codebook: Shape (entries,).
        indices: uint8 or uint16, shape (elements,), below entries.
    """
    return plan_row(patterns_of(codebook)[indices], "float32", patterns_of(codebook), indices)


def plan_row(
    patterns: NDArray[Any],
    dtype: str,
    entries: NDArray[Any] | None = None,
    indices: NDArray[Any] | None = None,
    channels: int = 1,
) -> EncodedRow:
    """Choose the cheapest kind of an array.

    Args:
        patterns: Little-endian unsigned bit patterns, shape (elements,).
        dtype: Of the items.
        entries: The codebook's patterns where it must be kept; else one is derived if it pays.
        indices: The codebook index of each element; needed with `entries`.
        channels: Last dimension of the shape, for scales by channel.
    """
    if entries is not None and indices is not None:
        candidates = _with_codebook(entries, indices, dtype)
    else:
        candidates = _plain(patterns, dtype)
        derived = derive_codebook(patterns, dtype) if len(patterns) else None
        if derived is not None:
            candidates += _with_codebook(*derived, dtype)
        elif dtype == "float32" and (scaled := find_scales(patterns, channels)) is not None:
            header, integers = scaled
            book = derive_codebook(integers, "int8")
            if book is not None:
                candidates += _with_codebook(*book, "int8", "scaled", header)
    best = _cheapest(candidates)
    return EncodedRow(best.kind, best.make())


def _cheapest(candidates: list[_Candidate]) -> _Candidate:
    """Return the smallest candidate; half the symbols to decode make up for 1 byte in 256."""
    best = min(candidates, key=lambda candidate: candidate.cost)
    quick = [
        candidate
        for candidate in candidates
        if 2 * candidate.symbols <= best.symbols and candidate.cost <= best.cost + best.cost // 256
    ]
    return min([best, *quick], key=lambda candidate: candidate.symbols)


def _plain(patterns: NDArray[Any], dtype: str) -> list[_Candidate]:
    """Items as they are: all of them, or those that are not pattern 0 with the gaps between."""
    candidates = [
        _Candidate(f"dense-{name}", cost, len(patterns), make)
        for name, cost, make in _items(patterns, dtype)
    ]
    kept = np.flatnonzero(patterns)
    if 10 * len(kept) > 9 * len(patterns):
        return candidates
    start = varint(len(kept))
    gaps = choose_gap_stream(np.diff(kept, prepend=-1) - 1) if len(kept) else None
    fixed = len(start) + (gaps.cost_bytes if gaps else 0)
    for name, cost, make in _items(patterns[kept], dtype):
        candidates.append(
            _Candidate(
                f"gap-{name}",
                fixed + cost,
                len(kept),
                lambda make=make: [start, *_parts(gaps), *make()],  # type: ignore[misc]
            )
        )
    return candidates


def _items(
    patterns: NDArray[Any], dtype: str
) -> Iterable[tuple[str, int, Callable[[], list[Part]]]]:
    """Yield the ways to write items without a codebook: name, bytes, how to make them."""
    yield "raw", patterns.nbytes, lambda: [patterns.tobytes()]
    halves = halves_of(patterns) if dtype == "float32" else None
    if halves is not None:
        yield "half", halves.nbytes, lambda: [halves.tobytes()]
    if len(patterns) and patterns.itemsize > 1:
        planes = patterns.view(np.uint8).reshape(len(patterns), -1).T
        streams = [_byte_streams(np.ascontiguousarray(plane)) for plane in planes]
        yield (
            "planes",
            sum(cost for cost, _ in streams),
            lambda: _flat(make() for _, make in streams),
        )


def _byte_streams(symbols: NDArray[np.uint8]) -> tuple[int, Callable[[], list[Part]]]:
    """Return cost and maker of a stream of bytes."""
    return _streams(histogram(symbols, 256), lambda: symbols)


def _streams(
    counts: NDArray[np.uint64], symbols: Callable[[], NDArray[Any]]
) -> tuple[int, Callable[[], list[Part]]]:
    """Return cost and maker of the streams of an alphabet; the symbols are made only if needed."""
    planned = streams_of(counts)
    cost = sum(stream.cost_bytes for stream in planned)

    def make() -> list[Part]:
        wide = np.ascontiguousarray(symbols(), np.uint16)
        if len(planned) == 2:
            planned[0].symbols, planned[1].symbols = high_bytes(wide), low_bytes(wide)
        elif planned:
            planned[0].symbols = wide
        return list(planned)

    return cost, make


def _with_codebook(
    entries: NDArray[Any],
    indices: NDArray[Any],
    dtype: str,
    values: str = "codebook",
    header: bytes = b"",
) -> list[_Candidate]:
    """Codebook kinds: dense codes, gaps with values, and a bitmap with values."""
    book = header + store_codebook(entries, dtype)
    symbols = np.ascontiguousarray(indices, np.uint8 if len(entries) <= 256 else np.uint16)
    counts = histogram(symbols, len(entries))
    cost, make = _streams(counts, lambda: symbols)
    candidates = [
        _Candidate(f"dense-{values}", len(book) + cost, len(symbols), lambda: [book, *make()])
    ]
    if not len(symbols):
        return candidates
    skipped = int(np.argmax(counts))
    kept = len(symbols) - int(counts[skipped])
    if 20 * kept > 19 * len(symbols) or len(symbols) >= 1 << 32:
        return candidates
    start = book + varint(skipped) + varint(kept)
    gaps, kept_values = split_gaps(symbols, skipped, kept)
    cost, make_values = _streams(np.delete(counts, skipped), lambda: kept_values)
    stream = choose_gap_stream(gaps) if kept else None
    fixed = len(start) + cost
    candidates.append(
        _Candidate(
            f"gap-{values}",
            fixed + (stream.cost_bytes if stream else 0),
            2 * kept,
            lambda: [start, *_parts(stream), *make_values()],
        )
    )
    if 20 * kept > len(symbols):
        bitmap = np.packbits(symbols != skipped)
        cost, make_bitmap = _byte_streams(bitmap)
        candidates.append(
            _Candidate(
                f"bitmap-{values}",
                fixed + cost,
                len(symbols) // 8 + kept,
                lambda: [start, *make_bitmap(), *make_values()],
            )
        )
    return candidates


def _parts(gaps: GapStream | None) -> list[Part]:
    """Return what the positions take."""
    return gaps.parts() if gaps is not None else []


def _flat(parts: Iterable[list[Part]]) -> list[Part]:
    """Return the parts one after the other."""
    return [part for some in parts for part in some]
