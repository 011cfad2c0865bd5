"""The rows of the reference decoder: positions, values and codebooks (SPEC.md, sections 3 and 4).

As reference_decoder.py, which it belongs to: slow, obvious, from the specification alone.
"""

import lzma
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.reference_streams import Cursor, Table, check, read_stream

Array = npt.NDArray[Any]

POSITIONS = ("dense", "gap", "bitmap")
VALUES = ("raw", "half", "planes", "codebook", "grouped", "scaled")
CODED = ("codebook", "grouped", "scaled")  # the values that have a codebook
PACKED = ("deflate", "lzma")
LZMA = {"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 2, "dict_size": 2**20}


@dataclass(frozen=True)
class Row:
    """A row of the index (section 2), defaults filled in; w is the bytes of an item."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    positions: str  # or one of PACKED, without values
    values: str
    stored: int
    indices: str  # or "" for none
    mask: int
    skip: int
    columns: int
    elements: int
    w: int


def unpack(kind: str, data: bytes, size: int, what: str) -> bytes:
    """Section 3, `deflate` and `lzma`: exactly `size` bytes, never more."""
    packed: Any = zlib.decompressobj(-15)
    if kind == "lzma":
        packed = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[LZMA])
    try:
        out = bytes(packed.decompress(data, size + 1))
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{what} must be raw {kind}: {error}.") from error
    exact = packed.eof and not packed.unused_data and len(out) == size
    check(exact, f"{what} must unpack to exactly {size} bytes and end with its last byte.")
    return out


def widen(half: int) -> int:
    """The pattern of the float32 equal to a float16."""
    check(half & 0x7FFF <= 0x7C00, "A float16 must not be NaN.")
    return int(np.array([half], "u2").view("f2").astype("f4").view("u4")[0])


def read_patterns(cursor: Cursor, form: int, count: int, w: int) -> list[int]:
    """Items of w bytes (form 0), or float32 written as float16 (form 1)."""
    if form == 0:
        return [cursor.integer(w) for _ in range(count)]
    return [widen(cursor.integer(2)) for _ in range(count)]


def read_codebook(cursor: Cursor, dtype: str) -> list[int]:
    """Section 4: the patterns of the entries."""
    w = np.dtype(dtype).itemsize
    n, form = divmod(cursor.varint(), 8)
    check(form <= 4, f"Codebook form {form} needs a newer reader.")
    check(n <= 65536, f"A codebook has at most 65536 entries. Received: {n}.")
    check(form in (0, 2) or dtype == "float32", f"Codebook form {form} is for float32 only.")
    check(n >= 1 or form == 0, f"A codebook of form {form} must have entries.")
    if form in (0, 1):
        return read_patterns(cursor, form, n, w)
    if form == 2:
        check(w == 1 and n <= 256, "A range is of items of one byte and at most 256 entries.")
        first = cursor.integer(1)
        return [(first + i) % 256 for i in range(n)]
    halves = read_ascending_halves(cursor, n if form == 3 else n - 1)
    return [0] * (n - len(halves)) + [widen(half) for half in halves]


def read_ascending_halves(cursor: Cursor, count: int) -> list[int]:
    """Section 4, forms 3 and 4."""
    check(count >= 1, "There must be at least 1 ascending half.")
    keys = [cursor.integer(2)]
    p = cursor.integer(1) if count > 1 else 0
    check(p <= 15, f"p must be 0 to 15. Received: {p}.")
    for _ in range(count - 1):
        keys.append(keys[-1] + 1 + cursor.rice(p))
        check(keys[-1] < 65536, "Keys must stay below 65536.")
    cursor.padding()
    return [key - 0x8000 if key >= 0x8000 else 0xFFFF - key for key in keys]


def read_scales(cursor: Cursor, shape: tuple[int, ...]) -> list[int]:
    """Section 4: the patterns of the scales of `scaled` values."""
    c = shape[-1] if shape else 1
    check(c > 0, "The last dimension of scaled values must not be 0.")
    form = cursor.integer(1)
    check(form <= 1, f"The form of scales {form} needs a newer reader.")
    scales = read_patterns(cursor, form, c, 4)
    # The patterns of positive float32 order like their values, infinities and NaNs last.
    largest = int(np.array([2.0**120], "f4").view("u4")[0])
    small = all(scale & 0x7FFFFFFF < largest for scale in scales)
    check(small, "Scales must be finite and below 2^120 in magnitude.")
    return scales


def read_gaps(cursor: Cursor, elements: int, kept: int, pool: list[Table]) -> list[int]:
    """Section 3, `gap`: the numbers of the kept elements."""
    if kept == 1:
        element = cursor.varint()
        check(element < elements, f"A kept element must be below {elements}. Received: {element}.")
        return [element]
    escapes, width = cursor.varint(), cursor.varint()
    if escapes > 0:
        check(1 <= width <= 12, f"`width` must be 1 to 12. Received: {width}.")
    m = width if escapes == 0 else 2**width
    check(1 <= m <= 4096, f"m must be 1 to 4096. Received: {m}.")
    escape = m - 1 if escapes > 0 else m  # m is no symbol: without escapes nothing equals it
    too_far = f"{cursor.what}: gaps must not lead past the last element."
    check(escapes == 0 or kept + escapes * escape <= elements, too_far)
    where, element = [], 0
    symbols = read_stream(cursor, kept + escapes, m, pool)
    for s in symbols:
        element += s
        if s != escape:
            where.append(element)
            element += 1
        check(element <= elements, too_far)
    check(symbols.count(escape) == escapes, f"Symbol {escape} must occur {escapes} times.")
    check(symbols[-1] != escape, "Gaps must end with a kept element.")
    return where


def read_bitmap(cursor: Cursor, elements: int, kept: int, pool: list[Table]) -> list[int]:
    """Section 3, `bitmap`: the numbers of the kept elements."""
    symbols = read_stream(cursor, (elements + 7) // 8, 256, pool)
    where = [8 * i + bit for i, s in enumerate(symbols) for bit in range(8) if s << bit & 128]
    check(len(where) == kept, f"Exactly {kept} bits of a bitmap must be 1.")
    check(where[-1] < elements, "No bit of a bitmap may follow the last element.")
    return where


def read_items(cursor: Cursor, row: Row, kept: int, pool: list[Table]) -> list[int]:
    """Section 3, `raw`, `half` and `planes`: the patterns of the kept items."""
    if row.values != "planes":
        return read_patterns(cursor, int(row.values == "half"), kept, row.w)
    planes = [read_stream(cursor, kept, 256, pool, b == row.w - 1) for b in range(row.w)]
    return [sum(plane[i] << 8 * b for b, plane in enumerate(planes)) for i in range(kept)]


def read_groups(cursor: Cursor, where: list[int], alphabet: int, pool: list[Table]) -> list[int]:
    """Section 3, `grouped`: the symbols of the kept elements, whose numbers are `where`."""
    if not where:
        return []
    groups, stride, channels = cursor.varint(), cursor.varint(), cursor.varint()
    check(2 <= groups <= 64, f"`groups` must be 2 to 64. Received: {groups}.")
    check(stride >= 1, "`stride` must be at least 1.")
    check(1 <= channels <= 65536, f"`channels` must be 1 to 65536. Received: {channels}.")
    group_of_channel = read_stream(cursor, channels, groups, pool)
    counts = [cursor.varint() for _ in range(groups)]
    check(sum(counts) == len(where), f"The groups must have {len(where)} kept items together.")
    group_of = [group_of_channel[element // stride % channels] for element in where]
    for g, count in enumerate(counts):
        check(group_of.count(g) == count, f"Group {g} must have as many kept items as it says.")
    streams = [
        iter(read_stream(cursor, count, alphabet, pool, g == groups - 1))
        for g, count in enumerate(counts)
    ]
    return [next(streams[g]) for g in group_of]


def multiply(entries: list[int], scales: list[int]) -> list[int]:
    """Section 3, `scaled`: the patterns of the float32 products of entry and scale."""
    q, factors = np.array(entries, "u1").view("i1"), np.array(scales, "u4").view("f4")
    products = [np.float32(q[i]) * factors[i % len(factors)] for i in range(len(q))]
    return [int(product.view("u4")) for product in products]


def read_entries(
    cursor: Cursor, row: Row, where: list[int], n: int, skipped: int, pool: list[Table]
) -> list[int]:
    """Section 3, values with a codebook of n: the entry numbers of the kept elements."""
    alphabet = n if row.positions == "dense" else n - 1
    if row.values == "grouped":
        symbols = read_groups(cursor, where, alphabet, pool)
    else:
        symbols = read_stream(cursor, len(where), alphabet, pool, last=True)
    if row.positions == "dense":
        return symbols
    return [s if s < skipped else s + 1 for s in symbols]


def read_row(row: Row, data: bytes, pool: list[Table]) -> tuple[Array, list[int], list[int]]:
    """Section 3: the array and, of a codebook, each element's entry number and the patterns."""
    cursor = Cursor(data, f"Row {row.name!r}")
    if row.positions in PACKED:
        size = row.elements * row.w
        return as_array(unpack(row.positions, data, size, cursor.what), row), [], []
    coded, scaled = row.values in CODED, row.values == "scaled"
    scales = read_scales(cursor, row.shape) if scaled else []
    codebook = read_codebook(cursor, "int8" if scaled else row.dtype) if coded else []
    n, skipped, kept, where = len(codebook), 0, row.elements, list(range(row.elements))
    check(not coded or n > 0 or row.elements == 0, f"{cursor.what}: the codebook is empty.")
    if row.positions != "dense":
        skipped = cursor.varint() if coded else 0
        check(not coded or skipped < n, f"`skipped` must be below {n}. Received: {skipped}.")
        kept = cursor.varint()
        check(kept <= row.elements, f"`kept` must be at most {row.elements}. Received: {kept}.")
        check(n != 1 or kept == 0, "`kept` must be 0 if the codebook has one entry.")
        read_positions = read_gaps if row.positions == "gap" else read_bitmap
        where = read_positions(cursor, row.elements, kept, pool) if kept > 0 else []
    if coded:
        items = read_entries(cursor, row, where, n, skipped, pool)
    else:
        items = read_items(cursor, row, kept, pool)
    cursor.finish()
    numbers = [skipped] * row.elements
    for element, item in zip(where, items, strict=True):
        numbers[element] = item
    patterns = [codebook[number] for number in numbers] if coded else numbers
    if scaled:
        patterns = multiply(patterns, scales)
    patterns, numbers = in_array_order(patterns, row), in_array_order(numbers, row)
    stored = b"".join(pattern.to_bytes(row.w, "little") for pattern in patterns)
    return as_array(stored, row), numbers, codebook


def in_array_order(items: list[int], row: Row) -> list[int]:
    """Section 3, `columns`: what the row has column by column, as the array has it."""
    if row.columns == 0:
        return items
    height, ordered = row.elements // row.columns, list(items)
    for p, item in enumerate(items):
        ordered[p % height * row.columns + p // height] = item
    return ordered


def as_array(data: bytes, row: Row) -> Array:
    little_endian = np.dtype(row.dtype).newbyteorder("<")
    return np.frombuffer(data, little_endian).astype(row.dtype).reshape(row.shape)
