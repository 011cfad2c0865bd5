"""Abuses of values in groups of channels (SPEC.md, section 3)."""

from tests.attacks.sealing import listing, tensor, varint

ABUSES, raises = listing()
_BOOK = varint(8 * 3 + 2) + b"\0"
_STORED = b"\1"


def grouped(numbers: bytes, rest: bytes) -> bytes:
    """Return a package of eight values in groups: G, stride and channels, then what follows."""
    return tensor("dense-grouped", _BOOK + numbers + rest, [8], dtype="uint8")


def members(groups: bytes, counts: bytes, *streams: bytes) -> bytes:
    """Return a package of two groups of two channels, the even and the odd elements."""
    return grouped(b"\2\1\2", _STORED + groups + counts + b"".join(streams))


def values(count: int) -> bytes:
    """Return a stream of stored zeros."""
    return _STORED + bytes(count)


@raises("CorruptPackage", "count is out of its range")
def groups_1() -> bytes:
    """One group is no grouping."""
    return grouped(b"\1\1\1", b"\x08" + values(8))


@raises("CorruptPackage", "count is out of its range")
def groups_65() -> bytes:
    """One group more than there may be."""
    return grouped(b"\x41\1\2", values(2) + b"\x08" + bytes(64) + values(8))


@raises("CorruptPackage", "count is out of its range")
def groups_2_to_32() -> bytes:
    """2^32 + 2 groups: two in 32 bits."""
    return grouped(varint((1 << 32) + 2) + b"\1\2", values(2) + b"\4\4" + values(4) * 2)


@raises("CorruptPackage", "count is out of its range")
def groups_stride_0() -> bytes:
    """An element number divided by 0."""
    return grouped(b"\2\0\2", values(2) + b"\x08\0" + values(8))


@raises("CorruptPackage", "count is out of its range")
def groups_no_channels() -> bytes:
    """An element number modulo 0."""
    return grouped(b"\2\1\0", b"\x08\0" + values(8))


@raises("CorruptPackage", "count is out of its range")
def groups_65537_channels() -> bytes:
    """One channel more than there may be, in a stream of two bytes."""
    return grouped(b"\2\1" + varint(65537), b"\0\0" + b"\x08\0" + values(8))


@raises("CorruptPackage", "outside its alphabet")
def groups_member_outside() -> bytes:
    """The second channel is of group 2 of two."""
    return members(b"\0\2", b"\4\4", values(4), values(4))


@raises("CorruptPackage", "count is out of its range")
def groups_counts_too_few() -> bytes:
    """Seven values for eight elements."""
    return members(b"\0\1", b"\4\3", values(4), values(3))


@raises("CorruptPackage", "count is out of its range")
def groups_counts_too_many() -> bytes:
    """Nine values for eight elements."""
    return members(b"\0\1", b"\4\5", values(4), values(5))


@raises("CorruptPackage", "count is out of its range")
def groups_counts_overflow() -> bytes:
    """Three counts whose sum is 8 modulo 2^64."""
    most = varint((1 << 63) - 1)
    return grouped(b"\3\1\2", values(2) + most + most + b"\x0a" + values(8))


@raises("CorruptPackage", "count is out of its range")
def groups_counts_of_other_channels() -> bytes:
    """Eight values, but three and five for channels of four each."""
    return members(b"\0\1", b"\3\5", values(3), values(5))


@raises("CorruptPackage", "count is out of its range")
def groups_unused_values() -> bytes:
    """Both channels are of the first group; the second has a value that no element takes."""
    return members(b"\0\0", b"\7\1", values(7), b"\0")


@raises("CorruptPackage", "outside its alphabet")
def groups_symbol_outside() -> bytes:
    """The last value is 3 of an alphabet of three."""
    return members(b"\0\1", b"\4\4", values(4), values(3) + b"\3")


@raises("CorruptPackage", "bits are left over")
def groups_trailing_byte() -> bytes:
    """A byte follows the last group."""
    return members(b"\0\1", b"\4\4", values(4), values(4) + b"\0")


@raises("CorruptPackage", "ends before what it announces")
def groups_counts_missing() -> bytes:
    """The row ends after the channels."""
    return members(b"\0\1", b"\4")
