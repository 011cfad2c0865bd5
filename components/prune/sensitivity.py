"""Sensitivity of each layer to pruning and where to spend the loss."""

from collections.abc import Callable, Mapping

import numpy as np

from thimble.stage import require

__all__ = ["PROBED", "allocate", "magnitude_mask", "scan_layers"]

PROBED = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
BISECTIONS = 60


def magnitude_mask(kernel: np.ndarray, sparsity: float) -> np.ndarray:
    """Return 1 for the weights that stay when the smallest go; same shape as `kernel`, uint8.

    Args:
        kernel: Any shape.
        sparsity: Share to drop, in [0, 1); at least one weight stays.
    """
    dropped = min(round(sparsity * kernel.size), kernel.size - 1)
    order = np.argsort(np.abs(kernel), axis=None, kind="stable")
    mask = np.ones(kernel.size, np.uint8)
    mask[order[:dropped]] = 0
    return mask.reshape(kernel.shape)


def scan_layers(
    kernels: Mapping[str, np.ndarray],
    loss_with: Callable[[str, np.ndarray], float],
    base_loss: float,
    probed: tuple[float, ...] = PROBED,
) -> dict[str, np.ndarray]:
    """Measure how much the validation loss rises when one layer alone is pruned.

    Args:
        kernels: Kernels by name.
        loss_with: Validation loss with one kernel replaced.
        base_loss: Validation loss of the whole network.
        probed: Sparsities to try, ascending.

    Returns:
        By name, the rises `(len(probed),)`, never below 0.

    Source: Han et al., 2015 ("Learning both weights and connections"), section 3.1, figure 6.
    """
    return {
        name: np.array(
            [
                max(loss_with(name, kernel * magnitude_mask(kernel, s)) - base_loss, 0.0)
                for s in probed
            ]
        )
        for name, kernel in kernels.items()
    }


def _marginal_costs(rises: np.ndarray, size: int, probed: tuple[float, ...]) -> np.ndarray:
    """Return the loss per dropped weight of each interval, made non-decreasing.

    A one-shot loss saturates once a layer is broken; without this the cheapest plan would be to
    destroy that layer.
    """
    knots = np.concatenate([[0.0], rises])
    spans = np.diff(np.concatenate([[0.0], probed]))
    slopes = np.diff(knots) / (spans * size)
    floor = 1e-12 / size
    increasing: np.ndarray = np.maximum.accumulate(np.maximum(slopes, floor))
    return increasing


def _choose(price: float, costs: np.ndarray, probed: tuple[float, ...]) -> float:
    """Return the largest probed sparsity whose marginal cost stays within the price."""
    reached = int(np.searchsorted(costs, price, side="right"))
    return 0.0 if reached == 0 else probed[reached - 1]


def allocate(
    sizes: Mapping[str, int],
    rises: Mapping[str, np.ndarray],
    target: float,
    probed: tuple[float, ...] = PROBED,
) -> dict[str, float]:
    """Choose a sparsity per layer so that the total is met at the least predicted loss.

    All layers pay the same price: loss per dropped weight at the margin (Lagrange). The two
    neighbouring solutions are blended, so that the total is exact.

    Args:
        sizes: Weights of each layer.
        rises: From `scan_layers`.
        target: Sparsity over all layers, in [0, the largest probed].
        probed: The sparsities of the scan, ascending.

    Raises:
        BadInput: If the target is beyond what was probed.
    """
    require(0 <= target <= probed[-1], f"sparsity must be in [0, {probed[-1]}]", sparsity=target)
    names = list(sizes)
    weights = np.array([sizes[name] for name in names], np.float64)
    costs = [_marginal_costs(rises[name], sizes[name], probed) for name in names]

    def plan(price: float) -> tuple[np.ndarray, float]:
        chosen = np.array([_choose(price, cost, probed) for cost in costs])
        return chosen, float((chosen * weights).sum() / weights.sum())

    low, high = 1e-30, max(float(cost[-1]) for cost in costs) * 2
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if plan(middle)[1] < target else (low, middle)
    (below, total_below), (above, total_above) = plan(low), plan(high)
    gap = total_above - total_below
    share = 1.0 if gap <= 0 else (target - total_below) / gap
    blended = below + min(max(share, 0.0), 1.0) * (above - below)
    return dict(zip(names, blended.tolist(), strict=True))
