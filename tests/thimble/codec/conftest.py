"""Small models, and packages broken on purpose."""

import numpy as np
import pytest

from tests.thimble.codec import making
from thimble.codec import encode_model
from thimble.weights import Weights

PREPROCESSING = {
    "normalization": {"kind": "dataset", "mean": [0.4936], "std": [0.1712]},
    "bit_depth": 8,
    "channels": 1,
    "tile": 128,
    "classes": ["background", "membrane"],
    "intended_use": "research use only",
}


@pytest.fixture
def model():
    """A model that has every kind of tensor."""
    rng = np.random.default_rng(7)
    tensors, constraints = {}, {}
    for name, shape, sparsity in (("sparse", (3, 3, 16, 20), 0.9), ("dense", (40, 20), 0.0)):
        indices, codebook = making.quantized(rng, shape, sparsity, 9)
        tensors[f"{name}/kernel"] = codebook[indices]
        constraints[f"{name}/kernel.indices"] = indices
        constraints[f"{name}/kernel.codebook"] = codebook
        constraints[f"{name}/kernel.mask"] = (codebook[indices] != 0).astype(np.uint8)
    pruned = rng.normal(size=(64, 50)).astype(np.float32)
    pruned[rng.random(pruned.shape) < 0.95] = 0
    tensors["pruned/kernel"] = pruned
    constraints["pruned/kernel.mask"] = (rng.random(pruned.shape) < 0.5).astype(np.uint8)
    bits = rng.integers(0, 1 << 32, (40, 40), dtype=np.uint64).astype("<u4")
    tensors["noise/kernel"] = bits.view(np.float32)
    tensors["float/kernel"] = rng.normal(size=(30, 40)).astype(np.float32)
    tensors["scaled/kernel"] = making.scaled_weights(rng, (20, 60))
    tensors["bias"] = rng.normal(size=6).astype(np.float32)
    tensors["scale"] = np.float32(2.5).reshape(())
    return Weights({"model": "unet", "config": {"depth": 4}}, tensors, constraints, PREPROCESSING)


@pytest.fixture
def small_model():
    """A model whose package is small enough to damage at every bit."""
    indices = np.ones((16, 16), np.uint8)
    indices.flat[[3, 7, 60, 64, 68, 72, 200]] = [3, 0, 3, 2, 3, 0, 3]
    codebook = np.array([-0.5, 0, 0.25, 0.5], np.float32)
    constraints = {"a/kernel.indices": indices, "a/kernel.codebook": codebook}
    bias = np.array([1.5, -2.25, 3.0], np.float32)
    return Weights({"model": "x"}, {"a/kernel": codebook[indices], "a/bias": bias}, constraints)


@pytest.fixture
def pooled_model():
    """Layers that look alike, so that their streams share tables."""
    rng = np.random.default_rng(3)
    tensors = {}
    for number in range(6):
        layer = np.clip(np.rint(rng.laplace(0, 20, 300)), -100, 100).astype(np.int8)
        layer[:2] = -100, 100
        tensors[f"layer{number}"] = layer
    return Weights({"model": "x"}, tensors)


@pytest.fixture
def package_file(tmp_path, model):
    """The package of the model in a file."""
    path = tmp_path / "model.thimble"
    path.write_bytes(encode_model(model))
    return path


@pytest.fixture
def same():
    """Return a function that says whether two models are equal bit for bit."""

    def equal(a, b):
        def arrays(found):
            return {k: (v.dtype.name, np.shape(v), v.tobytes()) for k, v in found.items()}

        return (
            a.architecture == b.architecture
            and a.preprocessing == b.preprocessing
            and list(a.tensors) == list(b.tensors)
            and arrays(a.tensors) == arrays(b.tensors)
            and arrays(a.constraints) == arrays(b.constraints)
        )

    return equal
