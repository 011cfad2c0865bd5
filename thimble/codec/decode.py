"""Reads packages whole: everything is checked before anything is returned."""

import ctypes
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.container import DEFAULT_LIMIT, whole_number
from thimble.codec.errors import BadChecksum, CorruptPackage, TooLarge
from thimble.codec.kinds import DEFLATE, LZMA
from thimble.codec.native_library import address_of, as_bytes
from thimble.codec.reader import Package, index_list, values_of
from thimble.codec.row_decoder import DecodedRow
from thimble.codec.rows import PLAIN
from thimble.weights import Weights

__all__ = ["TfliteFile", "content_of", "decode"]

# A flatbuffer starts with an offset and a file identifier.
_SMALLEST_TFLITE = 8


@dataclass(frozen=True)
class TfliteFile:
    """A TFLite file with what is needed to feed it.

    Attributes:
        data: The file.
        preprocessing: Normalisation, tile, channels and class names.
        name: Of the variant, such as `int8`.
    """

    data: bytes
    preprocessing: dict[str, Any]
    name: str


def decode(
    package: bytes,
    limit: int = DEFAULT_LIMIT,
    threads: int = 1,
    trusted: Iterable[Path] = (),
) -> Weights | TfliteFile:
    """Return what a package holds, bit for bit as it was packed.

    Args:
        package: The bytes of a `.thimble` file.
        limit: Most bytes that it may decode to.
        threads: How many rows are decoded at the same time.
        trusted: PEM files of Ed25519 public keys; if any are given, one must have signed.

    Returns:
        Weights (with an empty history) or a TFLite file.

    Raises:
        PackageError: `NotAPackage`, `NewerVersion`, `Truncated`, `BadChecksum`, `CorruptPackage`,
            `TooLarge`, `MissingSignature` or `BadSignature`; nothing is returned half-decoded.
    """
    return content_of(Package(package, limit, trusted), threads)[0]


def content_of(package: Package, threads: int = 1) -> tuple[Weights | TfliteFile, list[DecodedRow]]:
    """Decode a package that is open; also return its rows, for `inspect`."""
    if package.header.kind == "tflite":
        return _tflite(package, threads)
    arrays = package.decode_all(threads)
    return _model(package, arrays), arrays


def _model(package: Package, arrays: Sequence[DecodedRow]) -> Weights:
    """Put the arrays of a model under their names."""
    tensors = len(index_list(package.index, "tensors"))
    named: dict[str, NDArray[Any]] = {}
    constraints: dict[str, NDArray[Any]] = {}
    for number, (row, array) in enumerate(zip(package.rows, arrays, strict=True)):
        values = values_of(row, array)
        _put(named if number < tensors else constraints, row.name, values)
        if array.indices is not None and array.codebook is not None:
            _put(constraints, f"{row.name}.indices", array.indices.reshape(row.shape))
            book = array.codebook.view("<f4").astype(np.float32, copy=False)
            _put(constraints, f"{row.name}.codebook", book)
        if row.mask:
            _put(constraints, f"{row.name}.mask", np.asarray(values != 0).view(np.uint8))
    return Weights(
        architecture=_object(package.index, "architecture"),
        tensors=named,
        constraints=constraints,
        preprocessing=_object(package.index, "preprocessing"),
    )


def _tflite(package: Package, threads: int) -> tuple[TfliteFile, list[DecodedRow]]:
    """Put the buffers back into the skeleton."""
    name = package.index.get("name")
    if not isinstance(name, str):
        raise CorruptPackage("The TFLite file has no name. Get the package again.")
    size = whole_number(package.index.get("bytes"), _SMALLEST_TFLITE, 1 << 62, "The file's bytes")
    if size > package.limit:
        raise TooLarge(
            f"The TFLite file has {size} bytes. Expected at most {package.limit}. Raise the "
            "limit if you trust the package."
        )
    checksum = whole_number(package.index.get("crc"), 0, (1 << 32) - 1, "The file's CRC-32")
    places = _places(package, size)
    # Rows are decoded to where they belong, so that the file is in memory once. A bytes object
    # may be filled as long as nobody else has seen it.
    data = bytes(size)
    file = as_bytes(data)
    arrays = package.decode_all(threads, [None, *(file[start:end] for start, end in places)])
    skeleton, taken = arrays[0].patterns, 0
    for start, end in zip(
        [0, *(end for _, end in places)], [*(a for a, _ in places), size], strict=True
    ):
        piece = skeleton[taken : taken + end - start]
        ctypes.memmove(address_of(file) + start, address_of(piece), len(piece))
        taken += len(piece)
    if zlib.crc32(data) != checksum:
        raise BadChecksum("The TFLite file does not match its CRC-32. Get the package again.")
    return TfliteFile(data, _object(package.index, "preprocessing"), name), arrays


def _places(package: Package, size: int) -> list[tuple[int, int]]:
    """Return where each buffer begins and ends in the TFLite file."""
    rows = package.rows
    plain = bool(rows) and rows[0].dtype == "uint8" and len(rows[0].shape) == 1
    if not plain or rows[0].kind not in {DEFLATE, LZMA, PLAIN} or rows[0].skip:
        raise CorruptPackage("The first row is not a TFLite skeleton. Get the package again.")
    places, place = [], 0
    for row in rows[1:]:
        start = place + row.skip
        place = start + row.elements * row.width
        places.append((start, place))
    skeleton = size - sum(end - start for start, end in places)
    if place > size or skeleton != rows[0].elements:
        raise CorruptPackage(
            f"Skeleton and buffers do not make a file of {size} bytes. Get the package again."
        )
    return places


def _put(target: dict[str, NDArray[Any]], name: str, array: NDArray[Any]) -> None:
    """Add an array under a name that must be new."""
    if not name or name in target:
        raise CorruptPackage(f"The array name {name[:40]!r} is empty or occurs twice.")
    target[name] = array


def _object(index: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a JSON object of the index."""
    value = index.get(key)
    if not isinstance(value, dict):
        raise CorruptPackage(f"The index has no {key}. Get the package again.")
    return value
