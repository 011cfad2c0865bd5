"""Packs a model into a `.thimble` file and proves that it comes back bit for bit."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.artifact import write_json
from thimble.codec import decode, encode_model, inspect
from thimble.stage import Run, ThimbleError, require
from thimble.weights import Weights, figures_of, load_weights

__all__ = ["HuffmanConfig", "RoundTripFailed", "check_round_trip", "encode_package"]


class RoundTripFailed(ThimbleError):
    """The decoded package differs from the model: a fault of the codec, nothing is written."""


@dataclass(frozen=True)
class HuffmanConfig:
    """What the stage does.

    Attributes:
        branch: A label for reports, such as `teacher` or `student`.
        verify: Whether the package is decoded and compared with the model before it is written.
    """

    branch: str = "teacher"
    verify: bool = True

    def __post_init__(self) -> None:
        """Check the label.

        Raises:
            BadInput: If it is empty.
        """
        require(bool(self.branch), "branch must not be empty", branch=self.branch)


def encode_package(
    model_path: str | Path, config: HuffmanConfig, run: Run
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Pack a model.

    Args:
        model_path: A Model folder.
        config: The stage's parameters.
        run: For progress.

    Returns:
        A function that writes `model.thimble` and `layers.json` into a folder, and the figures:
        package_bytes, float32_bytes, ratio, bits_per_weight, sparsity (of the kernels, in [0, 1]).

    Raises:
        BadInput: If the model is not whole, or a codebook does not give its tensor.
        RoundTripFailed: If the package does not give back the model.

    Source: Han, Mao, Dally, 2015, "Deep Compression", section 4.
    """
    weights = load_weights(model_path)
    package = encode_model(weights)
    run.progress(1, 2, package_bytes=len(package))
    layers = inspect(package)["tensors"]
    if config.verify:
        check_round_trip(weights, package)
    run.progress(2, 2, package_bytes=len(package))
    known = figures_of(weights)
    figures = {
        "package_bytes": float(len(package)),
        "float32_bytes": known["float32_bytes"],
        "ratio": known["float32_bytes"] / len(package),
        "bits_per_weight": 8.0 * len(package) / max(known["parameters"], 1.0),
        "sparsity": known["sparsity"],
    }

    def write(folder: Path) -> None:
        (folder / "model.thimble").write_bytes(package)
        write_json(folder / "layers.json", layers)

    return write, figures


def check_round_trip(weights: Weights, package: bytes) -> None:
    """Decode a package and compare it with the model by bits.

    Raises:
        RoundTripFailed: If anything but the history differs.
    """
    decoded = decode(package)
    faults = [f"the package holds a {type(decoded).__name__}, expected Weights"]
    if isinstance(decoded, Weights):
        faults = [
            field.name
            for field in dataclasses.fields(Weights)
            if field.name in {"architecture", "preprocessing"}
            and getattr(weights, field.name) != getattr(decoded, field.name)
        ]
        faults += _differences(weights.tensors, decoded.tensors)
        faults += _differences(weights.constraints, decoded.constraints)
        if list(weights.tensors) != list(decoded.tensors):
            faults.append("the order of the tensors")
    if faults:
        raise RoundTripFailed(
            f"The decoded package differs from the model in {', '.join(faults[:5])}. Expected "
            "equal bits. Report this as a fault of thimble.codec; the model is unharmed."
        )


def _differences(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> list[str]:
    """Return the names of the arrays that are missing, added, or differ in a bit."""
    return sorted(
        name
        for name in expected.keys() | found.keys()
        if name not in expected
        or name not in found
        or expected[name].dtype != found[name].dtype
        or expected[name].shape != found[name].shape
        or np.ascontiguousarray(expected[name]).tobytes() != found[name].tobytes()
    )
