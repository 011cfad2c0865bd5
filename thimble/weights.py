"""The Model artifact: a folder of canonical JSON and safetensors, readable without TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from thimble.artifact import load_history, read_json, write_json
from thimble.stage import BadInput

__all__ = ["Weights", "figures_of", "load_weights", "save_weights", "sparsity_of", "writer"]


@dataclass(frozen=True)
class Weights:
    """The tensors of a network with all that is needed to build and feed it.

    Attributes:
        architecture: `{"model": registry name, "config": {...}}`.
        tensors: `<layer>/<weight>` to float32 arrays, in the order of the layers.
        constraints: What a technique must keep: `<tensor>.mask` (uint8, 1 = kept),
            `<tensor>.indices` (uint8 or uint16) with `<tensor>.codebook` (float32).
        preprocessing: Normalisation, tile, channels and class names.
        history: What each stage did.
    """

    architecture: dict[str, Any]
    tensors: dict[str, np.ndarray]
    constraints: dict[str, np.ndarray] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save_weights(weights: Weights, folder: str | Path) -> None:
    """Write a Model folder (without its history, which `artifact.finish` owns)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layout = {**weights.architecture, "tensors": list(weights.tensors)}
    write_json(folder / "architecture.json", layout)
    write_json(folder / "preprocessing.json", weights.preprocessing)
    for name, arrays in (("weights", weights.tensors), ("constraints", weights.constraints)):
        whole = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        save_file(whole, folder / f"{name}.safetensors")


def load_weights(folder: str | Path) -> Weights:
    """Read a Model folder.

    Raises:
        BadInput: If a file is missing or corrupt.
    """
    folder = Path(folder)
    layout = read_json(folder / "architecture.json")
    try:
        stored = load_file(folder / "weights.safetensors")
        constraints = load_file(folder / "constraints.safetensors")
        order = layout.pop("tensors")
        tensors = {name: stored[name] for name in order}
    except (OSError, KeyError, SafetensorError) as error:
        raise BadInput(
            f"{folder} is not a whole Model artifact ({error}). Run the stage that makes it again."
        ) from None
    preprocessing = read_json(folder / "preprocessing.json")
    return Weights(layout, tensors, constraints, preprocessing, load_history(folder))


def writer(weights: Weights) -> Callable[[Path], None]:
    """Return the function that `artifact.finish` calls to write a Model folder."""
    return lambda folder: save_weights(weights, folder)


def sparsity_of(weights: Weights) -> float:
    """Return the share of zeros among the kernels, in [0, 1]."""
    kernels = [array for name, array in weights.tensors.items() if name.endswith("/kernel")]
    total = sum(array.size for array in kernels)
    return 1.0 - sum(int(np.count_nonzero(array)) for array in kernels) / max(total, 1)


def figures_of(weights: Weights) -> dict[str, float]:
    """Return parameters, float32 bytes and sparsity of a network."""
    parameters = sum(array.size for array in weights.tensors.values())
    return {
        "parameters": float(parameters),
        "float32_bytes": 4.0 * parameters,
        "sparsity": sparsity_of(weights),
    }
