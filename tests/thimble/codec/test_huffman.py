"""Huffman code lengths: optimal and at most 15 bits."""

import ctypes
import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble.codec.native_library import LIBRARY, address_of


def lengths_of(*counts):
    array = np.array(counts, np.uint64)
    lengths = np.zeros(len(array), np.uint16)
    place = ctypes.c_void_p(address_of(array)), len(array), ctypes.c_void_p(address_of(lengths))
    LIBRARY.th_huffman_lengths(*place)
    return lengths.tolist()


def share(lengths):
    return sum(2.0**-length for length in lengths if length)


@pytest.mark.parametrize(
    ("counts", "lengths"),
    [
        ([45, 13, 12, 16, 9, 5], [1, 3, 3, 3, 4, 4]),
        ([1, 1, 1], [1, 2, 2]),
        ([2, 2, 2, 2, 2], [2, 2, 2, 3, 3]),
        ([0, 3, 0, 1], [0, 1, 0, 1]),
        ([0, 9], [0, 0]),
        ([0, 0], [0, 0]),
    ],
    ids=["textbook", "ties", "more ties", "unused", "one", "none"],
)
def test_lengths_worked_by_hand(counts, lengths):
    assert lengths_of(*counts) == lengths


def test_fibonacci_counts_are_limited_to_15_bits():
    counts = [1, 1]
    while len(counts) < 30:
        counts.append(counts[-1] + counts[-2])
    lengths = lengths_of(*counts)
    assert max(lengths) == 15 and share(lengths) == 1
    assert np.all(np.diff(lengths) <= 0)


def complete_codes(nodes, leaves, depth=0):
    """Yield the sorted lengths of every complete code of `leaves` words and at most 15 bits."""
    if leaves == nodes:
        yield [depth] * leaves
    if depth < 15:
        for here in range(min(nodes, leaves)):
            if 2 * (nodes - here) <= leaves - here:
                for rest in complete_codes(2 * (nodes - here), leaves - here, depth + 1):
                    yield [depth] * here + rest


def test_a_limit_that_binds_costs_what_exhaustion_finds():
    # Without a limit, eighteen halving counts want 17 bits.
    counts = np.array([1 << max(16 - i, 0) for i in range(17)] + [1])
    lengths = lengths_of(*counts)
    assert lengths == [*range(1, 13), 14, 14, 15, 15, 15, 15]
    best = min(int(counts @ np.array(found)) for found in complete_codes(1, 18))
    assert int(counts @ np.array(lengths)) == best


def test_4096_equal_symbols_take_12_bits_each():
    assert set(lengths_of(*[7] * 4096)) == {12}


def heap_cost(counts):
    heap = [count for count in counts if count]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        total += pair
        heapq.heappush(heap, pair)
    return total


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60))
def test_lengths_cost_what_huffmans_heap_costs(counts):
    lengths = lengths_of(*counts)
    assert sum(a * b for a, b in zip(counts, lengths, strict=True)) == heap_cost(counts)
    assert share(lengths) in (0, 1)
