"""How far samples of one population may differ: edges, divergence and limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.validate.limits import (
    bin_edges,
    count_bins,
    divergence,
    divergence_limit,
    norm_limit,
    presence_limit,
)


def test_edges_by_hand() -> None:
    edges = bin_edges(np.array([0.0, 1, 2, 3]), bins=2)
    assert edges[[0, 2, -1]].tolist() == [-3.0, 1.5, 6.0]
    assert count_bins(np.array([0.0, 1, 2, 3]), edges).tolist() == [0, 2, 2, 0]
    assert count_bins(np.array([-99.0, -0.1, 1.4, 3.1, 99]), edges).tolist() == [2, 1, 0, 2]


def test_a_constant_has_room_on_both_sides() -> None:
    edges = bin_edges(np.full(9, 256.0))
    assert count_bins(np.array([255.0, 256, 256, 257]), edges).tolist() == [1, 2, 1]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_edges_ascend_and_hold_the_sample_between_the_outer_parts(values: list[float]) -> None:
    sample = np.array(values, np.float64)
    edges = bin_edges(sample)
    assert np.all(np.diff(edges) > 0)
    counts = count_bins(sample, edges)
    assert counts.sum() == len(values)
    assert counts[0] == counts[-1] == 0


def test_divergence_by_hand() -> None:
    assert divergence(np.array([2.0, 0]), np.array([0, 5.0])) == 1
    assert divergence(np.array([1.0, 1]), np.array([4.0, 4])) == 0
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4)
    wanted = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5 * np.log2(2)) / 2
    assert divergence(np.array([1.0, 0]), np.array([1.0, 1])) == pytest.approx(wanted)


@pytest.mark.parametrize("sizes", [(8, 16), (12, 12), (12, 18), (20, 10), (30, 30)])
def test_small_samples_that_share_nothing_differ(sizes: tuple[int, int]) -> None:
    """Also at the small alarm that a feature of many is judged by."""
    rng = np.random.default_rng(7)
    sample = rng.normal(size=sizes[0])
    edges = bin_edges(sample)
    counts = count_bins(sample, edges)
    limit = divergence_limit(counts, sizes, 0.002 / 60, rng)
    assert divergence(counts, count_bins(np.full(sizes[1], 9.0), edges)) > limit


def test_chance_parts_the_smallest_samples() -> None:
    """Three and three: in 4 of 20 ways none of one lies within the range of the other."""
    counts, rng = np.array([0.0, 1, 1, 1, 0]), np.random.default_rng(8)
    assert divergence_limit(counts, (3, 3), 0.15, rng) < 1
    assert divergence_limit(counts, (3, 3), 0.002, rng) == 1


def test_chance_exceeds_a_limit_as_often_as_was_asked() -> None:
    """At one in a hundred, where it can still be counted."""
    rng = np.random.default_rng(5)
    shares = np.array([0.0, 0.3, 0.3, 0.2, 0.15, 0.05, 0.0])
    limit = divergence_limit(1000 * shares, (300, 120), 0.01, np.random.default_rng(6))
    draws = [rng.multinomial(n, shares, 20_000).astype(float) for n in (300, 120)]
    assert 0.005 < np.mean(divergence(*draws) > limit) < 0.015
    words = shares[1:-1]
    limit = norm_limit(list(1000 * words), (300, 120), 0.01)
    draws = [rng.multinomial(n, words, 20_000) / n for n in (300, 120)]
    assert np.mean(np.abs(draws[0] - draws[1]).max(axis=1) > limit) < 0.01


def test_limits_fall_with_the_samples() -> None:
    counts = np.full(10, 50.0)
    sizes = [(50, 50), (200, 200), (5000, 5000)]
    jumps = [divergence_limit(counts, n, 1e-4, np.random.default_rng(0)) for n in sizes]
    norms = [norm_limit(counts.tolist(), n, 1e-4) for n in sizes]
    assert jumps == sorted(jumps, reverse=True)
    assert norms == sorted(norms, reverse=True)
    again = divergence_limit(counts, sizes[0], 1e-4, np.random.default_rng(0))
    assert jumps[0] == again, "the seed decides"


def test_presence() -> None:
    assert presence_limit(1.0, (300, 100), 1e-4) == pytest.approx(0.99)
    assert 0.3 < presence_limit(0.7, (300, 100), 1e-4) < 0.7
    assert presence_limit(0.01, (300, 100), 1e-4) == 0
