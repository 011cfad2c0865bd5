"""The file around the rows: header, index, checksums, table pool, digest (SPEC.md, section 1)."""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thimble.codec.errors import (
    BadChecksum,
    CorruptPackage,
    NewerVersion,
    NotAPackage,
    TooLarge,
    Truncated,
)
from thimble.codec.packing import deflate, inflate
from thimble.codec.signing import SIGNATURE_BYTES, Sign
from thimble.stage import BadInput

__all__ = [
    "DEFAULT_LIMIT",
    "DIGEST_BYTES",
    "HEADER_BYTES",
    "KINDS",
    "MAGIC",
    "VERSION",
    "Header",
    "pack",
    "padding_before",
    "read_header",
    "read_index",
    "whole_number",
]

# A high byte, a line end of each system and an end-of-file: text-mode copies break it visibly.
MAGIC = b"\x89THMB\r\n\x1a"
VERSION = (2, 0)
KINDS = {"model": 1, "tflite": 2}
HEADER = struct.Struct("<8s4BIIIIQ")
HEADER_BYTES = HEADER.size + 4
DIGEST_BYTES = 32
CHECK_BYTES = 4
DEFAULT_LIMIT = 4 << 30
MAX_INDEX_BYTES = 64 << 20
# What parsing makes of a byte of JSON, and of each value, at most; so much is always allowed.
_TEXT_COST = 5
_VALUE_COST = 128
_FREE_COST = 16 << 20
_SIGNED = 1
# A larger plain array starts where a program that maps the file can use it.
_MAPPED_BYTES = 4096
_ALIGNMENT = 64


@dataclass(frozen=True)
class Header:
    """The header's fields.

    Attributes:
        kind: model or tflite.
        version: Major and minor.
        signed: Whether a signature follows the digest.
        stored: Bytes of the index in the file.
        text: Bytes of the index when inflated.
        rows: Number of rows.
        pool: Bytes of the table pool.
        total: Bytes of the file.
    """

    kind: str
    version: tuple[int, int]
    signed: bool
    stored: int
    text: int
    rows: int
    pool: int
    total: int

    @property
    def body(self) -> int:
        """Where the first row may begin."""
        return HEADER_BYTES + self.stored + CHECK_BYTES * self.rows + self.pool

    @property
    def digest(self) -> int:
        """Where the digest begins."""
        return self.total - DIGEST_BYTES - (SIGNATURE_BYTES if self.signed else 0)


def padding_before(place: int, plain: bool, size: int) -> int:
    """Return the zeros before a row at `place` in the file; only large plain rows are aligned."""
    return -place % _ALIGNMENT if plain and size >= _MAPPED_BYTES else 0


def pack(
    kind: str,
    index: dict[str, Any],
    rows: Sequence[tuple[bytes, bool]],
    pool: bytes,
    sign: Sign | None = None,
) -> bytes:
    """Return the bytes of a package.

    Args:
        kind: model or tflite.
        index: What is to be said about the rows.
        rows: The bytes of each row, and whether it is plain.
        pool: The table pool.
        sign: Gives key id and signature of a digest.

    Raises:
        BadInput: If the index holds something that JSON cannot, such as NaN.
    """
    text = _canonical_json(index)
    stored = deflate(text)
    checks = b"".join(zlib.crc32(data).to_bytes(CHECK_BYTES, "little") for data, _ in rows)
    front = stored + checks + pool
    parts, place = [], HEADER_BYTES + len(front)
    for data, plain in rows:
        zeros = padding_before(place, plain, len(data))
        parts += [bytes(zeros), data]
        place += zeros + len(data)
    total = place + DIGEST_BYTES + (SIGNATURE_BYTES if sign else 0)
    flags = _SIGNED if sign else 0
    start = HEADER.pack(
        MAGIC, *VERSION, KINDS[kind], flags, len(stored), len(text), len(rows), len(pool), total
    )
    checksum = zlib.crc32(front, zlib.crc32(start)).to_bytes(4, "little")
    whole = b"".join([start, checksum, front, *parts])
    digest = hashlib.sha256(whole).digest()
    return whole + digest + (sign(digest) if sign else b"")


def read_header(package: memoryview, verify: bool = True) -> Header:
    """Check magic, version, length, digest and the checksum of header, index and pool.

    Args:
        package: The whole file.
        verify: Whether to check the SHA-256 of the file.

    Raises:
        PackageError: The subclass that names what is wrong.
    """
    start = bytes(package[: HEADER.size])
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise NotAPackage(
            f"This is not a .thimble package: it starts with {start[:8]!r}, "
            f"expected {MAGIC!r}. Pass a file that `thimble encode` wrote."
        )
    if len(package) < HEADER_BYTES + DIGEST_BYTES:
        raise Truncated(
            f"The package ends after {len(package)} bytes, in its header. Get it again."
        )
    _, major, minor, kind, flags, stored, text, rows, pool, total = HEADER.unpack(start)
    if major > VERSION[0]:
        raise NewerVersion(
            f"The package has format version {major}.{minor}. This reader knows up to "
            f"{VERSION[0]}.x: upgrade thimble."
        )
    if major < VERSION[0]:
        raise CorruptPackage(
            f"The package has format version {major}.{minor}, which was never released. Expected "
            f"{VERSION[0]}.x: pack the model again."
        )
    _check_length(len(package), total)
    names = {number: name for name, number in KINDS.items()}
    header = Header(
        names.get(kind, ""), (major, minor), bool(flags & _SIGNED), stored, text, rows, pool, total
    )
    _check_sums(package, header, verify)
    if flags & ~_SIGNED or not header.kind:
        raise CorruptPackage(
            f"The header says kind {kind}, flags {flags}. Expected kind {sorted(names)}, flags 0 "
            "or 1. Get the package again."
        )
    return header


def _check_length(length: int, total: int) -> None:
    """Check that the file is as long as it says."""
    if length < total:
        raise Truncated(f"The package ends after {length} bytes. Expected {total}. Get it again.")
    if length > total:
        raise CorruptPackage(
            f"{length - total} bytes follow the package of {total} bytes. Get it again."
        )


def _check_sums(package: memoryview, header: Header, verify: bool) -> None:
    """Check the digest and the checksum of header, index and pool."""
    if header.digest < HEADER_BYTES or header.body > header.digest:
        raise CorruptPackage(
            f"An index of {header.stored} bytes, {header.rows} rows and {header.pool} bytes of "
            "tables are outside the file. Get it again."
        )
    digest = bytes(package[header.digest : header.digest + DIGEST_BYTES])
    if verify and hashlib.sha256(package[: header.digest]).digest() != digest:
        raise BadChecksum("The package does not match its SHA-256. Get it again.")
    expected = int.from_bytes(package[HEADER.size : HEADER_BYTES], "little")
    front = zlib.crc32(package[HEADER_BYTES : header.body], zlib.crc32(package[: HEADER.size]))
    if front != expected:
        raise BadChecksum("The index of the package does not match its CRC-32. Get it again.")


def read_index(package: memoryview, header: Header, limit: int) -> dict[str, Any]:
    """Return the index.

    Raises:
        TooLarge: If it inflates to more than 64 MiB or the limit, or would when it is parsed.
        CorruptPackage: If it is not valid.
    """
    most = min(MAX_INDEX_BYTES, limit)
    if header.text > most:
        raise TooLarge(
            f"The index expands to {header.text} bytes. Expected at most {most}. Raise the limit "
            "if you trust the package."
        )
    stored = package[HEADER_BYTES : HEADER_BYTES + header.stored]
    text = inflate(stored, header.text)
    cost = _VALUE_COST * sum(text.count(mark) for mark in (b",", b"[", b"{"))
    cost += _TEXT_COST * len(text)
    if cost > max(limit, _FREE_COST):
        raise TooLarge(
            f"The index takes up to {cost} bytes when it is parsed. Expected at most {limit}. "
            "Raise the limit if you trust the package."
        )
    return _parse_json(text)


def whole_number(value: object, low: int, high: int, what: str) -> int:
    """Return `value` if it is an integer from `low` to `high`.

    Raises:
        CorruptPackage: If not.
    """
    if type(value) is not int or not low <= value <= high:
        raise CorruptPackage(
            f"{what} must be an integer from {low} to {high}. Received: {_short(value)}. "
            "Get the package again."
        )
    return value


def _short(value: object) -> str:
    """Return a JSON value in a few characters; a list may be deep, so it is not looked into."""
    return type(value).__name__ if isinstance(value, list | dict) else str(value)[:40]


def _canonical_json(value: dict[str, Any]) -> bytes:
    """Return sorted, compact UTF-8 JSON: equal content gives equal bytes."""
    try:
        text = json.dumps(
            value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(
            f"The architecture or preprocessing is not plain JSON ({error}). Expected dicts, "
            "lists, strings, finite numbers, booleans and null."
        ) from None


def _parse_json(text: bytes) -> dict[str, Any]:
    """Return the index; names must be unique and numbers finite."""
    try:
        index = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise CorruptPackage(f"The index is not valid JSON ({error}). Get it again.") from None
    if not isinstance(index, dict):
        raise CorruptPackage("The index is not a JSON object. Get the package again.")
    return index


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing a name that occurs twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _finite(text: str) -> float:
    """Return a number; NaN, and what float64 only holds as infinity, are refused."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number
