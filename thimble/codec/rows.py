"""The rows of the index: what it says about each array (SPEC.md, section 2)."""

import math
from dataclasses import dataclass
from typing import Any

from thimble.codec.container import whole_number
from thimble.codec.errors import CorruptPackage, NewerVersion, TooLarge
from thimble.codec.kinds import DEFLATE, DTYPES, INDEX_DTYPES, KINDS, LZMA, WITH_ENTRIES

__all__ = ["MAX_DIMENSIONS", "PLAIN", "ArrayRow"]

# The only kind whose bytes follow from the shape, and that may be mapped.
PLAIN = "dense-raw"
MAX_DIMENSIONS = 32


@dataclass(frozen=True)
class ArrayRow:
    """What the index says about one array.

    Attributes:
        shape: Of the array; () for a scalar.
        kind: How it is coded: one of `KINDS`, `deflate` or `lzma`.
        stored: Bytes of the row in the file.
        dtype: One of `DTYPES`.
        name: Empty for a TFLite buffer.
        indices: The dtype of the constraint `<name>.indices`, or None if there is none.
        mask: Whether the constraint `<name>.mask` is there, equal to `array != 0`.
        skip: Skeleton bytes before a TFLite buffer.
        columns: 0, or the width of the matrix whose columns are coded one after the other.
    """

    shape: tuple[int, ...]
    kind: str
    stored: int
    dtype: str = "float32"
    name: str = ""
    indices: str | None = None
    mask: bool = False
    skip: int = 0
    columns: int = 0

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
        # How long the codebook is, only the row says; an entry takes at least a bit there.
        book = self.width * min(1 << 8 * extra, 8 * self.stored) if self.indices else 0
        return self.elements * (self.width + extra + int(self.mask)) + book

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in the index: a field at its default is left out."""
        row: dict[str, Any] = {"shape": list(self.shape), "kind": self.kind}
        optional = {
            "stored": (self.stored, self.elements * self.width if self.kind == PLAIN else None),
            "dtype": (self.dtype, "float32"),
            "name": (self.name, ""),
            "indices": (self.indices, None),
            "mask": (int(self.mask), 0),
            "skip": (self.skip, 0),
            "columns": (self.columns, 0),
        }
        return row | {key: value for key, (value, default) in optional.items() if value != default}

    @classmethod
    def from_json(cls, row: object, limit: int) -> "ArrayRow":
        """Check one row of the index.

        Args:
            row: The parsed JSON.
            limit: Most bytes that the row may decode to.

        Raises:
            CorruptPackage: If a field is missing or out of range.
            NewerVersion: If its kind is unknown.
        """
        if not isinstance(row, dict):
            raise CorruptPackage("A row of the index is not an object. Get the package again.")
        kind = _text(row, "kind")
        if kind not in KINDS and kind not in {DEFLATE, LZMA}:
            raise NewerVersion(
                f"Array kind {kind[:40]!r} is unknown. This reader knows {DEFLATE}, {LZMA}, "
                f"{', '.join(KINDS)}: upgrade thimble."
            )
        if row.get("name") == "":
            raise CorruptPackage("A row's name is empty. Get the package again.")
        dtype = _text(row, "dtype", "float32")
        if dtype not in DTYPES:
            raise CorruptPackage(
                f"A row's dtype is {dtype[:40]!r}. Expected one of {', '.join(DTYPES)}."
            )
        if dtype != "float32" and kind.endswith(("half", "scaled")):
            raise CorruptPackage(f"A row of kind {kind} is {dtype}. Expected float32.")
        shape = _shape(row.get("shape"), limit)
        return cls(
            shape,
            kind,
            _stored(row, kind, math.prod(shape) * DTYPES[dtype]),
            dtype,
            _text(row, "name", ""),
            _index_dtype(row, kind, dtype),
            bool(whole_number(row.get("mask", 0), 0, 1, "A row's mask")),
            whole_number(row.get("skip", 0), 0, limit, "A row's skip"),
            _columns(row, kind, math.prod(shape)),
        )


def _stored(row: dict[str, Any], kind: str, plain: int) -> int:
    """Return the bytes of a row in the file."""
    stored = whole_number(
        row.get("stored", plain if kind == PLAIN else None), 0, 1 << 62, "A row's stored bytes"
    )
    if kind == PLAIN and stored != plain:
        raise CorruptPackage(f"A plain row of {plain} bytes stores {stored}. Get it again.")
    return stored


def _columns(row: dict[str, Any], kind: str, elements: int) -> int:
    """Return the columns of a row that is coded column by column, 0 for others."""
    columns = whole_number(row.get("columns", 0), 0, (1 << 63) - 1, "A row's columns")
    if columns and (kind not in KINDS or kind.endswith("scaled") or elements % columns):
        raise CorruptPackage(
            f"A row of kind {kind} and {elements} elements has {columns} columns. Get it again."
        )
    return columns


def _text(row: dict[str, Any], key: str, default: str | None = None) -> str:
    """Return a text field, which must be there if it has no default."""
    value = row.get(key, default)
    if not isinstance(value, str):
        raise CorruptPackage(f"A row's {key} is not text. Get the package again.")
    return value


def _index_dtype(row: dict[str, Any], kind: str, dtype: str) -> str | None:
    """Return the dtype of the indices that belong to a float32 row, if any."""
    if "indices" not in row:
        return None
    if not kind.endswith(WITH_ENTRIES) or dtype != "float32":
        raise CorruptPackage(f"A row of kind {kind} has indices but no codebook. Get it again.")
    name = _text(row, "indices", "")
    if name not in INDEX_DTYPES:
        raise CorruptPackage(
            f"A row's indices are {name[:40]!r}. Expected one of {', '.join(INDEX_DTYPES)}."
        )
    return name


def _shape(value: object, limit: int) -> tuple[int, ...]:
    """Return a shape whose size is within the limit, empty dimensions counted as 1."""
    if not isinstance(value, list) or len(value) > MAX_DIMENSIONS:
        raise CorruptPackage(
            f"A row's shape is not a list of at most {MAX_DIMENSIONS} sizes. Get it again."
        )
    shape = tuple(whole_number(size, 0, (1 << 63) - 1, "A dimension") for size in value)
    if math.prod(max(size, 1) for size in shape) > limit:
        raise TooLarge(
            f"A row of shape {shape} has more than {limit} elements. Raise the limit if you trust "
            "the package."
        )
    return shape
