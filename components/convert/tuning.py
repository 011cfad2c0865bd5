"""Quantization-aware fine-tuning: weights and activations rounded to int8 while training."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from thimble.distillation import TargetConfig, taught_loss
from thimble.models import output_axis, to_keras
from thimble.objective import ObjectiveConfig
from thimble.patches import AugmentationConfig
from thimble.records import Dataset
from thimble.stage import Run
from thimble.training import (
    ScheduleConfig,
    Validator,
    cosine_optimizer,
    fit,
    make_deterministic,
    stream_patches,
)
from thimble.weights import Weights

__all__ = ["Int8Network", "round_kernel", "tune_for_int8"]

# Layers after which int8 rounds: a convolution's output only after what is fused into it.
ROUNDED = (
    tf_keras.layers.InputLayer,
    tf_keras.layers.ReLU,
    tf_keras.layers.Conv2DTranspose,
    tf_keras.layers.Concatenate,
)
# Of the moving ranges of activations (Jacob et al., 2018, section 3.1).
MOMENTUM = 0.99
# The largest int8 of a symmetric kernel; -128 is left out.
LARGEST = 127.0
# Above any range that matters, below what would divide by zero.
NARROWEST = 1e-6
# Half of the loss is the float32 network's predictions, so that tuning keeps what it knew.
TARGET = TargetConfig(temperature=2.0, soft_share=0.5)


def round_kernel(kernel: tf.Tensor, axis: int) -> tf.Tensor:
    """Round a kernel to 8 bits, symmetric per output channel, as TFLite stores it.

    A channel's scale follows its largest weight, so nothing is clipped, and a factor per channel
    (a batch normalisation that is folded later) changes nothing.

    Args:
        kernel: Any shape, float32.
        axis: Of the output channels.

    Returns:
        The same shape; zeros stay zero, a channel of zeros too.

    Source: Krishnamoorthi, 2018, section 3.1.
    """
    others = [index for index in range(len(kernel.shape)) if index != axis % len(kernel.shape)]
    largest = tf.reduce_max(tf.abs(kernel), axis=others, keepdims=True)
    scale = tf.where(largest > 0, largest / LARGEST, tf.ones_like(largest))
    return tf.round(kernel / scale) * scale


class Int8Network:
    """A Keras network that computes as its int8 file will: a function of image and `training`.

    Attributes:
        model: The network; between steps it holds the weights before rounding.
        ranges: (2,) smallest and largest activation by the layer's name.
    """

    def __init__(self, model: tf_keras.Model, patches: np.ndarray) -> None:
        """Find the ranges of the activations.

        Args:
            model: From images to logits, float32.
            patches: (n, tile, tile, channels) float32, normalised.
        """
        self.model = model
        self._kernels = [
            (layer.kernel, output_axis(layer)) for layer in model.layers if hasattr(layer, "kernel")
        ]
        self._kept = [tf.constant(kernel.numpy() != 0, tf.float32) for kernel, _ in self._kernels]
        self.ranges = {
            layer.name: tf.Variable(tf.zeros(2), trainable=False, name=f"{layer.name}_range")
            for layer in model.layers
            if isinstance(layer, ROUNDED) or layer.output is model.output
        }
        for patch in patches:
            self._run(patch[None], self._widen)

    def __call__(self, image: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the logits; ranges move while training."""
        return self._run(image, self._follow if training else self._round)

    def _run(self, image: tf.Tensor, treat: Callable[[str, tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Run the layers one by one; batch normalisation as at prediction, as it will be folded."""
        made = {id(self.model.input): image}
        for layer in self.model.layers:
            if not isinstance(layer, tf_keras.layers.InputLayer):
                given = [made[id(tensor)] for tensor in tf.nest.flatten(layer.input)]
                result = layer(given if len(given) > 1 else given[0], training=False)
                made[id(layer.output)] = result
            if layer.name in self.ranges:
                made[id(layer.output)] = treat(layer.name, made[id(layer.output)])
        return made[id(self.model.output)]

    def _widen(self, name: str, tensor: tf.Tensor) -> tf.Tensor:
        """Take an activation into its range."""
        low, high = tf.unstack(self.ranges[name])
        bounds = [
            tf.minimum(low, tf.reduce_min(tensor)),
            tf.maximum(high, tf.reduce_max(tensor)),
        ]
        self.ranges[name].assign(tf.stack(bounds))
        return tensor

    def _follow(self, name: str, tensor: tf.Tensor) -> tf.Tensor:
        """Move a range towards an activation, then round to it."""
        low = tf.minimum(tf.reduce_min(tensor), 0.0)
        high = tf.maximum(tf.reduce_max(tensor), 0.0)
        moved = MOMENTUM * self.ranges[name] + (1.0 - MOMENTUM) * tf.stack([low, high])
        self.ranges[name].assign(tf.stop_gradient(moved))
        return self._round(name, tensor)

    def _round(self, name: str, tensor: tf.Tensor) -> tf.Tensor:
        """Round an activation to 8 bits in its range; gradients pass where nothing is clipped."""
        low, high = tf.unstack(self.ranges[name])
        high = tf.maximum(high, low + NARROWEST)
        return tf.quantization.fake_quant_with_min_max_vars(tensor, low, high, num_bits=8)

    @contextlib.contextmanager
    def rounded(self) -> Iterator[None]:
        """Hold rounded kernels inside, the ones before rounding after."""
        before = [tf.identity(kernel) for kernel, _ in self._kernels]
        for kernel, axis in self._kernels:
            kernel.assign(round_kernel(kernel, axis))
        yield
        for (kernel, _), whole in zip(self._kernels, before, strict=True):
            kernel.assign(whole)

    def clear_pruned(self) -> None:
        """Set the weights that were zero at the start to zero."""
        for (kernel, _), kept in zip(self._kernels, self._kept, strict=True):
            kernel.assign(kernel * kept)


def _tuning_step(
    network: Int8Network, optimizer: Any, measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Return one step: gradients at the rounded weights move the weights before rounding.

    Source: Jacob et al., 2018, section 3 (the straight-through estimator; kernels are not clipped,
        so that their rounding has the gradient 1 everywhere).
    """
    variables = network.model.trainable_variables

    @tf.function
    def take_step(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with network.rounded():
            with tf.GradientTape() as tape:
                loss = measure(image, target)
            gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        network.clear_pruned()
        return loss

    return take_step


def _patch_size(weights: Weights, dataset: Dataset) -> int:
    """Return the largest patch, up to a tile, that mirroring can fill from the smallest scan."""
    step = 2 ** int(weights.architecture["config"].get("depth", 0))
    smallest = int(dataset.spec["smallest_side"])
    return max(min(dataset.tile, 2 * smallest) // step * step, 16)


def tune_for_int8(
    weights: Weights,
    dataset: Dataset,
    patches: np.ndarray,
    schedule: ScheduleConfig,
    run: Run,
) -> tf_keras.Model:
    """Fine-tune a network so that it loses less when it is rounded to int8.

    The float32 network is the teacher. A pruned weight stays zero; a codebook is not kept, as the
    int8 file has none.

    Args:
        weights: The float32 network, with batch normalisation or without.
        dataset: Training patches, validation scans.
        patches: (n, tile, tile, channels) float32 that set the first ranges of activations.
        schedule: Steps, pace and seed.
        run: Progress and checkpoints; a killed tuning goes on.

    Returns:
        The network at its best validation Dice, float32, ready for post-training int8.

    Raises:
        Diverged: The loss is no longer finite.

    Source: Jacob et al., 2018, section 3; the teacher: Mishra, Marr, 2017, "Apprentice", section 5.
    """
    make_deterministic(schedule.seed)
    model, teacher = to_keras(weights), to_keras(weights)
    network = Int8Network(model, patches)
    validator = Validator(dataset, network)

    def validate() -> float:
        with network.rounded():
            return validator.dice()

    optimizer = cosine_optimizer(schedule)
    optimizer.build(model.trainable_variables)
    measure = taught_loss(network, teacher, dataset, ObjectiveConfig(), TARGET)
    fit(
        run,
        schedule,
        stream_patches(dataset, AugmentationConfig(_patch_size(weights, dataset)), schedule),
        _tuning_step(network, optimizer, measure),
        validate,
        {"model": model, "optimizer": optimizer}
        | {f"range_{name}": variable for name, variable in network.ranges.items()},
    )
    return model
