"""Abuses of codebooks and scales (SPEC.md, section 4)."""

from tests.attacks.sealing import ascending, bits, listing, tensor, varint

ABUSES, raises = listing()
_ONE = varint(8) + bytes(4)
_TWO = varint(16) + bytes(8)
_ONE_HALF = b"\x00\x38"
_NAN_HALF = b"\x00\x7e"


def coded(book: bytes, rest: bytes = b"", dtype: str = "float32") -> bytes:
    """Return a package of a tensor of two elements, both entry 0 unless `rest` says otherwise."""
    return tensor("dense-codebook", book + (rest or b"\0\0"), [2], dtype=dtype)


def book_of(entries: int, form: int) -> bytes:
    """Return the number that a codebook begins with."""
    return varint(8 * entries + form)


@raises("CorruptPackage", "codebook is not valid")
def codebook_empty() -> bytes:
    """No entry, but elements that need one."""
    return tensor("dense-codebook", book_of(0, 0), [2])


@raises("CorruptPackage", "codebook is not valid")
def codebook_empty_of_halves() -> bytes:
    """No entry in a form that must have some, for an array without elements."""
    return tensor("dense-codebook", book_of(0, 1), [0])


@raises("CorruptPackage", "codebook is not valid")
def codebook_too_many_entries() -> bytes:
    """One entry more than indices can name."""
    return coded(ascending(65537))


@raises("CorruptPackage", "codebook is not valid")
def codebook_2_to_59_entries() -> bytes:
    """So many that their bytes overflow 64 bits."""
    return coded(book_of((1 << 59) + 1, 0))


@raises("CorruptPackage", "ends before what it announces")
def codebook_short() -> bytes:
    """The row ends within the patterns."""
    return tensor("dense-codebook", book_of(2, 0) + bytes(7), [2])


@raises("NewerVersion", "does not know")
def codebook_unknown_form() -> bytes:
    """A form that a minor version may add."""
    return coded(book_of(2, 5) + bytes(4))


@raises("CorruptPackage", "codebook is not valid")
def codebook_range_of_float32() -> bytes:
    """65,536 entries from seven bytes: ranges are for items of one byte."""
    return coded(book_of(65536, 2) + bytes(4))


@raises("CorruptPackage", "codebook is not valid")
def codebook_range_too_long() -> bytes:
    """A range that comes back to where it began."""
    return coded(book_of(257, 2) + b"\0", dtype="uint8")


@raises("CorruptPackage", "codebook is not valid")
def scale_infinite() -> bytes:
    """A scale that is an infinity: its product with 0 is a NaN of no fixed pattern."""
    return tensor("dense-scaled", b"\0\0\0\x80\x7f" + book_of(1, 2) + b"\1", [1])


@raises("CorruptPackage", "codebook is not valid")
def scale_too_large() -> bytes:
    """A scale whose product with 127 is an infinity."""
    return tensor("dense-scaled", b"\0\xff\xff\x7f\x7f" + book_of(1, 2) + b"\x7f", [1])


@raises("CorruptPackage", "codebook is not valid")
def codebook_halves_of_int32() -> bytes:
    """Halves that would be turned to float32 patterns and taken for integers."""
    return coded(book_of(2, 1) + 2 * _ONE_HALF, dtype="int32")


@raises("CorruptPackage", "codebook is not valid")
def codebook_half_nan() -> bytes:
    """A NaN does not survive the way from float16 to float32 everywhere."""
    return coded(book_of(2, 1) + _ONE_HALF + _NAN_HALF)


@raises("CorruptPackage", "codebook is not valid")
def codebook_ascending_to_nan() -> bytes:
    """The second key is that of a NaN."""
    return coded(book_of(2, 3) + b"\x00\xfc\0" + bits("0"))


@raises("CorruptPackage", "codebook is not valid")
def codebook_keys_above_65535() -> bytes:
    """The first key is the last one, and a distance follows."""
    return coded(book_of(2, 3) + b"\xff\xff\0" + bits("0"))


@raises("CorruptPackage", "codebook is not valid")
def codebook_key_far_above() -> bytes:
    """65,535 ones with p = 15: a distance of 2^31, which must not wrap round to a valid key."""
    return coded(book_of(2, 3) + b"\x00\x80\x0f" + bits(65535 * "1", "0", 15 * "1"))


@raises("CorruptPackage", "count is out of its range")
def codebook_rice_bomb() -> bytes:
    """A Rice code of 65,536 ones."""
    return coded(book_of(2, 3) + b"\x00\x80\0" + bits(65536 * "1", "0"))


@raises("CorruptPackage", "ends before what it announces")
def codebook_rice_without_end() -> bytes:
    """A Rice code that never sees its zero."""
    return tensor("dense-codebook", book_of(2, 3) + b"\x00\x80\0" + b"\xff\xff", [2])


@raises("CorruptPackage", "codebook is not valid")
def codebook_rice_parameter_16() -> bytes:
    """p is at most 15."""
    return coded(book_of(2, 3) + b"\x00\x80\x10" + bits("0"))


@raises("CorruptPackage", "bits are left over")
def codebook_padding() -> bytes:
    """A bit hides after the last Rice code."""
    return coded(book_of(2, 3) + b"\x00\x80\0" + b"\1")


@raises("CorruptPackage", "codebook is not valid")
def codebook_zero_alone() -> bytes:
    """A zero, and then no ascending half, where one must be."""
    return tensor("dense-codebook", book_of(1, 4), [2])


@raises("CorruptPackage", "ends before what it announces")
def codebook_more_than_row() -> bytes:
    """65,536 patterns announced in a row of some bytes."""
    return coded(book_of(65536, 0) + bytes(8))


@raises("CorruptPackage", "count is out of its range")
def skipped_not_an_entry() -> bytes:
    """The skipped entry is number 2 of two."""
    return tensor("gap-codebook", _TWO + b"\2\0", [2])


@raises("CorruptPackage", "count is out of its range")
def skipped_of_empty_codebook() -> bytes:
    """No entry to skip, in an array without elements."""
    return tensor("gap-codebook", book_of(0, 0) + b"\0\0", [0])


@raises("CorruptPackage", "codebook is not valid")
def kept_without_another_entry() -> bytes:
    """One entry, which is skipped; the kept element has none left."""
    return tensor("gap-codebook", _ONE + b"\0\1\0\0", [2])


@raises("CorruptPackage", "count is out of its range")
def scaled_no_channels() -> bytes:
    """A last dimension of 0: element number modulo 0."""
    return tensor("dense-scaled", b"\0" + book_of(1, 2) + b"\1", [3, 0])


@raises("CorruptPackage", "ends before what it announces")
def scaled_scales_missing() -> bytes:
    """A scale for each of 2^20 channels in a row of some bytes."""
    return tensor("dense-scaled", b"\1" + book_of(1, 2) + b"\1", [1, 1 << 20])


@raises("NewerVersion", "does not know")
def scaled_unknown_form() -> bytes:
    """A form of scales that a minor version may add."""
    return tensor("dense-scaled", b"\2" + bytes(4) + book_of(1, 2) + b"\1", [1])


@raises("CorruptPackage", "codebook is not valid")
def scaled_half_nan() -> bytes:
    """A scale that is NaN."""
    return tensor("dense-scaled", b"\1" + _NAN_HALF + book_of(1, 2) + b"\1", [1])


@raises("CorruptPackage", "codebook is not valid")
def scaled_codebook_of_halves() -> bytes:
    """Halves where int8 entries must be."""
    return tensor("dense-scaled", b"\0" + bytes(4) + book_of(1, 1) + _ONE_HALF, [1])


@raises("CorruptPackage", "Expected float32")
def scaled_of_int32() -> bytes:
    """Scales of integers."""
    return tensor("dense-scaled", b"\0" + bytes(4) + book_of(1, 2) + b"\1", [1], dtype="int32")
