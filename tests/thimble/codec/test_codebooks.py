"""Codebooks and scales: the exact bytes of every form (SPEC.md, section 4)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.thimble.codec.making import decode_row
from thimble.codec.codebook import derive_codebook, halves_of, store_codebook
from thimble.codec.errors import CorruptPackage, NewerVersion
from thimble.codec.kinds import DTYPES
from thimble.codec.scales import find_scales
from thimble.codec.stream_encoder import varint


def patterns(values):
    return np.array(values, "<f4").view("<u4")


def halves(*found):
    return np.array(found, "<u2").view("<f2").astype("<f4").view("<u4")


def load(stored, count, dtype):
    """Decode a codebook of `count` entries: a row that names each of them once."""
    size = 1 if count <= 256 else 2
    names = b"".join(index.to_bytes(size, "little") for index in range(count))
    row = stored if count == 1 else stored + b"\x01" + names
    return decode_row("dense-codebook", row, (count,), dtype).patterns


ASCENDING = halves(0x3C00, 0x3C01, 0x3C03, 0x3C04)


@pytest.mark.parametrize(
    ("entries", "dtype", "expected"),
    [
        (patterns([0.1, 0.5]), "float32", "10 cdcccc3d 0000003f"),
        (patterns([-0.5, 0, 0.25, 0.5]), "float32", "21 00b8 0000 0034 0038"),
        (np.array([254, 255, 0, 1], np.uint8), "int8", "22 fe"),
        (np.array([7, 8], "<u2"), "int16", "10 0700 0800"),
        # Keys BC00 and so on; distances 0, 1, 0 with p = 0 are 0, 10, 0.
        (ASCENDING, "float32", "23 00bc 00 40"),
        (np.append(patterns([0]), ASCENDING), "float32", "2c 00bc 00 40"),
        # -2^-24, -0.0, 0.0, 2^-24 are keys 7FFE to 8001.
        (halves(0x8001, 0x8000, 0, 1), "float32", "23 fe7f 00 00"),
        # Distances of 63 with p = 5 are 10 11111 each.
        (halves(0x3C00, 0x3C40, 0x3C80, 0x3CC0), "float32", "23 00bc 05 bf7ef8"),
        (patterns([np.inf]), "float32", "09 007c"),
        (patterns([0.1]), "float32", "08 cdcccc3d"),
        (patterns([]), "float32", "00"),
    ],
    ids=[
        "patterns", "half", "range", "no range of 2 bytes", "ascending", "zero, ascending",
        "around zero", "with p = 5", "one half", "one pattern", "none",
    ],
)  # fmt: skip
def test_exact_bytes(entries, dtype, expected):
    stored = store_codebook(entries, dtype)
    assert stored == bytes.fromhex(expected)
    if len(entries):
        assert load(stored, len(entries), dtype).tolist() == entries.tolist()


@pytest.mark.parametrize(
    ("values", "exact"),
    [
        ([-0.5, -0.0, 0.0, 1.5], True),
        ([2.0**-24, np.inf, -np.inf, 65504.0], True),
        ([0.1], False),
        ([1e6], False),
        ([2.0**-25], False),
        ([np.nan], False),
    ],
    ids=str,
)
def test_halves_only_where_every_item_is_exact(values, exact):
    assert (halves_of(patterns(values)) is not None) is exact


def test_every_half_but_nan_is_decoded():
    every = np.arange(1 << 16, dtype="<u2")
    every = every[(every & 0x7FFF) <= 0x7C00]
    expected = every.view("<f2").astype("<f4").view("<u4")
    found = decode_row("dense-half", every.tobytes(), (len(every),), "float32").patterns
    assert np.array_equal(found, expected)
    with pytest.raises(CorruptPackage, match="codebook"):
        decode_row("dense-half", b"\x01\x7c", (1,), "float32")


@pytest.mark.parametrize(
    ("book", "dtype", "error"),
    [
        ("10 0000", "float32", CorruptPackage),
        ("11 0000 017c", "float32", CorruptPackage),
        ("11 0000 ffff", "float32", CorruptPackage),
        ("11 0000 0000", "float16", CorruptPackage),
        ("13 0000 00 00", "int8", CorruptPackage),
        ("0b 0100", "float64", CorruptPackage),
        ("13 ffff 00 00", "float32", CorruptPackage),
        ("13 00fc 00 00", "float32", CorruptPackage),
        ("13 0000 00 00", "float32", CorruptPackage),
        ("13 00bc 00 01", "float32", CorruptPackage),
        ("13 00bc 10 00", "float32", CorruptPackage),
        ("0c", "float32", CorruptPackage),
        ("01", "float32", CorruptPackage),
        ("03", "float32", CorruptPackage),
        ("00", "float32", CorruptPackage),
        ("15", "float32", NewerVersion),
        ("17", "float32", NewerVersion),
        ("888020", "float32", CorruptPackage),
        ("12 00", "int16", CorruptPackage),
        ("8a10 00", "int8", CorruptPackage),
    ],
)
def test_codebooks_that_break_a_rule(book, dtype, error):
    with pytest.raises(error):
        decode_row("dense-codebook", bytes.fromhex(book + "00 00"), (2,), dtype)


def test_65536_entries_are_the_most():
    book = varint(8 * 65536) + np.arange(65536, dtype="<u2").tobytes()
    row = book + b"\x01\xff\xff\x01\xff\xff"
    assert decode_row("dense-codebook", row, (2,), "uint16").patterns.tolist() == [0xFFFF, 0xFFFF]


def test_ascending_forms_take_less_than_two_bytes_an_entry():
    rng = np.random.default_rng(0)
    book = np.unique(np.append(rng.normal(0, 0.1, 31).astype(np.float16), 0).astype("<f4"))
    assert len(store_codebook(book.view("<u4"), "float32")) < 2 * len(book)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(DTYPES)), st.integers(1, 300), st.integers(0, 2**32), st.booleans())
def test_any_codebook_comes_back(dtype, count, seed, tidy):
    width = DTYPES[dtype]
    rng = np.random.default_rng(seed)
    found = np.frombuffer(rng.bytes(count * width), f"<u{width}")
    if dtype == "float32" and tidy:
        found = np.sort(rng.normal(size=count).astype("<f2").astype("<f4")).view("<u4")
    assert np.array_equal(load(store_codebook(found, dtype), count, dtype), found)


def test_int8_arrays_get_a_range_in_signed_order():
    entries, symbols = derive_codebook(np.array([-1, 2, 0, -3], np.int8).view("u1"), "int8")
    assert entries.view("i1").tolist() == [-3, -2, -1, 0, 1, 2]
    assert symbols.tolist() == [2, 5, 3, 0]
    entries, _ = derive_codebook(np.array([-128, 127], np.int8).view("u1"), "int8")
    assert entries.tolist() == [128, 127]


def test_derived_codebooks_are_ascending_by_value():
    values = [0.5, -1.0, np.inf, 0.0, -0.0, -np.inf, 0.5]
    entries, symbols = derive_codebook(patterns(values), "float32")
    assert entries.view("<f4").tolist() == [-np.inf, -1, -0.0, 0, 0.5, np.inf]
    assert np.array_equal(entries[symbols], patterns(values))
    entries, _ = derive_codebook(np.array([5, 1 << 63, 2], "<u8"), "int64")
    assert entries.view("<i8").tolist() == [-(1 << 63), 2, 5]


def test_many_distinct_values_get_no_codebook():
    assert derive_codebook(np.arange(257, dtype="<u4"), "float32") is None
    late = np.concatenate([np.zeros(1 << 15, "<u4"), np.arange(300, dtype="<u4")])
    assert derive_codebook(late, "float32") is None
    assert len(derive_codebook(np.arange(256, dtype="<u4"), "float32")[0]) == 256


def test_scales_of_channels():
    scales = np.array([0.5, 0.1, 0.0], np.float32)
    integers = np.array([[127, -127, 0], [3, 64, 0], [-1, 0, 0]], np.int8)
    stored, found = find_scales(patterns(integers * scales).reshape(-1), 3)
    assert stored == b"\x00" + scales.tobytes()  # 0.1 is no float16
    assert found.view("i1").reshape(3, 3).tolist() == integers.tolist()
    stored, _ = find_scales(patterns(integers[:, :1] * scales[:1]).reshape(-1), 1)
    assert stored == b"\x01" + bytes.fromhex("0038")


@pytest.mark.parametrize(
    "values",
    [[1.0, 0.3], [127.0, -0.0], [np.nan, 1.0], [np.inf, 1.0], [1.0]],
    ids=str,
)
def test_weights_that_are_no_integers_times_a_scale(values):
    assert find_scales(patterns(values), 1) is None


def test_the_largest_weights_do_not_overflow():
    largest = np.finfo(np.float32).max
    for _ in range(5):
        find_scales(patterns(np.linspace(-1, 1, 500) * largest), 1)
        largest = np.nextafter(largest, np.float32(0))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=20)),
    st.integers(-40, 30),
)
def test_integers_times_scales_are_given_back_or_refused(integers, exponent):
    channels = integers.shape[1]
    scales = np.ldexp(np.linspace(1, 2, channels), exponent).astype(np.float32)
    weights = np.maximum(integers, -127) * scales
    found = find_scales(patterns(weights).reshape(-1), channels)
    if found is not None:
        stored, symbols = found
        raw = stored[1:]
        again = np.frombuffer(raw, "<f2" if stored[0] else "<f4").astype("<f4")
        product = symbols.view("i1").reshape(-1, channels).astype("<f4") * again
        assert np.array_equal(patterns(product).reshape(-1), patterns(weights).reshape(-1))
