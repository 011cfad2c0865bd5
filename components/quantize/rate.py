"""Rate-aware codebooks: a weight takes the value that costs least in loss and bits together."""

from collections.abc import Mapping

import numpy as np

from components.quantize.codebook import cluster

__all__ = ["Shared", "price_of", "share_by_rate"]

# A codebook `(entries,)` float32 whose first entry is 0, and the entry of each weight.
Shared = tuple[np.ndarray, np.ndarray]

MAX_ROUNDS = 30
# What one more entry costs beside the symbols: a float16 and about a byte of code table.
ENTRY_BITS = 24.0


def price_of(
    kernels: Mapping[str, np.ndarray], sensitivities: Mapping[str, np.ndarray], rate_weight: float
) -> float:
    """Return lambda, the loss that one bit is worth: `rate_weight` times the mean of h w^2.

    h w^2 is (twice) the loss of dropping a weight, so that the weight means the same for every
    network. One price for all layers gives each the codebook that it deserves.

    Args:
        kernels: By layer; zeros do not count.
        sensitivities: h by layer, shaped as the kernels.
        rate_weight: >= 0.
    """
    costs = [
        (sensitivities[name] * np.square(kernel, dtype=np.float64))[kernel != 0]
        for name, kernel in kernels.items()
    ]
    total = np.concatenate([np.ravel(cost) for cost in costs])
    return rate_weight * float(total.mean()) if total.size else 0.0


def share_by_rate(
    kernel: np.ndarray, sensitivity: np.ndarray, size: int, price: float, method: str, seed: int
) -> Shared:
    """Choose codebook and entries that minimise sum h (w - c)^2 + price * bits.

    Starts from k-means; then weights move to the entry that is cheapest for them (also to zero),
    entries move to the h-weighted means of their weights, and code lengths follow the counts, until
    nothing moves. Entries that do not earn their place go.

    Args:
        kernel: Weights of any shape, float32; zeros stay zero.
        sensitivity: h, second derivative of the loss by weight, shaped as the kernel, >= 0.
        size: Entries at most, with the zero.
        price: lambda, loss per bit, >= 0.
        method: Start of k-means.
        seed: Of the random start.

    Returns:
        Codebook and entries as `cluster` gives them; one entry for a kernel of zeros.

    Source: Chou, Lookabaugh, Gray, 1989, section II (entropy-constrained quantisation); Choi,
        El-Khamy, Lee, 2017, sections 3.2 (h-weighted k-means) and 4 (entropy constraint).
    """
    codebook, indices = cluster(kernel, size, method, seed)
    kept = np.flatnonzero(kernel)
    weights = kernel.ravel()[kept].astype(np.float64)
    steep = sensitivity.ravel()[kept].astype(np.float64)
    centroids = codebook.astype(np.float64)
    chosen = indices.ravel()[kept].astype(np.int64)
    zeros = kernel.size - kept.size
    problem = _Problem(weights, steep, zeros, price)
    centroids, chosen = problem.settle(centroids, chosen)
    centroids, chosen = problem.thin(centroids, chosen)
    return _rebuild(kernel, kept, centroids, chosen)


class _Problem:
    """The kept weights of one kernel and what they cost."""

    def __init__(self, weights: np.ndarray, steep: np.ndarray, zeros: int, price: float) -> None:
        self.weights, self.steep, self.zeros, self.price = weights, steep, zeros, price

    def lengths(self, chosen: np.ndarray, entries: int) -> np.ndarray:
        """Return the code length of each entry, the zeros that stay included."""
        counts = np.bincount(chosen, minlength=entries).astype(np.float64)
        counts[0] += self.zeros
        return np.asarray(-np.log2(np.maximum(counts, 0.5) / counts.sum()))

    def assign(self, centroids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the cheapest entry of each weight."""
        best = np.full(self.weights.size, np.inf)
        chosen = np.zeros(self.weights.size, np.int64)
        for entry, (centroid, length) in enumerate(zip(centroids, lengths, strict=True)):
            cost = self.steep * (self.weights - centroid) ** 2 + self.price * length
            better = cost < best
            best[better], chosen[better] = cost[better], entry
        return chosen

    def means(self, chosen: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        """Return the h-weighted means of the entries; zero and empty entries do not move."""
        mass = np.bincount(chosen, self.steep, minlength=centroids.size)
        sums = np.bincount(chosen, self.steep * self.weights, minlength=centroids.size)
        moved = np.where(mass > 0, sums / np.where(mass > 0, mass, 1.0), centroids)
        moved[0] = 0.0
        return moved

    def settle(self, centroids: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move weights and entries in turn until nothing moves."""
        for _ in range(MAX_ROUNDS):
            lengths = self.lengths(chosen, centroids.size)
            moved = self.assign(centroids, lengths)
            centroids = self.means(moved, centroids)
            used = np.union1d([0], moved)
            if used.size < centroids.size:
                centroids, moved = centroids[used], np.searchsorted(used, moved)
            elif np.array_equal(moved, chosen):
                break
            chosen = moved
        return centroids, chosen

    def thin(self, centroids: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drop one entry after another while that lowers the cost."""
        while centroids.size > 1:
            cost = self.cost(centroids, chosen)
            counts = np.bincount(chosen, minlength=centroids.size)
            entry = 1 + int(np.argmin(counts[1:]))
            fewer = np.delete(centroids, entry)
            start = self.assign(fewer, np.delete(self.lengths(chosen, centroids.size), entry))
            found = self.settle(fewer, start)
            if self.cost(*found) >= cost:
                break
            centroids, chosen = found
        return centroids, chosen

    def cost(self, centroids: np.ndarray, chosen: np.ndarray) -> float:
        """Return the loss and the price of the bits of an assignment."""
        lengths = self.lengths(chosen, centroids.size)
        loss = float((self.steep * (self.weights - centroids[chosen]) ** 2).sum())
        bits = self.zeros * lengths[0] + lengths[chosen].sum() + ENTRY_BITS * centroids.size
        return loss + self.price * float(bits)


def _rebuild(
    kernel: np.ndarray, kept: np.ndarray, centroids: np.ndarray, chosen: np.ndarray
) -> Shared:
    """Return codebook and entries of the whole kernel, values ascending after the zero."""
    order = np.concatenate([[0], 1 + np.argsort(centroids[1:], kind="stable")]).astype(np.int64)
    rank = np.argsort(order, kind="stable")
    indices = np.zeros(kernel.size, np.uint8 if centroids.size <= 256 else np.uint16)
    indices[kept] = rank[chosen]
    return centroids[order].astype(np.float32), indices.reshape(kernel.shape)
