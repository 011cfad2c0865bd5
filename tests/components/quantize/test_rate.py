"""Entropy-constrained codebooks on weights that can be followed by hand."""

import numpy as np
import pytest

from components.quantize.rate import price_of, share_by_rate


def share(kernel: list[float], size: int, price: float, steep: float = 1.0) -> list[float]:
    weights = np.array(kernel, np.float32)
    codebook, indices = share_by_rate(
        weights, np.full(weights.shape, steep), size, price, "linear", 1
    )
    assert codebook[0] == 0.0
    assert indices.dtype == np.uint8
    assert (np.diff(codebook[1:]) > 0).all()
    return np.asarray(codebook[indices]).tolist()


def test_without_a_price_it_is_k_means() -> None:
    assert share([-1.0, 0.0, 2.0, 2.0, 0.0], 3, 0.0) == [-1.0, 0.0, 2.0, 2.0, 0.0]


def test_a_lone_weight_joins_its_neighbours_when_bits_are_dear() -> None:
    # 7 weights of 1 and one of 1.5. Apart: 7 * 0.19 + 3 = 4.4 bits and one entry more, 24 bits.
    # Together the mean is 1.0625: 7 * 0.0625^2 + 0.4375^2 = 0.2188 of loss.
    kernel = [1.0] * 7 + [1.5]
    assert share(kernel, 3, 0.0) == kernel
    assert share(kernel, 3, 0.005) == kernel  # 28.4 bits cost 0.14 < 0.2188
    assert share(kernel, 3, 0.01) == pytest.approx([1.0625] * 8)


def test_small_weights_go_to_zero_when_bits_are_dear() -> None:
    kernel = [0.0] * 90 + [0.01] * 2 + [1.0] * 8
    found = share(kernel, 4, 0.001)
    assert found[90:92] == [0.0, 0.0]
    assert found[92:] == [1.0] * 8


def test_a_steep_weight_keeps_its_value() -> None:
    kernel = np.array([1.0] * 7 + [1.5], np.float32)
    steep = np.ones(8)
    steep[7] = 100.0
    codebook, indices = share_by_rate(kernel, steep, 3, 0.01, "linear", 1)
    assert codebook[indices].tolist() == kernel.tolist()


def test_all_zero_and_tiny_kernels() -> None:
    codebook, indices = share_by_rate(
        np.zeros((3, 2), np.float32), np.ones((3, 2)), 8, 0.1, "linear", 1
    )
    assert codebook.tolist() == [0.0]
    assert indices.tolist() == [[0, 0]] * 3
    assert share([0.5], 16, 0.0) == [0.5]


def test_zeros_stay_zeros() -> None:
    generator = np.random.default_rng(3)
    kernel = generator.normal(size=(40, 50)).astype(np.float32)
    kernel[generator.random(kernel.shape) < 0.8] = 0
    codebook, indices = share_by_rate(kernel, np.ones(kernel.shape), 16, 1e-4, "linear", 1)
    assert (codebook[indices][kernel == 0] == 0).all()


def test_the_price_is_a_share_of_what_a_weight_is_worth() -> None:
    kernels = {"a": np.array([0.0, 2.0], np.float32), "b": np.array([[1.0]], np.float32)}
    steep = {"a": np.array([9.0, 1.0]), "b": np.array([[2.0]])}
    # h w^2 of the kept weights: 4 and 2.
    assert price_of(kernels, steep, 0.1) == pytest.approx(0.3)
    assert price_of({"a": np.zeros(3, np.float32)}, {"a": np.ones(3)}, 0.1) == 0.0


def test_dearer_bits_give_fewer_bits() -> None:
    generator = np.random.default_rng(5)
    kernel = generator.laplace(size=5000).astype(np.float32)
    kernel[np.abs(kernel) < 1.5] = 0

    def entropy(price: float) -> float:
        _, indices = share_by_rate(kernel, np.ones(kernel.shape), 16, price, "linear", 1)
        share = np.bincount(indices) / indices.size
        return float(-(share[share > 0] * np.log2(share[share > 0])).sum())

    found = [entropy(price) for price in (0.0, 0.01, 0.1, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0]
