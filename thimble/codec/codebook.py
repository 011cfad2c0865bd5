"""Codebooks: which bit pattern each symbol stands for, and the forms they are stored in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FLOAT16",
    "MAX_ENTRIES",
    "PATTERNS",
    "RANGE",
    "Codebook",
    "derive_codebook",
    "load_codebook",
    "store_codebook",
    "stored_bytes",
]

PATTERNS, FLOAT16, RANGE = 0, 1, 2
# Indices are at most uint16.
MAX_ENTRIES = 1 << 16
_DERIVED_ENTRIES = 256
_SAMPLE = 1 << 14


@dataclass(frozen=True)
class Codebook:
    """The bit pattern of each symbol.

    Attributes:
        form: `PATTERNS` (as they are), `FLOAT16` (float32 values that float16 holds exactly) or
            `RANGE` (consecutive integers: only the first is stored).
        entries: Unsigned, as wide as the items, shape (symbols,).
    """

    form: int
    entries: NDArray[Any]


def store_codebook(entries: NDArray[Any], dtype: str) -> tuple[Codebook, bytes]:
    """Return a codebook in its smallest form, and its bytes.

    Args:
        entries: Little-endian unsigned patterns, shape (symbols,).
        dtype: Of the items.
    """
    following = np.diff(entries) == 1
    if len(entries) > 1 and following.all():
        return Codebook(RANGE, entries), entries[:1].tobytes()
    if dtype == "float32":
        values = entries.view("<f4")
        # A NaN may change its payload on the way through float16.
        if not np.isnan(values).any():
            with np.errstate(over="ignore"):
                halves = values.astype("<f2")
            if np.array_equal(halves.astype("<f4").view("<u4"), entries):
                return Codebook(FLOAT16, entries), halves.tobytes()
    return Codebook(PATTERNS, entries), entries.tobytes()


def stored_bytes(form: int, symbols: int, width: int) -> int:
    """Return the bytes of a stored codebook of items of `width` bytes."""
    return {PATTERNS: symbols * width, FLOAT16: symbols * 2, RANGE: width}[form]


def load_codebook(form: int, symbols: int, width: int, stored: bytes) -> Codebook:
    """Return the codebook that `store_codebook` stored."""
    if form == FLOAT16:
        values = np.frombuffer(stored, "<f2").astype("<f4")
        return Codebook(form, values.view("<u4"))
    entries = np.frombuffer(stored, f"<u{width}")
    if form == RANGE:
        # Unsigned sums wrap, so that a range of signed integers may cross zero.
        entries = entries[0] + np.arange(symbols, dtype=np.uint64).astype(entries.dtype)
    return Codebook(form, entries)


def derive_codebook(patterns: NDArray[Any], dtype: str) -> NDArray[Any] | None:
    """Return the entries for an array of few distinct patterns, or None if they are many.

    Integers of one byte get a whole range where that is smaller than a list: an absent value costs
    half a byte of code lengths, a listed one a byte.
    """
    if len(np.unique(patterns[:_SAMPLE])) > _DERIVED_ENTRIES:
        return None
    entries = np.unique(patterns)
    if not 0 < len(entries) <= _DERIVED_ENTRIES:
        return None
    if dtype == "int8":
        entries = np.sort(entries.view("i1")).view("u1")
    if dtype in {"int8", "uint8"}:
        span = (int(entries[-1]) - int(entries[0])) % 256 + 1
        if span <= 3 * len(entries):
            return entries[0] + np.arange(span, dtype=np.uint16).astype(np.uint8)
    return entries
