"""Gaps and their escapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble.codec.errors import CorruptPackage
from thimble.codec.gaps import choose_gap_code, join_gaps, split_gaps


def test_a_gap_is_its_escapes_and_its_rest():
    # Width 2: the escape 3 stands for three zeros.
    symbols = split_gaps(np.array([0, 2, 3, 7]), 2)
    assert symbols.tolist() == [0, 2, 3, 0, 3, 3, 1]
    assert join_gaps(symbols.astype(np.uint16), 2, 4, 16).tolist() == [0, 3, 7, 15]


def test_the_narrowest_of_equal_widths_is_chosen():
    code = choose_gap_code(np.zeros(10, np.int64))
    assert (code.bits, code.escapes, code.lengths.tolist()) == (1, 0, [1])


def test_the_width_is_the_cheapest_of_all():
    gaps = np.random.default_rng(0).geometric(0.1, 5000) - 1
    best = choose_gap_code(gaps)
    assert 3 <= best.bits <= 7
    assert best.escapes == int((gaps // ((1 << best.bits) - 1)).sum())


def test_no_kept_value_has_no_code():
    with pytest.raises(ValueError, match="empty"):
        choose_gap_code(np.zeros(0, np.int64))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=40), st.integers(1, 12))
def test_positions_come_back(gaps, bits):
    positions = np.cumsum(np.array(gaps) + 1) - 1
    symbols = split_gaps(np.array(gaps), bits).astype(np.uint16)
    elements = int(positions[-1]) + 1
    assert np.array_equal(join_gaps(symbols, bits, len(gaps), elements), positions)


@pytest.mark.parametrize(
    ("symbols", "kept", "elements"),
    [([0, 0], 1, 9), ([0], 2, 9), ([1, 1], 2, 3), ([0, 3], 1, 9), ([3], 0, 9)],
    ids=["more", "fewer", "outside", "ends with an escape", "only an escape"],
)
def test_streams_that_do_not_fit_are_refused(symbols, kept, elements):
    with pytest.raises(CorruptPackage, match="gap stream"):
        join_gaps(np.array(symbols, np.uint16), 2, kept, elements)
