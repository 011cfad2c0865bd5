"""Code lengths and codewords, worked by hand."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble.codec.errors import CorruptPackage
from thimble.codec.huffman import (
    canonical_codes,
    check_lengths,
    code_lengths,
    coded_bits,
    lookup_table,
    pack_lengths,
    unpack_lengths,
)


def lengths_of(*counts):
    return code_lengths(np.array(counts, np.int64)).tolist()


def test_lengths_of_a_textbook_code():
    assert lengths_of(45, 13, 12, 16, 9, 5) == [1, 3, 3, 3, 4, 4]


def test_equal_counts_give_the_lower_symbol_the_shorter_code():
    assert lengths_of(1, 1, 1) == [1, 2, 2]
    assert lengths_of(2, 2, 2, 2, 2) == [2, 2, 2, 3, 3]


def test_a_symbol_that_never_occurs_has_no_code():
    assert lengths_of(0, 3, 0, 1) == [0, 1, 0, 1]


def test_one_symbol_has_length_one_and_takes_no_bits():
    assert lengths_of(0, 9) == [0, 1]
    assert coded_bits(np.array([0, 9]), np.array([0, 1], np.uint8)) == 0


def test_no_symbol_has_no_code():
    assert lengths_of() == []
    assert lengths_of(0, 0) == [0, 0]


def test_fibonacci_counts_are_limited_to_15_bits():
    counts = [1, 1]
    while len(counts) < 30:
        counts.append(counts[-1] + counts[-2])
    lengths = code_lengths(np.array(counts))
    assert lengths.max() == 15
    check_lengths(lengths)
    assert np.all(np.diff(lengths.astype(int)) <= 0)


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
    lengths = code_lengths(counts)
    check_lengths(lengths)
    assert lengths.tolist() == [*range(1, 13), 14, 14, 15, 15, 15, 15]
    best = min(int(counts @ np.array(found)) for found in complete_codes(1, 18))
    assert int(counts @ lengths.astype(int)) == best


def test_32768_equal_symbols_fit_and_one_more_does_not():
    assert set(code_lengths(np.ones(1 << 15, np.int64)).tolist()) == {15}
    with pytest.raises(ValueError, match="32769"):
        code_lengths(np.ones((1 << 15) + 1, np.int64))


def heap_cost(counts):
    heap = [count for count in counts if count]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        total += pair
        heapq.heappush(heap, pair)
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60))
def test_lengths_cost_what_huffmans_heap_costs(counts):
    array = np.array(counts, np.int64)
    lengths = code_lengths(array)
    check = np.count_nonzero(lengths)
    if check:
        check_lengths(lengths)
    assert coded_bits(array, lengths) == heap_cost(counts)


def test_codewords_grow_with_length_and_symbol():
    lengths = np.array([2, 1, 0, 3, 3], np.uint8)
    assert canonical_codes(lengths).tolist() == [0b10, 0b0, 0, 0b110, 0b111]


def test_the_lookup_table_names_symbol_and_length():
    table, bits = lookup_table(np.array([2, 1, 2], np.uint8))
    assert bits == 2
    assert table.tolist() == [1 << 4 | 1, 1 << 4 | 1, 0 << 4 | 2, 2 << 4 | 2]


@pytest.mark.parametrize(
    "lengths", [[1, 1, 1], [2, 2, 2], [2], [0, 0], [], [1, 2], [15] * 4], ids=str
)
def test_lengths_that_are_no_complete_code_are_refused(lengths):
    with pytest.raises(CorruptPackage, match="prefix code"):
        check_lengths(np.array(lengths, np.uint8))


def test_lengths_are_packed_as_nibbles_high_one_first():
    assert pack_lengths(np.array([1, 15, 2], np.uint8)) == b"\x1f\x20"
    assert unpack_lengths(b"\x1f\x20", 3).tolist() == [1, 15, 2]
    with pytest.raises(CorruptPackage, match="padding"):
        unpack_lengths(b"\x1f\x21", 3)
