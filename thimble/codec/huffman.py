"""Canonical Huffman codes of at most 15 bits."""

import numpy as np
from numpy.typing import NDArray

from thimble.codec.errors import CorruptPackage

__all__ = [
    "MAX_CODE_BITS",
    "MAX_CODED_SYMBOLS",
    "canonical_codes",
    "check_lengths",
    "code_lengths",
    "coded_bits",
    "lookup_table",
    "pack_lengths",
    "unpack_lengths",
]

# A length fits a nibble, and three bytes hold any code at any bit offset.
MAX_CODE_BITS = 15
MAX_CODED_SYMBOLS = 1 << MAX_CODE_BITS
_WHOLE = 1 << MAX_CODE_BITS


def code_lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the code lengths that cost least among all prefix codes of at most 15 bits.

    Package-merge: each level merges the symbols with pairs of the level below; the cheapest
    2n - 2 items of the last level say how often, and so how deep, each symbol is chosen. Because
    a level is sorted, the symbols chosen on it are always the rarest few.

    Args:
        counts: How often each symbol occurs, shape (symbols,).

    Returns:
        Lengths in bits, shape (symbols,): 0 for a symbol that never occurs. A single symbol gets
        length 1 by convention; its stream takes no bits. Among equal counts the lower symbol
        gets the shorter code.

    Raises:
        ValueError: If more than 2**15 symbols occur: 15 bits cannot name them.

    Source: Larmore and Hirschberg, 1990, "A fast algorithm for optimal length-limited Huffman
    codes", section 3.
    """
    lengths = np.zeros(len(counts), np.uint8)
    used = np.flatnonzero(counts)
    if len(used) > MAX_CODED_SYMBOLS:
        raise ValueError(
            f"At most {MAX_CODED_SYMBOLS} symbols fit codes of {MAX_CODE_BITS} bits. "
            f"Received: {len(used)}. Store the symbols raw."
        )
    if len(used) <= 1:
        lengths[used] = 1
        return lengths
    rarest = used[np.lexsort((-used, counts[used]))]
    leaves = counts[rarest].astype(np.int64)
    level, leaf_flags = leaves, [np.ones(len(leaves), bool)]
    for _ in range(MAX_CODE_BITS - 1):
        pairs = level[: len(level) // 2 * 2].reshape(-1, 2).sum(axis=1)
        merged = np.concatenate([leaves, pairs])
        order = np.argsort(merged, kind="stable")
        level = merged[order]
        leaf_flags.append(order < len(leaves))
    depth = np.zeros(len(leaves), np.uint8)
    chosen = 2 * len(leaves) - 2
    for flags in reversed(leaf_flags):
        symbols = int(np.count_nonzero(flags[:chosen]))
        depth[:symbols] += 1
        chosen = 2 * (chosen - symbols)
    lengths[rarest] = depth
    return lengths


def coded_bits(counts: NDArray[np.int64], lengths: NDArray[np.uint8]) -> int:
    """Return the bits that a stream with these symbol counts takes."""
    if np.count_nonzero(lengths) <= 1:
        return 0
    return int(np.dot(counts, lengths.astype(np.int64)))


def canonical_codes(lengths: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the codeword of each symbol (0 where the length is 0), shape (symbols,).

    Codes grow with (length, symbol): the first is all zeros, each next one is the one before plus
    one, shifted left to its own length. So the lengths alone define the code.

    Source: Schwartz and Kallick, 1964; RFC 1951 section 3.2.2.
    """
    codes = np.zeros(len(lengths), np.int64)
    order = _canonical_order(lengths)
    widths = lengths[order].astype(np.int64)
    shares = np.left_shift(1, MAX_CODE_BITS - widths)
    codes[order] = np.right_shift(np.cumsum(shares) - shares, MAX_CODE_BITS - widths)
    return codes


def lookup_table(lengths: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int]:
    """Return the decoding table of a complete code and the bits that index it.

    Args:
        lengths: Code lengths that passed `check_lengths`, at least two of them not 0.

    Returns:
        Entries `symbol << 4 | length`, shape (2**bits,), and `bits`, the longest length.
    """
    bits = int(lengths.max())
    order = _canonical_order(lengths)
    widths = lengths[order].astype(np.int64)
    entries = np.left_shift(order, 4) | widths
    return np.repeat(entries, np.left_shift(1, bits - widths)), bits


def check_lengths(lengths: NDArray[np.uint8]) -> None:
    """Check that lengths name a complete prefix code, or one symbol of length 1.

    Raises:
        CorruptPackage: If some bit pattern would have no meaning, or two.
    """
    used = lengths[lengths > 0].astype(np.int64)
    whole = int(np.left_shift(1, MAX_CODE_BITS - used).sum()) == _WHOLE
    if not whole and not (len(used) == 1 and used[0] == 1):
        raise CorruptPackage(
            f"A Huffman table is not a complete prefix code ({len(used)} symbols). "
            "Expected code lengths whose 2**-length sum to 1. Get the package again."
        )


def pack_lengths(lengths: NDArray[np.uint8]) -> bytes:
    """Return two lengths per byte, the first in the high nibble, an odd end padded with 0."""
    padded = np.zeros(-(-len(lengths) // 2) * 2, np.uint8)
    padded[: len(lengths)] = lengths
    return (padded[0::2] << 4 | padded[1::2]).astype(np.uint8).tobytes()


def unpack_lengths(packed: bytes, symbols: int) -> NDArray[np.uint8]:
    """Return `symbols` lengths from their nibbles.

    Raises:
        CorruptPackage: If the padding nibble is not 0.
    """
    pairs = np.frombuffer(packed, np.uint8)
    lengths = np.stack([pairs >> 4, pairs & 15], axis=1).reshape(-1)
    if lengths[symbols:].any():
        raise CorruptPackage("The padding of a Huffman table is not 0. Get the package again.")
    return lengths[:symbols]


def _canonical_order(lengths: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the symbols in use, sorted by (length, symbol)."""
    used = np.flatnonzero(lengths)
    return used[np.argsort(lengths[used], kind="stable")]
