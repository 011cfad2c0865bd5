"""Codes streams of symbols: chooses coder and table, then writes them (SPEC.md, section 5)."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.native_library import LIBRARY, MAX_ALPHABET, Plan, address_of

__all__ = [
    "CONSTANT",
    "HUFFMAN",
    "RANS",
    "STORED",
    "Bits",
    "Stream",
    "entropy_bytes",
    "high_bytes",
    "histogram",
    "low_bytes",
    "plan_counts",
    "streams_of",
    "varint",
]

CONSTANT, STORED, HUFFMAN, RANS = range(4)
# No coder of the format: a stream of one symbol is a number.
SINGLE = 4
_LEAST_SCALE = 8
# Interleaved states decode faster but cost 3 bytes each: for streams that hardly feel them.
_TWO_STATES_BITS, _FOUR_STATES_BITS = 8 * 768, 8 * 3072


def varint(value: int) -> bytes:
    """Return an unsigned LEB128: seven bits a byte, the lowest first, the high bit says more."""
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)


class Bits:
    """Bits, the most significant first, padded with zeros."""

    def __init__(self) -> None:
        """Start empty."""
        self._digits: list[str] = []

    def rice(self, value: int, low: int) -> None:
        """Append a Rice code: ones for the quotient, a zero, `low` bits of the rest."""
        self._digits.append("1" * (value >> low) + "0")
        if low:
            self._digits.append(f"{value & ((1 << low) - 1):0{low}b}")

    def data(self) -> bytes:
        """Return the bytes."""
        digits = "".join(self._digits)
        size = -(-len(digits) // 8)
        return int(digits.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")


@dataclass
class Stream:
    """Symbols of one alphabet and how they are coded.

    Attributes:
        counts: How often each symbol occurs, shape (alphabet,), int64.
        plan: Coder and table.
        symbols: Shape (count,), uint16; None while only the cost is wanted.
        shared: Number of the table in the pool, or None for a table of its own.
    """

    counts: NDArray[np.uint64]
    plan: Plan
    symbols: NDArray[np.uint16] | None = None
    shared: int | None = None

    @property
    def cost_bytes(self) -> int:
        """Estimated bytes with everything that the stream takes."""
        if self.plan.coder in {SINGLE, CONSTANT}:
            return 1 if self.plan.coder == SINGLE else 2
        return 3 + -(-int(self.plan.cost_bits) // 8)

    def data(self, last: bool = False) -> bytes:
        """Return the bytes of the stream.

        Args:
            last: Whether the row ends with it, so that its size need not be said.

        Raises:
            RuntimeError: If the table cannot code a symbol: a fault of the encoder.
        """
        if self.symbols is None:
            raise RuntimeError("a stream that was only costed cannot be written")
        plan, count = self.plan, len(self.symbols)
        if plan.coder == SINGLE:
            return varint(int(self.symbols[0]))
        if plan.coder == CONSTANT:
            return bytes([CONSTANT]) + varint(int(self.symbols[0]))
        if plan.coder == STORED:
            return (
                bytes([STORED])
                + self.symbols.astype("<u2" if plan.alphabet > 256 else "u1").tobytes()
            )
        doublings = int(plan.cost_bits >= _TWO_STATES_BITS) + int(
            plan.cost_bits >= _FOUR_STATES_BITS
        )
        room = int(plan.cost_bits) // 8 + count // 64 + 4096
        out = np.empty(room, np.uint8)
        size = LIBRARY.th_encode_stream(
            ctypes.byref(plan),
            1 << doublings,
            address_of(self.symbols),
            count,
            address_of(out),
            room,
        )
        if size == 0:
            raise RuntimeError("a coded stream exceeds its estimate")
        form = plan.coder | (4 if self.shared is not None else 0)
        if plan.coder == RANS:
            form |= doublings << 3 | (plan.scale - _LEAST_SCALE) << 5
        table = table_of(plan) if self.shared is None else varint(self.shared)
        return bytes([form]) + table + (b"" if last else varint(size)) + out[:size].tobytes()


def table_of(plan: Plan) -> bytes:
    """Return the bytes of a plan's table."""
    return bytes(memoryview(plan.table)[: plan.table_bytes])


def histogram(symbols: NDArray[Any], alphabet: int) -> NDArray[np.uint64]:
    """Return how often each symbol below `alphabet` occurs.

    Args:
        symbols: Contiguous uint8 or uint16, shape (count,).
        alphabet: At most 65536.
    """
    counts = np.zeros(max(alphabet, 256), np.uint64)
    LIBRARY.th_histogram(
        address_of(symbols), symbols.itemsize, len(symbols), address_of(counts), len(counts)
    )
    return counts[:alphabet]


def entropy_bytes(counts: NDArray[np.uint64]) -> int:
    """Return the bytes of symbols with these counts by their entropy: no table needs fewer."""
    return int(LIBRARY.th_entropy_bits(address_of(counts), len(counts))) // 8


def plan_counts(counts: NDArray[np.uint64]) -> Plan:
    """Choose coder and table for an alphabet of 2 to 4096 symbols with these counts."""
    plan = Plan()
    counts = np.ascontiguousarray(counts, np.uint64)
    LIBRARY.th_plan_stream(address_of(counts), len(counts), ctypes.byref(plan))
    return plan


def streams_of(counts: NDArray[np.uint64], symbols: NDArray[Any] | None = None) -> list[Stream]:
    """Return the streams for symbols: none for one symbol or none, two for a wide alphabet.

    Args:
        counts: Shape (alphabet,).
        symbols: uint8 or uint16, shape (count,); None to learn the cost alone.
    """
    total = int(counts.sum())
    if len(counts) < 2 or not total:
        return []
    wide = None if symbols is None else np.ascontiguousarray(symbols, np.uint16)
    if total == 1:
        return [Stream(counts, Plan(coder=SINGLE), wide)]
    if len(counts) <= MAX_ALPHABET:
        return [Stream(counts, plan_counts(counts), wide)]
    padded = np.zeros(-(-len(counts) // 256) * 256, np.uint64)
    padded[: len(counts)] = counts
    table = padded.reshape(-1, 256)
    high, low = table.sum(axis=1), table.sum(axis=0)
    return [
        Stream(high, plan_counts(high), None if wide is None else high_bytes(wide)),
        Stream(low, plan_counts(low), None if wide is None else low_bytes(wide)),
    ]


def high_bytes(symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the high byte of each symbol."""
    return (symbols >> 8).astype(np.uint16)


def low_bytes(symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the low byte of each symbol."""
    return (symbols & 255).astype(np.uint16)
