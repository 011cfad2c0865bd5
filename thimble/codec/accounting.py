"""Says where the bytes of a package went."""

from typing import Any

import numpy as np

from thimble.codec.array_encoder import SIDE_SECTIONS
from thimble.codec.container import DEFAULT_LIMIT, DIGEST_BYTES, HEADER_BYTES
from thimble.codec.decode import Decoded, TfliteFile, decode_rows
from thimble.codec.errors import CorruptPackage
from thimble.codec.tflite import find_buffers
from thimble.stage import BadInput

__all__ = ["inspect"]


def inspect(package: bytes, limit: int = DEFAULT_LIMIT) -> dict[str, Any]:
    """Decode a package and account for every byte of it.

    Args:
        package: The bytes of a `.thimble` file.
        limit: Most bytes that it may decode to.

    Returns:
        `{"kind", "version", "bytes", "sections": {name: bytes}, "tensors": [{"name", "shape",
        "kind", "sparsity" in [0, 1], "codebook" (entries, or None), "bits_per_weight",
        "bytes"}]}`. The sections add up to the file. The bytes of the tensors add up to the
        sections other than header, index, skeleton and digest: where arrays share a compressed
        section, each has its share by what it put in.

    Raises:
        PackageError: As `decode`.
    """
    decoded = decode_rows(package, limit)
    container = decoded.container
    stored = [len(section.stored) for section in container.sections]
    names = list(SIDE_SECTIONS)
    if container.kind == "tflite":
        names.append("skeleton")
    sections = {"header": HEADER_BYTES, "index": container.index_bytes}
    sections |= dict(zip(names, stored, strict=False))
    sections["plain"] = sum(stored[len(names) :])
    sections["digest"] = DIGEST_BYTES
    return {
        "kind": container.kind,
        "version": ".".join(str(part) for part in container.version),
        "bytes": len(package),
        "sections": sections,
        "tensors": _tensors(decoded, _shares(decoded)),
    }


def _shares(decoded: Decoded) -> list[int]:
    """Return the bytes of the file that belong to each row."""
    if not decoded.arrays:
        return []
    used = np.stack([array.used for array in decoded.arrays])
    totals = np.zeros(len(used), np.int64)
    for number, section in enumerate(decoded.container.sections):
        # Rounding the running sum, not each share, keeps the total exact.
        ends = np.cumsum(used[:, number])
        if len(ends) and ends[-1]:
            upto = [int(end) * len(section.stored) // int(ends[-1]) for end in ends]
            totals += np.diff(upto, prepend=0)
    return [int(total) for total in totals]


def _tensors(decoded: Decoded, shares: list[int]) -> list[dict[str, Any]]:
    """Return one entry per row."""
    labels = _labels(decoded)
    entries = []
    for row, array, size, (name, shape) in zip(
        decoded.rows, decoded.arrays, shares, labels, strict=True
    ):
        zeros = row.elements - int(np.count_nonzero(array.values))
        entries.append(
            {
                "name": name,
                "shape": list(shape),
                "kind": row.kind,
                "sparsity": zeros / row.elements if row.elements else 0.0,
                "codebook": len(array.codebook.entries) if array.codebook else None,
                "bits_per_weight": 8 * size / row.elements if row.elements else 0.0,
                "bytes": size,
            }
        )
    return entries


def _labels(decoded: Decoded) -> list[tuple[str, tuple[int, ...]]]:
    """Return the name and shape of each row; those of TFLite buffers stand in the file itself."""
    if not isinstance(decoded.content, TfliteFile):
        return [(row.name, row.shape) for row in decoded.rows]
    try:
        found = find_buffers(decoded.content.data)
    except BadInput as error:
        raise CorruptPackage(f"The package holds no TFLite file: {error}") from None
    if len(found) != len(decoded.rows):
        raise CorruptPackage(
            f"The TFLite file has {len(found)} constant buffers, the index {len(decoded.rows)}. "
            "Get the package again."
        )
    return [(buffer.name, buffer.shape) for buffer in found]
