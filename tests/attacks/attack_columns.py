"""Abuses of rows in the order of their columns (SPEC.md, sections 2 and 3)."""

from tests.attacks.attack_rows import LZMA_64
from tests.attacks.sealing import deflate, listing, tensor

ABUSES, raises = listing()


@raises("CorruptPackage", "bits are left over")
def columns_trailing_byte() -> bytes:
    """Items column by column, and a byte more."""
    return tensor("dense-planes", bytes(9), [3, 2], columns=2)


@raises("CorruptPackage", "outside the array")
def columns_gap_outside() -> bytes:
    """The only kept element is number 16 of 16, in the order of the columns."""
    return tensor("gap-raw", b"\1\x10" + bytes(4), [16], columns=4)


@raises("CorruptPackage", "outside the array")
def columns_bitmap_past_the_end() -> bytes:
    """The second bit is that of element 12 of 12, which turned would be element 4."""
    return tensor("bitmap-raw", b"\2\1\x80\x08" + bytes(8), [12], columns=3)


@raises("CorruptPackage", "has 3 columns")
def row_columns_not_dividing() -> bytes:
    """16 elements in three columns: the last one would be read past the end."""
    return tensor("gap-raw", b"\0", [16], columns=3)


@raises("CorruptPackage", "columns. Get it again")
def row_columns_2_to_61() -> bytes:
    """So many columns that element numbers overflow."""
    return tensor("gap-raw", b"\0", [16], columns=1 << 61)


@raises("CorruptPackage", "columns must be")
def row_columns_2_to_64() -> bytes:
    """2^64 + 4 columns: four in 64 bits."""
    return tensor("gap-raw", b"\0", [16], columns=(1 << 64) + 4)


@raises("CorruptPackage", "columns must be")
def row_columns_negative() -> bytes:
    """-4 columns divide 16 elements."""
    return tensor("gap-raw", b"\0", [16], columns=-4)


@raises("CorruptPackage", "columns must be")
def row_columns_not_integer() -> bytes:
    """4.0 columns."""
    return tensor("gap-raw", b"\0", [16], columns=4.0)


@raises("CorruptPackage", "columns must be")
def row_columns_true() -> bytes:
    """true is 1 in some languages."""
    return tensor("gap-raw", b"\0", [16], columns=True)


@raises("CorruptPackage", "columns must be")
def row_columns_null() -> bytes:
    """No columns are left out, not null."""
    return tensor("gap-raw", b"\0", [16], columns=None)


@raises("CorruptPackage", "has 4 columns")
def row_columns_scaled() -> bytes:
    """Scales are of the last dimension, which columns would be another name for."""
    scales = b"\0" + bytes(16)
    return tensor("dense-scaled", scales + b"\x08\0", [4, 4], columns=4)


@raises("CorruptPackage", "has 4 columns")
def row_columns_deflate() -> bytes:
    """Deflated bytes have no columns."""
    return tensor("deflate", deflate(bytes(64)), [16], columns=4)


@raises("CorruptPackage", "has 4 columns")
def row_columns_lzma() -> bytes:
    """Nor have those of LZMA."""
    return tensor("lzma", LZMA_64, [16], columns=4)
