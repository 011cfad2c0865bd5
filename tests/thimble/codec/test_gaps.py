"""Gaps, their escapes, and the exact bytes of positions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thimble.codec.making import decode_row
from thimble.codec.errors import CorruptPackage
from thimble.codec.gaps import choose_gap_stream, gap_symbols, split_gaps
from thimble.codec.stream_encoder import streams_of


def symbols_of(gaps, bits):
    return gap_symbols(np.array(gaps, np.uint32), bits).tolist()


def bytes_of(gaps):
    parts = choose_gap_stream(np.array(gaps)).parts()
    return b"".join(part if isinstance(part, bytes) else part.data() for part in parts)


def kept_of(positions, kept, elements, kind="gap"):
    """Return which of the elements a gap-raw or bitmap-raw row of uint8 ones keeps."""
    row = bytes([kept]) + positions + b"\x01" * kept
    return np.flatnonzero(decode_row(f"{kind}-raw", row, (elements,), "uint8").patterns).tolist()


def test_a_gap_is_its_escapes_and_its_rest():
    # Width 2: the escape 3 stands for three skipped elements.
    assert symbols_of([0, 2, 3, 7], 2) == [0, 2, 3, 0, 3, 3, 1]
    assert symbols_of([0, 2], 1) == [0, 1, 1, 0]
    assert symbols_of([0, 2, 3, 4000], 0) == [0, 2, 3, 4000]


def test_symbols_are_split_from_the_skipped_one():
    symbols = np.array([5, 5, 1, 5, 9, 7, 5], np.uint8)
    gaps, values = split_gaps(symbols, 5, 3)
    assert (gaps.tolist(), values.tolist()) == ([2, 1, 0], [1, 8, 6])
    gaps, values = split_gaps(symbols.astype(np.uint16) + 300, 305, 3)
    assert (gaps.tolist(), values.tolist()) == ([2, 1, 0], [301, 308, 306])


@pytest.mark.parametrize("start", range(18))
def test_runs_of_eight_skipped_symbols_are_passed(start):
    symbols = np.full(40, 3, np.uint8)
    symbols[[start, start + 17]] = 0
    gaps, values = split_gaps(symbols, 3, 2)
    assert (gaps.tolist(), values.tolist()) == ([start, 16], [0, 0])


def test_exact_bytes():
    assert bytes_of([7]) == bytes([7])  # one element: its number
    assert bytes_of([300]) == bytes([0xAC, 2])
    assert bytes_of([0, 0, 0]) == bytes([0, 1])  # no escapes, one symbol, no stream
    assert bytes_of([2, 2, 2]) == bytes([0, 3, 0, 2])  # no escapes, m = 3, constant 2


def test_the_same_positions_in_three_ways():
    assert kept_of(bytes([0, 3, 1, 2, 2, 0]), 3, 9) == [2, 5, 6]  # m = 3, stored
    # Two escapes of width 1: symbols 1 1 0 0, each 1 skips one.
    assert kept_of(bytes([2, 1, 1, 1, 1, 0, 0]), 2, 5) == [2, 3]
    assert kept_of(bytes([1, 0b00100110, 0]), 3, 9, "bitmap") == [2, 5, 6]


def test_a_wide_gap_takes_the_escape_that_costs_least():
    gaps = np.random.default_rng(0).geometric(0.02, 3000) - 1
    gaps[::1000] = 60_000
    best = choose_gap_stream(gaps)
    escape = (1 << best.bits) - 1
    assert 5 <= best.bits <= 12
    assert best.escapes == int((gaps // escape).sum()) == int(best.counts[escape])
    cost = sum(len(part.data()) for part in best.parts() if not isinstance(part, bytes))
    assert cost <= 1.02 * min(cost_of(gaps, width) for width in range(5, 13))


def cost_of(gaps, bits):
    symbols = gap_symbols(gaps.astype(np.uint32), bits)
    counts = np.bincount(symbols, minlength=1 << bits).astype(np.uint64)
    return sum(len(part.data()) for part in streams_of(counts, symbols))


def test_gaps_above_4095_need_an_escape():
    assert choose_gap_stream(np.array([4095, 0])).bits in {0, 11, 12}
    best = choose_gap_stream(np.array([4096, 5]))
    assert best.bits and best.escapes == 4096 // ((1 << best.bits) - 1)
    best = choose_gap_stream(np.array([(1 << 32) - 2, 5]))
    assert (best.bits, best.escapes) == (12, ((1 << 32) - 2) // 4095)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 30) | st.integers(0, 20_000), min_size=1, max_size=40),
    st.integers(0, 20),
)
def test_positions_come_back(gaps, tail):
    positions = np.cumsum(np.array(gaps) + 1) - 1
    elements = int(positions[-1]) + 1 + tail
    assert kept_of(bytes_of(gaps), len(gaps), elements) == positions.tolist()


@pytest.mark.parametrize(
    ("positions", "kept", "elements"),
    [
        (b"\x09", 1, 9),
        (b"", 1, 9),
        (b"\x00\x00", 2, 9),
        (b"\x00\x81\x20\x00\x00", 2, 9),
        (b"\x01\x00\x00\x00", 2, 9),
        (b"\x01\x0d\x00\x00", 2, 9),
        (b"\x0a\x01\x00\x01", 2, 9),
        (b"\x00\x05\x00\x04", 2, 9),
        (b"\x00\x09\x01\x00\x08", 2, 9),
        (b"\x01\x01\x01\x00\x00\x00", 2, 9),
        (b"\x01\x01\x01\x00\x00\x01", 2, 9),
        (b"\x01\x01\x01\x01\x01\x00", 2, 9),
        (b"\x08\x01\x00\x01", 2, 9),
    ],
    ids=[
        "outside", "nothing", "m = 0", "m = 4097", "width 0", "width 13", "too many escapes",
        "last one outside", "second one outside", "an escape less", "ends with an escape",
        "an escape more", "escapes alone",
    ],
)  # fmt: skip
def test_gaps_that_break_a_rule(positions, kept, elements):
    with pytest.raises(CorruptPackage):
        kept_of(positions, kept, elements)


@pytest.mark.parametrize(
    ("positions", "kept"),
    [
        (b"\x01\x26", 3),
        (b"\x01\x26\x80\x00", 3),
        (b"\x01\x26\x80", 3),
        (b"\x01\x26\x40", 4),
        (b"\x01\x26\x00", 4),
        (b"\x01\x27\x00", 3),
        (b"\x00\x00", 3),
    ],
    ids=["short", "long", "one more", "after the end", "too few", "too many", "none"],
)
def test_bitmaps_that_break_a_rule(positions, kept):
    with pytest.raises(CorruptPackage):
        kept_of(positions, kept, 9, "bitmap")
