"""tfmot's pruning wrappers around the layers that are pruned, for any Keras model."""

from collections.abc import Mapping
from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

__all__ = ["apply_masks", "set_pruning_step", "strip", "wrap"]

MASK_UPDATES = 20


def wrap(
    model: tf_keras.Model, plan: Mapping[str, float], steps: int, ramp_share: float
) -> tf_keras.Model:
    """Return the model with tfmot's pruning wrapper around each planned layer.

    Args:
        model: A functional model; its weights are copied.
        plan: Sparsity at the end by layer, in [0, 1); a layer with 0, or none, is left alone.
        steps: Steps of the whole training.
        ramp_share: Share of the steps over which the sparsity rises, in (0, 1].

    Source: Zhu, Gupta, 2017, equation 1 (cubic schedule).
    """
    frequency = max(1, int(steps * ramp_share) // MASK_UPDATES)
    end = max(1, int(steps * ramp_share) // frequency) * frequency

    def wrap_layer(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        copy = layer.__class__.from_config(layer.get_config())
        if plan.get(layer.name, 0.0) <= 0.0:
            return copy
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=plan[layer.name],
            begin_step=0,
            end_step=end,
            frequency=frequency,
        )
        return tfmot.sparsity.keras.prune_low_magnitude(copy, pruning_schedule=schedule)

    wrapped = tf_keras.models.clone_model(model, clone_function=wrap_layer)
    for source, target in zip(model.layers, wrapped.layers, strict=True):
        inner = getattr(target, "layer", target)
        for old, new in zip(source.weights, inner.weights[: len(source.weights)], strict=True):
            new.assign(old)
    return wrapped


def _wrappers(model: tf_keras.Model) -> list[Any]:
    """Return tfmot's wrappers in a model."""
    return [layer for layer in model.layers if hasattr(layer, "pruning_obj")]


def apply_masks(model: tf_keras.Model) -> None:
    """Zero what the masks drop; tfmot itself does so only before a training step."""
    for layer in _wrappers(model):
        layer.pruning_obj.weight_mask_op()


def set_pruning_step(model: tf_keras.Model, step: int) -> None:
    """Tell each wrapper how far the schedule is; without Keras' `fit` nothing else does."""
    for layer in _wrappers(model):
        layer.pruning_step.assign(step)


def strip(model: tf_keras.Model) -> tf_keras.Model:
    """Return the model without its wrappers."""
    return tfmot.sparsity.keras.strip_pruning(model)
