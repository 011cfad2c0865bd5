"""NNCodec (ISO/IEC 15938-17) on the weights of a network: bytes, and the network it decodes to."""

import dataclasses
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.setting import ROOT
from thimble.stage import BadInput, ThimbleError
from thimble.weights import Weights

__all__ = ["PREFIX", "through_nncodec"]

PREFIX = "nncodec"
PYTHON = ROOT / ".venv-bench-codec" / "bin" / "python"
# From (height, width, input, output) to the layout that NNCodec expects, and back.
TO_TORCH, FROM_TORCH = (3, 2, 0, 1), (2, 3, 1, 0)


def through_nncodec(weights: Weights, qp: int) -> tuple[int, Weights]:
    """Encode and decode all tensors of a network with NNCodec.

    Args:
        weights: Normalisation folded; codebooks are not used.
        qp: Its quantization parameter: four are an octave of the step size, higher is coarser.

    Returns:
        Bytes of the whole bitstream, and the network that it decodes to.

    Raises:
        BadInput: If its environment is missing.
        ThimbleError: If it fails or gives back other tensors.
    """
    if not PYTHON.exists():
        raise BadInput(f"{PYTHON} is missing. Expected NNCodec there: benchmarks/codec/setup.sh")
    with tempfile.TemporaryDirectory(prefix="thimble-") as scratch:
        source, target = Path(scratch) / "in.npz", Path(scratch) / "out.npz"
        turned: dict[str, Any] = {
            name: _turn(array, TO_TORCH) for name, array in weights.tensors.items()
        }
        np.savez(source, **turned)
        size = _call(source, target, qp)
        with np.load(target) as arrays:
            back = {name: _turn(arrays[name], FROM_TORCH) for name in arrays.files}
    tensors = {name: back.get(name, np.empty(0)).astype(np.float32) for name in weights.tensors}
    if any(tensors[name].shape != array.shape for name, array in weights.tensors.items()):
        raise ThimbleError("NNCodec gives back other tensors than those that went in.")
    decoded = dataclasses.replace(weights, tensors=tensors, constraints={})
    return size, decoded


def _call(source: Path, target: Path, qp: int) -> int:
    """Run NNCodec in its environment; return the bytes of the bitstream."""
    command = [str(PYTHON), "-m", "benchmarks.quality.nncodec_side", str(source), str(target)]
    done = subprocess.run(
        [*command, str(qp)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ThimbleError(f"NNCodec failed at QP {qp}: {done.stderr.strip()[-300:]}")
    return int(done.stdout.split()[-1])


def _turn(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Transpose a kernel; leave a bias."""
    return np.ascontiguousarray(array.transpose(axes)) if array.ndim == len(axes) else array
