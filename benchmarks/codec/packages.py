"""Whole packages: speed, memory, and the bytes that are not coded streams."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.codec.coders import decode, encode_model, encode_tflite, inspect
from benchmarks.codec.sets import IntegerSet
from benchmarks.codec.timing import seconds_per_call
from thimble.weights import Weights

__all__ = ["measure_package"]

ROOT = Path(__file__).resolve().parents[2]
LEAST_SECONDS = 0.02


def measure_package(integers: IntegerSet, tflite: bytes | None, repeats: int) -> dict[str, Any]:
    """Pack a whole model.

    Args:
        integers: Its set, with the weights.
        tflite: Its float32 TFLite file, if there is one.
        repeats: The fastest of so many counts.

    Returns:
        Bytes, seconds, bytes beyond the streams, peak memory beyond the output, and what the
        packed TFLite file takes.

    Raises:
        ValueError: If the model does not come back as it was.
    """
    weights = integers.weights
    if weights is None:
        raise ValueError(f"{integers.name} has no model. Expected a set of one.")
    encode, package = _fastest(lambda: encode_model(weights), repeats)
    seconds, back = _fastest(lambda: decode(package), repeats)
    if not _equal(weights, back):
        raise ValueError(f"The package of {integers.name} does not give it back.")
    sections = inspect(package)["sections"]
    streams = sections.get("streams")
    result: dict[str, Any] = {
        "parameters": sum(array.size for array in weights.tensors.values()),
        "bytes": len(package),
        "encode": encode,
        "decode": seconds,
        "sections": sections,
        "beyond_streams": None if streams is None else len(package) - streams,
        "memory": _memory(package),
        "tflite": None,
    }
    if tflite is not None:
        # As the convert stage ships it: same preprocessing, the variant's name.
        packed = encode_tflite(tflite, weights.preprocessing, "float32")
        result["tflite"] = {"bytes": len(tflite), "package": len(packed)}
    return result


def _fastest(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the fewest seconds of a call, and what it returned."""
    found = [seconds_per_call(call, LEAST_SECONDS) for _ in range(repeats)]
    return min(seconds for seconds, _ in found), found[-1][1]


def _equal(weights: Weights, back: Weights) -> bool:
    """Whether all arrays are the same, bit for bit."""
    pairs = ((weights.tensors, back.tensors), (weights.constraints, back.constraints))
    return all(
        set(left) == set(right)
        and all(np.asarray(left[name]).tobytes() == right[name].tobytes() for name in left)
        for left, right in pairs
    )


def _memory(package: bytes) -> dict[str, int]:
    """Decode in a fresh process and return its peak and the bytes of the output."""
    small = Weights({}, {"one": np.ones((2, 2), np.float32)})
    with tempfile.TemporaryDirectory() as folder:
        path, warm = Path(folder) / "model.thimble", Path(folder) / "warm.thimble"
        path.write_bytes(package)
        warm.write_bytes(encode_model(small))
        command = [sys.executable, "-m", "benchmarks.codec.memory", str(path), str(warm)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))
