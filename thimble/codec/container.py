"""The file around the sections: header, index, section bytes, digest."""

import hashlib
import json
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
from thimble.codec.sections import ENCODINGS, expand
from thimble.stage import BadInput

__all__ = [
    "DEFAULT_LIMIT",
    "DIGEST_BYTES",
    "HEADER_BYTES",
    "KINDS",
    "MAGIC",
    "VERSION",
    "Container",
    "Section",
    "pack",
    "unpack",
    "whole_number",
]

# A high byte, a line end of each system and an end-of-file: text-mode copies break it visibly.
MAGIC = b"\x89THMB\r\n\x1a"
VERSION = (1, 0)
KINDS = {"model": 1, "tflite": 2}
HEADER = struct.Struct("<8s4BIIQ")
HEADER_BYTES = HEADER.size + 4
DIGEST_BYTES = 32
DEFAULT_LIMIT = 4 << 30
MAX_INDEX_BYTES = 64 << 20


@dataclass(frozen=True)
class Section:
    """A run of stored bytes and how to expand it."""

    encoding: str
    raw_bytes: int
    stored: bytes | memoryview

    def data(self) -> bytes:
        """Return the expanded bytes.

        Raises:
            CorruptPackage: If they do not expand to `raw_bytes`.
        """
        return expand(self.encoding, self.stored, self.raw_bytes)


@dataclass(frozen=True)
class Container:
    """What a package holds, before its arrays are decoded."""

    kind: str
    version: tuple[int, int]
    index: dict[str, Any]
    sections: list[Section]
    index_bytes: int


def pack(kind: str, index: dict[str, Any], sections: Sequence[Section]) -> bytes:
    """Return the bytes of a package.

    Raises:
        BadInput: If the index holds something that JSON cannot, such as NaN.
    """
    listed = [[part.encoding, part.raw_bytes, len(part.stored)] for part in sections]
    text = _canonical_json({**index, "sections": listed})
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    stored = engine.compress(text) + engine.flush()
    body = b"".join(bytes(part.stored) for part in sections)
    total = HEADER_BYTES + len(stored) + len(body) + DIGEST_BYTES
    start = HEADER.pack(MAGIC, *VERSION, KINDS[kind], 0, len(stored), len(text), total)
    checksum = zlib.crc32(stored, zlib.crc32(start)).to_bytes(4, "little")
    whole = start + checksum + stored + body
    return whole + hashlib.sha256(whole).digest()


def unpack(package: bytes, limit: int = DEFAULT_LIMIT) -> Container:
    """Check a package's header, digest, index and section table.

    Args:
        package: The whole file.
        limit: Most bytes that the sections may expand to together.

    Raises:
        PackageError: The subclass that names what is wrong.
    """
    kind, version, stored_bytes, text_bytes = _read_header(package)
    end = HEADER_BYTES + stored_bytes
    # The index has its own checksum, so that a reader of one tensor need not read the file.
    checksum = int.from_bytes(package[HEADER.size : HEADER_BYTES], "little")
    start = package[: HEADER.size]
    if zlib.crc32(package[HEADER_BYTES:end], zlib.crc32(start)) != checksum:
        raise BadChecksum("The index of the package does not match its CRC-32. Get it again.")
    if text_bytes > min(MAX_INDEX_BYTES, limit):
        raise TooLarge(
            f"The index expands to {text_bytes} bytes. Expected at most "
            f"{min(MAX_INDEX_BYTES, limit)}. Raise the limit if you trust the package."
        )
    index = _parse_json(expand("deflate", package[HEADER_BYTES:end], text_bytes))
    body = memoryview(package)[end : len(package) - DIGEST_BYTES]
    return Container(kind, version, index, _cut_sections(index, body, limit), stored_bytes)


def whole_number(value: object, low: int, high: int, what: str) -> int:
    """Return `value` if it is an integer from `low` to `high`.

    Raises:
        CorruptPackage: If not.
    """
    if type(value) is not int or not low <= value <= high:
        raise CorruptPackage(
            f"{what} must be an integer from {low} to {high}. Received: {str(value)[:40]}. "
            "Get the package again."
        )
    return value


def _read_header(package: bytes) -> tuple[str, tuple[int, int], int, int]:
    """Return kind, version, and the index's stored and expanded bytes; check the digest."""
    if package[: len(MAGIC)] != MAGIC[: len(package)]:
        raise NotAPackage(
            f"This is not a .thimble package: it starts with {package[:8]!r}, "
            f"expected {MAGIC!r}. Pass a file that `thimble encode` wrote."
        )
    if len(package) < HEADER_BYTES + DIGEST_BYTES:
        raise Truncated(
            f"The package ends after {len(package)} bytes, in its header. Get it again."
        )
    _, major, minor, kind, flags, stored, text, total = HEADER.unpack_from(package)
    if major > VERSION[0]:
        raise NewerVersion(
            f"The package has format version {major}.{minor}. This reader knows up to "
            f"{VERSION[0]}.x: upgrade thimble."
        )
    if len(package) < total:
        raise Truncated(
            f"The package ends after {len(package)} bytes. Expected {total}. Get it again."
        )
    if len(package) > total:
        raise CorruptPackage(
            f"{len(package) - total} bytes follow the package of {total} bytes. Get it again."
        )
    if hashlib.sha256(memoryview(package)[:-DIGEST_BYTES]).digest() != package[-DIGEST_BYTES:]:
        raise BadChecksum("The package does not match its SHA-256. Get it again.")
    names = {number: name for name, number in KINDS.items()}
    if major != VERSION[0] or flags or kind not in names:
        raise CorruptPackage(
            f"The header says version {major}.{minor}, kind {kind}, flags {flags}. Expected "
            f"version {VERSION[0]}.x, kind {sorted(names)}, flags 0. Get the package again."
        )
    if stored > total - HEADER_BYTES - DIGEST_BYTES:
        raise CorruptPackage(f"An index of {stored} bytes is outside the file. Get it again.")
    return names[kind], (major, minor), stored, text


def _cut_sections(index: dict[str, Any], body: memoryview, limit: int) -> list[Section]:
    """Return the sections; they follow each other without gaps and fill the body."""
    table = index.get("sections")
    if not isinstance(table, list):
        raise CorruptPackage("The index has no list of sections. Get the package again.")
    sections, place, expanded = [], 0, 0
    for entry in table:
        if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str):
            raise CorruptPackage("A section is not [encoding, bytes, stored]. Get it again.")
        if entry[0] not in ENCODINGS:
            raise NewerVersion(
                f"Section encoding {entry[0][:40]!r} is unknown. This reader knows "
                f"{', '.join(ENCODINGS)}: upgrade thimble."
            )
        raw_bytes = whole_number(entry[1], 0, 1 << 62, "A section's bytes")
        stored = whole_number(entry[2], 0, len(body) - place, "A section's stored bytes")
        expanded += raw_bytes
        if expanded > limit:
            raise TooLarge(
                f"The sections expand to more than {limit} bytes. Raise the limit if you trust "
                "the package."
            )
        sections.append(Section(entry[0], raw_bytes, body[place : place + stored]))
        place += stored
    if place != len(body):
        raise CorruptPackage(
            f"The sections fill {place} of {len(body)} bytes. Get the package again."
        )
    return sections


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
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
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


def _refuse_constant(name: str) -> None:
    """Refuse NaN and infinity, which are no JSON."""
    raise ValueError(f"{name} is no JSON number")
