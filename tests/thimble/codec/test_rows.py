"""Rows: every kind is decoded by the rules of SPEC.md, section 3, and chosen where it pays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.thimble.codec.making import (
    WRITTEN,
    alike_down_columns,
    decode_row,
    made_for,
    one,
    quantized,
    seal,
)
from thimble.codec import CorruptPackage, Package, decode, encode_model, inspect
from thimble.codec.kinds import DTYPES
from thimble.codec.packing import inflate
from thimble.codec.row_decoder import decode_indices
from thimble.codec.row_encoder import encode_indices

DENSE, GAP, BITMAP = "", "03 0003 01 020200", "03 01 2600"  # of 9 elements 2, 5 and 6 are kept
PLACES = [2, 5, 6]


def row(kind, text, elements, dtype, columns=0):
    shape, data = (elements,), bytes.fromhex(text)
    return decode_row(kind, data, shape, dtype, columns=columns).patterns.tolist()


def spread(items, skipped=0, elements=9):
    found = [skipped] * elements
    for place, item in zip(PLACES, items, strict=True):
        found[place] = item
    return found


POSITIONS = [("gap", "0003 01 020200"), ("bitmap", "01 2600")]


@pytest.mark.parametrize(("positions", "places"), POSITIONS)
def test_kept_items_worked_by_hand(positions, places):
    one_half, two = 0x3F000000, 0x40000000
    assert row(f"{positions}-raw", f"03 {places} 0100 0200 ff00", 9, "int16") == spread([1, 2, 255])
    halves = row(f"{positions}-half", f"03 {places} 0038 0040 0038", 9, "float32")
    assert halves == spread([one_half, two, one_half])
    planes = row(f"{positions}-planes", f"03 {places} 01 010203 00 04", 9, "uint16")
    assert planes == spread([0x401, 0x402, 0x403])
    # Codebook 5, 6, 7; 6 is skipped: symbols 0 and 1 are 5 and 7.
    book = row(f"{positions}-codebook", f"1a 05 01 03 {places} 01 000101", 9, "uint8")
    assert book == spread([5, 7, 7], 6)


@pytest.mark.parametrize(("positions", "places"), POSITIONS)
def test_kept_items_column_by_column_worked_by_hand(positions, places):
    # Three rows and columns: numbers 2, 5 and 6 are elements 6, 7 and 2.
    def turned(items, skipped=0):
        return np.reshape(spread(items, skipped), (3, 3)).T.reshape(-1).tolist()

    assert turned([1, 2, 3]) == [0, 0, 3, 0, 0, 0, 1, 2, 0]
    raw = row(f"{positions}-raw", f"03 {places} 0100 0200 ff00", 9, "int16", 3)
    assert raw == turned([1, 2, 255])
    planes = row(f"{positions}-planes", f"03 {places} 01 010203 00 04", 9, "uint16", 3)
    assert planes == turned([0x401, 0x402, 0x403])
    book = row(f"{positions}-codebook", f"1a 05 01 03 {places} 01 000101", 9, "uint8", 3)
    assert book == turned([5, 7, 7], 6)
    # Channels are those of the numbers: 2, 2 and 0, of groups 1, 1 and 0.
    text = f"1a 05 01 03 {places}  02 01 03  01 000001  01 02  01  01 0001"
    assert row(f"{positions}-grouped", text, 9, "uint8", 3) == turned([5, 7, 7], 6)


def test_dense_items_column_by_column_worked_by_hand():
    # Two rows of three: numbers 0 to 5 are elements 0, 3, 1, 4, 2, 5.
    assert row("dense-raw", "010203040506", 6, "uint8", 3) == [1, 3, 5, 2, 4, 6]
    assert row("dense-raw", "010203040506", 6, "uint8", 1) == [1, 2, 3, 4, 5, 6]
    assert row("dense-raw", "010203040506", 6, "uint8", 6) == [1, 2, 3, 4, 5, 6]
    assert row("dense-half", "0000 0038", 2, "float32", 2) == [0, 0x3F000000]
    planes = row("dense-planes", "01 01020304 00 00", 4, "uint16", 2)
    assert planes == [1, 3, 2, 4]
    assert row("dense-codebook", "1a 05 01 000102020100", 6, "uint8", 3) == [5, 7, 6, 6, 7, 5]
    # Stride 3: numbers 0 to 2, then 3 to 5.
    text = "1a 05  02 03 02  01 0001  03 03  01 000102  00 02"
    assert row("dense-grouped", text, 6, "uint8", 3) == [5, 7, 7, 6, 7, 7]


def test_indices_column_by_column_worked_by_hand():
    text = bytes.fromhex("19 0000 0034 0038 01 000102020100")
    found = decode_row("dense-codebook", text, (2, 3), "float32", index_dtype="uint8", columns=3)
    assert found.indices.tolist() == [0, 2, 1, 1, 2, 0]
    assert found.patterns.view("<f4").tolist() == [0, 0.5, 0.25, 0.25, 0.5, 0]
    assert decode_indices("dense-codebook", text, 6, "uint16", 3).tolist() == [0, 2, 1, 1, 2, 0]


def package_of(fields, data):
    """Return a package of one uint8 tensor of six elements, unless fields say otherwise."""
    entry = {"name": "t", "shape": [2, 3], "dtype": "uint8", "kind": "dense-raw"} | fields
    lists = {"tensors": [entry | {"stored": len(data)}], "arrays": []}
    return seal({"architecture": {}, "preprocessing": {}} | lists, [(data, True)])


@pytest.mark.parametrize("columns", [4, 12, -1, 1 << 62, 1 << 63, True, 3.0, "3", None])
def test_columns_must_divide_the_elements(columns):
    with pytest.raises(CorruptPackage):
        decode(package_of({"columns": columns}, bytes(6)))


def test_columns_are_not_for_all_kinds():
    deflated = bytes.fromhex("4b0400")  # the letter a
    fields = {"kind": "deflate", "shape": [1]}
    assert decode(package_of(fields | {"columns": 0}, deflated)).tensors["t"] == [ord("a")]
    scaled = {"kind": "dense-scaled", "dtype": "float32", "shape": [2, 1]}
    data = bytes.fromhex("00 0000003f 12 ff 01 0001")
    assert decode(package_of(scaled, data)).tensors["t"].tolist() == [[-0.5], [0.0]]
    for other, stored in ((fields, deflated), (scaled, data), (fields | {"kind": "lzma"}, b"")):
        with pytest.raises(CorruptPackage, match="columns"):
            decode(package_of(other | {"columns": 1}, stored))


@pytest.mark.parametrize("columns", [1, 2, (1 << 63) - 1])
def test_any_columns_divide_no_elements(columns):
    assert decode(package_of({"columns": columns, "shape": [0, 3]}, b"")).tensors["t"].shape == (
        0,
        3,
    )


def test_columns_are_chosen_where_weights_are_alike_down_columns():
    indices, book = alike_down_columns(np.random.default_rng(6))
    constraints = {"t.indices": indices, "t.codebook": book}
    package = encode_model(one(book[indices], constraints))
    assert Package(package).index["tensors"][0]["columns"] == 120
    assert np.array_equal(decode(package).constraints["t.indices"], indices)
    turned = encode_model(one(book[indices].T, {**constraints, "t.indices": indices.T}))
    assert "columns" not in Package(turned).index["tensors"][0]
    assert len(turned) > 0.95 * len(package)


@pytest.mark.parametrize(("positions", "places"), POSITIONS)
def test_scaled_items_worked_by_hand(positions, places):
    # Scales 0.5, 2 and 1 (float16), entries 1, 2, 3 of which 1 is skipped; three channels.
    text = f"01 0038 0040 003c 1a 01 00 03 {places} 01 000101"
    found = decode_row(f"{positions}-scaled", bytes.fromhex(text), (3, 3), "float32").patterns
    expected = [[0.5, 2, 2], [0.5, 2, 3], [1.5, 2, 1]]
    assert found.view("<f4").reshape(3, 3).tolist() == expected


def test_dense_items_worked_by_hand():
    assert row("dense-raw", "0100 0200", 2, "int16") == [1, 2]
    assert row("dense-half", "0038", 1, "float32") == [0x3F000000]
    assert row("dense-planes", "01 0102 00 04", 2, "uint16") == [0x401, 0x402]
    assert row("dense-codebook", "1a 05 01 020001", 3, "uint8") == [7, 5, 6]
    found = decode_row(
        "dense-scaled", bytes.fromhex("00 0000003f 12 ff 01 0001"), (2, 1), "float32"
    )
    assert found.patterns.view("<f4").tolist() == [-0.5, 0.0]
    assert row("deflate", "4b0400", 1, "uint8") == [ord("a")]


def test_groups_worked_by_hand():
    # Codebook 5, 6, 7. Two groups, stride 1, two channels: the even elements, then the odd ones.
    text = "1a 05  02 01 02  01 0001  03 03  01 000102  00 02"
    assert row("dense-grouped", text, 6, "uint8") == [5, 7, 6, 7, 7, 7]
    # Stride 3: elements 0 to 2, then 3 to 5.
    text = "1a 05  02 03 02  01 0001  03 03  01 000102  00 02"
    assert row("dense-grouped", text, 6, "uint8") == [5, 6, 7, 7, 7, 7]
    # Channels may be of groups in any order, and a group of none.
    text = "1a 05  03 03 02  01 0200  03 00 03  01 000102  00 02"
    assert row("dense-grouped", text, 6, "uint8") == [7, 7, 7, 5, 6, 7]


@pytest.mark.parametrize(("positions", "places"), POSITIONS)
def test_groups_of_kept_items_worked_by_hand(positions, places):
    # 6 is skipped. Elements 2, 5 and 6 are of channels 2, 2 and 0, of groups 1, 1 and 0.
    text = f"1a 05 01 03 {places}  02 01 03  01 000001  01 02  01  01 0001"
    assert row(f"{positions}-grouped", text, 9, "uint8") == spread([5, 7, 7], 6)


@pytest.mark.parametrize(
    "groups",
    [
        "01 01 02  01 0000  06  01 000102000102",
        "41 01 02  01 0001  03 03  01 000102  00 02",
        "02 00 02  01 0001  03 03  01 000102  00 02",
        "02 01 00  03 03  01 000102  00 02",
        "02 01 02  01 0002  03 03  01 000102  00 02",
        "02 01 02  01 0001  03 02  01 000102  00 02",
        "02 01 02  01 0001  02 04  01 0001  00 02",
        "02 01 02  01 0001  03 03  01 000103  00 02",
        "02 01 02  01 0001  03 03  01 000102  00 02 00",
        "02 01 02  01 0001  03 03  01 000102",
        "02 01 818004 00 00  06 00  00 02",
    ],
    ids=[
        "one group", "65 groups", "stride 0", "no channel", "no such group", "fewer items",
        "other items", "symbol", "a byte more", "a group less", "65537 channels",
    ],
)  # fmt: skip
def test_groups_that_break_a_rule(groups):
    with pytest.raises(CorruptPackage):
        row("dense-grouped", "1a 05" + groups, 6, "uint8")


def test_nothing_kept():
    assert row("gap-raw", "00", 3, "uint8") == [0, 0, 0]
    assert row("gap-planes", "00", 3, "uint16") == [0, 0, 0]
    assert row("bitmap-half", "00", 2, "float32") == [0, 0]
    assert row("gap-codebook", "0a 07 00 00", 3, "uint8") == [7, 7, 7]
    scaled = decode_row("gap-scaled", bytes.fromhex("01 0038 0a 03 00 00"), (2, 1), "float32")
    assert scaled.patterns.view("<f4").tolist() == [1.5, 1.5]


def test_all_kept():
    assert row("gap-raw", "02 0001 0506", 2, "uint8") == [5, 6]
    assert row("bitmap-raw", "02 c001 0506", 2, "uint8") == [5, 6]


@pytest.mark.parametrize(
    ("kind", "text", "elements", "dtype"),
    [
        ("dense-raw", "0102", 1, "uint8"),
        ("dense-raw", "", 1, "uint8"),
        ("dense-half", "0038 00", 1, "float32"),
        ("dense-planes", "05", 1, "uint16"),
        ("dense-planes", "05 06 07", 1, "uint16"),
        ("dense-codebook", "1a 05 03", 1, "uint8"),
        ("gap-raw", "04", 3, "uint8"),
        ("gap-raw", "80 00", 3, "uint8"),
        ("gap-raw", "00 00", 3, "uint8"),
        ("gap-raw", "ff ff ff ff ff ff ff ff 7f", 3, "uint8"),
        ("gap-codebook", "1a 05 03 00", 3, "uint8"),
        ("gap-codebook", "0a 05 00 01 00", 3, "uint8"),
        ("gap-codebook", "00 00 00", 3, "uint8"),
        ("gap-codebook", "00 00 00", 0, "uint8"),
        ("deflate", "4b04", 1, "uint8"),
        ("deflate", "4b0400", 2, "uint8"),
        ("deflate", "4b040000", 1, "uint8"),
    ],
    ids=str,
)
def test_rows_that_break_a_rule(kind, text, elements, dtype):
    with pytest.raises(CorruptPackage):
        row(kind, text, elements, dtype)


def test_scaled_rows_must_have_whole_channels():
    with pytest.raises(CorruptPackage):
        decode_row("dense-scaled", bytes.fromhex("00 0a 01"), (3, 0), "float32")


def test_a_bomb_does_not_unfold():
    import zlib

    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = engine.compress(bytes(1 << 26)) + engine.flush()
    with pytest.raises(CorruptPackage, match="exactly 100 bytes"):
        inflate(bomb, 100)
    assert inflate(bomb, 1 << 26) == bytes(1 << 26)


@pytest.mark.parametrize("kind", WRITTEN)
def test_each_kind_is_chosen_for_data_made_for_it(kind):
    array = made_for(kind)
    package = encode_model(one(array))
    assert inspect(package)["tensors"][0]["kind"] == kind
    found = decode(package).tensors["t"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("gaps", [True, False], ids=["gaps", "bitmap"])
def test_a_binary_tensor_whose_values_take_nothing(gaps):
    # The stream of positions comes last, but its size is said: only values end with the row.
    rng = np.random.default_rng(0)
    if gaps:
        array = np.zeros(22_000, np.float32)
        array[np.cumsum(rng.choice([9, 10], 2000) + 1) - 1] = 1
    else:
        array = np.repeat(rng.random(3000) < 0.3, 8).astype(np.float32)
    package = encode_model(one(array))
    kind = inspect(package)["tensors"][0]["kind"]
    assert kind == ("gap-codebook" if gaps else "bitmap-codebook")
    assert decode(package).tensors["t"].tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_indices_alone(dtype):
    indices, codebook = quantized(np.random.default_rng(1), 4000, 0.9, 17)
    coded = encode_indices(codebook, indices.astype(dtype))
    assert np.array_equal(decode_indices(coded.kind, coded.data, 4000, dtype), indices)
    assert decode_indices(coded.kind, coded.data, 4000, dtype).dtype == dtype
    with pytest.raises(CorruptPackage):
        decode_indices(coded.kind, coded.data, 3999, dtype)


def test_groups_of_a_wide_alphabet_are_not_made():
    rng = np.random.default_rng(5)
    indices = rng.integers(0, 600, (2000, 8)) ** 2 // 600 + 600 * np.arange(8)
    codebook = np.arange(4800, dtype=np.float32)
    indices = indices.astype(np.uint16)
    weights = one(codebook[indices], {"t.indices": indices, "t.codebook": codebook})
    found = decode(encode_model(weights))
    assert np.array_equal(found.constraints["t.indices"], indices)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12)
SPECIAL = np.array(
    [0, 1 << 31, 0x7FC00001, 0xFFC12345, 0x7F800001, 0x7F800000, 1, 0x80000001, 0x3F800000], "<u4"
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(DTYPES)), SHAPES, st.integers(0, 2**32), st.integers(0, 3))
def test_any_array_comes_back(dtype, shape, seed, style):
    rng = np.random.default_rng(seed)
    width, size = DTYPES[dtype], int(np.prod(shape))
    found = np.frombuffer(rng.bytes(width * size), dtype).copy()
    if style == 1:  # mostly zeros
        found.view(f"u{width}")[rng.random(size) < 0.9] = 0
    if style == 2:  # few patterns
        found = rng.choice(np.frombuffer(rng.bytes(4 * width), dtype), size)
    if style == 3 and dtype == "float32":
        found = rng.choice(SPECIAL, size).view("<f4")
    array = found.reshape(shape)
    package = encode_model(one(array))
    back = decode(package).tensors["t"]
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, shape, array.tobytes())
