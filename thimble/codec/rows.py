"""One row of the index for each array, and the bit patterns of arrays."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.container import whole_number
from thimble.codec.errors import CorruptPackage, NewerVersion
from thimble.stage import BadInput

__all__ = ["CODEBOOK_KINDS", "DTYPES", "INDEX_DTYPES", "ArrayRow", "patterns_of"]

# Bytes of an item. Items are coded by bit pattern, so that -0.0 and NaN payloads survive.
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
CODEBOOK_KINDS = ("indexed", "dense", "gap")
KNOWN_KINDS = ("raw", "sparse", *CODEBOOK_KINDS)
_MAX_DIMENSIONS = 32
_MAX_CRC = (1 << 32) - 1


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


@dataclass(frozen=True)
class ArrayRow:
    """What the index says about one array.

    Attributes:
        shape: Of the array; () for a scalar.
        kind: How it is coded, one of `KNOWN_KINDS`.
        crc: CRC-32 of the decoded little-endian bytes.
        dtype: One of `DTYPES`.
        name: Empty for a TFLite buffer.
        section: Where the bytes of kinds raw, indexed and sparse are; else None.
        indices: The dtype of the constraint `<name>.indices`, or None if there is none.
        mask: Whether the constraint `<name>.mask` is there, equal to `array != 0`.
        skip: Skeleton bytes before a TFLite buffer.
    """

    shape: tuple[int, ...]
    kind: str
    crc: int
    dtype: str = "float32"
    name: str = ""
    section: int | None = None
    indices: str | None = None
    mask: bool = False
    skip: int = 0

    @property
    def elements(self) -> int:
        """Number of items."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Bytes of an item."""
        return DTYPES[self.dtype]

    @property
    def decoded_bytes(self) -> int:
        """Bytes that decoding makes of the row, constraints included."""
        extra = DTYPES[self.indices] if self.indices else 0
        return self.elements * (self.width + extra + int(self.mask))

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in the index: a field at its default is left out."""
        row: dict[str, Any] = {"shape": list(self.shape), "kind": self.kind, "crc": self.crc}
        optional = {
            "dtype": (self.dtype, "float32"),
            "name": (self.name, ""),
            "section": (self.section, None),
            "indices": (self.indices, None),
            "mask": (int(self.mask), 0),
            "skip": (self.skip, 0),
        }
        return row | {key: value for key, (value, default) in optional.items() if value != default}

    @classmethod
    def from_json(cls, row: object, sections: int, limit: int) -> "ArrayRow":
        """Check one row of the index.

        Args:
            row: The parsed JSON.
            sections: Sections in the file.
            limit: Most bytes that the row may decode to.

        Raises:
            CorruptPackage: If a field is missing or out of range.
            NewerVersion: If its kind is unknown.
        """
        if not isinstance(row, dict):
            raise CorruptPackage("A row of the index is not an object. Get the package again.")
        kind = _text(row, "kind", "")
        if kind not in KNOWN_KINDS:
            raise NewerVersion(
                f"Array kind {kind[:40]!r} is unknown. This reader knows "
                f"{', '.join(KNOWN_KINDS)}: upgrade thimble."
            )
        section = row.get("section")
        if kind in {"raw", "indexed", "sparse"} and section is None:
            raise CorruptPackage(f"A row of kind {kind} names no section. Get the package again.")
        if section is not None:
            whole_number(section, 0, sections - 1, "A row's section")
        return cls(
            _shape(row.get("shape"), limit),
            kind,
            whole_number(row.get("crc"), 0, _MAX_CRC, "A row's crc"),
            _one_of(_text(row, "dtype", "float32"), tuple(DTYPES), "dtype"),
            _text(row, "name", ""),
            section,
            _index_dtype(row, kind),
            bool(whole_number(row.get("mask", 0), 0, 1, "A row's mask")),
            whole_number(row.get("skip", 0), 0, limit, "A row's skip"),
        )


def _text(row: dict[str, Any], key: str, default: str) -> str:
    """Return a text field."""
    value = row.get(key, default)
    if not isinstance(value, str):
        raise CorruptPackage(f"A row's {key} is not text. Get the package again.")
    return value


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    """Return a value that must be one of a few."""
    if value not in known:
        raise CorruptPackage(
            f"A row's {what} is {value[:40]!r}. Expected one of {', '.join(known)}."
        )
    return value


def _index_dtype(row: dict[str, Any], kind: str) -> str | None:
    """Return the dtype of the indices that belong to a float32 row, if any."""
    if "indices" not in row:
        return None
    if kind not in CODEBOOK_KINDS or row.get("dtype", "float32") != "float32":
        raise CorruptPackage(f"A row of kind {kind} has indices but no codebook. Get it again.")
    return _one_of(_text(row, "indices", ""), INDEX_DTYPES, "indices")


def _shape(value: object, limit: int) -> tuple[int, ...]:
    """Return a shape whose size is within the limit, empty dimensions counted as 1."""
    if not isinstance(value, list) or len(value) > _MAX_DIMENSIONS:
        raise CorruptPackage(
            f"A row's shape is not a list of at most {_MAX_DIMENSIONS} sizes. Get it again."
        )
    shape = tuple(whole_number(size, 0, limit, "A dimension") for size in value)
    whole_number(math.prod(max(size, 1) for size in shape), 0, limit, "A row's elements")
    return shape
