"""Codebooks: which bit pattern each symbol stands for, and the forms they are stored in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.native_library import LIBRARY, address_of
from thimble.codec.stream_encoder import Bits, varint

__all__ = ["MAX_ENTRIES", "derive_codebook", "halves_of", "store_codebook"]

PATTERNS, HALF, RANGE, ASCENDING, ZERO_ASCENDING = range(5)
# Indices are at most uint16.
MAX_ENTRIES = 1 << 16
DERIVED_ENTRIES = 256
_MAX_RICE = 15
_MAX_DISTANCE = 1 << 16


def halves_of(patterns: NDArray[Any]) -> NDArray[np.uint16] | None:
    """Return the float16 patterns that equal float32 patterns exactly, or None if some do not."""
    values = patterns.view("<f4")
    # A NaN may change its payload on the way through float16.
    if np.isnan(values).any():
        return None
    with np.errstate(over="ignore"):
        halves = values.astype("<f2")
    return (
        halves.view("<u2") if np.array_equal(halves.astype("<f4").view("<u4"), patterns) else None
    )


def store_codebook(entries: NDArray[Any], dtype: str) -> bytes:
    """Return a codebook in its smallest form.

    Args:
        entries: Little-endian unsigned patterns, shape (entries,).
        dtype: Of the items.
    """
    forms = {PATTERNS: entries.tobytes()}
    if entries.itemsize == 1 and 1 < len(entries) <= 256 and (np.diff(entries) == 1).all():
        forms[RANGE] = entries[:1].tobytes()
    halves = halves_of(entries) if dtype == "float32" and len(entries) else None
    if halves is not None:
        forms[HALF] = halves.tobytes()
        forms |= _ascending(halves)
    form = min(forms, key=lambda each: (len(forms[each]), each))
    return varint(8 * len(entries) + form) + forms[form]


def _ascending(halves: NDArray[np.uint16]) -> dict[int, bytes]:
    """Return the forms that store the distances of ascending float16 patterns."""
    wide = halves.astype(np.int64)
    keys = np.where(wide < 0x8000, wide + 0x8000, 0xFFFF - wide)
    forms = {}
    for form, start in ((ASCENDING, 0), (ZERO_ASCENDING, 1)):
        distances = np.diff(keys[start:]) - 1
        if len(keys) > start and (distances >= 0).all() and (start == 0 or halves[0] == 0):
            forms[form] = int(keys[start]).to_bytes(2, "little") + _rice_codes(distances)
    return forms


def _rice_codes(distances: NDArray[np.int64]) -> bytes:
    """Return the parameter and the Rice codes of distances; nothing for none."""
    if not len(distances):
        return b""
    known = distances.tolist()
    # The best parameter is near the logarithm of the mean: no other one can pay.
    near = max(0, (sum(known) // len(known)).bit_length() - 1)
    tried = range(max(0, near - 1), min(_MAX_RICE, near + 1) + 1)
    low = min(tried, key=lambda low: sum(each >> low for each in known) + low * len(known))
    bits = Bits()
    for distance in known:
        bits.rice(distance, low)
    return bytes([low]) + bits.data()


def derive_codebook(
    patterns: NDArray[Any], dtype: str
) -> tuple[NDArray[Any], NDArray[np.uint16]] | None:
    """Find the codebook of an array of few distinct patterns.

    Integers of one byte get a whole range where that is smaller than a list.

    Args:
        patterns: Unsigned, shape (elements,).
        dtype: Of the items.

    Returns:
        Entries ascending by value, and the index of each element; None if there are more than 256
        distinct patterns, or none.
    """
    found = np.zeros(DERIVED_ENTRIES, np.uint64)
    symbols = np.empty(len(patterns), np.uint16)
    count = LIBRARY.th_distinct(
        address_of(patterns),
        patterns.itemsize,
        len(patterns),
        DERIVED_ENTRIES,
        address_of(found),
        address_of(symbols),
    )
    if count < 1:
        return None
    entries = found[:count].astype(patterns.dtype)
    order = np.argsort(_sort_keys(entries, dtype), kind="stable")
    rank = np.empty(count, np.uint16)
    rank[order] = np.arange(count, dtype=np.uint16)
    entries = entries[order]
    if dtype in {"int8", "uint8"}:
        first, span = entries[0], (int(entries[-1]) - int(entries[0])) % 256 + 1
        if span <= 3 * count:
            rank = ((entries - first).astype(np.uint16))[rank]
            entries = first + np.arange(span, dtype=np.uint16).astype(np.uint8)
    return entries, rank[symbols]


def _sort_keys(entries: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return keys that order patterns by the value they stand for; NaNs come at the ends."""
    if dtype.startswith("uint"):
        return entries
    if dtype.startswith("int"):
        return entries.view(entries.dtype.str.replace("u", "i"))
    top = entries.dtype.type(1 << (8 * entries.itemsize - 1))
    return np.where(entries & top, ~entries, entries | top)
