"""The integers that are coded: of our models, of U-Nets with random weights, of the grid."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.codec.charge import Tensor, codebook_bytes, zero_centred
from components.quantize.codebook import cluster
from pipelines.run_folder import RunFolder
from thimble.artifact import load_history
from thimble.stage import BadInput
from thimble.weights import Weights, load_weights

__all__ = [
    "ENTRIES",
    "SIZES",
    "SPARSITIES",
    "IntegerSet",
    "cell",
    "load_model",
    "quantized_models",
    "random_unet",
]

SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
ENTRIES = (2, 4, 16, 32, 64, 256)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
# k-means sees no more weights than these; a layer of a network has about as many.
FITTED_WEIGHTS = 50_000
# Below this size a cell is several draws of weights, so that one byte is not luck.
AVERAGED_BELOW = 100_000
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class IntegerSet:
    """Tensors that are coded one by one and counted together.

    Attributes:
        name: Row or cell.
        tensors: Their integers.
        weights: The model they come from, if it is one.
        folder: Its Model folder, if it has one.
    """

    name: str
    tensors: list[Tensor]
    weights: Weights | None = None
    folder: Path | None = None

    def describe(self) -> dict[str, Any]:
        """Return what the tables say about the set itself."""
        kept = sum(
            int(np.count_nonzero(zero_centred(tensor.codebook, tensor.indices)))
            for tensor in self.tensors
        )
        entries = [tensor.codebook.size for tensor in self.tensors]
        return {
            "name": self.name,
            "tensors": len(self.tensors),
            "weights": sum(tensor.indices.size for tensor in self.tensors),
            "kept": kept,
            "entries": [min(entries), max(entries)],
            "codebooks": sum(codebook_bytes(tensor.codebook) for tensor in self.tensors),
        }

    def save(self, path: Path) -> None:
        """Write the tensors for the process of the other coders."""
        arrays: dict[str, Any] = {}
        for i, tensor in enumerate(self.tensors):
            arrays[f"codebook_{i}"] = tensor.codebook
            arrays[f"indices_{i}"] = tensor.indices
        np.savez(path, **arrays)


def load_model(folder: Path, name: str = "") -> IntegerSet:
    """Read the coded tensors of a Model folder.

    Args:
        folder: A Model artifact of the quantize stage, or alike.
        name: Of the row; by default the folder's, or its parent's if that says nothing.

    Raises:
        BadInput: If it is no Model folder, or no tensor has a codebook.
    """
    weights = load_weights(folder)
    name = name or (folder.parent.name if folder.name == "quantized" else folder.name)
    return _of_weights(name, weights, folder)


def _of_weights(name: str, weights: Weights, folder: Path | None) -> IntegerSet:
    """Take the tensors that have indices and a codebook."""
    tensors = [
        Tensor(
            tensor,
            weights.constraints[f"{tensor}.codebook"],
            weights.constraints[f"{tensor}.indices"],
        )
        for tensor in weights.tensors
        if f"{tensor}.indices" in weights.constraints
    ]
    if not tensors:
        raise BadInput(
            f"{folder} has no tensor with indices and a codebook. Expected a Model folder of the "
            "quantize stage. Name another with --model."
        )
    return IntegerSet(name, tensors, weights, folder)


def quantized_models(run: Path) -> list[IntegerSet]:
    """Find the networks of a run that were quantised: teacher and student, the newest of each.

    Raises:
        BadInput: If there are none.
    """
    newest: dict[str, Path] = {}
    found = RunFolder(run).artifacts.glob("*/quantize*/quantized/architecture.json")
    for path in sorted(found, key=lambda path: path.stat().st_mtime):
        last = load_history(path.parent)[-1]
        newest[str(last["config"].get("branch", "model"))] = path.parent
    if not newest:
        raise BadInput(
            f"{run} holds no quantised model. Expected a run folder whose quantize stages ended. "
            "Run it, or name another with --run."
        )
    return [
        load_model(folder, f"{run.name}, {branch}")
        for branch, folder in sorted(newest.items(), reverse=True)
    ]


def random_unet(base_width: int, sparsity: float = 0.9, entries: int = 32) -> IntegerSet:
    """Make a U-Net of He-normal weights, pruned by magnitude and shared, layer by layer.

    Batch normalisation is folded, as the quantize stage leaves it; biases are 0.

    Args:
        base_width: Channels of the first level.
        sparsity: Share of each kernel that is 0.
        entries: Of each codebook, the zero among them, rounded to float16 as they ship.
    """
    config = {"base_width": base_width, "normalization": "none"}
    command = [sys.executable, "-m", "benchmarks.codec.tensorflow_side", "shapes"]
    done = subprocess.run(
        [*command, json.dumps(config)], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    shapes = json.loads(done.stdout.splitlines()[-1])
    generator = np.random.default_rng([base_width, entries])
    tensors: dict[str, np.ndarray] = {}
    constraints: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        tensors[name] = np.zeros(shape, np.float32)
        if name.endswith("/kernel"):
            kernel = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
            codebook, indices = cluster(prune(kernel.astype(np.float32), sparsity), entries)
            codebook = codebook.astype(np.float16).astype(np.float32)
            tensors[name] = codebook[indices]
            constraints[f"{name}.codebook"] = codebook
            constraints[f"{name}.indices"] = indices
    weights = Weights({"model": "unet", "config": config}, tensors, constraints)
    total = sum(tensor.size for tensor in tensors.values())
    return _of_weights(f"random U-Net, base {base_width}, {total:,} parameters", weights, None)


def prune(values: np.ndarray, sparsity: float) -> np.ndarray:
    """Set the smallest magnitudes to 0; at least one value stays."""
    flat = values.ravel().copy()
    kept = max(1, round(flat.size * (1 - sparsity)))
    flat[np.argsort(np.abs(flat), kind="stable")[: flat.size - kept]] = 0
    return flat.reshape(values.shape)


def cell(size: int, sparsity: float, entries: int, draws: int) -> IntegerSet:
    """Make one cell of the grid.

    Args:
        size: Weights of a tensor.
        sparsity: Share of zeros, 0 for a codebook without a zero.
        entries: Of the codebook; k-means may leave some out.
        draws: Tensors, each of its own seed, if the size is below 100,000; else one.
    """
    count = draws if size < AVERAGED_BELOW else 1
    name = f"{size:,} weights, {sparsity:.0%}, {entries} entries"
    return IntegerSet(name, [_draw(size, sparsity, entries, seed) for seed in range(count)])


def _draw(size: int, sparsity: float, entries: int, seed: int) -> Tensor:
    """Draw Gaussian weights, prune them, and share values as the quantize stage does."""
    weights = np.random.default_rng([seed, size]).standard_normal(size, np.float32)
    weights = prune(weights, sparsity)
    kept = weights[weights != 0]
    codebook, _ = cluster(kept[:FITTED_WEIGHTS], entries + (sparsity == 0))
    centroids = codebook[1:].astype(np.float64)
    nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, kept)
    codebook = codebook.astype(np.float16).astype(np.float32)
    if sparsity == 0:
        # No weight is 0: the codebook needs no zero.
        return Tensor(f"draw {seed}", codebook[1:], nearest.astype(np.uint8))
    indices = np.zeros(size, np.uint8)
    indices[weights != 0] = 1 + nearest
    return Tensor(f"draw {seed}", codebook, indices)
