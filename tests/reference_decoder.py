"""The reference decoder of `.thimble` 2.0: slow and obvious, written from SPEC.md alone.

It imports nothing of thimble, so that a mistake there cannot hide here. Section numbers are those
of thimble/codec/SPEC.md; sections 3 and 4 are in reference_rows.py, section 5 is in
reference_streams.py. Every refusal is a ValueError. Signatures are parsed, not verified.
"""

import hashlib
import json
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.reference_rows import (
    PACKED,
    POSITIONS,
    VALUES,
    Array,
    Row,
    read_row,
    unpack,
)
from tests.reference_streams import Cursor, Table, check, read_pool

Object = dict[str, Any]

MAGIC = b"\x89THMB\r\n\x1a"
DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()


@dataclass(frozen=True)
class ReferenceModel:
    """A model: tensors in the order of the layers, constraints sorted by name."""

    architecture: Object
    preprocessing: Object
    tensors: dict[str, Array]
    constraints: dict[str, Array]
    signature: tuple[bytes, bytes] | None = None  # key id (8), Ed25519 signature (64)


@dataclass(frozen=True)
class ReferenceTflite:
    """A TFLite file."""

    data: bytes
    name: str
    preprocessing: Object
    signature: tuple[bytes, bytes] | None = None


def unique_names(pairs: list[tuple[str, Any]]) -> Object:
    check(len({name for name, _ in pairs}) == len(pairs), "Names in an object must be unique.")
    return dict(pairs)


def finite(number: str) -> float:
    check(math.isfinite(float(number)), "A number must be finite, also in float64.")
    return float(number)


def whole(number: str) -> int:
    finite(number)
    return int(number)


def parse_index(text: bytes) -> Object:
    """Section 2; json refuses a byte order mark, and bytes that are not UTF-8."""
    try:
        index = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=unique_names,
            parse_constant=finite,
            parse_float=finite,
            parse_int=whole,
        )
    except RecursionError as error:
        raise ValueError("The index is nested too deep.") from error
    check(isinstance(index, dict), "The index must be one object.")
    return dict(index)


def field(entry: Any, key: str, kind: type, default: Any = None) -> Any:
    """Section 2: a field of the type `kind`; integers are from 0 to 2^63 - 1."""
    check(isinstance(entry, dict), "The index and its rows must be objects.")
    value = entry.get(key, default)
    fits = type(value) is kind
    fits = fits and (kind is not int or 0 <= value < 2**63)
    # A value is not quoted: it may be nested so deep that quoting it fails.
    check(fits, f"`{key}` must be a valid {kind.__name__}. Received: {type(value).__name__}.")
    return value


def parse_kind(entry: Any, dtype: str) -> tuple[str, str]:
    """Section 2, `kind`: positions and values; one of PACKED has no values."""
    row_kind = field(entry, "kind", str)
    positions, _, values = row_kind.partition("-")
    known = row_kind in PACKED or (positions in POSITIONS and values in VALUES)
    check(known, f"Kind {row_kind!r} needs a newer reader.")
    check(values not in ("half", "scaled") or dtype == "float32", f"{values} is for float32 only.")
    return positions, values


def parse_row(entry: Any, listed: str) -> Row:
    """Section 2: a row of the list `tensors`, `arrays` or `buffers`."""
    dtype = field(entry, "dtype", str, "float32")
    check(dtype in DTYPES, f"`dtype` must be one of {DTYPES}. Received: {dtype!r}.")
    positions, values = parse_kind(entry, dtype)
    shape = tuple(field({"size": size}, "size", int) for size in field(entry, "shape", list))
    check(len(shape) <= 32, "`shape` must have at most 32 sizes.")
    elements, w = math.prod(shape), np.dtype(dtype).itemsize
    raw = (positions, values) == ("dense", "raw")
    stored = field(entry, "stored", int, elements * w if raw else None)
    check(not raw or stored == elements * w, f"A dense-raw row must have {elements * w} bytes.")
    mask, skip = field(entry, "mask", int, 0), field(entry, "skip", int, 0)
    check(mask <= 1, f"`mask` must be 0 or 1. Received: {mask}.")
    columns = field(entry, "columns", int, 0)
    check(columns == 0 or elements % columns == 0, "`columns` must divide the elements.")
    ordered = positions not in PACKED and values != "scaled"
    check(columns == 0 or ordered, "`columns` is not for `deflate`, `lzma` and `scaled`.")
    indices = field(entry, "indices", str) if "indices" in entry else ""
    if "indices" in entry:
        check(indices in ("uint8", "uint16"), "`indices` must be uint8 or uint16.")
        fits = dtype == "float32" and values in ("codebook", "grouped")
        check(fits, "`indices` is for float32 rows whose values are `codebook` or `grouped`.")
    check(listed == "tensors" or not (mask or indices), "`mask` and `indices` are of tensors only.")
    check(listed == "buffers" or not skip, "`skip` is of buffers only.")
    check(listed != "buffers" or "name" not in entry, "A buffer must have no name.")
    name = field(entry, "name", str) if listed != "buffers" else ""
    check(listed == "buffers" or name != "", "A tensor or constraint must have a name.")
    what = (name, shape, dtype, positions, values, stored, indices, mask, skip, columns)
    return Row(*what, elements, w)


def check_limits(rows: list[Row], limit: int) -> None:
    """Section 7, before anything is made."""
    total = 0
    for row in rows:
        size = math.prod(max(size, 1) for size in row.shape) * row.w
        check(size <= limit, f"An array of {size} bytes is above the limit, {limit}.")
        index_bytes = {"": 0, "uint8": 1, "uint16": 2}[row.indices]
        total += row.elements * (row.w + index_bytes + row.mask)
        if row.indices:
            total += 4 * min(8 * row.stored, 256**index_bytes)
    check(total <= limit, f"The arrays' {total} bytes are above the limit, {limit}.")


def read_payloads(
    package: bytes, start: int, end: int, rows: list[Row], crcs: bytes
) -> list[bytes]:
    """Section 2: the stored bytes of each row, their place and their CRC-32 checked."""
    payloads = []
    for i, row in enumerate(rows):
        if (row.positions, row.values) == ("dense", "raw") and row.stored >= 4096:
            aligned = (start + 63) // 64 * 64
            check(not any(package[start:aligned]), "Bytes before an aligned row must be zeros.")
            start = aligned
        check(row.stored <= end - start, "A row must be within the file.")
        payloads.append(package[start : start + row.stored])
        crc = int.from_bytes(crcs[4 * i : 4 * i + 4], "little")
        check(zlib.crc32(payloads[i]) == crc, f"The CRC-32 of row {i} does not match.")
        start += row.stored
    check(start == end, "The last row must end where the digest begins.")
    return payloads


def model_of(
    index: Object, rows: list[Row], payloads: list[bytes], pool: list[Table]
) -> ReferenceModel:
    """Section 2: tensors and constraints, also those that follow from a tensor's row."""
    tensors: dict[str, Array] = {}
    constraints: dict[str, Array] = {}
    count = len(index["tensors"])
    for i, (row, payload) in enumerate(zip(rows, payloads, strict=True)):
        array, numbers, codebook = read_row(row, payload, pool)
        made = {row.name: array} if i >= count else {}
        if i < count:
            check(row.name not in tensors, f"Names must be unique. Received: {row.name!r} twice.")
            tensors[row.name] = array
        if row.indices:
            fits = not codebook or len(codebook) <= 2 ** (8 * np.dtype(row.indices).itemsize)
            check(fits, f"Indices of {row.name!r} must fit {row.indices}.")
            made[row.name + ".indices"] = np.array(numbers, row.indices).reshape(row.shape)
            made[row.name + ".codebook"] = np.array(codebook, "u4").view("f4")
        if row.mask:
            made[row.name + ".mask"] = np.array(array != 0, "uint8")
        for name, constraint in made.items():
            check(name not in constraints, f"Names must be unique. Received: {name!r} twice.")
            constraints[name] = constraint
    both = field(index, "architecture", dict), field(index, "preprocessing", dict)
    return ReferenceModel(*both, tensors, dict(sorted(constraints.items())))


def tflite_of(index: Object, rows: list[Row], payloads: list[bytes], pool: list[Table]) -> bytes:
    """Section 6."""
    check(len(rows) > 0, "A TFLite file must have a skeleton.")
    first = rows[0]
    plain = first.dtype == "uint8" and len(first.shape) == 1 and first.skip == 0
    packed = first.positions in PACKED or (first.positions, first.values) == ("dense", "raw")
    check(plain and packed, "A skeleton must be uint8, one dimension, no `skip`, and not coded.")
    arrays = [read_row(row, payload, pool)[0] for row, payload in zip(rows, payloads, strict=True)]
    skeleton, data = Cursor(arrays[0].tobytes(), "The skeleton"), b""
    for row, array in zip(rows[1:], arrays[1:], strict=True):
        data += skeleton.take(row.skip) + array.astype(array.dtype.newbyteorder("<")).tobytes()
    data += skeleton.data[skeleton.at :]
    check(len(data) == field(index, "bytes", int) >= 8, "The file must have `bytes` bytes, >= 8.")
    check(zlib.crc32(data) == field(index, "crc", int), "The file's CRC-32 must be `crc`.")
    return data


def decode(package: bytes, limit: int = 4 * 2**30) -> ReferenceModel | ReferenceTflite:
    """Section 1: the checks in the order that it gives, then the rest."""
    check(package[:8] == MAGIC, "Not a package: the magic is missing.")
    check(len(package) >= 72, "The package is truncated: shorter than 72 bytes.")
    _, major, _, kind, flags, stored, text, count, pool_size, total, crc = struct.unpack(
        "<8s4B4IQI", package[:40]
    )
    check(major == 2, f"The major version must be 2. Received: {major}.")
    check(len(package) == total, f"The package must have {total} bytes. Received: {len(package)}.")
    signed = flags & 1
    end = total - 32 - 72 * signed
    check(end >= 40, "The package is too short for its digest.")
    check(hashlib.sha256(package[:end]).digest() == package[end : end + 32], "Wrong SHA-256.")
    crcs = 40 + stored
    pool_at = crcs + 4 * count
    start = pool_at + pool_size
    check(start <= end, "Index, checksums and pool must end before the digest.")
    check(zlib.crc32(package[40:start], zlib.crc32(package[:36])) == crc, "Wrong header CRC-32.")
    check(kind in (1, 2) and flags < 2, f"Kind {kind} or flags {flags} are unknown.")
    check(text <= min(64 * 2**20, limit), f"An index of {text} bytes is above the limit.")
    index = parse_index(unpack("deflate", package[40:crcs], text, "The index"))
    keys = ("tensors", "arrays") if kind == 1 else ("buffers",)
    rows = [parse_row(entry, key) for key in keys for entry in field(index, key, list)]
    check(len(rows) == count, f"The number of rows must be {count}. Received: {len(rows)}.")
    check_limits(rows, limit)
    payloads = read_payloads(package, start, end, rows, package[crcs:pool_at])
    pool = read_pool(package[pool_at:start])
    signature = (package[-72:-64], package[-64:]) if signed else None
    if kind == 1:
        return replace(model_of(index, rows, payloads, pool), signature=signature)
    check(field(index, "bytes", int) <= limit, "The file is above the limit.")
    data = tflite_of(index, rows, payloads, pool)
    name, preprocessing = field(index, "name", str), field(index, "preprocessing", dict)
    return ReferenceTflite(data, name, preprocessing, signature)
