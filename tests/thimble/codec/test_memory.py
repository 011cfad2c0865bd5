"""Decoding takes little more memory than what it returns."""

import subprocess
import sys

import numpy as np
import pytest

from tests.thimble.codec.making import tflite_file
from thimble.codec import encode_model, encode_tflite
from thimble.weights import Weights

ELEMENTS = 10_000_000
SLACK = 8 << 20

# The peak is that of /proc, which the kernel resets: ru_maxrss also counts what the process was
# before exec, a copy of this test runner.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from thimble.codec import decode, encode_model
from thimble.weights import Weights

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

decode(encode_model(Weights({}, {"t": np.arange(9.0)})))
package = Path(sys.argv[1]).read_bytes()
Path("/proc/self/clear_refs").write_text("5")
before = peak()
content = decode(package)
after = peak()
arrays = [*content.tensors.values()] if isinstance(content, Weights) else [np.frombuffer(
    content.data, np.uint8)]
print(after - before, sum(array.nbytes for array in arrays), content.__class__.__name__)
"""


@pytest.fixture(scope="module")
def weights():
    """40 MB of float32, 90 % zeros, the rest 31 centroids."""
    rng = np.random.default_rng(0)
    book = np.sort(np.append(rng.normal(size=31), 0)).astype(np.float32)
    indices = rng.integers(0, 32, ELEMENTS).astype(np.uint8)
    indices[rng.random(ELEMENTS, np.float32) < 0.9] = int(np.flatnonzero(book == 0)[0])
    return book[indices]


@pytest.mark.parametrize("kind", ["model", "tflite"])
def test_decoding_takes_the_output_and_8_mb(weights, kind, tmp_path, repository):
    path = tmp_path / "x.thimble"
    layers = {"a": weights[: ELEMENTS // 2], "b": weights[ELEMENTS // 2 :]}
    if kind == "model":
        path.write_bytes(encode_model(Weights({}, layers)))
    else:
        path.write_bytes(encode_tflite(tflite_file(layers), {}, "x"))
    program = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(program, cwd=repository, capture_output=True, text=True, check=True)
    grown, output, _ = done.stdout.split()
    assert int(output) >= 4 * ELEMENTS
    assert int(output) / 2 < int(grown) <= int(output) + SLACK
