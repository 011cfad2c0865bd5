"""Abuses of tables, in rows and in the pool (SPEC.md, section 5)."""

from tests.attacks.sealing import bits, coded, listing, model, varint

ABUSES, raises = listing()
_HUFFMAN, _RANS = 2, 3
_POOLED = 4
_FLAT = bytes([_RANS, 2, 1])
_EVEN = bytes([_HUFFMAN, 2, 0x11])


def lengths(table: bytes, symbols: int) -> bytes:
    """Return a package with a Huffman table; the payload is zeros."""
    return coded(bytes([_HUFFMAN]) + table + b"\0", symbols)


def curve(table: bytes, symbols: int = 8, scale: int = 8) -> bytes:
    """Return a package with a rANS table; the state is 0."""
    return coded(bytes([_RANS | scale - 8 << 5]) + table, symbols)


@raises("CorruptPackage", "neither a complete prefix code")
def huffman_oversubscribed() -> bytes:
    """Three codewords of one bit."""
    return lengths(b"\x11\x10", 3)


@raises("CorruptPackage", "neither a complete prefix code")
def huffman_undersubscribed() -> bytes:
    """Lengths 1 and 2: the bits 11 would read an entry that nothing wrote."""
    return lengths(b"\x12", 2)


@raises("CorruptPackage", "neither a complete prefix code")
def huffman_no_symbol() -> bytes:
    """No symbol has a codeword."""
    return lengths(b"\0", 2)


@raises("CorruptPackage", "neither a complete prefix code")
def huffman_one_symbol() -> bytes:
    """One codeword of one bit."""
    return lengths(b"\x10", 2)


@raises("CorruptPackage", "neither a complete prefix code")
def huffman_oversubscribed_65536_times() -> bytes:
    """4096 codewords of one bit: the sum is a whole number of times 1."""
    return lengths(2048 * b"\x11", 4096)


@raises("CorruptPackage", "bits are left over")
def huffman_table_padding() -> bytes:
    """Something hides in the last nibble."""
    return lengths(b"\x12\x21", 3)


@raises("CorruptPackage", "ends before what it announces")
def huffman_table_short() -> bytes:
    """2048 bytes of lengths announced, three there."""
    return lengths(b"\x11", 4096)


@raises("CorruptPackage", "neither a complete prefix code")
def curve_scale_too_small() -> bytes:
    """256 slots for 200 symbols: fewer than two each."""
    return curve(b"\1", 200)


@raises("CorruptPackage", "neither a complete prefix code")
def curve_no_knots() -> bytes:
    """A curve of no knots."""
    return curve(b"\0")


@raises("CorruptPackage", "neither a complete prefix code")
def curve_too_many_knots() -> bytes:
    """Nine knots for eight symbols."""
    return curve(b"\x09\0" + bits(8 * "0"))


@raises("CorruptPackage", "neither a complete prefix code")
def curve_2_to_32_knots() -> bytes:
    """2^32 + 1 knots: one in 32 bits."""
    return curve(varint((1 << 32) + 1))


@raises("NewerVersion", "does not know")
def curve_unknown_bits() -> bytes:
    """A bit that must be 0 today."""
    return curve(b"\2\x40" + bits("0"))


@raises("CorruptPackage", "neither a complete prefix code")
def curve_knots_in_one_place() -> bytes:
    """Seven knots with growing distances: the last two would stand at symbol 7."""
    return curve(b"\x07\x20" + bits(6 * "0"), 7)


@raises("CorruptPackage", "neither a complete prefix code")
def curve_all_knots_at_the_end() -> bytes:
    """4096 knots with growing distances: places beyond 2^32."""
    return curve(varint(4096) + b"\x20" + bits(4095 * "0"), 4096, 13)


@raises("CorruptPackage", "neither a complete prefix code")
def curve_level_too_high() -> bytes:
    """One step of 2^15."""
    return curve(b"\2\x1c" + bits(512 * "1", "0", 7 * "0"))


@raises("CorruptPackage", "neither a complete prefix code")
def curve_level_too_low() -> bytes:
    """Two steps of -2^14."""
    step = 255 * "1" + "0" + 7 * "1"
    return curve(b"\3\x1c" + bits(step, step))


@raises("CorruptPackage", "count is out of its range")
def curve_rice_bomb() -> bytes:
    """A step of 65,536 ones."""
    return curve(b"\2\0" + bits(65536 * "1", "0"))


@raises("CorruptPackage", "bits are left over")
def curve_padding() -> bytes:
    """A bit hides after the last step."""
    return curve(b"\2\0" + b"\1")


@raises("CorruptPackage", "ends before what it announces")
def curve_short() -> bytes:
    """The row ends within the steps."""
    return curve(b"\x08\0")


@raises("CorruptPackage", "neither a complete prefix code")
def curve_too_long() -> bytes:
    """A valid curve of 24 KB: each stream that names it in the pool would read it again."""
    up, down = 65534 * "1" + "0", 65533 * "1" + "0"
    return model(pool=bytes([_RANS, 8, 4, 0]) + bits(up, down, up))


@raises("CorruptPackage", "that the pool does not have")
def pool_number_outside() -> bytes:
    """Table 1 of a pool of one."""
    return coded(bytes([_RANS | _POOLED]) + b"\1", pool=_FLAT)


@raises("CorruptPackage", "that the pool does not have")
def pool_number_wraps() -> bytes:
    """Table 2^61: times the bytes of an offset it is table 0 again."""
    return coded(bytes([_RANS | _POOLED]) + varint(1 << 61), pool=_FLAT)


@raises("CorruptPackage", "that the pool does not have")
def pool_empty() -> bytes:
    """Table 0 of no pool."""
    return coded(bytes([_RANS | _POOLED]) + b"\0")


@raises("CorruptPackage", "that the pool does not have")
def pool_other_coder() -> bytes:
    """A rANS stream names a Huffman table."""
    return coded(bytes([_RANS | _POOLED]) + b"\0", pool=_EVEN)


@raises("CorruptPackage", "that the pool does not have")
def pool_other_alphabet() -> bytes:
    """A stream of three symbols names a table of two."""
    return coded(bytes([_RANS | _POOLED]) + b"\0", 3, pool=_FLAT)


@raises("CorruptPackage", "neither a complete prefix code")
def pool_scale_too_small() -> bytes:
    """A table of 200 symbols is used with 256 slots."""
    table = bytes([_RANS]) + varint(200) + b"\1"
    return coded(bytes([_RANS | _POOLED]) + b"\0", 200, pool=table)


@raises("NewerVersion", "does not know")
def pool_unknown_coder() -> bytes:
    """A table of a coder that a minor version may add."""
    return coded(b"\0\0", pool=bytes([4, 2, 1]))


@raises("CorruptPackage", "that the pool does not have")
def pool_alphabet_1() -> bytes:
    """A table for one symbol."""
    return coded(b"\0\0", pool=bytes([_RANS, 1, 1]))


@raises("CorruptPackage", "that the pool does not have")
def pool_alphabet_4097() -> bytes:
    """A table for more symbols than an alphabet may have."""
    return coded(b"\0\0", pool=bytes([_RANS]) + varint(4097) + b"\1")


@raises("CorruptPackage", "ends before what it announces")
def pool_table_short() -> bytes:
    """The pool ends within its only table."""
    return coded(b"\0\0", pool=bytes([_HUFFMAN, 8, 0x33, 0x33]))


@raises("CorruptPackage", "neither a complete prefix code")
def pool_table_not_complete() -> bytes:
    """A Huffman table that no stream uses, and that is not complete."""
    return coded(b"\0\0", pool=bytes([_HUFFMAN, 2, 0x12]))


@raises("CorruptPackage", "ends before what it announces")
def pool_trailing_byte() -> bytes:
    """A table, and the first byte of another."""
    return coded(b"\0\0", pool=_FLAT + b"\3")
