"""Packages to start from, and how they are taken apart, changed and sealed again."""

import json
import struct
import zlib
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from tests.attacks.make import ABUSES
from tests.attacks.sealing import seal
from tests.thimble.codec.making import tflite_file
from thimble.codec import encode_model, encode_tflite
from thimble.weights import Weights

_WIDTHS = {1: 0, 2: 1, 4: 2, 8: 3}
_POSITIONS = ("dense", "gap", "bitmap")
_VALUES = ("raw", "half", "planes", "codebook", "scaled", "grouped")
_FLOATS, _POOLED, _TURNED = 1, 4, 8


@dataclass
class Parts:
    """What a package is sealed from; the index is JSON, or its text where that is damaged."""

    index: Any
    rows: list[bytes]
    pool: bytes = b""
    kind: int = 1
    version: tuple[int, int] = (2, 0)
    header: dict[str, int] = field(default_factory=dict)

    @property
    def listed(self) -> list[dict[str, Any]]:
        """What the index says about the rows, as far as it is readable."""
        found: list[dict[str, Any]] = []
        for key in ("tensors", "arrays", "buffers"):
            rows = self.index.get(key) if isinstance(self.index, dict) else None
            found += [row for row in rows or [] if isinstance(row, dict)]
        return found

    def seal(self, repair: bool = True) -> bytes:
        """Return the package; sizes of rows are repaired unless they are what is wrong."""
        rows, place = [], 40 + 4 * len(self.rows) + len(self.pool)
        listed = self.listed
        if repair:
            for row, data in zip(listed, self.rows, strict=False):
                row["stored"] = len(data)
        place += len(json.dumps(self.index)) + 5 if isinstance(self.index, dict) else 0
        for number, data in enumerate(self.rows):
            plain = number < len(listed) and listed[number].get("kind") == "dense-raw"
            zeros = bytes(-place % 64 if plain and len(data) >= 4096 else 0)
            rows.append((zeros, data))
            place += len(zeros) + len(data)
        return seal(self.index, rows, self.pool, self.kind, self.version, self.header)


def split(package: bytes) -> Parts | None:
    """Take a package apart; None if not even its front can be read."""
    if len(package) < 72:
        return None
    major, minor, kind, _, stored, _, count, pool = struct.unpack("<4B4I", package[8:28])
    try:
        text = zlib.decompressobj(-15).decompress(package[40 : 40 + stored], 1 << 20)
        index = json.loads(text)
    except (ValueError, zlib.error, RecursionError):
        return None
    place = 40 + stored + 4 * count
    parts = Parts(index, [], package[place : place + pool], kind, (major, minor))
    place += pool
    for row in parts.listed:
        size = row.get("stored", 0)
        if type(size) is not int or not 0 <= size <= len(package):
            return None
        parts.rows.append(package[place : place + size])
        place += size
    return parts


def row_inputs(package: bytes) -> list[bytes]:
    """Return the rows of a package as fuzz_row.c reads them."""
    parts, found = split(package), []
    for row, data in zip(parts.listed, parts.rows, strict=False) if parts else ():
        positions, _, values = str(row.get("kind")).partition("-")
        shape = row.get("shape")
        sizes = isinstance(shape, list) and all(type(size) is int for size in shape)
        if positions not in _POSITIONS or values not in _VALUES or not sizes:
            continue
        try:
            dtype = np.dtype(row.get("dtype", "float32"))
        except TypeError:
            continue
        elements = int(np.prod(shape, dtype=object))
        head = [_POSITIONS.index(positions), _VALUES.index(values), _WIDTHS.get(dtype.itemsize, 2)]
        head += [{"uint8": 1, "uint16": 2}.get(str(row.get("indices")), 0)]
        columns = row.get("columns", 0)
        turned = type(columns) is int and columns > 0
        flags = (_FLOATS * (dtype == np.float32), _POOLED * bool(parts.pool), _TURNED * turned)
        head += [sum(flags)]
        counts = (elements % (1 << 17)).to_bytes(3, "little")
        last = columns if turned else shape[-1] if shape else 1
        counts += struct.pack("<HH", last % 65536, len(parts.pool))
        found.append(bytes(head) + counts + parts.pool + data)
    return found


def tensors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return arrays that take the different kinds of rows."""
    sparse = rng.normal(size=(40, 50)).astype(np.float32)
    sparse[rng.random(sparse.shape) < 0.9] = 0
    scaled = rng.integers(-127, 128, (30, 8)).astype(np.float32)
    scaled[0] = 127
    scaled *= np.float32(0.5) ** np.arange(8, dtype=np.float32) / 3
    bands = rng.binomial(6, 0.5, (60, 40)).astype(np.int8)
    bands[np.repeat(rng.random((6, 40)) < 0.7, 10, axis=0)] = 0
    walk = np.cumsum(rng.integers(-1, 2, 1500))
    spread = rng.normal(0, 2.0 ** np.arange(16), (200, 16))
    found = {
        "sparse": sparse,
        "halves": rng.normal(size=60).astype(np.float16).astype(np.float32),
        "planes": np.cumsum(rng.integers(0, 9, 500)).astype(np.int32),
        "scaled": scaled,
        "grouped": np.clip(np.rint(spread), -100, 100).astype(np.int8),
        "one": np.eye(1, 300, 7, dtype=np.float32),
        "none": np.zeros((0, 4), np.float32),
        "scalar": np.float64(-0.0).reshape(()),
        "plain": rng.integers(0, 1 << 62, 600).astype(np.int64),
        "bits": (rng.random(4000) < 0.4).astype(np.uint8),
        "bands": bands,
        "walk": (12 + walk % 13).astype(np.uint8),
        "wide": rng.integers(0, 3000, 12000).astype(np.uint16),
    }
    return found


def quantized(rng: np.random.Generator, entries: int, sparsity: float) -> dict[str, np.ndarray]:
    """Return indices and codebook of one tensor."""
    codebook = np.linspace(-1, 1, entries).astype(np.float16).astype(np.float32)
    indices = rng.binomial(entries - 1, 0.5, (24, 40))
    indices[rng.random(indices.shape) < sparsity] = entries // 2
    return {"indices": indices.astype(np.uint8 if entries <= 256 else np.uint16), "book": codebook}


def seeds() -> list[bytes]:
    """Return packages to start from: valid ones of every kind, and the attacks."""
    rng = np.random.default_rng(5)
    found = [
        encode_model(Weights({"model": "x"}, {name: array}, {}))
        for name, array in tensors(rng).items()
    ]
    found.append(encode_model(Weights({}, tensors(rng), {})))
    for entries, sparsity in ((2, 0.0), (16, 0.95), (33, 0.5), (300, 0.2)):
        book = quantized(rng, entries, sparsity)
        tensor = book["book"][book["indices"]]
        rest = {"t.indices": book["indices"], "t.codebook": book["book"]}
        rest["t.mask"] = (tensor != 0).astype(np.uint8)
        found.append(encode_model(Weights({}, {"t": tensor}, rest)))
    # Layers that look alike share a table.
    alike = {f"t{n}": rng.binomial(14, 0.5, 300).astype(np.uint8) for n in range(6)}
    found.append(encode_model(Weights({}, alike, {})))
    arrays = {"a": np.arange(64, dtype=np.float32), "b": np.zeros((8, 16), np.int8)}
    found.append(encode_tflite(tflite_file(arrays), {}, "int8"))
    return found + [abuse() for name, abuse in ABUSES.items() if "bomb" not in name]


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Change some bytes: flips, edges of ranges, cuts, copies, insertions."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place, size = rng.randrange(len(changed) + 1), rng.randint(1, 8)
        choice = rng.randrange(6)
        if choice == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif choice == 1 and place < len(changed):
            changed[place] = rng.choice([0, 1, 2, 3, 8, 15, 16, 127, 128, 255])
        elif choice == 2:
            del changed[place : place + size]
        elif choice == 3:
            changed[place:place] = changed[place : place + size]
        elif choice == 4:
            changed[place:place] = rng.randbytes(size)
        else:
            changed[place : place + size] = rng.randbytes(size)
    return bytes(changed)


_SIZES = [0, 1, 2, 3, 7, 8, 64, 300, 4096, 65536, 1 << 20, 1 << 32, 1 << 60, -1, 1.0, None, True]


def _mutate_row(row: dict[str, Any], rng: Random) -> None:
    """Change what the index says about a row."""
    kinds = [f"{positions}-{values}" for positions in _POSITIONS for values in _VALUES]
    changes: dict[str, Any] = {
        "kind": rng.choice([*kinds, "deflate", "lzma", "gap-seeds"]),
        "dtype": rng.choice(["float16", "float32", "float64", "int8", "uint16", "int64", "bool"]),
        "shape": [rng.choice(_SIZES) for _ in range(rng.randint(0, 3))],
        "stored": rng.choice(_SIZES),
        "indices": rng.choice(["uint8", "uint16", "int8"]),
        "mask": rng.choice([0, 1, 2]),
        "name": rng.choice(["", "t", "t.mask", "a", "\ud800", "x" * 300]),
        "skip": rng.choice(_SIZES),
        "columns": rng.choice(_SIZES),
    }
    key = rng.choice(list(changes))
    if rng.random() < 0.15:
        row.pop(key, None)
    else:
        row[key] = changes[key]


def mutate(package: bytes, rng: Random) -> bytes:
    """Change a package; checksums and sizes are repaired, so that the change is what is read."""
    parts = split(package)
    choice = rng.random()
    if parts is None or choice < 0.05:
        return mutate_bytes(package, rng)
    if choice < 0.6 and parts.rows:
        number = rng.randrange(len(parts.rows))
        parts.rows[number] = mutate_bytes(parts.rows[number], rng)
    elif choice < 0.85 and parts.listed:
        _mutate_row(rng.choice(parts.listed), rng)
        return parts.seal(repair=rng.random() < 0.8)
    elif choice < 0.92:
        parts.pool = mutate_bytes(parts.pool, rng)
    elif choice < 0.96:
        parts.index = mutate_bytes(json.dumps(parts.index).encode(), rng)
    else:
        name = rng.choice(["flags", "stored", "text", "rows", "pool", "total"])
        number = rng.choice([0, 1, 2, 72, 1000, (1 << 32) - 1])
        parts.header = {name: number & 255 if name == "flags" else number}
    return parts.seal()
