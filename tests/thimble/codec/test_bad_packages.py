"""Whatever is wrong with a package, decode says so by name and returns nothing."""

import copy
import hashlib
import zlib

import numpy as np
import pytest

from tests.thimble.codec.making import EMPTY, one, parts_of, rebuild, seal
from thimble.codec import (
    BadChecksum,
    CorruptPackage,
    NewerVersion,
    NotAPackage,
    Package,
    PackageError,
    TooLarge,
    Truncated,
    decode,
    encode_model,
)
from thimble.stage import BadInput
from thimble.weights import Weights


def test_package_errors_are_bad_input():
    assert issubclass(PackageError, BadInput)
    assert PackageError.exit_code == 2


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"\x89PNG\r\n\x1a\n" + bytes(99), b"x"], ids=str)
def test_other_files_are_not_packages(data):
    with pytest.raises(NotAPackage):
        decode(data)


def test_truncated_at_each_byte(small_model):
    package = encode_model(small_model)
    for size in range(len(package)):
        with pytest.raises(Truncated):
            decode(package[:size])


def flipped(data, bit):
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_each_bit_flipped(small_model):
    package = encode_model(small_model)
    for bit in range(8 * len(package)):
        with pytest.raises(PackageError):
            decode(flipped(package, bit))


def test_each_bit_flipped_and_the_digest_repaired(small_model):
    # The CRC-32 of the front and of each row leave nothing that a flip could change unseen.
    package = encode_model(small_model)
    for bit in range(8 * (len(package) - 32)):
        damaged = flipped(package[:-32], bit)
        with pytest.raises(PackageError):
            decode(damaged + hashlib.sha256(damaged).digest())


def test_each_bit_of_the_rows_flipped_and_everything_repaired(small_model):
    # Only the rules of the format are left: an error by name, or another model.
    index, rows, pool = parts_of(encode_model(small_model))
    for number, row in enumerate(rows):
        for bit in range(8 * len(row)):
            damaged = [*rows]
            damaged[number] = flipped(row, bit)
            try:
                assert isinstance(decode(seal(index, damaged, pool=pool), 1 << 20), Weights)
            except PackageError:
                continue


def test_random_damage_to_each_row(model):
    package = encode_model(model)
    rng = np.random.default_rng(11)
    for _ in range(150):

        def damage(index, rows):
            part = int(rng.integers(len(rows)))
            data = bytearray(rows[part])
            for place in rng.integers(0, max(len(data), 1), int(rng.integers(1, 4))):
                if data:
                    data[place] ^= int(rng.integers(1, 256))
            rows[part] = bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))])

        try:
            found = decode(rebuild(package, damage), limit=1 << 22)
        except PackageError:
            continue
        assert isinstance(found, Weights)


def test_random_damage_to_the_pool(pooled_model):
    index, rows, pool = parts_of(encode_model(pooled_model))
    assert pool
    for bit in range(8 * len(pool)):
        try:
            assert isinstance(decode(seal(index, rows, pool=flipped(pool, bit))), Weights)
        except PackageError:
            continue


def test_bytes_after_the_end(small_model):
    with pytest.raises(CorruptPackage, match="1 bytes follow"):
        decode(encode_model(small_model) + b"\0")


def test_versions():
    for version in ((3, 0), (255, 9)):
        with pytest.raises(NewerVersion, match="upgrade"):
            decode(seal(EMPTY, version=version))
    for version in ((1, 0), (0, 0)):
        with pytest.raises(CorruptPackage, match="never released"):
            decode(seal(EMPTY, version=version))
    assert decode(seal(EMPTY | {"later": 1}, version=(2, 9))) == Weights({}, {})


def test_the_version_comes_before_length_and_digest():
    package = seal(EMPTY, version=(3, 0))
    for damaged in (package + b"\0", package[:-1], flipped(package, 8 * len(package) - 1)):
        with pytest.raises(NewerVersion):
            decode(damaged)


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ({"flags": 2}, CorruptPackage),
        ({"flags": 128}, CorruptPackage),
        ({"flags": 1}, CorruptPackage),
        ({"kind": 0}, CorruptPackage),
        ({"kind": 7}, CorruptPackage),
        ({"stored": 1 << 31}, CorruptPackage),
        ({"rows": 1}, CorruptPackage),
        ({"rows": (1 << 32) - 1}, CorruptPackage),
        ({"pool": 1}, CorruptPackage),
        ({"pool": (1 << 32) - 1}, CorruptPackage),
        ({"text": 3}, CorruptPackage),
        ({"text": 99}, CorruptPackage),
        ({"text": (64 << 20) + 1}, TooLarge),
        ({"total": 71}, CorruptPackage),
        ({"total": 0}, CorruptPackage),
        ({"total": (1 << 64) - 1}, Truncated),
    ],
    ids=str,
)
def test_headers_that_break_a_rule(header, error):
    with pytest.raises(error):
        decode(seal(EMPTY, header=header))


def entry(**changes):
    found = {"shape": [2], "kind": "dense-raw", "name": "t"} | changes
    return {key: value for key, value in found.items() if value is not ...}


def with_rows(*rows, arrays=()):
    return EMPTY | {"tensors": list(rows), "arrays": list(arrays)}


def test_the_row_that_the_others_break():
    assert decode(seal(with_rows(entry()), [bytes(8)])).tensors["t"].tolist() == [0, 0]


HUGE = (CorruptPackage, TooLarge)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "dense-later"}, NewerVersion),
        ({"kind": "later-raw"}, NewerVersion),
        ({"kind": "zstd"}, NewerVersion),
        ({"kind": "dense"}, NewerVersion),
        ({"kind": ...}, PackageError),
        ({"kind": 3}, CorruptPackage),
        ({"stored": 9}, CorruptPackage),
        ({"stored": -1}, CorruptPackage),
        ({"stored": None}, CorruptPackage),
        ({"stored": True}, CorruptPackage),
        ({"stored": 8.0}, CorruptPackage),
        ({"kind": "gap-raw"}, CorruptPackage),
        ({"kind": "gap-raw", "stored": 1 << 62}, CorruptPackage),
        ({"kind": "gap-raw", "stored": 1 << 70}, CorruptPackage),
        ({"kind": "gap-raw", "stored": 7}, CorruptPackage),
        ({"kind": "gap-raw", "stored": 9}, CorruptPackage),
        ({"shape": ...}, CorruptPackage),
        ({"shape": [3]}, CorruptPackage),
        ({"shape": [1]}, CorruptPackage),
        ({"shape": [-2]}, CorruptPackage),
        ({"shape": [2.0]}, CorruptPackage),
        ({"shape": [True, 2]}, CorruptPackage),
        ({"shape": "2"}, CorruptPackage),
        ({"shape": [1] * 33}, CorruptPackage),
        ({"shape": [1 << 60]}, HUGE),
        ({"shape": [1 << 60], "kind": "gap-raw", "stored": 8}, HUGE),
        ({"shape": [1 << 31, 1 << 31]}, HUGE),
        ({"shape": [1 << 32, 1 << 32, 1 << 32]}, HUGE),
        ({"shape": [0, 1 << 62, 1 << 62]}, HUGE),
        ({"shape": [1 << 31], "kind": "gap-raw", "stored": 8}, TooLarge),
        ({"dtype": "object"}, CorruptPackage),
        ({"dtype": ["float32"]}, CorruptPackage),
        ({"dtype": "float64"}, CorruptPackage),
        ({"dtype": "int32", "kind": "dense-half", "stored": 8}, CorruptPackage),
        ({"dtype": "int32", "kind": "gap-scaled", "stored": 8}, CorruptPackage),
        ({"indices": "uint8"}, CorruptPackage),
        ({"indices": "int8", "kind": "dense-codebook", "stored": 8}, CorruptPackage),
        ({"mask": 2}, CorruptPackage),
        ({"mask": "yes"}, CorruptPackage),
        ({"mask": True}, CorruptPackage),
        ({"name": ""}, CorruptPackage),
        ({"name": ...}, CorruptPackage),
        ({"name": 5}, CorruptPackage),
        ({"skip": -1}, CorruptPackage),
        ({"skip": 1}, CorruptPackage),
        ({"kind": "deflate", "stored": 8}, CorruptPackage),
        ({"kind": "dense-codebook", "stored": 8}, CorruptPackage),
    ],
    ids=str,
)
def test_rows_that_break_a_rule(change, error):
    with pytest.raises(error):
        decode(seal(with_rows(entry(**change)), [bytes(8)]))


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":1}x',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        {},
        EMPTY | {"tensors": None},
        EMPTY | {"tensors": {}},
        EMPTY | {"tensors": [7]},
        EMPTY | {"tensors": [[]]},
        EMPTY | {"arrays": 0},
        EMPTY | {"architecture": []},
        EMPTY | {"preprocessing": None},
        *({name: EMPTY[name] for name in EMPTY if name != gone} for gone in EMPTY),
    ],
    ids=lambda index: str(index)[:60],
)
def test_indices_that_break_a_rule(index):
    with pytest.raises(CorruptPackage):
        decode(seal(index))


@pytest.mark.parametrize("place", ["tensors", "arrays"])
def test_a_name_that_occurs_twice(place):
    index = copy.deepcopy(EMPTY)
    index[place] = [entry(), entry()]
    with pytest.raises(CorruptPackage, match="twice"):
        decode(seal(index, [bytes(8)] * 2))


def test_a_constraint_that_a_tensor_makes_already():
    index = with_rows(entry(mask=1), arrays=[entry(name="t.mask")])
    with pytest.raises(CorruptPackage, match="twice"):
        decode(seal(index, [bytes(8)] * 2))


def test_bytes_that_no_row_names():
    with pytest.raises(CorruptPackage, match="rows end"):
        decode(seal(with_rows(entry()), [bytes(9)]))


def test_rows_and_checksums_are_as_many_as_the_header_says():
    with pytest.raises(CorruptPackage, match="2 rows"):
        decode(seal(with_rows(entry(), entry(name="u")), [bytes(16)]))


def test_the_zeros_before_a_plain_row():
    index = with_rows(entry(shape=[1024]))
    package = seal(index, [(bytes(range(256)) * 16, True)])
    assert decode(package).tensors["t"].tobytes() == bytes(range(256)) * 16
    start = len(package) - 32 - 4096
    assert start % 64 == 0 and package[start - 1] == 0
    damaged = bytearray(package[:-32])
    damaged[start - 1] = 1
    with pytest.raises(CorruptPackage, match="zeros"):
        decode(bytes(damaged) + hashlib.sha256(damaged).digest())
    with pytest.raises(CorruptPackage, match=r"outside|rows end"):
        decode(seal(index, [bytes(4096)]))


def test_a_bomb_in_the_index_and_in_a_row():
    bomb = b'{"a":"' + b"a" * (1 << 20) + b'"}'
    with pytest.raises(TooLarge, match="index"):
        decode(seal(bomb), limit=1 << 16)
    with pytest.raises(CorruptPackage, match="exactly 50 bytes"):
        decode(seal(bomb, header={"text": 50}))
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = engine.compress(bytes(1 << 26)) + engine.flush()
    row = entry(kind="deflate", stored=len(deflated))
    with pytest.raises(CorruptPackage, match="exactly 8 bytes"):
        decode(seal(with_rows(row), [deflated]))


def test_the_limit_counts_all_arrays_with_their_constraints():
    package = encode_model(one(np.zeros(1000, np.float32)))
    assert len(decode(package, limit=4000).tensors) == 1
    with pytest.raises(TooLarge, match="4000 bytes of arrays"):
        decode(package, limit=3999)
    indices, codebook = np.zeros(1000, np.uint16), np.array([0, 1], np.float32)
    indices[3] = 1
    constraints = {"t.indices": indices, "t.codebook": codebook}
    constraints["t.mask"] = (codebook[indices] != 0).astype(np.uint8)
    package = encode_model(one(codebook[indices], constraints))
    least = Package(package).rows[0].decoded_bytes
    assert least >= 7000
    assert len(decode(package, limit=least).constraints) == 3
    with pytest.raises(TooLarge, match=f"{least} bytes of arrays"):
        decode(package, limit=least - 1)


def test_indices_too_narrow_for_the_codebook():
    book = np.random.default_rng(0).normal(size=300).astype(np.float32)
    indices = np.arange(300, dtype=np.uint16)
    package = encode_model(one(book[indices], {"t.indices": indices, "t.codebook": book}))

    def narrow(index, rows):
        index["tensors"][0]["indices"] = "uint8"

    with pytest.raises(CorruptPackage):
        decode(rebuild(package, narrow))


def test_a_damaged_row_is_named(small_model):
    package = bytearray(encode_model(small_model)[:-32])
    package[-1] ^= 1
    with pytest.raises(BadChecksum, match="a/bias"):
        decode(bytes(package) + hashlib.sha256(package).digest())
