"""Whatever is wrong with a package, decode says so by name and returns nothing."""

import hashlib

import numpy as np
import pytest

from thimble.codec import (
    BadChecksum,
    CorruptPackage,
    NewerVersion,
    NotAPackage,
    PackageError,
    TooLarge,
    Truncated,
    decode,
    encode_model,
    inspect,
)
from thimble.stage import BadInput
from thimble.weights import Weights

EMPTY = {"architecture": {}, "preprocessing": {}, "lane": 4096, "tensors": [], "arrays": []}
SIDES = [["stored", 0, 0]] * 4


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


def test_each_bit_flipped(small_model):
    package = encode_model(small_model)
    for bit in range(8 * len(package)):
        damaged = bytearray(package)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PackageError):
            decode(bytes(damaged))


def test_each_bit_flipped_and_sealed_again(small_model, same):
    # With right checksums over the file, the rules of the format and the checksum of each array
    # are all that protect: an error, or (for bits that mean nothing) the same model.
    package = encode_model(small_model)
    wrong = 0
    for bit in range(8 * (len(package) - 32)):
        damaged = bytearray(package[:-32])
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = decode(bytes(damaged) + hashlib.sha256(damaged).digest())
        except PackageError:
            continue
        wrong += not same(found, small_model)
    assert wrong == 0


def test_random_damage_to_each_section(model, rebuild):
    package = encode_model(model)
    rng = np.random.default_rng(11)
    for _ in range(150):

        def damage(index, contents):
            part = int(rng.integers(len(contents)))
            data = bytearray(contents[part])
            for place in rng.integers(0, max(len(data), 1), int(rng.integers(1, 4))):
                if data:
                    data[place] ^= int(rng.integers(1, 256))
            contents[part] = bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))])

        try:
            found = decode(rebuild(package, damage), limit=1 << 22)
        except PackageError:
            continue
        assert isinstance(found, Weights)


def test_bytes_after_the_end(small_model):
    with pytest.raises(CorruptPackage, match="1 bytes follow"):
        decode(encode_model(small_model) + b"\0")


def test_a_newer_version_asks_for_an_upgrade(seal):
    with pytest.raises(NewerVersion, match="upgrade"):
        decode(seal(EMPTY | {"sections": SIDES}, version=(2, 0)))
    assert decode(seal(EMPTY | {"sections": SIDES}, version=(1, 9))) == Weights({}, {})


def row(**changes):
    return {"shape": [2], "kind": "raw", "crc": 0x41D912FF, "section": 4, "name": "t"} | changes


def with_row(found, raw=8, extra=()):
    return EMPTY | {"tensors": [found, *extra], "sections": [*SIDES, ["stored", raw, raw]]}


def test_the_row_that_the_others_break(seal):
    found = decode(seal(with_row(row(crc=0x6522DF69)), bytes(8)))
    assert found.tensors["t"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "rans"}, NewerVersion),
        ({"kind": 3}, CorruptPackage),
        ({"section": 5}, CorruptPackage),
        ({"section": -1}, CorruptPackage),
        ({"section": None}, CorruptPackage),
        ({"section": True}, CorruptPackage),
        ({"shape": [3]}, CorruptPackage),
        ({"shape": [1]}, BadChecksum),
        ({"shape": [-2]}, CorruptPackage),
        ({"shape": [2.0]}, CorruptPackage),
        ({"shape": "2"}, CorruptPackage),
        ({"shape": [1] * 33}, CorruptPackage),
        ({"shape": [1 << 60]}, CorruptPackage),
        ({"shape": [1 << 31, 1 << 31]}, CorruptPackage),
        ({"shape": [0, 1 << 62, 1 << 62]}, CorruptPackage),
        ({"shape": [1 << 31]}, TooLarge),
        ({"crc": 1}, BadChecksum),
        ({"crc": 1 << 32}, CorruptPackage),
        ({"crc": None}, CorruptPackage),
        ({"dtype": "object"}, CorruptPackage),
        ({"dtype": ["float32"]}, CorruptPackage),
        ({"indices": "uint8"}, CorruptPackage),
        ({"mask": 2}, CorruptPackage),
        ({"mask": "yes"}, CorruptPackage),
        ({"name": ""}, CorruptPackage),
        ({"name": 5}, CorruptPackage),
        ({"skip": -1}, CorruptPackage),
        ({"kind": "sparse"}, CorruptPackage),
        ({"kind": "dense"}, CorruptPackage),
    ],
    ids=str,
)
def test_rows_that_break_a_rule(seal, change, error):
    with pytest.raises(error):
        decode(seal(with_row(row(crc=0x6522DF69) | change), bytes(8)))


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        {},
        EMPTY,
        EMPTY | {"sections": {}},
        EMPTY | {"sections": [["stored", 0]]},
        EMPTY | {"sections": SIDES[:3]},
        EMPTY | {"sections": [*SIDES, ["stored", 1, 1]]},
        EMPTY | {"sections": [*SIDES, ["stored", -1, 0]]},
        EMPTY | {"sections": [*SIDES, ["deflate", 5, 0]]},
        EMPTY | {"sections": [*SIDES, [1, 0, 0]]},
        EMPTY | {"sections": SIDES, "lane": 0},
        EMPTY | {"sections": SIDES, "lane": "4096"},
        EMPTY | {"sections": SIDES, "tensors": None},
        EMPTY | {"sections": SIDES, "tensors": [7]},
        EMPTY | {"sections": SIDES, "architecture": []},
        {key: value for key, value in EMPTY.items() if key != "preprocessing"}
        | {"sections": SIDES},
    ],
    ids=lambda index: str(index)[:60],
)
def test_indices_that_break_a_rule(seal, index):
    with pytest.raises(CorruptPackage):
        decode(seal(index))


def test_an_unknown_section_encoding_asks_for_an_upgrade(seal):
    with pytest.raises(NewerVersion, match="zstd"):
        decode(seal(EMPTY | {"sections": [*SIDES, ["zstd", 0, 0]]}))


def test_an_unknown_kind_of_package(seal):
    with pytest.raises(CorruptPackage, match="kind 7"):
        decode(seal(EMPTY | {"sections": SIDES}, kind=7))


def test_a_name_that_occurs_twice(seal):
    twice = with_row(row(crc=0x6522DF69), 16, [row(crc=0x6522DF69)])
    with pytest.raises(CorruptPackage, match="twice"):
        decode(seal(twice, bytes(16)))


def test_bytes_that_no_row_names(seal):
    with pytest.raises(CorruptPackage, match="names 8"):
        decode(seal(with_row(row(crc=0x6522DF69), 9), bytes(9)))


def test_a_section_that_expands_beyond_the_limit(seal):
    with pytest.raises(TooLarge, match="limit"):
        decode(seal(EMPTY | {"sections": [*SIDES, ["deflate", 1 << 40, 0]]}))


def test_an_index_that_expands_beyond_the_limit(seal):
    bomb = b'{"a":"' + b"a" * (1 << 20) + b'"}'
    with pytest.raises(TooLarge, match="index"):
        decode(seal(bomb), limit=1 << 16)
    with pytest.raises(CorruptPackage, match="exceeds 50 bytes"):
        decode(seal(bomb, text_bytes=50))


def test_the_limit_counts_all_arrays_with_their_constraints():
    weights = Weights({}, {"t": np.zeros(1000, np.float32)})
    package = encode_model(weights)
    assert len(decode(package, limit=4000).tensors) == 1
    with pytest.raises(TooLarge, match="4000 bytes of arrays"):
        decode(package, limit=3999)


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "added"])
def test_a_side_section_of_another_size(small_model, rebuild, part, cut):
    def change(index, contents):
        contents[part] = contents[part][:-1] if cut else contents[part] + b"\0"

    with pytest.raises(PackageError):
        decode(rebuild(encode_model(small_model), change))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 3, "form"),
        (1, 0, "cannot make"),
        (2, 4, "skipped"),
        (4, 13, "gap width"),
        (4, 0, "gap width"),
        (5, 0x7F, "escapes"),
        (6, 9, "gap table"),
        (7, 0, "fewer bits"),
        (8, 1, "fewer bits"),
    ],
)
def test_numbers_out_of_range(small_model, rebuild, place, value, message):
    def change(index, contents):
        numbers = bytearray(contents[2])
        numbers[place] = value
        contents[2] = bytes(numbers)

    with pytest.raises(CorruptPackage, match=message):
        decode(rebuild(encode_model(small_model), change))


@pytest.mark.parametrize("numbers", [b"\x80" * 12, b"\x81\0", b"\xff" * 9 + b"\x7f"], ids=bytes.hex)
def test_varints_that_are_too_long(seal, numbers):
    index = EMPTY | {"tensors": [row(kind="dense", section=None)]}
    index["sections"] = [SIDES[0], SIDES[0], ["stored", len(numbers), len(numbers)], SIDES[0]]
    with pytest.raises(CorruptPackage, match="form"):
        decode(seal(index, numbers))


def test_inspect_refuses_a_package_whose_file_is_no_tflite(seal):
    index = {"name": "x", "preprocessing": {}, "lane": 1, "bytes": 3, "crc": 0x352441C2}
    package = seal(index | {"buffers": [], "sections": [*SIDES, ["stored", 3, 3]]}, b"abc", kind=2)
    assert decode(package).data == b"abc"
    with pytest.raises(CorruptPackage, match="no TFLite"):
        inspect(package)
    for wrong in ({"bytes": 4}, {"crc": 0}, {"name": None}):
        index_wrong = index | wrong | {"buffers": [], "sections": [*SIDES, ["stored", 3, 3]]}
        with pytest.raises(PackageError):
            decode(seal(index_wrong, b"abc", kind=2))
