"""Abuses of streams with contexts (SPEC.md, section 5)."""

from collections.abc import Sequence

from tests.attacks.attack_streams import SYMBOLS, payload, rans
from tests.attacks.sealing import ascending, coded, listing, tensor, varint

ABUSES, raises = listing()
# rANS, contexts, scale 8.
CODER = 3 | 3 << 3
_POOLED = 4
_FLAT = b"\1"


def contexts(
    thresholds: Sequence[int],
    tables: bytes,
    data: bytes | None = None,
    entries: int = 2,
    scale: int = 8,
) -> bytes:
    """Return a package of a stream with contexts; with flat tables of two it is `SYMBOLS`."""
    data = payload(*rans(SYMBOLS)) if data is None else data
    return coded(stream(thresholds, tables, scale) + data, entries)


def stream(thresholds: Sequence[int], tables: bytes, scale: int = 8) -> bytes:
    """Return what stands before the payload."""
    numbers = b"".join(map(varint, [len(thresholds), *thresholds]))
    return bytes([CODER | scale - 8 << 5]) + numbers + tables


@raises("CorruptPackage", "nor a valid curve")
def contexts_no_thresholds() -> bytes:
    """One class is no context."""
    return contexts([], _FLAT)


@raises("CorruptPackage", "nor a valid curve")
def contexts_16_thresholds() -> bytes:
    """One class more than there may be."""
    return contexts(range(1, 17), _FLAT * 17, b"", 32)


@raises("CorruptPackage", "nor a valid curve")
def contexts_2_to_32_thresholds() -> bytes:
    """2^32 + 1 thresholds: one in 32 bits."""
    return coded(bytes([CODER]) + varint((1 << 32) + 1) + b"\1" + _FLAT * 2)


@raises("CorruptPackage", "nor a valid curve")
def contexts_threshold_0() -> bytes:
    """The first class has no symbol."""
    return contexts([0], _FLAT * 2)


@raises("CorruptPackage", "nor a valid curve")
def contexts_threshold_outside() -> bytes:
    """The last class has no symbol: its threshold is that of the alphabet."""
    return contexts([2], _FLAT * 2)


@raises("CorruptPackage", "nor a valid curve")
def contexts_threshold_far_outside() -> bytes:
    """Classes of symbols far behind the alphabet would be written behind their table."""
    return contexts([1, 1 << 40], _FLAT * 3)


@raises("CorruptPackage", "nor a valid curve")
def contexts_threshold_wraps() -> bytes:
    """A threshold 2^32 + 1: 1 in 32 bits."""
    return contexts([(1 << 32) + 1], _FLAT * 2)


@raises("CorruptPackage", "nor a valid curve")
def contexts_thresholds_equal() -> bytes:
    """The middle class has no symbol."""
    return contexts([2, 2], _FLAT * 3, b"", 4)


@raises("CorruptPackage", "nor a valid curve")
def contexts_thresholds_descend() -> bytes:
    """A class that ends before it begins: a size below 0."""
    return contexts([3, 1], _FLAT * 3, b"", 4)


@raises("CorruptPackage", "ends before what it announces")
def contexts_thresholds_missing() -> bytes:
    """Three thresholds announced, one there."""
    return coded(bytes([CODER]) + b"\3\1", 4)


@raises("CorruptPackage", "ends before what it announces")
def contexts_table_missing() -> bytes:
    """Two classes, one table."""
    return contexts([1], _FLAT, b"")


@raises("CorruptPackage", "nor a valid curve")
def contexts_table_damaged() -> bytes:
    """The table of the second class has three knots for two symbols."""
    return contexts([1], _FLAT + b"\3\0\0")


@raises("CorruptPackage", "nor a valid curve")
def contexts_scale_too_small() -> bytes:
    """Frequencies of 129 symbols that sum to 256."""
    return contexts([1], _FLAT * 2, b"", 129)


@raises("CorruptPackage", "nor a valid curve")
def contexts_too_many_slots() -> bytes:
    """Five classes of scale 15: more than 2^17 slots."""
    return contexts(range(1, 5), _FLAT * 5, b"", 8, 15)


@raises("CorruptPackage", "nor a valid curve")
def contexts_most_slots() -> bytes:
    """16 classes of scale 15: 4 MB of a reader's memory for 30 bytes."""
    return contexts(range(1, 16), _FLAT * 16, b"", 16, 15)


@raises("NewerVersion", "does not know")
def contexts_pooled() -> bytes:
    """Tables of classes are never in the pool."""
    number, pool = b"\0", b"\3\2" + _FLAT
    return coded(bytes([CODER | _POOLED]) + number + payload(*rans(SYMBOLS)), pool=pool)


@raises("NewerVersion", "does not know")
def contexts_pooled_without_pool() -> bytes:
    """As before, and the table that would be named is not there."""
    return coded(bytes([CODER | _POOLED]) + b"\7" + payload(*rans(SYMBOLS)))


@raises("CorruptPackage", "does not end as it must")
def contexts_state_left() -> bytes:
    """The state after the last symbol is 1."""
    return contexts([1], _FLAT * 2, payload(*rans(SYMBOLS, first=1)))


@raises("CorruptPackage", "does not end as it must")
def contexts_word_left() -> bytes:
    """A word more than the symbols take."""
    states, words = rans(SYMBOLS)
    return contexts([1], _FLAT * 2, payload(states, [*words, 7]))


@raises("CorruptPackage", "does not end as it must")
def contexts_four_states() -> bytes:
    """Four states, where contexts have one."""
    states, words = rans(SYMBOLS, 4, 1 << 24)
    return contexts([1], _FLAT * 2, payload(states, words))


@raises("CorruptPackage", "does not end as it must")
def contexts_of_64_groups() -> bytes:
    """64 streams with the largest tables there are; nothing is wrong before the end of the last."""
    head = stream(range(1, 16), _FLAT * 16, 13)
    numbers = b"\x40\1\x40" + b"\1" + bytes(range(64)) + b"\2" * 64
    # An empty payload is a state of 0, which gives symbols 0; one of 1 does not get to 0.
    data = ascending(4096) + numbers + (head + b"\0") * 63 + head + b"\1"
    return tensor("dense-grouped", data, [128])
