"""Sparsity per layer: masks and allocation worked by hand."""

import numpy as np
import pytest

from components.prune.plan import MOST, share_out
from components.prune.sensitivity import PROBED, allocate, magnitude_mask, scan_layers
from thimble.stage import BadInput


def test_mask_drops_the_smallest_magnitudes() -> None:
    kernel = np.array([[-3.0, 0.5], [0.1, -0.2]], np.float32)
    assert magnitude_mask(kernel, 0.5).tolist() == [[1, 1], [0, 0]]


def test_mask_breaks_ties_by_position() -> None:
    assert magnitude_mask(np.array([1.0, -1.0, 1.0, 1.0]), 0.5).tolist() == [0, 0, 1, 1]


def test_mask_keeps_at_least_one_weight() -> None:
    assert magnitude_mask(np.array([0.1, 0.2]), 0.98).tolist() == [0, 1]


def test_scan_reports_only_rises() -> None:
    kernels = {"a": np.array([1.0, 2.0, 3.0, 4.0])}
    rises = scan_layers(kernels, lambda _, kernel: float(kernel.sum()), 5.0, (0.25, 0.5))
    # 2+3+4 = 9 is 4 above the base of 5, 3+4 = 7 is 2 above it.
    assert rises["a"].tolist() == [4.0, 2.0]


def test_allocation_meets_the_target_exactly() -> None:
    generator = np.random.default_rng(1)
    sizes = {f"layer{i}": int(n) for i, n in enumerate([9, 150, 2000, 40000, 7])}
    rises = {name: np.sort(generator.random(len(PROBED))) for name in sizes}
    for target in (0.0, 0.3, 0.8, 0.9, 0.95, 0.98):
        plan = allocate(sizes, rises, target)
        total = sum(plan[name] * size for name, size in sizes.items()) / sum(sizes.values())
        assert total == pytest.approx(target, abs=1e-9)
        assert all(0.0 <= value <= PROBED[-1] for value in plan.values())


def test_allocation_spares_the_sensitive_layer() -> None:
    sizes = {"tough": 1000, "tender": 1000}
    rises = {"tough": np.linspace(0, 0.01, len(PROBED)), "tender": np.linspace(0.5, 5, len(PROBED))}
    plan = allocate(sizes, rises, 0.8)
    assert plan["tough"] > 0.95 > plan["tender"]


def test_a_saturated_loss_does_not_invite_to_destroy_a_layer() -> None:
    """A broken layer's loss stops rising; that must not make its last weights look free."""
    sizes = {"saturating": 1000, "linear": 1000}
    rises = {
        "saturating": np.array([2.0] * 8),
        "linear": np.array([0.1, 0.2, 0.4, 0.8, 1.0, 1.2, 1.3, 1.4]),
    }
    plan = allocate(sizes, rises, 0.45)
    assert plan["linear"] > plan["saturating"]


def test_a_target_beyond_the_probed_range_is_refused() -> None:
    with pytest.raises(BadInput, match=r"sparsity must be in \[0, 0.995\].*0.999"):
        allocate({"a": 4}, {"a": np.zeros(len(PROBED))}, 0.999)


def test_the_weights_that_cost_least_go_wherever_they_are() -> None:
    kernels = {
        "a": np.array([[1.0, -2.0], [3.0, 4.0]], np.float32),
        "b": np.array([1.0, 1.0, 1.0, 10.0], np.float32),
    }
    curvatures = {"a": np.full((2, 2), 1.0), "b": np.array([0.1, 0.1, 0.1, 1.0])}
    # h w^2: a 1, 4, 9, 16; b 0.1 three times, 100.
    assert share_out(kernels, curvatures, 0.5) == {"a": 0.25, "b": 0.75}
    assert share_out(kernels, curvatures, 0.0) == {"a": 0.0, "b": 0.0}


def test_other_layers_make_up_for_one_that_is_at_its_limit() -> None:
    generator = np.random.default_rng(2)
    kernels = {name: generator.normal(size=4000) for name in ("flat", "steep")}
    curvatures = {"flat": np.full(4000, 1e-9), "steep": np.ones(4000)}
    plan = share_out(kernels, curvatures, 0.6)
    assert plan["flat"] == MOST
    assert (plan["flat"] + plan["steep"]) / 2 == pytest.approx(0.6, abs=1e-3)
