"""Packages and rows made by hand, for the tests of this folder."""

import hashlib
import json
import struct
import zlib

import numpy as np

from thimble.codec import row_decoder
from thimble.codec.container import CHECK_BYTES, HEADER, HEADER_BYTES, MAGIC, VERSION
from thimble.codec.container import padding_before as padding
from thimble.codec.kinds import KINDS
from thimble.codec.native_library import Plan
from thimble.codec.reader import Package
from thimble.codec.row_decoder import TablePool
from thimble.codec.rows import ArrayRow
from thimble.codec.stream_encoder import Stream, varint
from thimble.weights import Weights

# The kinds that the encoder writes for data made for them.
WRITTEN = sorted(KINDS.keys() - {"bitmap-raw", "bitmap-half", "bitmap-planes"})
EMPTY = {"architecture": {}, "preprocessing": {}, "tensors": [], "arrays": []}


def one(array, constraints=None):
    """Return a model of one tensor, `t`."""
    return Weights({"model": "x"}, {"t": array}, constraints or {})


def quantized(rng, shape, sparsity, entries):
    """Return indices and a codebook with a zero, as the quantize stage makes them."""
    codebook = np.linspace(-1, 1, entries).astype(np.float16).astype(np.float32)
    zero = entries // 2
    codebook[zero] = 0.0
    indices = rng.integers(0, entries, shape).astype(np.uint8)
    indices[rng.random(shape) < sparsity] = zero
    return indices, codebook


def scaled_weights(rng, shape):
    """Return float32 weights that are int8 integers times a scale for each channel."""
    integers = rng.integers(-127, 128, shape)
    integers[0] = 127
    scales = rng.uniform(0.001, 0.1, shape[-1]).astype(np.float32)
    return integers.astype(np.float32) * scales


def sparse(rng, values, share):
    values = np.array(values)
    values[rng.random(values.shape) >= share] = 0
    return values


def chain(rng, count, stay, draw):
    """Return items that repeat the one before with probability `stay`, along the first axis."""
    fresh = draw(count)
    last = np.where(rng.random(count) < stay, -1, np.arange(count))
    last[0] = 0
    return fresh[np.maximum.accumulate(last)]


def alike_down_columns(rng, shape=(300, 120), entries=9):
    """Return indices and codebook of a pruned kernel: kept weights stand in runs down columns."""
    codebook = np.linspace(-1, 1, entries).astype(np.float16).astype(np.float32)
    zero = entries // 2
    codebook[zero] = 0
    kept = chain(rng, shape[0] * shape[1], 0.9, lambda n: rng.random(n) < 0.1)
    kept = kept.reshape(shape[::-1]).T
    return np.where(kept, rng.integers(0, entries, shape), zero).astype(np.uint8), codebook


def gaps_in_bursts(rng, kept=3000):
    """Return a binary tensor whose short gaps follow short ones, and long ones long ones."""
    far = chain(rng, kept, 0.95, lambda n: rng.random(n) < 0.5)
    gaps = np.where(far, rng.integers(20, 60, kept), rng.integers(0, 4, kept))
    array = np.zeros(int((gaps + 1).sum()), np.float32)
    array[np.cumsum(gaps + 1) - 1] = 1
    return array


def values_in_turns(rng, count=6000, entries=64):
    """Return indices and codebook of a layer whose values are mostly of the sign before."""
    high = chain(rng, count, 0.95, lambda n: rng.random(n) < 0.5)
    near = np.minimum(rng.geometric(0.15, count), entries // 2)
    indices = np.where(high, entries // 2 - 1 + near, entries // 2 - near)
    return indices.astype(np.uint8), np.linspace(-1, 1, entries, dtype=np.float32)


def made_for(kind):
    """Return an array that a kind suits best."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 1 << 32, (60, 50), dtype=np.uint64).astype("<u4")
    floats = rng.normal(size=(60, 50)).astype(np.float32)
    wide_halves = rng.integers(0, 0x7C00, (60, 50)).astype("<u2").view("<f2").astype(np.float32)
    clusters = np.repeat(rng.random(3000) < 0.3, 8) & (rng.random(24_000) < 0.75)
    integers = np.maximum(np.rint(rng.laplace(0, 30, 24_000)).clip(-127, 127), -127)
    integers[:8] = 127
    integers = integers.astype(np.float32).reshape(-1, 8)
    scales = np.linspace(0.1, 0.9, 8, dtype=np.float32)
    rare, clustered = sparse(rng, integers, 0.1), integers * clusters.reshape(-1, 8)
    rare[0] = clustered[0] = 127
    rare, clustered = rare + 0, clustered + 0  # no -0.0
    every_twentieth = np.zeros(8000, np.float32)
    every_twentieth[::20] = rng.choice(floats[0, :9], 400)
    channels = np.rint(rng.laplace(0, 1, (1500, 16)) * np.linspace(1, 40, 16)).clip(-127, 127)
    odd = channels.astype(np.int8) | 1
    far = np.zeros((16, 48_000), np.int8)
    far.reshape(-1)[np.cumsum(rng.integers(30, 33, 24_000))] = odd.T.reshape(-1)
    return {
        "dense-grouped": channels.astype(np.int8),
        "gap-grouped": far,
        "bitmap-grouped": odd * clusters.reshape(-1, 16),
        "dense-raw": noise,
        "dense-half": wide_halves.reshape(-1)[:300],
        "dense-planes": floats,
        "dense-codebook": rng.integers(0, 9, (60, 50)).astype(np.int16),
        "dense-scaled": scaled_weights(rng, (60, 50)),
        "gap-raw": sparse(rng, noise, 0.05),
        "gap-half": sparse(rng, wide_halves, 0.05)[:20],
        "gap-planes": sparse(rng, floats, 0.05),
        "gap-codebook": every_twentieth,
        "gap-scaled": rare * scales,
        "bitmap-codebook": (clusters * rng.choice([1, 2], clusters.size)).astype(np.float32),
        "bitmap-scaled": clustered * scales,
    }[kind]


def seal(index, rows=(), kind=1, version=VERSION, pool=b"", header=None):
    """Return a package with right checksums of any index and rows.

    Rows are bytes, or (bytes, True) where they are aligned as plain rows are. `header` overrides
    its fields: kind, flags, stored, text, rows, pool, total.
    """
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = engine.compress(text) + engine.flush()
    rows = [row if isinstance(row, tuple) else (row, False) for row in rows]
    front = stored + b"".join(struct.pack("<I", zlib.crc32(data)) for data, _ in rows) + pool
    body = b""
    for data, plain in rows:
        body += bytes(padding(HEADER_BYTES + len(front) + len(body), plain, len(data))) + data
    fields = {"kind": kind, "flags": 0, "stored": len(stored), "text": len(text), "rows": len(rows)}
    fields |= {"pool": len(pool), "total": HEADER_BYTES + len(front) + len(body) + 32} | (
        header or {}
    )
    start = HEADER.pack(MAGIC, *version, *fields.values())
    whole = start + struct.pack("<I", zlib.crc32(start + front)) + front + body
    return whole + hashlib.sha256(whole).digest()


def parts_of(package):
    """Return index, rows and pool of a package that is not signed."""
    opened = Package(package)
    rows = [bytes(opened.stored(number)) for number in range(len(opened.rows))]
    header = opened.header
    start = HEADER_BYTES + header.stored + CHECK_BYTES * header.rows
    return opened.index, rows, package[start : start + header.pool]


def rebuild(package, edit):
    """Change the index or the rows of a model's package and seal it again."""
    index, rows, pool = parts_of(package)
    edit(index, rows)
    listed = [*index["tensors"], *index["arrays"]]
    for entry, data in zip(listed, rows, strict=True):
        entry["stored"] = len(data)
    plain = [entry["kind"] == "dense-raw" for entry in listed]
    return seal(index, list(zip(rows, plain, strict=True)), pool=pool)


def read_stream(stream, count, alphabet, pool=b""):
    """Decode a stream that ends its row: the row is a codebook of all symbols and the stream."""
    row = varint(8 * alphabet) + np.arange(alphabet, dtype="<u2").tobytes() + stream
    return decode_row("dense-codebook", row, (count,), "uint16", TablePool(pool)).patterns.tolist()


def planned(coder, alphabet, table, codes, scale=0, bits=0):
    """Return the plan of a given table; `bits` is the estimated payload."""
    plan = Plan(coder=coder, scale=scale, alphabet=alphabet, table_bytes=len(table), cost_bits=bits)
    plan.table[: len(table)] = list(table)
    plan.codes[:alphabet] = codes
    return plan


def written(plan, symbols, last=True):
    """Return the bytes of symbols coded by a plan."""
    array = np.array(symbols, np.uint16)
    counts = np.bincount(array, minlength=plan.alphabet).astype(np.uint64)
    return Stream(counts, plan, array).data(last)


def tflite_file(arrays):
    """Return a TFLite file of tensors without operators.

    Source: the FlatBuffers internals document; schema.fbs (Model, SubGraph, Tensor, Buffer).
    """
    types = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}
    data = bytearray(4) + b"TFL3"

    def table(*slots):
        data.extend(bytes(-len(data) % 4))
        data.extend(struct.pack("<2H", 6 + 2 * max(slots), 4 + 4 * len(slots)))
        for slot in range(max(slots) + 1):
            data.extend(struct.pack("<H", 4 + 4 * slots.index(slot) if slot in slots else 0))
        size = 6 + 2 * max(slots)
        data.extend(bytes(-len(data) % 4))
        place = len(data)
        data.extend(struct.pack("<i", size + -size % 4) + bytes(4 * len(slots)))
        return place

    def point(place):
        data.extend(bytes(-len(data) % 4))
        struct.pack_into("<I", data, place, len(data) - place)

    def vector(place, content, length):
        point(place)
        data.extend(struct.pack("<I", length) + content)
        return len(data) - len(content)

    model = table(2, 4)
    struct.pack_into("<I", data, 0, model)
    graphs = vector(model + 4, bytes(4), 1)
    graph = table(0)
    struct.pack_into("<I", data, graphs, graph - graphs)
    tensors = vector(graph + 4, bytes(4 * len(arrays)), len(arrays))
    buffers = vector(model + 8, bytes(4 * len(arrays)), len(arrays))
    for number, (name, array) in enumerate(arrays.items()):
        tensor = table(0, 1, 2, 3)
        struct.pack_into("<I", data, tensors + 4 * number, tensor - tensors - 4 * number)
        struct.pack_into("<2I", data, tensor + 8, types[array.dtype.name], number)
        vector(tensor + 4, struct.pack(f"<{array.ndim}i", *array.shape), array.ndim)
        vector(tensor + 16, name.encode(), len(name.encode()))
        buffer = table(0)
        struct.pack_into("<I", data, buffers + 4 * number, buffer - buffers - 4 * number)
        vector(buffer + 4, array.tobytes(), array.nbytes)
    return bytes(data)


def decode_row(kind, data, shape, dtype, pool=None, index_dtype=None, columns=0):
    """Decode a row as an index would describe it."""
    row = ArrayRow(shape, kind, len(data), dtype, indices=index_dtype, columns=columns)
    return row_decoder.decode_row(row, data, pool)
