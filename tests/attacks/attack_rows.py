"""Abuses of rows: numbers, positions and plain values (SPEC.md, section 3)."""

from tests.attacks.sealing import deflate, deflate_repeated, listing, tensor, varint

ABUSES, raises = listing()
_STORED = b"\1"
_CONSTANT = b"\0"
# Zeros as liblzma packs them; another version of it would write other bytes.
_LZMA_60 = bytes.fromhex("00006e514eb3dfffff80020000")
LZMA_64 = bytes.fromhex("00006e594e93dfffff80020000")
_LZMA_1048576 = bytes.fromhex(
    "00006ffdffffa3b7ff473e481572396151b89228e6a38607f9eee41e82d32fc53a3c014bb17ec98a"
    "8a4d2fa30dd97fa6e38c231153e05918c5758ae277f8b6947f0c6ac0de744964e2e95c53b204d8f7"
    "440cab5f0d6d46e9e5c37688b79657acb64de1691d6ffb4b88106c42cb883f5c008fd04eaf262894"
    "711f3d8f24e1709ea7235fec28cb85d195988a7e2a91f22775f719c006984d98fdd8afd5900fc425"
    "53f8f591363105a5b0ee6fc1704d470cd19111aaad601dbaceb127185c5986e9665258bee976ac59"
    "e4e55b0508f9c7daadfcfb522af7e51cdccfffff82160000"
)


def gaps(rest: bytes, elements: int = 16) -> bytes:
    """Return a package of a tensor of positions and plain items, without a codebook."""
    return tensor("gap-raw", rest, [elements])


def bitmap(kept: int, stream: bytes, elements: int = 12, items: int = 2) -> bytes:
    """Return a package of a tensor of a bitmap and plain items."""
    return tensor("bitmap-raw", varint(kept) + stream + bytes(4 * items), [elements])


@raises("CorruptPackage", "ends before what it announces")
def row_empty() -> bytes:
    """A row that ends before its first number."""
    return gaps(b"")


@raises("CorruptPackage", "bits are left over")
def row_trailing_byte() -> bytes:
    """Nothing is kept, and a byte follows."""
    return gaps(b"\0\0")


@raises("CorruptPackage", "shortest form")
def varint_too_long() -> bytes:
    """A number of ten bytes, 2^63."""
    return gaps(b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")


@raises("CorruptPackage", "shortest form")
def varint_not_shortest() -> bytes:
    """0 in two bytes: two files would be equal in content."""
    return gaps(b"\x80\0")


@raises("CorruptPackage", "ends before what it announces")
def varint_without_end() -> bytes:
    """The row ends where more of the number must follow."""
    return gaps(b"\x80")


@raises("CorruptPackage", "count is out of its range")
def kept_more_than_elements() -> bytes:
    """17 of 16 elements are kept."""
    return gaps(b"\x11\0\1" + bytes(4 * 17))


@raises("CorruptPackage", "count is out of its range")
def kept_2_to_62() -> bytes:
    """So many kept items that their bytes overflow 64 bits."""
    return gaps(varint(1 << 62) + b"\0\1")


@raises("CorruptPackage", "count is out of its range")
def kept_of_no_elements() -> bytes:
    """A kept element in an empty array."""
    return gaps(b"\1\0" + bytes(4), 0)


@raises("CorruptPackage", "outside the array")
def gap_single_outside() -> bytes:
    """The only kept element is number 16 of 16."""
    return gaps(b"\1\x10" + bytes(4))


@raises("CorruptPackage", "outside the array")
def gap_single_far_outside() -> bytes:
    """The only kept element is number 2^62: times 4 it is element 0 again."""
    return gaps(b"\1" + varint(1 << 62) + bytes(4))


@raises("CorruptPackage", "outside the array")
def gap_outside() -> bytes:
    """The second of two kept elements is number 16 of 16."""
    return gaps(b"\2\0\x10" + _STORED + bytes([0, 15]) + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_alphabet_0() -> bytes:
    """Gaps of an empty alphabet."""
    return gaps(b"\2\0\0" + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_alphabet_4097() -> bytes:
    """One symbol more than an alphabet may have."""
    return gaps(b"\2\0" + varint(4097) + _CONSTANT + b"\0" + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_width_0() -> bytes:
    """Escapes of zero bits: an alphabet of one symbol, the escape, that never ends."""
    return gaps(b"\2\1\0" + _CONSTANT + b"\0" + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_width_13() -> bytes:
    """Escapes of 13 bits: an alphabet of 8192."""
    return gaps(b"\2\1\x0d" + _CONSTANT + b"\0" + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_width_65() -> bytes:
    """Escapes of 65 bits: a shift by more than a register."""
    return gaps(b"\2\1\x41" + _CONSTANT + b"\0" + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_escapes_more_than_elements() -> bytes:
    """2^62 escapes, and as many symbols to decode."""
    return gaps(b"\2" + varint(1 << 62) + b"\1" + _CONSTANT + b"\0" + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def gap_escapes_only() -> bytes:
    """Every symbol is the escape; they must not run past the end."""
    return gaps(b"\2\x0f\1" + _CONSTANT + b"\1" + bytes(8))


@raises("CorruptPackage", "outside the array")
def gap_escapes_too_few() -> bytes:
    """One escape announced, two there."""
    return gaps(b"\2\1\1" + _STORED + bytes([1, 1, 0]) + bytes(8))


@raises("CorruptPackage", "outside the array")
def gap_escapes_too_many() -> bytes:
    """Two escapes announced, one there: a kept element too many."""
    return gaps(b"\2\2\1" + _STORED + bytes([1, 0, 0, 0]) + bytes(8))


@raises("CorruptPackage", "outside the array")
def gap_ends_with_escape() -> bytes:
    """The last symbol skips an element and keeps none."""
    return gaps(b"\2\1\1" + _STORED + bytes([0, 0, 1]) + bytes(8))


@raises("CorruptPackage", "outside the array")
def bitmap_too_many_bits() -> bytes:
    """Three bits, where two elements are kept."""
    return bitmap(2, _STORED + b"\xe0\0")


@raises("CorruptPackage", "outside the array")
def bitmap_late_bit() -> bytes:
    """The bit too many is in a byte of its own."""
    return bitmap(2, _STORED + b"\xc0\x10")


@raises("CorruptPackage", "does not end as it must")
def bitmap_too_few_bits() -> bytes:
    """One bit, where two elements are kept."""
    return bitmap(2, _STORED + b"\x80\0")


@raises("CorruptPackage", "outside the array")
def bitmap_past_the_end() -> bytes:
    """The second bit is that of element 12 of 12."""
    return bitmap(2, _STORED + b"\x80\x08")


@raises("CorruptPackage", "outside the array")
def bitmap_bits_and_one_past_the_end() -> bytes:
    """Two bits, and one more for element 15 of 12."""
    return bitmap(2, _STORED + b"\xc0\x01")


@raises("CorruptPackage", "ends before what it announces")
def bitmap_short() -> bytes:
    """One byte of the bitmap's two, and no items."""
    return tensor("bitmap-raw", varint(2) + _STORED + b"\xc0", [12])


@raises("CorruptPackage", "outside its alphabet")
def bitmap_of_one_byte_too_large() -> bytes:
    """A bitmap of one symbol is a number: 256 is outside its alphabet."""
    return bitmap(2, varint(256 + 3), 8)


@raises("CorruptPackage", "plain row of 64 bytes")
def raw_short() -> bytes:
    """A byte is missing from the items."""
    return tensor("dense-raw", bytes(63))


@raises("CorruptPackage", "ends before what it announces")
def raw_kept_short() -> bytes:
    """A byte is missing from the kept items."""
    return gaps(b"\2\0\1" + bytes(7))


@raises("CorruptPackage", "codebook is not valid")
def half_nan() -> bytes:
    """A float16 that is NaN."""
    return tensor("dense-half", b"\x00\x3c\x01\xfc", [2])


@raises("CorruptPackage", "ends before what it announces")
def half_short() -> bytes:
    """A byte is missing from the halves."""
    return tensor("dense-half", b"\x00\x3c\x00", [2])


@raises("CorruptPackage", "ends before what it announces")
def planes_three_of_four() -> bytes:
    """One byte plane is missing."""
    return tensor("dense-planes", 3 * (_CONSTANT + b"\0"), [2])


@raises("CorruptPackage", "bits are left over")
def planes_five_of_four() -> bytes:
    """One byte plane too many."""
    return tensor("dense-planes", 5 * (_CONSTANT + b"\0"), [2])


@raises("CorruptPackage", "Packed bytes do not give exactly")
def deflate_bomb() -> bytes:
    """64 bytes announced, 1 MB in the row."""
    return tensor("deflate", deflate_repeated(b"\0", 4096))


@raises("CorruptPackage", "Packed bytes do not give exactly")
def deflate_short() -> bytes:
    """64 bytes announced, 60 in the row."""
    return tensor("deflate", deflate(bytes(60)))


@raises("CorruptPackage", "Packed bytes do not give exactly")
def deflate_trailing_byte() -> bytes:
    """A byte follows the end of the deflated row."""
    return tensor("deflate", deflate(bytes(64)) + b"\0")


@raises("CorruptPackage", "Packed bytes do not give exactly")
def deflate_without_end() -> bytes:
    """All bytes are there, but not the last block."""
    return tensor("deflate", b"\0" + deflate(bytes(64))[1:])


@raises("CorruptPackage", "Packed bytes do not give exactly")
def lzma_bomb() -> bytes:
    """64 bytes announced, 1 MB in the row."""
    return tensor("lzma", _LZMA_1048576)


@raises("CorruptPackage", "Packed bytes do not give exactly")
def lzma_short() -> bytes:
    """64 bytes announced, 60 in the row."""
    return tensor("lzma", _LZMA_60)


@raises("CorruptPackage", "Packed bytes do not give exactly")
def lzma_trailing_byte() -> bytes:
    """A byte follows the end marker."""
    return tensor("lzma", LZMA_64 + b"\0")


@raises("CorruptPackage", "Packed bytes do not give exactly")
def lzma_without_end() -> bytes:
    """All bytes are there, but the end marker is cut off."""
    return tensor("lzma", LZMA_64[:-6])


@raises("CorruptPackage", "do not unpack")
def lzma_damaged() -> bytes:
    """Not what an encoder of LZMA writes."""
    return tensor("lzma", bytes(1) + 20 * b"\xff")
