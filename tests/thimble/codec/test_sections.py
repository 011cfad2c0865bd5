"""Section encodings and codebook forms."""

import zlib

import numpy as np
import pytest

from thimble.codec.codebook import (
    FLOAT16,
    PATTERNS,
    RANGE,
    derive_codebook,
    load_codebook,
    store_codebook,
)
from thimble.codec.errors import CorruptPackage
from thimble.codec.sections import compress, expand


def test_bytes_that_do_not_shrink_are_stored():
    assert compress(b"abc") == ("stored", b"abc")
    assert compress(b"") == ("stored", b"")


def test_runs_are_deflated():
    encoding, stored = compress(b"a" * 1000)
    assert encoding == "deflate" and len(stored) < 20
    assert expand(encoding, stored, 1000) == b"a" * 1000


def test_floats_are_split_in_planes():
    data = (1 + np.arange(500, dtype="<f4") / 7).tobytes()
    encoding, stored = compress(data, 4)
    assert encoding == "planes4"
    assert zlib.decompress(stored, -15)[:2] == bytes([data[0], data[4]])
    assert expand(encoding, stored, len(data)) == data


@pytest.mark.parametrize("size", [999, 1001, 0])
def test_a_section_of_another_size_is_refused(size):
    encoding, stored = compress(b"a" * 1000)
    with pytest.raises(CorruptPackage):
        expand(encoding, stored, size)
    with pytest.raises(CorruptPackage):
        expand("stored", b"a" * 1000, size)


def test_a_bomb_does_not_unfold():
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = bomb.compress(bytes(1 << 26)) + bomb.flush()
    with pytest.raises(CorruptPackage, match="exceeds 100 bytes"):
        expand("deflate", stored, 100)


@pytest.mark.parametrize(
    "stored",
    [b"", b"\xff\xff", b"\x4b\x04\x00x"],
    ids=["empty", "invalid", "bytes after the end"],
)
def test_bytes_that_are_no_deflate_stream_are_refused(stored):
    with pytest.raises(CorruptPackage):
        expand("deflate", stored, 1)


def test_planes_of_a_broken_item_are_refused():
    encoding, stored = compress(b"a" * 1001)
    with pytest.raises(CorruptPackage, match="multiple of 4"):
        expand("planes4", stored, 1001)


def patterns(values):
    return np.array(values, "<f4").view("<u4")


@pytest.mark.parametrize(
    ("values", "form", "size"),
    [
        ([-0.5, -0.0, 0.0, 1.5], FLOAT16, 8),
        ([0.1, 0.5], PATTERNS, 8),
        ([1e6, 0.5], PATTERNS, 8),
        ([np.nan, 0.5], PATTERNS, 8),
        ([2.0**-24, np.inf], FLOAT16, 4),
        ([], FLOAT16, 0),
    ],
    ids=str,
)
def test_a_codebook_is_float16_where_every_entry_is_exact(values, form, size):
    entries = patterns(values)
    book, stored = store_codebook(entries, "float32")
    assert (book.form, len(stored)) == (form, size)
    assert np.array_equal(load_codebook(form, len(entries), 4, stored).entries, entries)


def test_consecutive_integers_are_a_range_across_zero():
    entries = np.array([-2, -1, 0, 1], np.int8).view("u1")
    book, stored = store_codebook(entries, "int8")
    assert (book.form, stored) == (RANGE, b"\xfe")
    assert load_codebook(RANGE, 4, 1, stored).entries.tolist() == [254, 255, 0, 1]


def test_int8_arrays_get_a_range_in_signed_order():
    entries = derive_codebook(np.array([-1, 2, 0, -3], np.int8).view("u1"), "int8")
    assert entries.view("i1").tolist() == [-3, -2, -1, 0, 1, 2]
    assert derive_codebook(np.array([-128, 127], np.int8).view("u1"), "int8").tolist() == [128, 127]


def test_many_distinct_values_get_no_codebook():
    assert derive_codebook(np.arange(257, dtype="<u4"), "float32") is None
    late = np.concatenate([np.zeros(1 << 15, "<u4"), np.arange(300, dtype="<u4")])
    assert derive_codebook(late, "float32") is None
    assert len(derive_codebook(np.arange(256, dtype="<u4"), "float32")) == 256
