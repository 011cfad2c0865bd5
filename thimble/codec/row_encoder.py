"""Codes one array in the kind that takes the fewest bytes (SPEC.md, section 3)."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.codebook import derive_codebook, halves_of, store_codebook
from thimble.codec.contexts import better_with_contexts
from thimble.codec.gaps import GapStream, choose_gap_stream, split_gaps
from thimble.codec.groups import draft_groups
from thimble.codec.kinds import patterns_of
from thimble.codec.native_library import MAX_ALPHABET
from thimble.codec.scales import find_scales
from thimble.codec.stream_encoder import (
    Stream,
    entropy_bytes,
    high_bytes,
    histogram,
    low_bytes,
    streams_of,
    varint,
)

__all__ = ["EncodedRow", "encode_indices", "plan_row"]

Part = bytes | Stream
Maker = Callable[[], list[Part]]
# A kind with half the symbols to decode may be larger by one part in so many.
_SPEED_SHARE = 256
# Another order is tried where the gaps take so much less: it makes encoding slower.
_TURN_GAIN = 0.985
_LONG_GAP = 4095
_MOST_DIMENSIONS = 2
# A shorter stream cannot pay for several tables.
_WORTH_CONTEXTS = 256


@dataclass(frozen=True)
class EncodedRow:
    """A row whose tables may still move to the pool.

    Attributes:
        kind: `<positions>-<values>`.
        parts: Bytes and streams, in the order of the row.
        columns: Of the matrix that is coded column by column; 0 for row-major order.
    """

    kind: str
    parts: list[Part]
    columns: int = 0

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
    """A way to code the array.

    Attributes:
        kind: Its name.
        bound: Bytes that it takes at least.
        symbols: How many there are to decode.
        plan: Fits its tables; returns its estimated bytes and how to make it.
        columns: Of the matrix that it codes column by column, or 0.
    """

    kind: str
    bound: int
    symbols: int
    plan: Callable[[], tuple[int, Maker]]
    columns: int = 0


def encode_indices(
    codebook: NDArray[np.float32], indices: NDArray[Any], shape: tuple[int, ...] | None = None
) -> EncodedRow:
    """Code a float32 array that is given by a codebook.

    Args:
        codebook: Shape (entries,).
        indices: uint8 or uint16, shape (elements,), below entries.
        shape: Of the array; flat by default.
    """
    shape = indices.shape if shape is None else shape
    return _cheapest(_with_codebook(patterns_of(codebook), indices, "float32", shape))


def plan_row(
    patterns: NDArray[Any],
    dtype: str,
    shape: tuple[int, ...],
    entries: NDArray[Any] | None = None,
    indices: NDArray[Any] | None = None,
) -> EncodedRow:
    """Choose the cheapest kind of an array.

    Args:
        patterns: Little-endian unsigned bit patterns, shape (elements,).
        dtype: Of the items.
        shape: Of the array: its channels may be coded apart.
        entries: The codebook's patterns where it must be kept; else one is derived if it pays.
        indices: The codebook index of each element; needed with `entries`.
    """
    if entries is not None and indices is not None:
        candidates = _with_codebook(entries, indices, dtype, shape)
    else:
        candidates = _plain(patterns, dtype)
        derived = derive_codebook(patterns, dtype) if len(patterns) else None
        if derived is not None:
            candidates += _with_codebook(*derived, dtype, shape)
        elif (
            dtype == "float32"
            and (scaled := find_scales(patterns, shape[-1] if shape else 1)) is not None
        ):
            header, integers = scaled
            book = derive_codebook(integers, "int8")
            if book is not None:
                candidates += _with_codebook(*book, "int8", shape, header)
    return _cheapest(candidates)


def _cheapest(candidates: list[_Candidate]) -> EncodedRow:
    """Return the smallest candidate; half the symbols to decode make up for 1 byte in 256.

    Tables are fitted only for candidates that may still win: their bounds say which.
    """
    planned: list[tuple[int, _Candidate, Maker]] = []
    least = math.inf
    for candidate in sorted(candidates, key=lambda each: each.bound):
        if candidate.bound > least + least / _SPEED_SHARE:
            break
        cost, make = candidate.plan()
        planned.append((cost, candidate, make))
        least = min(least, cost)
    cost, best, make = min(planned, key=lambda each: each[0])
    for other_cost, other, other_make in planned:
        quick = 2 * other.symbols <= best.symbols
        if quick and other_cost <= cost + cost // _SPEED_SHARE:
            best, make = other, other_make
    return EncodedRow(best.kind, make(), best.columns)


def _plain(patterns: NDArray[Any], dtype: str) -> list[_Candidate]:
    """Items as they are: all of them, or those that are not pattern 0 with the gaps between."""
    candidates = [
        _Candidate(f"dense-{name}", cost, len(patterns), _planned(cost, make))
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
                _planned(fixed + cost, lambda make=make: [start, *_parts(gaps), *make()]),  # type: ignore[misc]
            )
        )
    return candidates


def _items(patterns: NDArray[Any], dtype: str) -> Iterable[tuple[str, int, Maker]]:
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


def _byte_streams(symbols: NDArray[np.uint8]) -> tuple[int, Maker]:
    """Return cost and maker of a stream of bytes."""
    return _streams(histogram(symbols, 256), lambda: symbols)


def _streams(
    counts: NDArray[np.uint64],
    symbols: Callable[[], NDArray[Any]],
    middle: int | None = None,
    contexts: bool = False,
) -> tuple[int, Maker]:
    """Return cost and maker of the streams of an alphabet; the symbols are made only if needed."""
    planned = streams_of(counts)
    if contexts and len(planned) == 1 and planned[0].cost_bytes > _WORTH_CONTEXTS:
        wide = np.ascontiguousarray(symbols(), np.uint16)
        planned = better_with_contexts(planned, wide, counts, middle)
    cost = sum(stream.cost_bytes for stream in planned)

    def make() -> list[Part]:
        wide = np.ascontiguousarray(symbols(), np.uint16)
        if len(planned) == 2:
            planned[0].symbols, planned[1].symbols = high_bytes(wide), low_bytes(wide)
        elif planned:
            planned[0].symbols = wide
        # Values that take nothing still end the row: a stream of positions says its size.
        return list(planned) or [b""]

    return cost, make


def _with_codebook(
    entries: NDArray[Any],
    indices: NDArray[Any],
    dtype: str,
    shape: tuple[int, ...],
    scales: bytes | None = None,
) -> list[_Candidate]:
    """Codebook kinds: dense codes, gaps with values, and a bitmap with values."""
    book = (scales or b"") + store_codebook(entries, dtype)
    symbols = np.ascontiguousarray(indices, np.uint8 if len(entries) <= 256 else np.uint16)
    table = _Table(symbols, len(entries), shape if scales is None else None)
    candidates = table.candidates(book)
    columns = shape[-1] if scales is None and len(shape) == 2 else 0
    if 2 * table.kept < len(symbols) and columns > 1:
        turned = _Table(
            _by_columns(symbols, columns), len(entries), (columns, len(symbols) // columns)
        )
        # Weights of neighbouring inputs may be alike where those of neighbouring outputs are not.
        if turned.gap_bytes() < table.gap_bytes() * _TURN_GAIN:
            candidates += [
                dataclasses.replace(each, columns=columns) for each in turned.candidates(book)
            ]
    return candidates


def _by_columns(symbols: NDArray[Any], columns: int) -> NDArray[Any]:
    """Return the symbols of a matrix column by column."""
    return np.ascontiguousarray(symbols.reshape(-1, columns).T).reshape(-1)


class _Table:
    """The codebook indices of an array, and the ways to code them."""

    def __init__(self, symbols: NDArray[Any], alphabet: int, shape: tuple[int, ...] | None) -> None:
        """Count the symbols; without a shape values are scaled, and channels not looked at."""
        self.symbols, self.shape = symbols, shape
        # Convolutions gained nothing from the symbol before in what we measured, and trying takes
        # as long as all else.
        self.contexts = shape is not None and len(shape) <= _MOST_DIMENSIONS
        self.counts = histogram(symbols, alphabet)
        self.skipped = int(np.argmax(self.counts)) if alphabet else 0
        self.kept = len(symbols) - int(self.counts[self.skipped]) if alphabet else 0
        self._split: tuple[NDArray[np.uint32], NDArray[np.uint16]] | None = None
        self._values: tuple[str, int, Callable[[], tuple[int, Maker]]] | None = None

    def candidates(self, book: bytes) -> list[_Candidate]:
        """Return the kinds that may pay."""
        candidates = [self.dense(book)]
        if 20 * self.kept < 19 * len(self.symbols) < 19 << 32:
            start = book + varint(self.skipped) + varint(self.kept)
            candidates.append(self.gap(start))
            if 20 * self.kept > len(self.symbols):
                candidates.append(self.bitmap(start))
        return candidates

    def gap_bytes(self) -> int:
        """Return the bytes of the gaps by their entropy, the long ones as one."""
        gaps = np.minimum(self._kept()[0], _LONG_GAP)
        return entropy_bytes(np.bincount(gaps, minlength=1).astype(np.uint64))

    def dense(self, book: bytes) -> _Candidate:
        """Values of all elements."""
        # Where most elements are skipped, dense codes cannot win by their channels.
        grouped = 4 * self.kept > len(self.symbols)
        name, bound, plan = self._plan_values(None, grouped)

        def planned() -> tuple[int, Maker]:
            cost, make = plan()
            return len(book) + cost, lambda: [book, *make()]

        return _Candidate(f"dense-{name}", len(book) + bound, len(self.symbols), planned)

    def gap(self, start: bytes) -> _Candidate:
        """Gaps, and the values of the kept elements."""
        name, bound, plan = self._kept_values()

        def planned() -> tuple[int, Maker]:
            cost, make = plan()
            gaps = choose_gap_stream(self._kept()[0], self.contexts) if self.kept else None
            cost += len(start) + (gaps.cost_bytes if gaps else 0)
            return cost, lambda: [start, *_parts(gaps), *make()]

        return _Candidate(f"gap-{name}", len(start) + bound, 2 * self.kept, planned)

    def bitmap(self, start: bytes) -> _Candidate:
        """A bit for each element, and the values of the kept ones."""
        name, bound, plan = self._kept_values()
        bitmap = np.packbits(self.symbols != self.skipped)
        counts = histogram(bitmap, 256)

        def planned() -> tuple[int, Maker]:
            cost, make = plan()
            bits_cost, make_bits = _streams(counts, lambda: bitmap)
            return len(start) + bits_cost + cost, lambda: [start, *make_bits(), *make()]

        bound += len(start) + entropy_bytes(counts)
        return _Candidate(f"bitmap-{name}", bound, len(bitmap) + self.kept, planned)

    def _kept(self) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return gaps and values of the elements that are not skipped."""
        if self._split is None:
            self._split = split_gaps(self.symbols, self.skipped, self.kept)
        return self._split

    def _kept_values(self) -> tuple[str, int, Callable[[], tuple[int, Maker]]]:
        """Return how to code the values of the kept elements."""
        if self._values is None:
            name, bound, plan = self._plan_values(self.skipped, True)
            self._values = name, bound, functools.cache(plan)
        return self._values

    def _plan_values(
        self, skipped: int | None, grouped: bool
    ) -> tuple[str, int, Callable[[], tuple[int, Maker]]]:
        """Return name, least bytes and plan of the cheapest way to code values."""
        counts = self.counts if skipped is None else np.delete(self.counts, skipped)
        bound = entropy_bytes(counts)

        def kept() -> NDArray[np.uint16]:
            return self.symbols.astype(np.uint16) if skipped is None else self._kept()[1]

        if self.shape is None:
            return "scaled", bound, lambda: _streams(counts, kept)
        draft = None
        # A wider alphabet takes two streams, which groups do not know.
        if grouped and len(self.counts) <= MAX_ALPHABET:
            draft = draft_groups(self.symbols, self.shape, len(self.counts), skipped)
        if draft is None or draft.rough_bytes >= bound:
            # Contexts may code in fewer bits than the entropy without them.
            return (
                "codebook",
                bound - self.contexts * bound // 16,
                lambda: _streams(counts, kept, skipped, self.contexts),
            )

        def plan() -> tuple[int, Maker]:
            groups = draft.plan()
            return groups.cost_bytes, lambda: groups.parts(self.symbols, skipped, kept())

        return "grouped", draft.rough_bytes - draft.rough_bytes // 16, plan


def _planned(cost: int, make: Maker) -> Callable[[], tuple[int, Maker]]:
    """Return the plan of what needs none."""
    return lambda: (cost, make)


def _parts(gaps: GapStream | None) -> list[Part]:
    """Return what the positions take."""
    return gaps.parts() if gaps is not None else []


def _flat(parts: Iterable[list[Part]]) -> list[Part]:
    """Return the parts one after the other."""
    return [part for some in parts for part in some]
