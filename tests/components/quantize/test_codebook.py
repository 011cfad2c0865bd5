"""Shared values: k-means worked by hand, and what must hold for any layer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.quantize.codebook import INITIALIZATIONS, cluster, initial_centroids
from components.quantize.folding import fold_batch_norm
from thimble.models import build, from_keras, to_keras
from thimble.stage import BadInput


def test_two_clusters_by_hand() -> None:
    kernel = np.array([[1.0, 3.0, 0.0], [11.0, 13.0, 0.0]], np.float32)
    codebook, indices = cluster(kernel, 3)
    assert codebook.tolist() == [0.0, 2.0, 12.0]
    assert indices.tolist() == [[1, 1, 0], [2, 2, 0]]
    assert indices.dtype == np.uint8


def test_a_layer_with_few_values_keeps_them_exactly() -> None:
    kernel = np.array([0.5, 0.0, -0.25, 0.5], np.float32)
    codebook, indices = cluster(kernel, 32)
    assert codebook.tolist() == [0.0, -0.25, 0.5]
    assert np.array_equal(codebook[indices], kernel)


def test_an_all_zero_layer_has_one_value() -> None:
    codebook, indices = cluster(np.zeros((3, 3), np.float32), 16)
    assert codebook.tolist() == [0.0]
    assert not indices.any()


@pytest.mark.parametrize("method", INITIALIZATIONS)
def test_every_start_reduces_the_error_below_its_own(method: str) -> None:
    values = np.random.default_rng(3).normal(size=4000).astype(np.float32)
    start = initial_centroids(values, 15, method, 1)
    nearest = np.abs(values[:, None] - start[None, :]).min(1)
    codebook, indices = cluster(values, 16, method, 1)
    assert np.mean((codebook[indices] - values) ** 2) < np.mean(nearest**2)


def test_linear_start_spans_the_range_and_density_follows_the_data() -> None:
    values = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    assert initial_centroids(values, 3, "linear", 1).tolist() == [0.0, 50.0, 100.0]
    assert initial_centroids(values, 3, "density", 1)[1] == 2.0


def test_unknown_start_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="linear, density, random"):
        initial_centroids(np.ones(4), 2, "magic", 1)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-8, 8, width=32)),
    st.integers(2, 40),
)
def test_zeros_stay_zero_and_nothing_else_becomes_zero(kernel: np.ndarray, size: int) -> None:
    codebook, indices = cluster(kernel, size)
    assert codebook[0] == 0.0
    assert np.array_equal(indices == 0, kernel == 0)
    assert codebook.size <= size
    assert indices.max() < codebook.size


def test_folding_keeps_the_function_and_the_zeros() -> None:
    architecture = {"model": "unet", "config": {"base_width": 2, "depth": 2}}
    model = build({**architecture, "config": {**architecture["config"]}})
    generator = np.random.default_rng(5)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([generator.uniform(0.5, 2.0, w.shape) for w in layer.weights])
    kernel = model.get_layer("conv_e1_a").kernel
    kernel.assign(kernel * generator.integers(0, 2, kernel.shape))
    architecture["config"]["normalization"] = "batch"
    weights = from_keras(model, architecture, {})
    folded = fold_batch_norm(weights)
    image = generator.normal(size=(1, 32, 32, 1)).astype(np.float32)
    expected, received = model(image).numpy(), to_keras(folded)(image).numpy()
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)
    name = "conv_e1_a/kernel"
    assert np.array_equal(folded.tensors[name] == 0, weights.tensors[name] == 0)
    assert not any("_bn/" in tensor for tensor in folded.tensors)
    assert fold_batch_norm(folded) is folded
