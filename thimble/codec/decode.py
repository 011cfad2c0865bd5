"""Reads packages: everything is checked before anything is returned."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.array_decoder import ArrayDecoder, DecodedArray
from thimble.codec.array_encoder import SIDE_SECTIONS
from thimble.codec.container import DEFAULT_LIMIT, Container, unpack, whole_number
from thimble.codec.errors import BadChecksum, CorruptPackage, TooLarge
from thimble.codec.rows import ArrayRow
from thimble.weights import Weights

__all__ = ["Decoded", "TfliteFile", "decode", "decode_rows"]

_MAX_LANE_SYMBOLS = 1 << 16


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


@dataclass(frozen=True)
class Decoded:
    """A package with its parts still apart, for `inspect`.

    Attributes:
        container: Header, index and sections.
        rows: Of the index: tensors and then constraints, or TFLite buffers.
        arrays: One per row.
        content: What the package holds.
    """

    container: Container
    rows: list[ArrayRow]
    arrays: list[DecodedArray]
    content: Weights | TfliteFile


def decode(package: bytes, limit: int = DEFAULT_LIMIT) -> Weights | TfliteFile:
    """Return what a package holds, bit for bit as it was packed.

    Args:
        package: The bytes of a `.thimble` file.
        limit: Most bytes that it may decode to.

    Returns:
        Weights (with an empty history) or a TFLite file.

    Raises:
        PackageError: `NotAPackage`, `NewerVersion`, `Truncated`, `BadChecksum`, `CorruptPackage`
            or `TooLarge`; nothing is returned half-decoded.
    """
    return decode_rows(package, limit).content


def decode_rows(package: bytes, limit: int = DEFAULT_LIMIT) -> Decoded:
    """Decode a package and keep its parts; see `decode`."""
    container = unpack(package, limit)
    index = container.index
    lists = ("tensors", "arrays") if container.kind == "model" else ("buffers",)
    found = [row for name in lists for row in _list(index, name)]
    rows = [ArrayRow.from_json(row, len(container.sections), limit) for row in found]
    total = sum(row.decoded_bytes for row in rows)
    if total > limit:
        raise TooLarge(
            f"The package declares {total} bytes of arrays. Expected at most {limit}. Raise the "
            "limit if you trust the package."
        )
    lane_symbols = whole_number(index.get("lane"), 1, _MAX_LANE_SYMBOLS, "The index's lane")
    decoder = ArrayDecoder(container.sections, lane_symbols)
    arrays = decoder.decode(rows)
    content: Weights | TfliteFile
    if container.kind == "model":
        tensors = len(_list(index, "tensors"))
        content = _model(index, rows, arrays, tensors)
    else:
        content = _tflite(index, rows, arrays, decoder)
    decoder.check_consumed()
    return Decoded(container, rows, arrays, content)


def _model(
    index: dict[str, Any], rows: list[ArrayRow], arrays: list[DecodedArray], tensors: int
) -> Weights:
    """Put the arrays of a model under their names."""
    named: dict[str, NDArray[Any]] = {}
    constraints: dict[str, NDArray[Any]] = {}
    for number, (row, array) in enumerate(zip(rows, arrays, strict=True)):
        target = named if number < tensors else constraints
        _put(target, row.name, array.values)
        if array.indices is not None and array.codebook is not None:
            _put(constraints, f"{row.name}.indices", array.indices)
            book = array.codebook.entries.astype("<u4").view("<f4").astype(np.float32)
            _put(constraints, f"{row.name}.codebook", book)
        if row.mask:
            _put(constraints, f"{row.name}.mask", (array.values != 0).astype(np.uint8))
    return Weights(
        architecture=_object(index, "architecture"),
        tensors=named,
        constraints=constraints,
        preprocessing=_object(index, "preprocessing"),
    )


def _tflite(
    index: dict[str, Any], rows: list[ArrayRow], arrays: list[DecodedArray], decoder: ArrayDecoder
) -> TfliteFile:
    """Put the buffers back into the skeleton."""
    skeleton = len(SIDE_SECTIONS)
    parts = []
    for row, array in zip(rows, arrays, strict=True):
        little = array.values.astype(array.values.dtype.newbyteorder("<"), copy=False)
        parts += [decoder.plain(skeleton, row.skip), little.tobytes()]
    data = b"".join([*parts, decoder.rest(skeleton)])
    if whole_number(index.get("bytes"), 0, 1 << 62, "The file's bytes") != len(data):
        raise CorruptPackage(f"The TFLite file has {len(data)} bytes, not {index['bytes']}.")
    if zlib.crc32(data) != index.get("crc"):
        raise BadChecksum("The TFLite file does not match its CRC-32. Get the package again.")
    name = index.get("name")
    if not isinstance(name, str):
        raise CorruptPackage("The TFLite file has no name. Get the package again.")
    return TfliteFile(data, _object(index, "preprocessing"), name)


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


def _list(index: dict[str, Any], key: str) -> list[Any]:
    """Return a JSON list of the index."""
    value = index.get(key)
    if not isinstance(value, list):
        raise CorruptPackage(f"The index has no list of {key}. Get the package again.")
    return value
