"""Packages of any content with right sizes and checksums, from SPEC.md alone.

Nothing of thimble is imported, and nothing is deflated by zlib: another zlib would write other
bytes. What an abuse does not break is valid, so that only the check that it is for stands in its
way.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAGIC = b"\x89THMB\r\n\x1a"
SIDES: dict[str, Any] = {"architecture": {}, "arrays": [], "preprocessing": {}}

Abuse = Callable[[], bytes]
# The bytes of a row, or what stands before them and these.
Stored = bytes | tuple[bytes, bytes]
# The error, a part of its message, and what makes the package.
Listed = dict[str, tuple[str, str, Abuse]]


def listing() -> tuple[Listed, Callable[[str, str], Callable[[Abuse], Abuse]]]:
    """Return a dict, and the decorator that lists an abuse there with the error it must raise."""
    found: Listed = {}

    def raises(error: str, reason: str) -> Callable[[Abuse], Abuse]:
        def register(abuse: Abuse) -> Abuse:
            found[abuse.__name__.replace("_", "-")] = (error, reason, abuse)
            return abuse

        return register

    return found, raises


def varint(value: int) -> bytes:
    """Section 3: LEB128."""
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes([*coded, value])


def bits(*digits: str) -> bytes:
    """Section 5: bits, the most significant first, padded with zeros."""
    joined = "".join(digits)
    size = -(-len(joined) // 8)
    return int(joined.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")


def deflate(data: bytes) -> bytes:
    """RFC 1951, 3.2.4: stored blocks."""
    blocks = [data[start : start + 65535] for start in range(0, len(data), 65535)] or [b""]
    last = len(blocks) - 1
    return b"".join(
        struct.pack("<BHH", number == last, len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks)
    )


def deflate_repeated(unit: bytes, copies: int) -> bytes:
    """RFC 1951, 3.2.6: `unit` (1 to 4 bytes below 144), then copies of 258 bytes of it."""
    literals = [f"{48 + byte:08b}" for byte in unit]
    # Length 258 is code 285, distance d below 5 is code d - 1.
    copy = "11000101" + f"{len(unit) - 1:05b}"
    stream = "110" + "".join(literals) + copy * copies + "0000000"
    padded = stream.ljust(-(-len(stream) // 8) * 8, "0")
    return bytes(int(padded[place : place + 8][::-1], 2) for place in range(0, len(padded), 8))


def seal(
    index: Any,
    rows: Sequence[Stored] = (),
    pool: bytes = b"",
    kind: int = 1,
    version: tuple[int, int] = (2, 0),
    header: Mapping[str, int] | None = None,
) -> bytes:
    """Section 1: a package that is not signed.

    Args:
        index: JSON, or the bytes of its text.
        rows: The bytes of each, or what stands before them to align them, and these.
        pool: The table pool.
        kind: 1 = model, 2 = TFLite file.
        version: Major and minor.
        header: Fields with another content than they should have: flags, stored, text, rows, pool.
    """
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    return seal_stored(deflate(text), len(text), rows, pool, kind, version, header)


def seal_stored(
    stored: bytes,
    text: int,
    rows: Sequence[Stored] = (),
    pool: bytes = b"",
    kind: int = 1,
    version: tuple[int, int] = (2, 0),
    header: Mapping[str, int] | None = None,
) -> bytes:
    """As `seal`, with an index that is deflated already to `text` bytes."""
    parts = [row if isinstance(row, tuple) else (b"", row) for row in rows]
    checks = b"".join(struct.pack("<I", zlib.crc32(data)) for _, data in parts)
    body = b"".join(zeros + data for zeros, data in parts)
    front = stored + checks + pool
    fields = {"flags": 0, "stored": len(stored), "text": text, "rows": len(rows)}
    fields |= {"pool": len(pool), "total": 40 + len(front) + len(body) + 32} | dict(header or {})
    start = struct.pack("<8s3B", MAGIC, *version, kind) + struct.pack("<B4IQ", *fields.values())
    crc = zlib.crc32(front, zlib.crc32(start))
    whole = start + struct.pack("<I", crc) + front + body
    return whole + hashlib.sha256(whole).digest()


def digested(package: bytes) -> bytes:
    """Return a changed package, not signed, with a new SHA-256."""
    return package[:-32] + hashlib.sha256(package[:-32]).digest()


def flipped(package: bytes, place: int, bit: int = 0) -> bytes:
    """Return a package with one bit flipped."""
    changed = bytearray(package)
    changed[place] ^= 1 << bit
    return bytes(changed)


def model(*rows: tuple[dict[str, Any], bytes], pool: bytes = b"", **index: Any) -> bytes:
    """Return a package of tensors: what the index says about each, and its bytes."""
    listed = [{"name": f"t{number}"} | fields for number, (fields, _) in enumerate(rows)]
    for fields, (_, data) in zip(listed, rows, strict=True):
        fields.setdefault("stored", len(data))
    return seal(SIDES | {"tensors": listed} | index, [data for _, data in rows], pool)


def tensor(kind: str, data: bytes, shape: Sequence[int] = (16,), **fields: Any) -> bytes:
    """Return a package of one tensor, float32 unless said otherwise."""
    return model(({"kind": kind, "shape": list(shape)} | fields, data))


def coded(stream: bytes, entries: int = 2, elements: int = 8, pool: bytes = b"") -> bytes:
    """Return a package of a tensor whose values are a stream of an alphabet of `entries`."""
    dtype, book = "uint8", varint(8 * entries + 2) + b"\0"
    if entries > 256:
        dtype, book = "float32", ascending(entries)
    row = {"kind": "dense-codebook", "shape": [elements], "dtype": dtype}
    return model((row, book + stream), pool=pool)


def ascending(entries: int) -> bytes:
    """Section 4: a codebook of the halves from 0 on, one after the other."""
    return varint(8 * entries + 3) + b"\x00\x80\0" + bits((entries - 1) * "0")


def tflite(*rows: tuple[dict[str, Any], bytes], **index: Any) -> bytes:
    """Return a package of a TFLite file; the first row is its skeleton."""
    listed = [{"dtype": "uint8", "stored": len(data)} | fields for fields, data in rows]
    sides = {"name": "int8", "preprocessing": {}, "bytes": 24, "crc": 0, "buffers": listed}
    return seal(sides | index, [data for _, data in rows], kind=2)
