"""Folding of batch normalisation into the convolution before it."""

import numpy as np

from thimble.stage import BadInput
from thimble.weights import Weights

__all__ = ["fold_batch_norm"]

EPSILON = 1e-3
SUFFIX = "_bn"


def fold_batch_norm(weights: Weights) -> Weights:
    """Return the same function with one bias per convolution instead of batch normalisation.

    A zero stays a zero: each output channel is only scaled.

    Args:
        weights: A network whose layer `<name>_bn` normalises the convolution `<name>`.

    Raises:
        BadInput: If a normalisation has no convolution before it.

    Source: Jacob et al., 2018, section 3.2, equations 13 and 14.
    """
    config = weights.architecture["config"]
    if config["normalization"] == "none":
        return weights
    tensors: dict[str, np.ndarray] = {}
    for name, array in weights.tensors.items():
        layer, kind = name.rsplit("/", 1)
        if not layer.endswith(SUFFIX):
            tensors[name] = array
            continue
        if kind != "moving_variance":
            continue
        base = layer.removesuffix(SUFFIX)
        if f"{base}/kernel" not in tensors:
            raise BadInput(f"{layer} normalises no convolution. Expected a layer named {base}.")
        part = {k: weights.tensors[f"{layer}/{k}"] for k in ("gamma", "beta", "moving_mean")}
        scale = part["gamma"] / np.sqrt(array + np.float32(EPSILON))
        tensors[f"{base}/kernel"] = (tensors[f"{base}/kernel"] * scale).astype(np.float32)
        tensors[f"{base}/bias"] = (part["beta"] - part["moving_mean"] * scale).astype(np.float32)
    architecture = {**weights.architecture, "config": {**config, "normalization": "none"}}
    return Weights(
        architecture, tensors, weights.constraints, weights.preprocessing, weights.history
    )
