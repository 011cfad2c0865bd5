"""Opens packages: checks the front once, then reads any row without the others."""

import mmap
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.container import (
    CHECK_BYTES,
    DEFAULT_LIMIT,
    DIGEST_BYTES,
    Header,
    padding_before,
    read_header,
    read_index,
)
from thimble.codec.errors import BadChecksum, CorruptPackage, TooLarge
from thimble.codec.row_decoder import DecodedRow, TablePool, decode_row
from thimble.codec.rows import PLAIN, ArrayRow
from thimble.codec.signing import SIGNATURE_BYTES, check_signature
from thimble.stage import BadInput

__all__ = ["Package", "index_list"]


class Package:
    """A package whose front is checked and whose rows are decoded when asked for.

    Attributes:
        limit: Most bytes that it may decode to.
        header: Kind, version and sizes.
        index: The parsed index.
        rows: What it says about each array.
        digest: SHA-256 of the package, hexadecimal.
        signed_by: Id of the trusted key that signed it, or None if none was demanded.
    """

    def __init__(
        self,
        data: bytes | memoryview | mmap.mmap,
        limit: int = DEFAULT_LIMIT,
        trusted: Iterable[Path] = (),
        verify: bool = True,
    ) -> None:
        """Check a package's front.

        Args:
            data: The whole file.
            limit: Most bytes that it may decode to.
            trusted: PEM files of Ed25519 public keys; if any are given, one must have signed.
            verify: Whether to read the whole file to check its SHA-256. Without it header, index
                and each row that is read are still checked, by their CRC-32.

        Raises:
            PackageError: The subclass that names what is wrong.
        """
        self._data = memoryview(data)
        self.limit = limit
        trusted = list(trusted)
        # What is signed is the digest, so that it must hold.
        self.header: Header = read_header(self._data, verify or bool(trusted))
        end = self.header.digest + DIGEST_BYTES
        digest = bytes(self._data[self.header.digest : end])
        self.digest = digest.hex()
        signature = bytes(self._data[end : end + SIGNATURE_BYTES]) if self.header.signed else None
        self.signed_by = check_signature(signature, digest, trusted) if trusted else None
        self.index: dict[str, Any] = read_index(self._data, self.header, limit)
        self.rows: list[ArrayRow] = _rows(self.index, self.header, limit)
        self._starts = _starts(self.rows, self.header, self._data)
        front = self.header.body - self.header.pool
        self._checks = self._data[front - CHECK_BYTES * self.header.rows : front]
        self._pool = TablePool(self._data[front : self.header.body])

    @classmethod
    def open(
        cls,
        path: str | Path,
        limit: int = DEFAULT_LIMIT,
        trusted: Iterable[Path] = (),
        verify: bool = False,
    ) -> "Package":
        """Map a file: only the parts that are used are read.

        Raises:
            BadInput: If there is no such file, or it is empty.
            PackageError: As the constructor.
        """
        try:
            with Path(path).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} cannot be read ({error}). Expected a .thimble file.") from None
        return cls(mapped, limit, trusted, verify)

    def __enter__(self) -> "Package":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file: it is unmapped as soon as no array or error points into it."""
        self._pool = TablePool()
        self._checks.release()
        self._data.release()

    @property
    def names(self) -> list[str]:
        """Names of the tensors and constraints that have a row."""
        return [row.name for row in self.rows]

    def stored(self, number: int) -> memoryview:
        """Return the bytes of a row as they are in the file.

        Raises:
            BadChecksum: If they do not match their CRC-32.
        """
        start = self._starts[number]
        data = self._data[start : start + self.rows[number].stored]
        place = CHECK_BYTES * number
        if zlib.crc32(data) != int.from_bytes(self._checks[place : place + CHECK_BYTES], "little"):
            name = self.rows[number].name
            label = f"The array {name[:80]!r}" if name else f"Buffer {number}"
            raise BadChecksum(f"{label} does not match its CRC-32. Get the package again.")
        return data

    def decode(self, number: int, out: NDArray[np.uint8] | None = None) -> DecodedRow:
        """Decode a row, into `out` (its bytes, all zero) where that is given.

        Raises:
            PackageError: The subclass that names what is wrong.
        """
        row = self.rows[number]
        data = self.stored(number)
        return decode_row(row, data, self._pool, out)

    def decode_all(
        self, threads: int = 1, outs: Sequence[NDArray[np.uint8] | None] | None = None
    ) -> list[DecodedRow]:
        """Decode all rows, on several threads if asked to."""
        numbers = range(len(self.rows))
        outs = outs or [None] * len(numbers)
        if threads <= 1:
            return [self.decode(number, out) for number, out in zip(numbers, outs, strict=True)]
        with ThreadPoolExecutor(threads) as workers:
            return list(workers.map(self.decode, numbers, outs))

    def tensor(self, name: str) -> NDArray[Any]:
        """Decode one tensor and nothing else.

        Args:
            name: One of `names`.

        Returns:
            The array in its shape and dtype.

        Raises:
            KeyError: If there is no such tensor; the error lists those there are.
            PackageError: If it does not decode.
        """
        for number, row in enumerate(self.rows):
            if row.name == name and name:
                return values_of(row, self.decode(number))
        raise KeyError(f"no tensor {name!r}. Expected one of: {', '.join(self.names)}")


def values_of(row: ArrayRow, decoded: DecodedRow) -> NDArray[Any]:
    """Return the decoded patterns as the array that they stand for."""
    little = np.dtype(row.dtype).newbyteorder("<")
    native = decoded.patterns.view(little).astype(row.dtype, copy=False)
    return native.reshape(row.shape)


def index_list(index: dict[str, Any], key: str) -> list[Any]:
    """Return a JSON list of the index.

    Raises:
        CorruptPackage: If it is missing.
    """
    value = index.get(key)
    if not isinstance(value, list):
        raise CorruptPackage(f"The index has no list of {key}. Get the package again.")
    return value


def _rows(index: dict[str, Any], header: Header, limit: int) -> list[ArrayRow]:
    """Check the rows of the index, and what they decode to together."""
    lists = ("tensors", "arrays") if header.kind == "model" else ("buffers",)
    found = [row for name in lists for row in index_list(index, name)]
    if len(found) != header.rows:
        raise CorruptPackage(
            f"The index has {len(found)} rows, the header says {header.rows}. Get it again."
        )
    rows = [ArrayRow.from_json(row, limit) for row in found]
    _check_fields(rows, len(index_list(index, lists[0])), header.kind)
    total = sum(row.decoded_bytes for row in rows)
    if total > limit:
        raise TooLarge(
            f"The package declares {total} bytes of arrays. Expected at most {limit}. Raise the "
            "limit if you trust the package."
        )
    return rows


def _check_fields(rows: Sequence[ArrayRow], first: int, kind: str) -> None:
    """Check that rows have the fields of their list and no others; `first` are in the first."""
    names = set()
    for number, row in enumerate(rows):
        tensor = kind == "model" and number < first
        implied = bool(row.indices or row.mask) and not tensor
        if implied or (kind == "model" and (row.skip or not row.name)):
            raise CorruptPackage(
                f"Row {number} has fields that only rows of another list have, or no name. Get the "
                "package again."
            )
        if kind == "tflite" and row.name:
            raise CorruptPackage(f"Row {number} is a buffer, but has a name. Get it again.")
        if row.name and (tensor, row.name) in names:
            raise CorruptPackage(f"The array name {row.name[:40]!r} occurs twice. Get it again.")
        names.add((tensor, row.name))


def _starts(rows: Sequence[ArrayRow], header: Header, data: memoryview) -> list[int]:
    """Return where each row begins: they follow each other and end where the digest begins."""
    starts, place = [], header.body
    for row in rows:
        zeros = padding_before(place, row.kind == PLAIN, row.stored)
        if row.stored > header.digest - place - zeros:
            raise CorruptPackage(
                f"A row of {row.stored} bytes at {place} is outside the file. Get it again."
            )
        if any(data[place : place + zeros]):
            raise CorruptPackage("The zeros before a plain row are not zero. Get it again.")
        starts.append(place + zeros)
        place += zeros + row.stored
    if place != header.digest:
        raise CorruptPackage(
            f"The rows end at {place}, the digest begins at {header.digest}. Get it again."
        )
    return starts
