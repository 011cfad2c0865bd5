"""Says where the bytes of a package went."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thimble.codec.container import CHECK_BYTES, DEFAULT_LIMIT, DIGEST_BYTES, HEADER_BYTES, Header
from thimble.codec.decode import TfliteFile, content_of
from thimble.codec.errors import CorruptPackage
from thimble.codec.reader import Package
from thimble.codec.row_decoder import DecodedRow
from thimble.codec.rows import ArrayRow
from thimble.codec.signing import KEY_ID_BYTES, SIGNATURE_BYTES
from thimble.codec.tflite import find_buffers
from thimble.stage import BadInput

__all__ = ["inspect"]


def inspect(
    package: bytes, limit: int = DEFAULT_LIMIT, trusted: Iterable[Path] = ()
) -> dict[str, Any]:
    """Decode a package and account for every byte of it.

    Args:
        package: The bytes of a `.thimble` file.
        limit: Most bytes that it may decode to.
        trusted: PEM files of Ed25519 public keys; if any are given, one must have signed.

    Returns:
        `{"kind", "version", "bytes", "digest", "signed_by" (key id or None),
        "verified" (whether a trusted key signed), "sections": {name:
        bytes}, "tensors": [{"name", "shape", "kind", "coders", "sparsity" in [0, 1], "codebook"
        (entries, or None), "bits_per_weight", "bytes", "codebook_bytes", "table_bytes",
        "stream_bytes"}]}`. The sections add up to the file; `streams` are coded symbols and plain
        items, `counts` the numbers that say how long they are.

    Raises:
        PackageError: As `decode`.
    """
    opened = Package(package, limit, trusted)
    content, arrays = content_of(opened)
    header, rows = opened.header, opened.rows
    start = 1 if header.kind == "tflite" else 0
    place = header.digest + DIGEST_BYTES
    return {
        "kind": header.kind,
        "version": ".".join(str(part) for part in header.version),
        "bytes": len(package),
        "digest": opened.digest,
        "signed_by": package[place : place + KEY_ID_BYTES].hex() if header.signed else None,
        "verified": opened.signed_by is not None,
        "sections": _sections(header, rows[:start], arrays[start:]),
        "tensors": [
            _entry(label, row, array)
            for label, row, array in zip(
                _labels(content, rows), rows[start:], arrays[start:], strict=True
            )
        ],
    }


def _sections(
    header: Header, skeleton: Sequence[ArrayRow], arrays: Sequence[DecodedRow]
) -> dict[str, int]:
    """Return the bytes of each part of the file; those that it lacks are left out."""
    sections = {
        "header": HEADER_BYTES,
        "index": header.stored,
        "checksums": CHECK_BYTES * header.rows,
        "pool": header.pool,
        "skeleton": sum(row.stored for row in skeleton),
        "codebooks": sum(array.codebook_bytes for array in arrays),
        "tables": sum(array.table_bytes for array in arrays),
        "streams": sum(array.payload_bytes for array in arrays),
        "digest": DIGEST_BYTES,
        "signature": SIGNATURE_BYTES if header.signed else 0,
    }
    sections["counts"] = header.total - sum(sections.values())
    return {name: size for name, size in sections.items() if size}


def _entry(label: tuple[str, tuple[int, ...]], row: ArrayRow, array: DecodedRow) -> dict[str, Any]:
    """Return the entry of one row."""
    name, shape = label
    floats = row.dtype.startswith("float")
    zeros = row.elements - int(
        np.count_nonzero(array.patterns.view(row.dtype) if floats else array.patterns)
    )
    return {
        "name": name,
        "shape": list(shape),
        "kind": row.kind,
        "coders": list(array.coders),
        "sparsity": zeros / row.elements if row.elements else 0.0,
        "codebook": array.entries or None,
        "bits_per_weight": 8 * row.stored / row.elements if row.elements else 0.0,
        "bytes": row.stored,
        "codebook_bytes": array.codebook_bytes,
        "table_bytes": array.table_bytes,
        "stream_bytes": array.payload_bytes,
    }


def _labels(content: object, rows: list[ArrayRow]) -> list[tuple[str, tuple[int, ...]]]:
    """Return the name and shape of each row; those of TFLite buffers stand in the file itself."""
    if not isinstance(content, TfliteFile):
        return [(row.name, row.shape) for row in rows]
    try:
        found = find_buffers(content.data)
    except BadInput as error:
        raise CorruptPackage(f"The package holds no TFLite file: {error}") from None
    if len(found) != len(rows) - 1:
        raise CorruptPackage(
            f"The TFLite file has {len(found)} constant buffers, the index {len(rows) - 1}. "
            "Get the package again."
        )
    return [(buffer.name, buffer.shape) for buffer in found]
