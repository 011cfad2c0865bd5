"""Byte sections: stored as they are, deflated, or split in byte planes and deflated."""

import zlib

import numpy as np

from thimble.codec.errors import CorruptPackage

__all__ = ["ENCODINGS", "compress", "expand"]

ENCODINGS = {"stored": 1, "deflate": 1, "planes2": 2, "planes4": 4, "planes8": 8}
# Level 9 takes seconds for each MB of sparse float planes and wins next to nothing there.
_THOROUGH_BYTES = 1 << 18


def compress(data: bytes, width: int = 1) -> tuple[str, bytes]:
    """Return the smallest encoding of a section; of equals the simplest.

    Args:
        data: The bytes.
        width: Bytes of one item: 1, 2, 4 or 8. Planes put the first bytes of all items first,
            then the second ones: the exponents of floats repeat, their mantissas do not.
    """
    candidates = [("stored", data), ("deflate", _deflate(data))]
    if width > 1 and data:
        planes = np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes()
        candidates.append((f"planes{width}", _deflate(planes)))
    return min(candidates, key=lambda candidate: len(candidate[1]))


def expand(encoding: str, stored: bytes | memoryview, raw_bytes: int) -> bytes:
    """Return the bytes of a section.

    Args:
        encoding: One of `ENCODINGS`.
        stored: The bytes in the file.
        raw_bytes: How many bytes must come out; never more are made.

    Raises:
        CorruptPackage: If the bytes do not expand to exactly `raw_bytes`.
    """
    raw = bytes(stored) if encoding == "stored" else _inflate(stored, raw_bytes)
    width = ENCODINGS[encoding]
    if len(raw) != raw_bytes or raw_bytes % width:
        raise CorruptPackage(
            f"A section expands to {len(raw)} bytes. Expected {raw_bytes}, a multiple of {width}. "
            "Get the package again."
        )
    if width > 1 and raw:
        return np.frombuffer(raw, np.uint8).reshape(width, -1).T.tobytes()
    return raw


def _deflate(data: bytes) -> bytes:
    """Deflate without zlib's header and checksum (RFC 1951): the package has its own."""
    smallest = b""
    level = 9 if len(data) <= _THOROUGH_BYTES else 4
    # Weights repeat in runs of zeros or only in a skewed histogram, for which searching matches
    # is no help: try runs and codes alone, too.
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY):
        engine = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
        deflated = engine.compress(data) + engine.flush()
        if not smallest or len(deflated) < len(smallest):
            smallest = deflated
    return smallest


def _inflate(stored: bytes | memoryview, raw_bytes: int) -> bytes:
    """Inflate to at most one byte more than expected, so that a bomb never unfolds."""
    engine = zlib.decompressobj(-15)
    try:
        raw = engine.decompress(stored, raw_bytes + 1)
    except zlib.error as error:
        raise CorruptPackage(f"A section does not inflate ({error}). Get it again.") from None
    if not engine.eof or engine.unused_data:
        raise CorruptPackage(
            f"A deflated section does not end with its last byte or exceeds {raw_bytes} bytes. "
            "Get the package again."
        )
    return raw
