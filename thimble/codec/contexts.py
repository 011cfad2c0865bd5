"""Streams whose table depends on the class of the symbol before (SPEC.md, section 5)."""

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.native_library import LIBRARY, Plan, address_of
from thimble.codec.stream_encoder import RANS, Stream, entropy_bytes, table_of, varint

__all__ = ["ContextStream", "better_with_contexts"]

# No coder of the format by itself: rANS with the third number of states.
CONTEXTS = 5
_FORM = RANS | 3 << 3
_FEWEST_SYMBOLS = 512
_LARGEST_ALPHABET = 2048
_LEAST_SCALE = 8
# Every symbol has a share of at least 2**-scale, which wide alphabets feel.
_SCALES = ((64, 12), (512, 14), (_LARGEST_ALPHABET, 15))
# The tables of all classes together: readers refuse more.
_MOST_SLOTS = 1 << 17
# A context makes decoding serial: it has to save this share.
_GAIN = 0.985
# Where the first ways to cut classes save less than this, others will not either.
_HOPELESS = 0.99
# Counts spread over more cells look surer than they are.
_SPREAD_BYTES = 0.09
# What a table takes, for choosing among thresholds before any is fitted.
_TABLE_BYTES = 10


@dataclass
class ContextStream(Stream):
    """Symbols with a table for each class of the symbol before.

    Attributes:
        thresholds: The lowest symbol of each class but the first, ascending.
        plans: The table of each class.
    """

    thresholds: Sequence[int] = ()
    plans: list[Plan] = field(default_factory=list)

    @property
    def scale(self) -> int:
        """Bits of the sum of the frequencies."""
        return _scale_of(len(self.counts))

    def data(self, last: bool = False) -> bytes:
        """Return the bytes of the stream.

        Raises:
            RuntimeError: If the payload exceeds its estimate: a fault of the encoder.
        """
        if self.symbols is None:
            raise RuntimeError("a stream that was only costed cannot be written")
        alphabet, count = len(self.counts), len(self.symbols)
        classes = _classes_of(self.thresholds, alphabet)
        codes = np.stack([np.ctypeslib.as_array(plan.codes)[:alphabet] for plan in self.plans])
        room = int(self.plan.cost_bits) // 8 + count // 64 + 4096
        out = np.empty(room, np.uint8)
        size = LIBRARY.th_encode_contexts(
            address_of(codes), address_of(classes), len(codes), alphabet, self.scale,
            address_of(self.symbols), count, address_of(out), room,
        )  # fmt: skip
        if size == 0:
            raise RuntimeError("a coded stream exceeds its estimate")
        head = bytes([_FORM | (self.scale - _LEAST_SCALE) << 5])
        return head + self._tables() + (b"" if last else varint(size)) + out[:size].tobytes()

    def _tables(self) -> bytes:
        """Return thresholds and tables."""
        numbers = varint(len(self.thresholds)) + b"".join(map(varint, self.thresholds))
        return numbers + b"".join(table_of(plan) for plan in self.plans)


def better_with_contexts(
    streams: list[Stream],
    symbols: NDArray[np.uint16],
    counts: NDArray[np.uint64],
    middle: int | None = None,
) -> list[Stream]:
    """Return streams that use contexts where that is smaller, else those given.

    Args:
        streams: What codes the same so far.
        symbols: Shape (count,).
        counts: Of the symbols, shape (alphabet,).
        middle: A symbol at which the meaning changes, such as the first positive value.
    """
    if len(streams) != 1 or len(symbols) < _FEWEST_SYMBOLS:
        return streams
    plain = streams[0]
    alphabet, entropy = len(counts), max(entropy_bytes(counts), 1)
    if not 2 < alphabet <= _LARGEST_ALPHABET:
        return streams
    best: tuple[float, Sequence[int], NDArray[np.uint64]] | None = None
    used = int(np.count_nonzero(counts))
    for number, thresholds in enumerate(_tried(counts, middle)):
        joint = _joint(symbols, thresholds, alphabet)
        # Entropies of many symbols that hardly occur are too low: only their ratio counts.
        share = sum(entropy_bytes(row) for row in joint) / entropy
        spread = _SPREAD_BYTES * (np.count_nonzero(joint) - used)
        cost = share * plain.cost_bytes + spread + len(thresholds) * _TABLE_BYTES
        if best is None or cost < best[0]:
            best = cost, thresholds, joint
        if number < 2 and best[0] > plain.cost_bytes * _HOPELESS:
            break
    if best is None or best[0] > plain.cost_bytes * _GAIN:
        return streams
    plans = [_plan(row) for row in best[2]]
    whole = Plan(coder=CONTEXTS, alphabet=alphabet)
    whole.cost_bits = sum(int(plan.cost_bits) for plan in plans) + 8 * (1 + len(best[1]))
    found = ContextStream(counts, whole, symbols, None, best[1], plans)
    return [found] if found.cost_bytes < plain.cost_bytes * _GAIN else streams


def _scale_of(alphabet: int) -> int:
    """Return the bits of the sum of the frequencies."""
    return next(scale for most, scale in _SCALES if alphabet <= most)


def _tried(counts: NDArray[np.uint64], middle: int | None) -> Iterable[Sequence[int]]:
    """Yield thresholds: where the meaning changes, and at equal shares of the symbols."""
    alphabet = len(counts)
    most = _MOST_SLOTS >> _scale_of(alphabet)
    if middle is not None and 0 < middle < alphabet:
        yield [middle]
    sums = np.cumsum(counts)
    for parts in (3, 2, 4, 6, 8):
        shares = [int(sums[-1]) * part // parts for part in range(1, parts)]
        places = sorted({int(np.searchsorted(sums, share)) + 1 for share in shares})
        found = [place for place in places if 0 < place < alphabet]
        if 0 < len(found) < most:
            yield found


def _classes_of(thresholds: Sequence[int], alphabet: int) -> NDArray[np.uint8]:
    """Return the class of each symbol."""
    return np.searchsorted(thresholds, np.arange(alphabet), side="right").astype(np.uint8)


def _joint(
    symbols: NDArray[np.uint16], thresholds: Sequence[int], alphabet: int
) -> NDArray[np.uint64]:
    """Return the counts of symbols by the class of the one before, shape (classes, alphabet)."""
    classes = _classes_of(thresholds, alphabet)
    counts = np.zeros((len(thresholds) + 1, alphabet), np.uint64)
    LIBRARY.th_context_histogram(
        address_of(symbols), len(symbols), address_of(classes), alphabet, address_of(counts)
    )
    return counts


def _plan(counts: NDArray[Any]) -> Plan:
    """Fit the table of one class."""
    plan = Plan()
    row = np.ascontiguousarray(counts, np.uint64)
    LIBRARY.th_plan_curve(address_of(row), len(row), _scale_of(len(row)), ctypes.byref(plan))
    return plan
