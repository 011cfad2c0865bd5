"""Decodes one row: what it says is checked before it is used, and all of it must be used."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.errors import CorruptPackage, NewerVersion
from thimble.codec.kinds import DEFLATE, DTYPES, KINDS, LZMA, WITH_ENTRIES
from thimble.codec.native_library import LIBRARY, Pool, Row, address_of, as_bytes, pointer_to
from thimble.codec.packing import unpack_bytes
from thimble.codec.rows import ArrayRow

__all__ = ["CODERS", "DecodedRow", "TablePool", "decode_indices", "decode_row"]

CODERS = ("constant", "stored", "huffman", "rans")
_UNKNOWN = 11
_NO_MEMORY = 12
# By the numbers of th_fault in native/thimble.h.
_FAULTS = {
    1: "it ends before what it announces",
    2: "bytes or bits are left over",
    3: "a number is not in its shortest form",
    4: "a count is out of its range",
    5: "its codebook is not valid",
    6: "a table is neither a complete prefix code nor a valid curve",
    7: "it names a table that the pool does not have",
    8: "a symbol is outside its alphabet",
    9: "a kept element is outside the array",
    10: "a coded stream does not end as it must",
}


class TablePool:
    """The tables that several streams of a package use."""

    def __init__(self, data: bytes | memoryview = b"") -> None:
        """Find where each table starts.

        Raises:
            CorruptPackage: If one is not valid.
            NewerVersion: If one is of an unknown coder.
        """
        self._data = as_bytes(data)
        # The smallest table takes three bytes: coder, alphabet, number of knots.
        self._starts = np.zeros(len(self._data) // 3 + 1, np.uint32)
        tables = ctypes.c_uint64(0)
        fault = LIBRARY.th_index_pool(
            address_of(self._data),
            len(self._data),
            address_of(self._starts),
            len(self._starts),
            ctypes.byref(tables),
        )
        _check(fault, "The table pool")
        self.native = Pool(
            address_of(self._data), len(self._data), address_of(self._starts), tables.value
        )
        self.tables = int(tables.value)


@dataclass(frozen=True)
class DecodedRow:
    """One array and where its bytes went.

    Attributes:
        patterns: Unsigned bit patterns, shape (elements,).
        indices: Codebook index of each element, shape (elements,), or None if not asked for.
        codebook: Patterns of its entries, or None if it was not asked for or has none.
        kept: Elements that positions keep.
        entries: Of the codebook; 0 without one.
        codebook_bytes: With scales.
        table_bytes: Of tables within the row.
        payload_bytes: Of coded streams and plain items.
        coders: Names of the coders in use.
    """

    patterns: NDArray[Any]
    indices: NDArray[Any] | None = None
    codebook: NDArray[Any] | None = None
    kept: int = 0
    entries: int = 0
    codebook_bytes: int = 0
    table_bytes: int = 0
    payload_bytes: int = 0
    coders: tuple[str, ...] = ()


def decode_row(
    row: ArrayRow,
    data: bytes | memoryview,
    pool: TablePool | None = None,
    out: NDArray[np.uint8] | None = None,
) -> DecodedRow:
    """Decode the bytes of a row.

    Args:
        row: What the index says about it; its size was checked against the caller's limit.
        data: All its bytes; their checksum holds.
        pool: The shared tables.
        out: Where to put the bytes of the array, all zero; new memory by default.

    Raises:
        CorruptPackage: If the row breaks a rule of the format.
        NewerVersion: If it uses a coder or form that this reader does not know.
    """
    elements, width = row.elements, row.width
    if row.kind in {DEFLATE, LZMA}:
        return _unpack_row(row.kind, data, elements * width, width, out)
    items = np.zeros(elements, f"<u{width}") if out is None else out.view(f"<u{width}")
    indices = np.zeros(elements, row.indices) if row.indices else None
    book = np.zeros(1 << 8 * indices.itemsize if indices is not None else 0, items.dtype)
    native, alive = _new_row(row.kind, data, elements, row.dtype)
    native.columns = row.columns
    native.channels, native.out = row.shape[-1] if row.shape else 1, address_of(items)
    if indices is not None:
        native.indices, native.index_width = address_of(indices), indices.itemsize
        native.codebook, native.codebook_room = address_of(book), len(book)
    shared = ctypes.byref(pool.native) if pool else None
    _check(LIBRARY.th_decode_row(ctypes.byref(native), shared), f"A row of kind {row.kind}")
    del alive
    return DecodedRow(
        items,
        indices,
        book[: native.entries].copy() if row.indices and row.kind.endswith(WITH_ENTRIES) else None,
        native.kept,
        native.entries,
        native.codebook_bytes,
        native.table_bytes,
        native.payload_bytes,
        tuple(name for bit, name in enumerate(CODERS) if native.coders >> bit & 1),
    )


def _unpack_row(
    kind: str, data: bytes | memoryview, size: int, width: int, out: NDArray[np.uint8] | None
) -> DecodedRow:
    """Decode a row of bytes that are no weights."""
    plain = as_bytes(unpack_bytes(kind, data, size))
    if out is not None:
        ctypes.memmove(address_of(out), address_of(plain), len(plain))
    return DecodedRow(plain.view(f"<u{width}"), payload_bytes=len(data))


def decode_indices(
    kind: str, data: bytes, elements: int, dtype: str, columns: int = 0
) -> NDArray[Any]:
    """Decode only the codebook indices of a float32 row.

    Args:
        kind: Of the row, with codebook values.
        data: All bytes of the row; it must not use shared tables.
        elements: Of the array.
        dtype: `uint8` or `uint16`, of the result.
        columns: Of the matrix that is coded column by column; 0 for row-major order.

    Returns:
        Shape (elements,).

    Raises:
        PackageError: As `decode_row`.
    """
    indices = np.zeros(elements, dtype)
    row, alive = _new_row(kind, data, elements, "float32")
    row.indices, row.index_width = address_of(indices), indices.itemsize
    row.columns = columns
    _check(LIBRARY.th_decode_row(ctypes.byref(row), None), f"A row of kind {kind}")
    del alive
    return indices


def _new_row(kind: str, data: bytes | memoryview, elements: int, dtype: str) -> tuple[Row, object]:
    """Return a row for the library without places to put anything, and what keeps its data."""
    positions, values = KINDS[kind]
    stored, alive = pointer_to(data)
    # In the order of the fields: by name they would take as long as a small layer.
    row = Row(stored, len(data), elements, 1, positions, values, DTYPES[dtype], 0)
    row.floats = dtype == "float32"
    return row, alive


def _check(fault: int, what: str) -> None:
    """Raise the error that a fault of the library names."""
    if fault == _UNKNOWN:
        raise NewerVersion(
            f"{what} uses a coder or form that this reader does not know: upgrade thimble."
        )
    if fault == _NO_MEMORY:
        raise MemoryError(f"no memory to decode: {what}")
    if fault:
        raise CorruptPackage(f"{what} is damaged: {_FAULTS[fault]}. Get the package again.")
