"""How far two samples of one population may differ by chance: the limits of every comparison.

A fixed limit is too strict for a hundred images and too lax for ten thousand. So each limit follows
from how many patients either sample holds and from how the reference is spread.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = [
    "bin_edges",
    "count_bins",
    "divergence",
    "divergence_limit",
    "norm_limit",
    "presence_limit",
]

BINS = 10
DRAWS = 1000
LEAST_DIVERGENCE = 0.005
# Two samples that share no part differ by 1.
BELOW_ALL = 0.999

Counts = NDArray[np.float64]


def bin_edges(values: NDArray[np.float64], bins: int = BINS) -> NDArray[np.float64]:
    """Return edges between which a sample lies in about equal parts; equal values stay together.

    Args:
        values: The sample, finite.
        bins: How many parts at most.

    Returns:
        At least four ascending edges. The first and the last part hold nothing of the sample: they
        are for what is smaller or larger than all of it.
    """
    found = np.unique(values)
    reach = max(float(found[-1] - found[0]), abs(float(found[-1])) * 1e-3, 1e-6)
    middles = (found[:-1] + found[1:]) / 2
    wanted = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    places = np.minimum(np.searchsorted(middles, wanted), len(middles) - 1)
    inner = np.unique(middles[places]) if len(middles) else middles
    small = 1e-6 * reach
    low, high = found[0], found[-1]
    return np.concatenate([[low - reach, low - small], inner, [high + small, high + reach]])


def count_bins(values: NDArray[np.float64], edges: NDArray[np.float64]) -> Counts:
    """Return how many values lie in each part; the outer edges do not count."""
    places = np.searchsorted(edges[1:-1], values, side="right")
    return np.bincount(places, minlength=len(edges) - 1).astype(np.float64)


def divergence(first: Counts, second: Counts) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence of counts in bits, along the last axis.

    Source: Lin, Divergence measures based on the Shannon entropy, 1991, equation 4.1.
    """
    p = first / first.sum(axis=-1, keepdims=True)
    q = second / second.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(x > 0, x * np.log2(x / middle), 0) for x in (p, q)]
    return np.asarray((terms[0] + terms[1]).sum(axis=-1) / 2)


def divergence_limit(
    counts: Counts, sizes: tuple[float, float], alarm: float, rng: np.random.Generator
) -> float:
    """Return what the divergence of two samples of one population exceeds with a probability.

    Args:
        counts: How a sample of the population lies in the parts.
        sizes: How many patients either sample holds.
        alarm: The probability, so small that it lies far beyond what can be drawn: the draws are
            continued by a gamma distribution of their mean and variance, as the divergence of
            multinomials is a multiple of chi-squared in the limit.
        rng: Of the draws.

    Returns:
        In [LEAST_DIVERGENCE, 1]; 1, which nothing exceeds, only where two such small samples of one
        population share no part more often than `alarm`.
    """
    # Also what was never seen may come.
    shares = (counts + 0.5) / (counts + 0.5).sum()
    first, second = (rng.multinomial(max(1, round(n)), shares, DRAWS) for n in sizes)
    found = divergence(first.astype(np.float64), second.astype(np.float64))
    mean, variance = float(found.mean()), float(found.var())
    if variance == 0:
        return LEAST_DIVERGENCE
    limit = stats.gamma.isf(alarm, mean**2 / variance, scale=variance / mean)
    most = BELOW_ALL if _apart(*sizes) < alarm else 1.0
    return float(min(max(limit, LEAST_DIVERGENCE), most))


def _apart(first: float, second: float) -> float:
    """Return how often no value of the second sample lies within the range of the first.

    All orders of the values of one population are equally likely; in `second + 1` of the ways to
    choose the places of the first these are neighbours. The parts within the range all hold
    something of the first sample, so that only then no part is shared.
    """
    n, m = (max(1, round(size)) for size in (first, second))
    ways = math.lgamma(n + m + 1) - math.lgamma(n + 1) - math.lgamma(m + 1)
    return math.exp(math.log(m + 1) - ways)


def norm_limit(counts: Sequence[float], sizes: tuple[float, float], alarm: float) -> float:
    """Return what the largest difference of shares of a value exceeds with a probability at most.

    Source: Bernstein's inequality, for each value, with the union bound.
    """
    shares = (np.asarray(counts) + 1) / (np.sum(counts) + len(counts))
    first, second = (max(1.0, size) for size in sizes)
    variance = float((shares * (1 - shares)).max()) * (1 / first + 1 / second)
    tail = np.log(2 * len(shares) / alarm)
    return float(min(np.sqrt(2 * variance * tail) + tail / (3 * min(first, second)), 1))


def presence_limit(share: float, sizes: tuple[float, float], alarm: float) -> float:
    """Return the least share of images that have a feature, given that of the reference."""
    first, second = (max(1.0, size) for size in sizes)
    missing = (1 - share) + 1 / first
    spread = norm_limit([missing * first, share * first], (first, second), alarm)
    return max(0.0, 1 - missing - spread) if share < 1 else max(0.0, 1 - 3 / first)
