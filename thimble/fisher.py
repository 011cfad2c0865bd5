"""How much the loss bends with each weight: the diagonal of the Fisher information."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from thimble.models import output_axis

__all__ = ["fisher_information"]


def fisher_information(
    model: tf_keras.Model,
    measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    batches: Iterable[Any],
) -> dict[str, np.ndarray]:
    """Return h of every kernel weight by layer: the mean squared gradient.

    Half of it is the mean over the weight's output channel, because few batches tell little of one
    weight.

    Args:
        model: Any model.
        measure: From a batch (image, target) to the loss, a scalar.
        batches: Training batches.

    Source: Choi, El-Khamy, Lee, 2017, section 3.3 (second moments of the gradients instead of the
        Hessian's diagonal).
    """
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    kernels = [layer.kernel for layer in layers]

    @tf.function
    def squares(image: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = measure(image, target)
        return [tf.square(gradient) for gradient in tape.gradient(loss, kernels)]

    sums = [np.zeros(kernel.shape, np.float64) for kernel in kernels]
    count = 0
    for batch in batches:
        count += 1
        for index, square in enumerate(squares(*batch)):
            sums[index] += square.numpy()
    found = {}
    for layer, total in zip(layers, sums, strict=True):
        mean = total / max(count, 1)
        channel = output_axis(layer)
        others = tuple(axis for axis in range(mean.ndim) if axis != channel)
        found[layer.name] = (mean + mean.mean(others, keepdims=True)) / 2
    return found
