"""Shared values of a layer: one-dimensional k-means with zero kept apart."""

import numpy as np

from thimble.stage import require

__all__ = ["INITIALIZATIONS", "cluster", "initial_centroids"]

MAX_ITERATIONS = 100


def _linear(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Spread the centroids evenly between the smallest and the largest value."""
    del seed
    return np.linspace(values.min(), values.max(), count)


def _density(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Spread the centroids evenly over the cumulative distribution."""
    del seed
    return np.quantile(values, (np.arange(count) + 0.5) / count)


def _random(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw the centroids from the values (Forgy)."""
    return np.random.default_rng(seed).choice(values, count, replace=False)


INITIALIZATIONS = {"linear": _linear, "density": _density, "random": _random}


def initial_centroids(values: np.ndarray, count: int, method: str, seed: int) -> np.ndarray:
    """Return ascending start values of k-means, `(count,)` float64.

    Args:
        values: `(n,)`, n >= count.
        count: Number of centroids.
        method: A name in `INITIALIZATIONS`.
        seed: Of the random method.

    Raises:
        BadInput: If the method is unknown.

    Source: Han, Mao, Dally, 2015, section 3.2.
    """
    known = ", ".join(INITIALIZATIONS)
    require(method in INITIALIZATIONS, f"initialization must be one of {known}", method=method)
    return np.sort(INITIALIZATIONS[method](values.astype(np.float64), count, seed))


def cluster(
    kernel: np.ndarray, size: int, method: str = "linear", seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Share values: k-means over the non-zero weights; index 0 is the value 0.

    A layer with fewer distinct non-zero weights than `size - 1` keeps just those.

    Args:
        kernel: Weights of any shape, float32.
        size: Entries of the codebook with the zero, in [2, 65536].
        method: Start of k-means.
        seed: Of the random start.

    Returns:
        Codebook `(entries,)` float32 whose first entry is 0 and whose rest ascends, and the index
        of each weight, shaped as `kernel`, uint8 or uint16.

    Source: Han, Mao, Dally, 2015, section 3.1, equation 2.
    """
    weights = kernel.ravel()
    kept = weights[weights != 0].astype(np.float64)
    distinct = np.unique(kept)
    if distinct.size <= size - 1:
        centroids = distinct
    else:
        centroids = _lloyd(np.sort(kept), initial_centroids(kept, size - 1, method, seed))
    codebook = np.concatenate([[0.0], centroids]).astype(np.float32)
    dtype = np.uint8 if codebook.size <= 256 else np.uint16
    indices = np.zeros(weights.size, dtype)
    if centroids.size:
        edges = (centroids[1:] + centroids[:-1]) / 2
        indices[weights != 0] = 1 + np.searchsorted(edges, kept)
    return codebook, indices.reshape(kernel.shape)


def _lloyd(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Move centroids to the means of their values until none changes; empty ones are dropped."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(MAX_ITERATIONS):
        edges = (centroids[1:] + centroids[:-1]) / 2
        bounds = np.concatenate([[0], np.searchsorted(values, edges), [values.size]])
        counts = np.diff(bounds)
        means = (sums[bounds[1:]] - sums[bounds[:-1]])[counts > 0] / counts[counts > 0]
        if means.size == centroids.size and np.allclose(means, centroids, rtol=1e-7, atol=0.0):
            break
        centroids = means
    return centroids
