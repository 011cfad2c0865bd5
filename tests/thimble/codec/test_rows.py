"""Rows: every kind is decoded by the rules of SPEC.md, section 3, and chosen where it pays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.thimble.codec.making import WRITTEN, made_for, one, quantized
from thimble.codec import CorruptPackage, decode, encode_model, inspect
from thimble.codec.kinds import DTYPES
from thimble.codec.packing import inflate
from thimble.codec.row_decoder import decode_indices, decode_row
from thimble.codec.row_encoder import encode_indices

DENSE, GAP, BITMAP = "", "03 0003 01 020200", "03 01 2600"  # of 9 elements 2, 5 and 6 are kept
PLACES = [2, 5, 6]


def row(kind, text, elements, dtype):
    return decode_row(kind, bytes.fromhex(text), (elements,), dtype).patterns.tolist()


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
