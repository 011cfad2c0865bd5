"""The kernels of a Keras model tied to trained codebooks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

__all__ = ["SharedKernels", "codebook_step", "kernels_of"]


def kernels_of(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Return the kernels by layer, in the order of the model."""
    return {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}


class SharedKernels:
    """The codebooks as variables, and the kernels that follow them.

    Attributes:
        layers: The layers with a kernel, in the order of the model.
        codebooks: One variable `(entries,)` a layer; entry 0 is the value 0.
        indices: The entry of each weight, shaped as the kernel.
        variables: What is trained: codebooks, then biases.
    """

    def __init__(
        self, model: tf_keras.Model, shared: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Set the kernels to their shared values.

        Args:
            model: Any model; its kernels are changed.
            shared: Codebook and indices of each layer with a kernel.
        """
        self.layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
        self.codebooks = [
            tf.Variable(shared[layer.name][0], name=f"{layer.name}/codebook")
            for layer in self.layers
        ]
        self.indices = [shared[layer.name][1] for layer in self.layers]
        self.biases = [layer.bias for layer in self.layers if layer.bias is not None]
        self.variables = [*self.codebooks, *self.biases]
        self.spread()

    def spread(self) -> None:
        """Set each kernel to the values of its codebook."""
        for layer, codebook, indices in zip(self.layers, self.codebooks, self.indices, strict=True):
            layer.kernel.assign(tf.gather(codebook, indices.astype(np.int32)))

    def gradients(self, by_kernel: list[tf.Tensor]) -> list[tf.Tensor]:
        """Sum the kernels' gradients by shared value; the zero does not move.

        Source: Han, Mao, Dally, 2015, section 3.3, equation 3.
        """
        summed = []
        for gradient, codebook, indices in zip(
            by_kernel, self.codebooks, self.indices, strict=True
        ):
            total = tf.math.unsorted_segment_sum(
                tf.reshape(gradient, [-1]), indices.ravel().astype(np.int32), codebook.shape[0]
            )
            summed.append(total * tf.constant([0.0] + [1.0] * (codebook.shape[0] - 1)))
        return summed

    def round_to_half(self) -> None:
        """Round codebooks and biases to float16, as they ship."""
        for variable in self.variables:
            variable.assign(tf.cast(tf.cast(variable, tf.float16), tf.float32))
        self.spread()

    def constraints(self) -> dict[str, np.ndarray]:
        """Return the codebooks and indices for the Model artifact."""
        kept: dict[str, np.ndarray] = {}
        for layer, codebook, indices in zip(self.layers, self.codebooks, self.indices, strict=True):
            kept[f"{layer.name}/kernel.codebook"] = codebook.numpy()
            kept[f"{layer.name}/kernel.indices"] = indices
        return kept

    def named(self) -> dict[str, tf.Variable]:
        """Return the codebooks under names that a checkpoint can hold."""
        return {f"codebook_{index}": variable for index, variable in enumerate(self.codebooks)}


def codebook_step(
    shared: SharedKernels, optimizer: Any, measure: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step of codebooks and biases.

    Args:
        shared: The tied kernels.
        optimizer: Built for `shared.variables`.
        measure: From a batch (image, target) to the loss, a scalar.
    """
    kernels = [layer.kernel for layer in shared.layers]

    @tf.function
    def take_step(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = measure(image, target)
        by_kernel, by_bias = tape.gradient(loss, [kernels, shared.biases])
        gradients = [*shared.gradients(by_kernel), *by_bias]
        optimizer.apply_gradients(zip(gradients, shared.variables, strict=True))
        shared.spread()
        return loss

    return take_step
