"""Several threads give what one gives, and equal content gives equal bytes everywhere."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.thimble.codec.making import parts_of, seal, tflite_file
from thimble.codec import CorruptPackage, Package, decode, encode_model, encode_tflite
from thimble.weights import Weights


@pytest.fixture
def many():
    """A model of many tensors of all kinds."""
    rng = np.random.default_rng(9)
    tensors = {}
    for number in range(24):
        layer = rng.normal(size=(8, 8, 9, 5)).astype(np.float32)
        layer[rng.random(layer.shape) < 0.9] = 0
        tensors[f"sparse{number}"] = layer
        tensors[f"few{number}"] = rng.choice([0.0, 0.5, 1.0], (50, 50)).astype(np.float32)
        tensors[f"whole{number}"] = rng.integers(-99, 99, 700).astype(np.int16)
    return Weights({}, tensors)


@pytest.mark.parametrize("threads", [2, 4, 200])
def test_threads_give_the_same_model(many, same, threads):
    package = encode_model(many)
    assert same(decode(package, threads=threads), decode(package, threads=1))
    assert same(decode(package, threads=threads), many)


def test_threads_give_the_same_tflite_file():
    rng = np.random.default_rng(1)
    arrays = {str(n): rng.integers(-9, 9, 999 + n).astype(np.int8) for n in range(20)}
    tflite = tflite_file(arrays)
    package = encode_tflite(tflite, {}, "x")
    assert decode(package, threads=4).data == decode(package).data == tflite


def test_an_error_in_a_thread_is_raised(many):
    index, rows, pool = parts_of(encode_model(many))
    rows[40] = bytes(len(rows[40]))
    with pytest.raises(CorruptPackage):
        decode(seal(index, rows, pool=pool), threads=4)


def test_one_package_is_read_by_many_threads(many):
    package = Package(encode_model(many))
    names = package.names * 3
    with ThreadPoolExecutor(8) as workers:
        for name, found in zip(names, workers.map(package.tensor, names), strict=True):
            assert found.tobytes() == many.tensors[name].tobytes()


def test_packages_are_encoded_by_many_threads(many):
    with ThreadPoolExecutor(4) as workers:
        packages = set(workers.map(lambda _: encode_model(many), range(4)))
    assert packages == {encode_model(many)}


PROGRAM = """
import hashlib, numpy as np
from thimble.codec import encode_model
from thimble.weights import Weights
rng = np.random.default_rng(4)
draws = rng.normal(size=(6, 4000)).astype(np.float32)
tensors = {f"t{n}": np.where(rng.random(4000) < 0.9, 0, row) for n, row in enumerate(draws)}
tensors |= {f"q{n}": np.rint(9 * row).astype(np.int8) for n, row in enumerate(draws)}
names = {"beta", "alpha", "gamma", "delta"}
constraints = {name: np.arange(len(name), dtype=np.int32) for name in names}
weights = Weights({"config": {"b": 1, "a": [1.5, "x"]}}, tensors, constraints)
print(hashlib.sha256(encode_model(weights)).hexdigest())
"""


def test_equal_content_gives_equal_bytes_in_any_process(repository):
    found = set()
    for seed in ("0", "12345"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        program = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            program, cwd=repository, env=environment, capture_output=True, text=True, check=True
        )
        found.add(done.stdout.strip())
    namespace = {}
    exec(PROGRAM, namespace)
    found.add(hashlib.sha256(encode_model(namespace["weights"])).hexdigest())
    assert len(found) == 1
