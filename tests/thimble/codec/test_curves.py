"""Frequencies from curves: knots and weights worked by hand from SPEC.md, section 5."""

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference_streams import Cursor, frequencies, read_curve
from tests.thimble.codec.making import read_stream
from thimble.codec.errors import CorruptPackage, NewerVersion
from thimble.codec.native_library import LIBRARY, address_of
from thimble.codec.pool import prices_of
from thimble.codec.stream_encoder import HUFFMAN, RANS, Bits, plan_counts, varint

OK, SHORT, TRAILING, COUNT, TABLE, UNKNOWN = 0, 1, 2, 4, 6, 11


def read(table, alphabet, scale=8):
    """Return the fault of a table and its frequencies."""
    found = np.zeros(alphabet, np.uint16)
    data = np.frombuffer(table, np.uint8) if table else np.zeros(0, np.uint8)
    start = address_of(data)
    # th_cursor of native/cursor.h: where it is and where it ends.
    cursor = (ctypes.c_void_p * 2)(start, start + len(data))
    fault = LIBRARY.th_read_frequencies(
        ctypes.byref(cursor), alphabet, scale, ctypes.c_void_p(address_of(found))
    )
    return fault, found.tolist()


def table_of(steps, resolution=0, low=0, spacing=0):
    """Return the bytes of a curve whose knots rise by `steps`."""
    bits = Bits()
    for step in steps:
        bits.rice(2 * step if step >= 0 else -2 * step - 1, low)
    form = resolution | low << 2 | spacing << 5
    return varint(len(steps) + 1) + bytes([form]) + bits.data()


def test_one_knot_is_flat():
    assert read(b"\x01", 2) == (OK, [128, 128])
    # 1 + floor(253 / 3) = 85; the missing one goes to the first of the largest.
    assert read(b"\x01", 3) == (OK, [86, 85, 85])


def test_a_line_of_one_octave():
    # Levels 0 and -1 octave at symbols 0 and 2: Y = 0, -8, -16. W = 2^24, T[8] / 2, 2^23, of
    # 37029107; 253 * W / sum = 114.6, 81.05, 57.3; the missing one goes to symbol 0.
    assert table_of([-1]) == b"\x02\x00\x80"
    assert read(b"\x02\x00\x80", 3) == (OK, [116, 82, 58])


def test_a_line_is_rounded_towards_minus_infinity():
    # Steps of 1/16 octave: Y(1) = floor(-16 / 3) = -6, Y(2) = floor(-32 / 3) = -11.
    assert read(table_of([-1]), 4)[1] == frequencies([0, -6, -11, -16], 256)
    assert read(table_of([1]), 4)[1] == frequencies([0, 5, 10, 16], 256)


def test_units_of_the_levels():
    for resolution, unit in enumerate((16, 8, 4, 2)):
        assert read(table_of([-3], resolution), 2)[1] == frequencies([0, -3 * unit], 256)


def test_even_knots_stand_at_rounded_down_shares():
    # m = 6, K = 4: floor(j * 5 / 3) = 0, 1, 3, 5.
    found = read(table_of([-1, 2, -4]), 6)[1]
    assert found == frequencies([0, -16, 0, 16, -16, -48], 256)


def test_knots_that_widen():
    # m = 10, K = 6: x = 0, 1, 2, 3, 4 and the last, 9. From 4 on 16 / 5 falls a symbol.
    found = read(table_of([-1, 0, 1, 1, -1], spacing=1), 10)[1]
    heights = [0, -16, -16, 0, 16, 12, 9, 6, 3, 0]
    assert found == frequencies(heights, 256)
    places = [LIBRARY.th_knot_place(knot, 99, 1, 4096) for knot in range(12)]
    assert places == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    assert LIBRARY.th_knot_place(98, 99, 1, 4096) == 4095


def test_a_knot_for_each_symbol():
    found = read(table_of([1, -3], resolution=2, low=1), 3)[1]
    assert found == frequencies([0, 4, -8], 256)


def test_a_symbol_forty_octaves_below_keeps_one_slot():
    assert read(table_of([-39]), 2)[1] == [255, 1]
    assert read(table_of([-40]), 2)[1] == [255, 1]
    assert read(table_of([-32767], low=7), 2)[1] == [255, 1]


@pytest.mark.parametrize(
    ("table", "alphabet", "scale", "fault"),
    [
        (b"", 2, 8, SHORT),
        (b"\x00", 2, 8, TABLE),
        (b"\x03\x00\x00", 2, 8, TABLE),
        (b"\x02", 2, 8, SHORT),
        (b"\x02\x00", 2, 8, SHORT),
        (b"\x02\x40\x00", 2, 8, UNKNOWN),
        (b"\x02\x80\x00", 2, 8, UNKNOWN),
        (b"\x02\x00\x01", 2, 8, TRAILING),
        (b"\x02\x00\x81", 2, 8, TRAILING),
        (table_of([-32768], low=7), 2, 8, TABLE),
        (table_of([32768], low=7), 2, 8, TABLE),
        (table_of([-20000, -20000], low=7), 3, 8, TABLE),
        (b"\x02\x00" + b"\xff" * 8192 + b"\x00", 2, 8, COUNT),
        (table_of([0, 0, 0, 0, 0], spacing=1), 7, 8, OK),
        (table_of([0, 0, 0, 0, 0, 0], spacing=1), 7, 8, TABLE),  # knot 5 stands at 6, the last
        (b"\x01", 128, 8, OK),
        (b"\x01", 129, 8, TABLE),
        (b"\x01", 2, 7, TABLE),
        (b"\x01", 4096, 13, OK),
        (b"\x01", 4096, 12, TABLE),
    ],
    ids=lambda value: value[:6].hex() if isinstance(value, bytes) else str(value),
)
def test_tables_at_the_limits(table, alphabet, scale, fault):
    assert read(table, alphabet, scale)[0] == fault


def test_the_faults_of_tables_have_names():
    with pytest.raises(CorruptPackage, match="curve"):
        read_stream(b"\x83\x00", 4, 2)
    with pytest.raises(NewerVersion, match="upgrade"):
        read_stream(b"\x83\x02\x40\x00", 4, 2)


def by_reference(table, alphabet, scale):
    cursor = Cursor(table, "A table")
    heights = read_curve(cursor, alphabet)
    cursor.finish()
    return frequencies(heights, 1 << scale)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(2, 300), st.integers(10, 15), st.data())
def test_any_curve_gives_what_the_reference_says(alphabet, scale, data):
    steps = data.draw(st.lists(st.integers(-90, 90), min_size=0, max_size=min(alphabet - 1, 14)))
    resolution, low = data.draw(st.integers(0, 3)), data.draw(st.integers(2, 7))
    table = table_of(steps, resolution, low, data.draw(st.integers(0, 1))) if steps else b"\x01"
    fault, found = read(table, alphabet, scale)
    try:
        expected = by_reference(table, alphabet, scale)
    except ValueError:
        assert fault == TABLE
        return
    assert (fault, found) == (OK, expected)
    assert sum(found) == 1 << scale and min(found) >= 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5000), min_size=2, max_size=400), st.booleans())
def test_fitted_tables_are_those_that_the_reference_reads(counts, sort):
    counts = sorted(counts, reverse=True) if sort else counts
    plan = plan_counts(np.array(counts, np.uint64))
    if plan.coder == RANS:
        table = bytes(plan.table[: plan.table_bytes])
        assert list(plan.codes[: len(counts)]) == by_reference(table, len(counts), plan.scale)
    if plan.coder in {HUFFMAN, RANS}:
        payload = 1024 * (plan.cost_bits - 8 * plan.table_bytes)
        # The fit rounds the bits of a rANS symbol up, `prices_of` to the nearest.
        rounded = sum(counts) if plan.coder == RANS else 0
        assert 0 <= payload - int(np.array(counts) @ prices_of(plan)) < 1024 + rounded


def test_a_smooth_distribution_takes_a_few_bytes():
    places = np.arange(256)
    counts = (200 * np.exp(-np.abs(places - 128) / 10)).astype(np.uint64)
    plan = plan_counts(counts)
    assert plan.coder == RANS and plan.table_bytes <= 16
    entropy = (counts[counts > 0] * np.log2(counts.sum() / counts[counts > 0])).sum()
    assert plan.cost_bits < 1.02 * entropy
