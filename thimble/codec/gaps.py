"""Sparse symbols as the gaps between them, and the values apart (Han et al., 2015, section 2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thimble.codec.errors import CorruptPackage
from thimble.codec.huffman import code_lengths, coded_bits

__all__ = ["MAX_GAP_BITS", "GapCode", "choose_gap_code", "join_gaps", "split_gaps"]

# Wider alphabets cost more table than they save: 2**12 nibbles are 2 KB.
MAX_GAP_BITS = 12


@dataclass(frozen=True)
class GapCode:
    """How gaps become symbols.

    Attributes:
        bits: Symbol `escape = 2**bits - 1` means: that many zeros, and the gap goes on.
        escapes: Escape symbols in the stream.
        lengths: Code lengths of the gap symbols, up to the largest in use.
        cost_bits: Bits of the stream and its table.
    """

    bits: int
    escapes: int
    lengths: NDArray[np.uint8]
    cost_bits: int


def choose_gap_code(gaps: NDArray[np.int64]) -> GapCode:
    """Return the escape width that makes stream and table smallest; of equals the narrowest.

    Args:
        gaps: Zeros before each kept value, shape (kept,), kept >= 1.

    Raises:
        ValueError: If there is no gap.
    """
    if not len(gaps):
        raise ValueError("gaps must not be empty. Received: no kept value.")
    values, counts = np.unique(gaps, return_counts=True)
    codes = []
    for bits in range(1, MAX_GAP_BITS + 1):
        codes.append(_gap_code(values, counts, bits))
        # A wider alphabet is the same code once no gap needs an escape.
        if not codes[-1].escapes:
            break
    return min(codes, key=lambda code: code.cost_bits)


def split_gaps(gaps: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return the gap symbols, shape (kept + escapes,): `gap // escape` escapes, then the rest."""
    escape = (1 << bits) - 1
    repeats = gaps // escape
    symbols = np.full(len(gaps) + int(repeats.sum()), escape, np.int64)
    symbols[np.cumsum(repeats + 1) - 1] = gaps % escape
    return symbols


def join_gaps(
    symbols: NDArray[np.uint16], bits: int, kept: int, elements: int
) -> NDArray[np.int64]:
    """Return the positions of the kept values.

    Args:
        symbols: Gap symbols, shape (kept + escapes,).
        bits: Escape width.
        kept: Kept values that must come out.
        elements: Elements of the array.

    Raises:
        CorruptPackage: If the count differs or a position is outside the array.
    """
    escape = (1 << bits) - 1
    ends = symbols != escape
    steps = symbols.astype(np.int64) + ends
    positions: NDArray[np.int64] = np.cumsum(steps)[ends] - 1
    last = int(positions[-1]) if len(positions) else -1
    if len(positions) != kept or last >= elements or (len(ends) and not ends[-1]):
        raise CorruptPackage(
            f"A gap stream names {len(positions)} positions up to {last}. Expected {kept}, all "
            f"below {elements}. Get the package again."
        )
    return positions


def _gap_code(values: NDArray[np.int64], counts: NDArray[np.int64], bits: int) -> GapCode:
    """Return the code of one escape width for distinct gaps and how often each occurs."""
    escape = (1 << bits) - 1
    escapes = int(np.dot(values // escape, counts))
    symbols = np.bincount(values % escape, weights=counts).astype(np.int64)
    if escapes:
        symbols = np.concatenate([symbols, np.zeros(escape + 1 - len(symbols), np.int64)])
        symbols[escape] = escapes
    lengths = code_lengths(symbols)
    return GapCode(bits, escapes, lengths, coded_bits(symbols, lengths) + 4 * len(lengths))
