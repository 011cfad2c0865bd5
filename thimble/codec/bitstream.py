"""Huffman bit streams, cut in lanes that numpy decodes side by side.

A stream is one run of bits, most significant first. After every `LANE_SYMBOLS` symbols the encoder
notes how many bits it has written: such a lane can be decoded without those before it. The decoder
steps through all lanes of all streams together, one symbol of each at a time, so that the number
of Python steps is `LANE_SYMBOLS` and not the number of symbols.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thimble.codec.errors import CorruptPackage
from thimble.codec.huffman import MAX_CODE_BITS, canonical_codes, lookup_table

__all__ = ["LANE_SYMBOLS", "Stream", "lane_count", "read_streams", "write_symbols"]

# About 2 bytes of side information for 4096 symbols, and at most 4096 steps to decode a package.
LANE_SYMBOLS = 4096
_CHUNK = 256 * LANE_SYMBOLS


@dataclass(frozen=True)
class Stream:
    """One coded stream.

    Attributes:
        lengths: Code lengths, checked, shape (symbols,).
        count: Symbols in the stream, at least 1.
        lane_symbols: Symbols in each lane but the last.
        lane_bits: Bits of each lane, shape (lanes,); empty when the code has one symbol only.
        first_byte: Where the stream starts among the bytes given to `read_streams`.
    """

    lengths: NDArray[np.uint8]
    count: int
    lane_symbols: int
    lane_bits: NDArray[np.int64]
    first_byte: int

    @property
    def constant(self) -> bool:
        """Whether the stream takes no bits, because its code has one symbol only."""
        return int(np.count_nonzero(self.lengths)) == 1


def lane_count(count: int, lane_symbols: int = LANE_SYMBOLS) -> int:
    """Return the lanes of a stream of `count` symbols."""
    return -(-count // lane_symbols)


def write_symbols(
    symbols: NDArray[np.integer], lengths: NDArray[np.uint8]
) -> tuple[bytes, list[int]]:
    """Code symbols.

    Args:
        symbols: Shape (count,), each with a length above 0.
        lengths: Code lengths, shape (symbols,).

    Returns:
        The bytes (the last one padded with 0 bits) and the bits of each lane; nothing of both
        where the code has one symbol only.
    """
    if np.count_nonzero(lengths) <= 1:
        return b"", []
    codes, widths = canonical_codes(lengths), lengths.astype(np.int64)
    lane_bits = [
        int(widths[symbols[start : start + LANE_SYMBOLS]].sum())
        for start in range(0, len(symbols), LANE_SYMBOLS)
    ]
    # Three bytes hold a code of 15 bits at any of 8 bit offsets.
    coded = np.zeros((sum(lane_bits) + 7) // 8 + 3, np.uint8)
    written = 0
    for start in range(0, len(symbols), _CHUNK):
        chunk = symbols[start : start + _CHUNK]
        ends = written + np.cumsum(widths[chunk])
        starts = ends - widths[chunk]
        first = written // 8
        places = (starts >> 3) - first
        windows = codes[chunk] << (24 - widths[chunk] - (starts & 7))
        for byte in range(3):
            part = (windows >> (16 - 8 * byte)) & 255
            # Codes share bytes but never bits, so that adding them up is or-ing them.
            sums = np.bincount(places + byte, weights=part).astype(np.uint8)
            coded[first : first + len(sums)] += sums
        written = int(ends[-1])
    return coded[:-3].tobytes(), lane_bits


def read_streams(data: bytes | memoryview, streams: Sequence[Stream]) -> list[NDArray[np.uint16]]:
    """Decode streams, all their lanes in lock step.

    Args:
        data: The bytes that hold the streams.
        streams: Where they are and how they are coded.

    Returns:
        The symbols of each stream, shape (count,).

    Raises:
        CorruptPackage: If a lane does not end where its length says.
    """
    coded = [stream for stream in streams if not stream.constant]
    found = iter(_read_coded(data, coded) if coded else [])
    return [
        np.full(stream.count, np.flatnonzero(stream.lengths)[0], np.uint16)
        if stream.constant
        else next(found)
        for stream in streams
    ]


def _read_coded(data: bytes | memoryview, streams: Sequence[Stream]) -> list[NDArray[np.uint16]]:
    """Decode streams that take bits."""
    tables, bases, shifts, masks, starts, counts = _lay_out(streams)
    ends = starts + np.concatenate([stream.lane_bits for stream in streams])
    # Longest lanes first: those still running are then always the first few.
    order = np.argsort(-counts, kind="stable")
    lanes = _Lanes(_windows(data), tables, bases[order], shifts[order], masks[order])
    position = starts[order]
    symbols = np.zeros((int(counts.max()), len(counts)), np.uint16)
    step = 0
    for stop in np.unique(counts):
        running = int(np.count_nonzero(counts >= stop))
        lanes.decode(position[:running], symbols[step : int(stop), :running])
        step = int(stop)
    if not np.array_equal(position, ends[order]):
        raise CorruptPackage(
            "A coded lane does not end where its length says. Expected each lane to use its bits "
            "exactly. Get the package again."
        )
    lane_of = np.empty_like(order)
    lane_of[order] = np.arange(len(order))
    return _gather(symbols, lane_of, streams)


def _lay_out(streams: Sequence[Stream]) -> tuple[NDArray[np.int64], ...]:
    """Return the joined tables and, per lane: table base, shift, mask, first bit, symbols."""
    tables, columns, base = [], [], 0
    for stream in streams:
        table, bits = lookup_table(stream.lengths)
        lanes = len(stream.lane_bits)
        first_bit = 8 * stream.first_byte + np.cumsum(stream.lane_bits) - stream.lane_bits
        count = np.full(lanes, stream.lane_symbols, np.int64)
        count[-1] = stream.count - stream.lane_symbols * (lanes - 1)
        constant = np.array([[base], [24 - bits], [(1 << bits) - 1]])
        columns.append(np.concatenate([np.repeat(constant, lanes, axis=1), [first_bit, count]]))
        tables.append(table)
        base += len(table)
    return np.concatenate(tables), *np.concatenate(columns, axis=1)


def _windows(data: bytes | memoryview) -> NDArray[np.int64]:
    """Return the 24 bits from each byte on, as integers; zeros follow the last byte."""
    padded = np.zeros(len(data) + 3, np.int64)
    padded[:-3] = np.frombuffer(data, np.uint8)
    return padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]


class _Lanes:
    """The constants of the lanes that are decoded together."""

    def __init__(
        self,
        windows: NDArray[np.int64],
        tables: NDArray[np.int64],
        bases: NDArray[np.int64],
        shifts: NDArray[np.int64],
        masks: NDArray[np.int64],
    ) -> None:
        """Keep them; the lanes are sorted by their number of symbols, most first."""
        self.windows, self.tables = windows, tables
        self.bases, self.shifts, self.masks = bases, shifts, masks

    def decode(self, position: NDArray[np.int64], symbols: NDArray[np.uint16]) -> None:
        """Decode `len(symbols)` steps of the first lanes; moves `position` (in bits) on."""
        running = len(position)
        base, shift, mask = self.bases[:running], self.shifts[:running], self.masks[:running]
        window, bit = np.empty_like(position), np.empty_like(position)
        for row in symbols:
            np.right_shift(position, 3, out=bit)
            # A damaged lane may run past the end: clip, and let the check of its end tell.
            np.take(self.windows, bit, out=window, mode="clip")
            np.bitwise_and(position, 7, out=bit)
            np.subtract(shift, bit, out=bit)
            np.right_shift(window, bit, out=window)
            np.bitwise_and(window, mask, out=window)
            np.add(window, base, out=window)
            np.take(self.tables, window, out=bit, mode="clip")
            np.right_shift(bit, 4, out=row, casting="unsafe")
            np.bitwise_and(bit, MAX_CODE_BITS, out=bit)
            np.add(position, bit, out=position)


def _gather(
    symbols: NDArray[np.uint16], lane_of: NDArray[np.int64], streams: Sequence[Stream]
) -> list[NDArray[np.uint16]]:
    """Put the lanes of each stream one after the other."""
    found, first = [], 0
    for stream in streams:
        lanes = lane_of[first : first + len(stream.lane_bits)]
        found.append(symbols[:, lanes].T[:, : stream.lane_symbols].reshape(-1)[: stream.count])
        first += len(stream.lane_bits)
    return found
