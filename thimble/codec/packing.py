"""Bytes that are no weights: the index and the skeleton of a TFLite file (SPEC.md, 2 and 3)."""

import zlib
from typing import Any

from thimble.codec.errors import CorruptPackage
from thimble.codec.kinds import DEFLATE, LZMA
from thimble.stage import ThimbleError

__all__ = ["deflate", "inflate", "pack_bytes", "unpack_bytes"]

_DICTIONARY_BYTES = 1 << 20


def deflate(data: bytes) -> bytes:
    """Deflate without zlib's header and checksum (RFC 1951): the package has its own."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return engine.compress(data) + engine.flush()


def inflate(stored: bytes | memoryview, size: int) -> bytes:
    """Inflate raw deflate to exactly `size` bytes; never more are made.

    Raises:
        CorruptPackage: If the bytes are damaged, end elsewhere, or give another size.
    """
    engine = zlib.decompressobj(-15)
    try:
        raw = engine.decompress(stored, size + 1)
    except zlib.error as error:
        raise CorruptPackage(f"Deflated bytes do not inflate ({error}). Get it again.") from None
    return _whole(raw, size, engine.eof and not engine.unused_data)


def pack_bytes(data: bytes) -> tuple[str, bytes]:
    """Return the smaller of deflate and LZMA: the kind, and the bytes."""
    lzma = _lzma()
    packed = lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(lzma))
    return min([(DEFLATE, deflate(data)), (LZMA, packed)], key=lambda each: len(each[1]))


def unpack_bytes(kind: str, stored: bytes | memoryview, size: int) -> bytes:
    """Return exactly `size` bytes; never more are made.

    Args:
        kind: `deflate` or `lzma`.
        stored: The bytes in the file.
        size: How many bytes must come out.

    Raises:
        CorruptPackage: If the bytes are damaged, end elsewhere, or give another size.
    """
    if kind == DEFLATE:
        return inflate(stored, size)
    lzma = _lzma()
    engine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(lzma))
    try:
        # The end marker follows the last byte: ask for one more to read it.
        raw = engine.decompress(bytes(stored), size + 1)
    except lzma.LZMAError as error:
        raise CorruptPackage(f"LZMA bytes do not unpack ({error}). Get it again.") from None
    return _whole(raw, size, engine.eof and not engine.unused_data)


def _whole(raw: bytes, size: int, ended: bool) -> bytes:
    """Check that bytes came out whole."""
    if not ended or len(raw) != size:
        raise CorruptPackage(
            f"Packed bytes do not give exactly {size} bytes at their end. Get the package again."
        )
    return raw


def _filters(lzma: Any) -> list[dict[str, int]]:
    """Return the parameters of the LZMA streams: flatbuffers are aligned to 4 bytes."""
    return [
        {
            "id": lzma.FILTER_LZMA1,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": _DICTIONARY_BYTES,
            "lc": 0,
            "lp": 0,
            "pb": 2,
        }
    ]


def _lzma() -> Any:
    """Import lzma, which some builds of Python leave out."""
    try:
        import lzma
    except ImportError:
        raise ThimbleError(
            "This Python was built without lzma, which TFLite packages need. Install liblzma-dev "
            "and build Python again, or take the Python of your system."
        ) from None
    return lzma
