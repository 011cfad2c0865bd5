"""Bits in lanes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble.codec.bitstream import LANE_SYMBOLS, Stream, read_streams, write_symbols
from thimble.codec.errors import CorruptPackage
from thimble.codec.huffman import code_lengths


def stream_of(symbols, lengths, first_byte=0):
    data, lane_bits = write_symbols(symbols, lengths)
    bits = np.array(lane_bits, np.int64)
    return data, Stream(lengths, len(symbols), LANE_SYMBOLS, bits, first_byte)


def test_bits_are_written_most_significant_first():
    lengths = np.array([2, 1, 2], np.uint8)  # 1 -> 0, 0 -> 10, 2 -> 11
    data, lane_bits = write_symbols(np.array([1, 0, 2, 1, 1, 0, 2]), lengths)
    assert data == bytes([0b01011001, 0b01100000])
    assert lane_bits == [11]


def test_a_code_of_one_symbol_writes_nothing():
    symbols = np.full(5, 3)
    lengths = np.array([0, 0, 0, 1], np.uint8)
    data, stream = stream_of(symbols, lengths)
    assert data == b"" and stream.constant
    assert read_streams(data, [stream])[0].tolist() == [3] * 5


def test_lanes_are_cut_after_every_4096_symbols():
    rng = np.random.default_rng(1)
    symbols = rng.geometric(0.3, 3 * LANE_SYMBOLS + 5).clip(0, 20)
    lengths = code_lengths(np.bincount(symbols))
    data, stream = stream_of(symbols, lengths)
    widths = lengths[symbols].astype(int)
    assert stream.lane_bits.tolist() == [
        widths[i : i + LANE_SYMBOLS].sum() for i in range(0, len(symbols), LANE_SYMBOLS)
    ]
    assert np.array_equal(read_streams(data, [stream])[0], symbols)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_lane_may_end_with_the_stream(extra):
    symbols = np.arange(2 * LANE_SYMBOLS + extra) % 3
    data, stream = stream_of(symbols, code_lengths(np.bincount(symbols)))
    assert np.array_equal(read_streams(data, [stream])[0], symbols)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=80), min_size=1, max_size=6))
def test_streams_of_different_codes_are_read_together(lists):
    data, streams = b"", []
    for symbols in lists:
        array = np.array(symbols)
        part, stream = stream_of(array, code_lengths(np.bincount(array)), len(data))
        data, streams = data + part, [*streams, stream]
    assert [found.tolist() for found in read_streams(data, streams)] == lists


def test_more_symbols_than_one_chunk():
    symbols = np.random.default_rng(2).integers(0, 2, 300 * LANE_SYMBOLS)
    symbols[::7] = 5
    data, stream = stream_of(symbols, code_lengths(np.bincount(symbols)))
    assert np.array_equal(read_streams(data, [stream])[0], symbols)


def test_a_lane_that_ends_elsewhere_is_refused():
    symbols = np.arange(50) % 5
    data, stream = stream_of(symbols, code_lengths(np.bincount(symbols)))
    for bits in (stream.lane_bits - 1, stream.lane_bits + 1, stream.lane_bits * 100):
        with pytest.raises(CorruptPackage, match="lane"):
            read_streams(data, [dataclasses.replace(stream, lane_bits=bits)])
