"""Networks by name, and the way between a Keras model and the Model artifact."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from thimble.models.unet import UNetConfig, unet
from thimble.stage import BadInput
from thimble.weights import Weights

__all__ = ["MODELS", "UNetConfig", "build", "from_keras", "output_axis", "tensor_names", "to_keras"]

# With one image a batch, oneDNN's fused convolutions run nine times slower on AVX2 than the parts.
tf.config.optimizer.set_experimental_options({"remapping": False})

MODELS = {"unet": (UNetConfig, unet)}


def build(architecture: dict[str, Any]) -> tf_keras.Model:
    """Build an untrained network from `{"model": name, "config": {...}}`.

    Raises:
        BadInput: If the name or a field of its config is unknown.
    """
    name = architecture.get("model")
    if name not in MODELS:
        raise BadInput(f"Unknown model {name!r}. Known: {', '.join(sorted(MODELS))}.")
    config_class, builder = MODELS[name]
    try:
        config = config_class(**architecture["config"])
    except TypeError as error:
        raise BadInput(f"The config of model {name!r} does not fit this version: {error}") from None
    return builder(config)


def tensor_names(model: tf_keras.Model) -> list[str]:
    """Return `<layer>/<weight>` of every weight, in the order of `model.weights`."""
    return [
        f"{layer.name}/{weight.name.rsplit('/', 1)[-1].split(':')[0]}"
        for layer in model.layers
        for weight in layer.weights
    ]


def output_axis(layer: tf_keras.layers.Layer) -> int:
    """Return the axis of a kernel's output channels: the last but one if transposed."""
    rank = len(layer.kernel.shape)
    return rank - 2 if isinstance(layer, tf_keras.layers.Conv2DTranspose) else rank - 1


def _variables(model: tf_keras.Model) -> list[Any]:
    """Return the weights in the order of `tensor_names`."""
    return [weight for layer in model.layers for weight in layer.weights]


def to_keras(weights: Weights) -> tf_keras.Model:
    """Build the network and load its tensors.

    Raises:
        BadInput: If the tensors do not fit the architecture.
    """
    model = build(weights.architecture)
    names = tensor_names(model)
    if set(names) != set(weights.tensors):
        odd = sorted(set(names) ^ set(weights.tensors))
        raise BadInput(f"The tensors do not fit the architecture; they differ in {odd[:5]}.")
    for name, variable in zip(names, _variables(model), strict=True):
        tensor = weights.tensors[name]
        if tuple(variable.shape) != tensor.shape:
            raise BadInput(f"{name} has shape {tensor.shape}, expected {tuple(variable.shape)}.")
        variable.assign(tensor)
    return model


def from_keras(
    model: tf_keras.Model,
    architecture: dict[str, Any],
    preprocessing: dict[str, Any],
    constraints: dict[str, np.ndarray] | None = None,
) -> Weights:
    """Take the tensors out of a Keras model."""
    arrays = [np.asarray(variable) for variable in _variables(model)]
    tensors = dict(zip(tensor_names(model), arrays, strict=True))
    return Weights(architecture, tensors, constraints or {}, preprocessing)
