"""The names of the format: item types, and how a row is coded (SPEC.md, sections 2 and 3)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.stage import BadInput

__all__ = [
    "DEFLATE",
    "DTYPES",
    "INDEX_DTYPES",
    "KINDS",
    "LZMA",
    "POSITIONS",
    "VALUES",
    "WITH_ENTRIES",
    "patterns_of",
]

# Bytes of an item.
DTYPES = {
    "float32": 4,
    "float16": 2,
    "float64": 8,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
}
INDEX_DTYPES = ("uint8", "uint16")
# In the order of their numbers in native/thimble.h.
POSITIONS = ("dense", "gap", "bitmap")
VALUES = ("raw", "half", "planes", "codebook", "scaled", "grouped")
# Kinds of bytes that are no weights.
DEFLATE, LZMA = "deflate", "lzma"
KINDS = {
    f"{place}-{value}": (first, second)
    for first, place in enumerate(POSITIONS)
    for second, value in enumerate(VALUES)
}
# Values whose items are entries of a codebook as they are.
WITH_ENTRIES = ("codebook", "grouped")


def patterns_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return the little-endian bit patterns of an array, flat, as unsigned integers.

    Raises:
        BadInput: If the dtype is not one of `DTYPES`.
    """
    width = DTYPES.get(array.dtype.name)
    if width is None:
        raise BadInput(
            f"A package cannot hold dtype {array.dtype.name}. Expected one of "
            f"{', '.join(DTYPES)}: convert the array."
        )
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(f"<u{width}")
