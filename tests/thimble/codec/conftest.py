"""Small models, and packages broken on purpose."""

import hashlib
import json
import struct
import zlib

import numpy as np
import pytest

from thimble.codec.container import HEADER, KINDS, MAGIC, VERSION, unpack
from thimble.weights import Weights

PREPROCESSING = {
    "normalization": {"kind": "dataset", "mean": [0.4936], "std": [0.1712]},
    "bit_depth": 8,
    "channels": 1,
    "tile": 128,
    "classes": ["background", "membrane"],
    "intended_use": "research use only",
}


def quantized(rng, shape, sparsity, entries):
    """Return indices and a codebook with a zero, as the quantize stage makes them."""
    codebook = np.linspace(-1, 1, entries).astype(np.float16).astype(np.float32)
    zero = entries // 2
    codebook[zero] = 0.0
    indices = rng.integers(0, entries, shape).astype(np.uint8)
    indices[rng.random(shape) < sparsity] = zero
    return indices, codebook


@pytest.fixture
def model():
    """A model that has every kind of tensor."""
    rng = np.random.default_rng(7)
    tensors, constraints = {}, {}
    for name, shape, sparsity in (("sparse", (3, 3, 16, 20), 0.9), ("dense", (40, 20), 0.0)):
        indices, codebook = quantized(rng, shape, sparsity, 9)
        tensors[f"{name}/kernel"] = codebook[indices]
        constraints[f"{name}/kernel.indices"] = indices
        constraints[f"{name}/kernel.codebook"] = codebook
        constraints[f"{name}/kernel.mask"] = (codebook[indices] != 0).astype(np.uint8)
    pruned = rng.normal(size=(64, 50)).astype(np.float32)
    pruned[rng.random(pruned.shape) < 0.95] = 0
    tensors["pruned/kernel"] = pruned
    constraints["pruned/kernel.mask"] = (rng.random(pruned.shape) < 0.5).astype(np.uint8)
    tensors["float/kernel"] = rng.normal(size=(30, 40)).astype(np.float32)
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
def same():
    """Return a function that says whether two models are equal bit for bit."""

    def equal(a, b):
        def arrays(found):
            return {k: (v.dtype.name, v.shape, v.tobytes()) for k, v in found.items()}

        return (
            a.architecture == b.architecture
            and a.preprocessing == b.preprocessing
            and list(a.tensors) == list(b.tensors)
            and arrays(a.tensors) == arrays(b.tensors)
            and arrays(a.constraints) == arrays(b.constraints)
        )

    return equal


@pytest.fixture
def seal():
    """Return a function that makes a package with right checksums of any index and body."""

    def make(index, body=b"", kind=1, version=VERSION, text_bytes=None):
        text = index if isinstance(index, bytes) else json.dumps(index).encode()
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        stored = engine.compress(text) + engine.flush()
        size = HEADER.size + 4 + len(stored) + len(body) + 32
        text_bytes = len(text) if text_bytes is None else text_bytes
        start = HEADER.pack(MAGIC, *version, kind, 0, len(stored), text_bytes, size)
        whole = start + struct.pack("<I", zlib.crc32(start + stored)) + stored + body
        return whole + hashlib.sha256(whole).digest()

    return make


@pytest.fixture
def rebuild(seal):
    """Return a function that changes the index or sections of a package and seals it again."""

    def change(package, edit):
        container = unpack(package)
        index, contents = container.index, [part.data() for part in container.sections]
        edit(index, contents)
        index["sections"] = [["stored", len(data), len(data)] for data in contents]
        return seal(index, b"".join(contents), KINDS[container.kind])

    return change
