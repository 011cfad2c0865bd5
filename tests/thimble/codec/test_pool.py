"""The table pool: what shares, what it saves, and its exact bytes."""

import dataclasses

import numpy as np
import pytest

from tests.thimble.codec.making import parts_of, planned, read_stream, written
from thimble.codec import CorruptPackage, NewerVersion, decode, encode_model, inspect
from thimble.codec.pool import share_tables
from thimble.codec.row_decoder import TablePool
from thimble.codec.stream_encoder import HUFFMAN, RANS, streams_of
from thimble.weights import Weights

# A Huffman table of three symbols, lengths 2, 1, 2, and a flat rANS table of two.
POOL = bytes.fromhex("02 03 2120  03 02 01")


def coded(symbols, alphabet):
    array = np.asarray(symbols, np.uint16)
    return streams_of(np.bincount(array, minlength=alphabet).astype(np.uint64), array)[0]


def likes(count, seed=0, scale=8.0, size=300):
    """Return streams that look alike: bell curves of 64 symbols."""
    rng = np.random.default_rng(seed)
    draws = np.clip(np.rint(rng.normal(32, scale, (count, size))), 0, 63)
    return [coded(row, 64) for row in draws]


def test_the_pool_is_a_sequence_of_tables():
    assert TablePool().tables == 0
    assert TablePool(POOL).tables == 2


def test_streams_name_their_table():
    assert read_stream(bytes.fromhex("06 00 59 60"), 7, 3, POOL) == [1, 0, 2, 1, 1, 0, 2]
    assert read_stream(bytes.fromhex("07 01 00 03"), 3, 2, POOL) == [0, 1, 1]
    # The scale is the stream's: with M = 512 the same table gives 256 to each symbol.
    assert read_stream(bytes.fromhex("27 01 00 06"), 3, 2, POOL) == [0, 1, 1]
    shared = dataclasses.replace(coded([1, 0, 2, 1, 1, 0, 2], 3), shared=7)
    shared.plan = planned(HUFFMAN, 3, b"\x21\x20", [2, 1, 2], bits=11)
    assert shared.data(True) == bytes.fromhex("06 07 59 60")
    assert shared.data() == bytes.fromhex("06 07 02 59 60")
    assert written(shared.plan, shared.symbols) == bytes.fromhex("02 2120 59 60")


@pytest.mark.parametrize(
    ("stream", "alphabet"),
    [
        ("06 02 59 60", 3),
        ("06 01 59 60", 3),
        ("06 00 59 60", 4),
        ("07 00 00 03", 3),
        ("07 01 00 03", 3),
        ("06", 3),
        ("06 80 00 59 60", 3),
    ],
    ids=[
        "no such table",
        "of rANS",
        "other m",
        "of Huffman",
        "m",
        "no number",
        "varint",
    ],
)
def test_a_stream_must_name_a_table_of_its_own_kind(stream, alphabet):
    with pytest.raises(CorruptPackage):
        read_stream(bytes.fromhex(stream), 7, alphabet, POOL)


@pytest.mark.parametrize(
    ("pool", "error"),
    [
        ("02 03 2120 02", CorruptPackage),
        ("02 03 21", CorruptPackage),
        ("02 03 2222", CorruptPackage),
        ("02 01 10", CorruptPackage),
        ("02 8120 01", CorruptPackage),
        ("03 02 00", CorruptPackage),
        ("03 02 01 00", CorruptPackage),
        ("00 02 01", NewerVersion),
        ("01 02 01", NewerVersion),
        ("04 02 01", NewerVersion),
    ],
)
def test_pools_that_break_a_rule(pool, error):
    with pytest.raises(error):
        TablePool(bytes.fromhex(pool))


def test_streams_that_look_alike_share_a_table():
    streams = likes(6)
    alone = sum(len(stream.data()) for stream in likes(6))
    pool = share_tables(streams)
    assert {stream.shared for stream in streams} == {0}
    assert TablePool(pool).tables == 1
    assert len(pool) + sum(len(stream.data()) for stream in streams) < alone
    for stream in streams:
        found = read_stream(stream.data(True), 300, 64, pool)
        assert found == stream.symbols.tolist()


def test_a_table_of_its_own_stays_where_sharing_costs_more():
    for streams in (
        [likes(1)[0]],
        [coded([0] * 900 + [1, 2] * 20, 3), coded([2] * 900 + [1, 0] * 20, 3)],
        [coded([0, 0, 1, 0] * 50, 2), coded([0, 0, 1, 0] * 50 + [2], 3)],
    ):
        assert share_tables(streams) == b""
        assert all(stream.shared is None for stream in streams)
    assert share_tables([]) == b""


def test_two_shapes_make_two_tables():
    narrow, wide = likes(5, 1, 2.0, 3000), likes(5, 2, 14.0, 3000)
    pool = share_tables([*narrow, *wide])
    numbers = {stream.shared for stream in narrow}, {stream.shared for stream in wide}
    assert TablePool(pool).tables == 2
    assert all(len(found) == 1 for found in numbers) and numbers[0] != numbers[1]


def test_constant_and_stored_streams_never_share():
    streams = [coded([3] * 50, 5), coded(range(256), 256)] * 3
    assert share_tables(streams) == b""


def test_a_model_of_like_layers_has_a_pool(pooled_model, same):
    package = encode_model(pooled_model)
    found = inspect(package)
    assert found["sections"]["pool"] == len(parts_of(package)[2]) > 0
    assert all(row["table_bytes"] <= 2 for row in found["tensors"])
    assert same(decode(package), pooled_model)
    alone = sum(
        sum(row["bytes"] for row in inspect(encode_model(Weights({}, {name: array})))["tensors"])
        for name, array in pooled_model.tensors.items()
    )
    shared = found["sections"]["pool"] + sum(row["bytes"] for row in found["tensors"])
    assert shared < alone


def test_the_coder_of_shared_tables_is_that_of_the_streams():
    streams = likes(4)
    share_tables(streams)
    assert {stream.plan.coder for stream in streams} <= {HUFFMAN, RANS}
    assert len({stream.plan.coder for stream in streams}) == 1
