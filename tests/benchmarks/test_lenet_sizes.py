"""The LeNet benchmark: what it counts and claims, by hand."""

import numpy as np
import pytest

from benchmarks.lenet.page import upper_bound
from benchmarks.lenet.sizes import bits_by_layer, bytes_by_stage, relative_entries
from thimble.weights import Weights


def quantized(kernel: np.ndarray, codebook: list[float]) -> Weights:
    """A network of one layer whose kernel takes these entries, with two biases."""
    values = np.array(codebook, np.float32)
    constraints = {"ip1/kernel.codebook": values, "ip1/kernel.indices": kernel.astype(np.uint8)}
    tensors = {"ip1/kernel": values[kernel], "ip1/bias": np.zeros(2, np.float32)}
    return Weights({"model": "lenet300", "config": {}}, tensors, constraints)


def test_a_gap_that_the_index_cannot_say_takes_fillers() -> None:
    kept = np.zeros(20, bool)
    kept[[0, 4, 13]] = True
    # Gaps 0, 3 and 8. Two bits say up to 3; each filler stands for three zeros and one of its own.
    assert relative_entries(kept, 2) == 3 + 2
    assert relative_entries(kept, 3) == 3 + 1
    assert relative_entries(kept, 4) == 3


def test_bytes_before_entropy_coding_by_hand() -> None:
    kernel = np.zeros((4, 4), np.int64)
    kernel.ravel()[[1, 3, 5, 7]] = [1, 2, 3, 1]
    sizes = bytes_by_stage(quantized(kernel, [0.0, -0.5, 0.25, 0.5]))
    assert sizes.dense == 4 * 18
    # Four gaps of 1: one bit each; two biases.
    assert sizes.pruned == (4 * (32 + 1) + 2 * 32 + 7) // 8
    assert sizes.shared == (4 * (2 + 1) + 4 * 16 + 2 * 16 + 7) // 8


def test_bits_of_positions_and_values_follow_the_content() -> None:
    generator = np.random.default_rng(1)
    kernel = generator.integers(1, 5, (200, 50)) * (generator.random((200, 50)) < 0.1)
    (layer, total) = bits_by_layer(quantized(kernel, [0.0, -0.5, -0.25, 0.25, 0.5]))
    assert layer.kept == total.kept == np.count_nonzero(kernel)
    assert layer.shared == 3
    # Entropies: two bits a value, 4.69 bits a position.
    assert 1.9 < layer.coded_shared < 2.3
    assert 4.5 < layer.coded_index < 5.1
    assert total.coded_index == layer.coded_index


def test_an_empty_layer_costs_nothing_per_weight() -> None:
    (layer, _) = bits_by_layer(quantized(np.zeros((3, 3), np.int64), [0.0]))
    assert (layer.kept, layer.coded_shared, layer.coded_index) == (0, 0.0, 0.0)


def test_the_bound_is_students() -> None:
    # Mean 2, standard deviation 1, t(0.95, 2) = 2.920.
    assert upper_bound([1.0, 2.0, 3.0]) == pytest.approx(2 + 2.920 / 3**0.5, abs=1e-3)
    assert upper_bound([1.0]) == float("inf")
