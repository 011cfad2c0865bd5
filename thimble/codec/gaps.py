"""Gaps between kept elements and the symbols that code them (SPEC.md, section 3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.contexts import better_with_contexts
from thimble.codec.native_library import LIBRARY, MAX_ALPHABET, address_of
from thimble.codec.stream_encoder import Stream, entropy_bytes, streams_of, varint

__all__ = ["GapStream", "choose_gap_stream", "gap_symbols", "split_gaps"]

MAX_GAP_BITS = 12
_TRIED_WIDTHS = 5
_TRIED_WITH_CONTEXTS = 1 << 16
# What a symbol in use adds to a table, for choosing among widths before one is fitted.
_TABLE_BITS = 1.5


@dataclass(frozen=True)
class GapStream:
    """Gaps as symbols.

    Attributes:
        gaps: Shape (kept,), uint32.
        bits: Of the escape; 0 if the gaps are symbols themselves.
        escapes: How many there are.
        counts: Of the symbols, shape (alphabet,).
        streams: What they take; nothing if all gaps are 0.
    """

    gaps: NDArray[np.uint32]
    bits: int
    escapes: int
    counts: NDArray[np.uint64]
    streams: list[Stream]

    @property
    def cost_bytes(self) -> int:
        """Estimated bytes."""
        streams = self.streams if len(self.gaps) > 1 else []
        return len(self._numbers()) + sum(stream.cost_bytes for stream in streams)

    def parts(self) -> list[bytes | Stream]:
        """Return the numbers and the stream, ready to be written."""
        if len(self.gaps) == 1:
            return [self._numbers()]
        for stream in self.streams:
            stream.symbols = gap_symbols(self.gaps, self.bits)
        return [self._numbers(), *self.streams]

    def _numbers(self) -> bytes:
        """Return the escapes, and the alphabet or the width; for one element its number."""
        if len(self.gaps) == 1:
            return varint(int(self.gaps[0]))
        return varint(self.escapes) + varint(self.bits if self.escapes else len(self.counts))


def split_gaps(
    symbols: NDArray[Any], skipped: int, kept: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Return the gap before each symbol that is not skipped, and its value.

    Args:
        symbols: uint8 or uint16, shape (elements,).
        skipped: The symbol that most elements have.
        kept: How many have another.

    Returns:
        Gaps, shape (kept,); values, shape (kept,): symbols above `skipped` are lowered by 1.
    """
    gaps, values = np.empty(kept, np.uint32), np.empty(kept, np.uint16)
    LIBRARY.th_split_gaps(
        address_of(symbols),
        symbols.itemsize,
        len(symbols),
        skipped,
        address_of(gaps),
        address_of(values),
    )
    return gaps, values


def gap_symbols(gaps: NDArray[np.uint32], bits: int) -> NDArray[np.uint16]:
    """Return gaps as symbols: with `bits`, 2**bits - 1 says that as many elements are skipped."""
    count = LIBRARY.th_gap_symbols(address_of(gaps), len(gaps), bits, None)
    symbols = np.empty(count, np.uint16)
    LIBRARY.th_gap_symbols(address_of(gaps), len(gaps), bits, address_of(symbols))
    return symbols


def choose_gap_stream(gaps: NDArray[Any], contexts: bool = False) -> GapStream:
    """Choose the escape width with the fewest bytes by entropy, and of equals the narrowest.

    Args:
        gaps: Skipped elements before each kept one, shape (kept,), at least one.
        contexts: Whether to try a table for each class of the gap before.
    """
    gaps = np.ascontiguousarray(gaps, np.uint32)
    longest = int(gaps.max())
    if longest < 1 << 20:
        found = np.bincount(gaps)
        values = np.flatnonzero(found)
        counts = found[values]
    else:
        values, counts = np.unique(gaps, return_counts=True)
    # A width pays when escapes are rare: from the mean gap upwards.
    narrowest = max(1, int(np.dot(values, counts) / len(gaps) + 1).bit_length() - 1)
    widths = [
        width
        for width in range(min(narrowest, MAX_GAP_BITS), MAX_GAP_BITS + 1)
        if (1 << width) - 1 <= longest
    ][:_TRIED_WIDTHS]
    if longest < MAX_ALPHABET:
        widths.append(0)
    drafts = [(width, *_counts_of(values, counts, width)) for width in widths]
    drafts.sort(key=lambda draft: (_rough_bits(draft[2]), draft[0]))
    width, escapes, table = drafts[0]
    best = GapStream(gaps, width, escapes, table, streams_of(table))
    if contexts and len(best.streams) == 1 and len(gaps) <= _TRIED_WITH_CONTEXTS:
        # Contexts prefer narrower alphabets than one table does.
        narrow = [draft for draft in drafts[1:] if draft[0] == narrowest + 2]
        for width, escapes, table in [drafts[0], *narrow]:
            streams = better_with_contexts(best.streams, gap_symbols(gaps, width), table)
            if streams is not best.streams:
                best = GapStream(gaps, width, escapes, table, streams)
    return best


def _counts_of(
    values: NDArray[np.int64], counts: NDArray[np.int64], bits: int
) -> tuple[int, NDArray[np.uint64]]:
    """Return how many escapes one width needs, and how often each symbol then occurs."""
    if not bits:
        return 0, np.bincount(values, weights=counts).astype(np.uint64)
    escape = (1 << bits) - 1
    escapes = int(np.dot(values // escape, counts))
    table = np.bincount(values % escape, weights=counts, minlength=escape + 1)
    table[escape] = escapes
    return escapes, table.astype(np.uint64)


def _rough_bits(table: NDArray[np.uint64]) -> float:
    """Estimate the bits of symbols with these counts by their entropy."""
    return 8 * entropy_bytes(table) + _TABLE_BITS * min(int(np.count_nonzero(table)), 24)
