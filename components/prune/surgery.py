"""Dynamic network surgery: dropped weights train on behind their masks and may come back."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.prune.plan import plan_layers, with_masks
from components.prune.recovery import Recovery
from thimble.models import from_keras, to_keras
from thimble.weights import Weights

__all__ = ["MaskedKernels", "cubic_ramp", "keep_largest", "prune_by_surgery", "surgery_step"]

# A weight that is in counts so much more than one that is out, so that masks do not flicker.
HYSTERESIS = 1.1 / 0.9


def cubic_ramp(final: float, step: int, ramp_end: int) -> float:
    """Return the sparsity at a step, from 0 to `final` at `ramp_end`.

    Source: Zhu, Gupta, 2017, equation 1.
    """
    left = max(0.0, 1.0 - step / max(ramp_end, 1))
    return final * (1.0 - left**3)


def keep_largest(dense: np.ndarray, mask: np.ndarray, sparsity: float) -> np.ndarray:
    """Return the new mask, 1 for the weights that stay, shaped as `dense`, float32.

    Args:
        dense: The weights behind the mask, any shape.
        mask: The present mask; what is in has the advantage `HYSTERESIS`.
        sparsity: Share that goes, in [0, 1); at least one weight stays. Equal weights go in
            their order.

    Source: Guo, Yao, Chen, 2016, equation 3, with thresholds set so that the count is met.
    """
    dropped = min(round(sparsity * dense.size), dense.size - 1)
    score = np.abs(dense) * np.where(mask > 0, HYSTERESIS, 1.0)
    order = np.argsort(score, axis=None, kind="stable")
    kept = np.ones(dense.size, np.float32)
    kept[order[:dropped]] = 0.0
    return kept.reshape(dense.shape)


class MaskedKernels:
    """The kernels of a model as dense weights times masks.

    Attributes:
        layers: The layers that are pruned, in the order of the model.
        dense: Their weights behind the masks, as variables.
        masks: 1 = in, as variables of the kernels' shapes.
    """

    def __init__(self, model: tf_keras.Model, plan: Mapping[str, float]) -> None:
        """Start with all weights in.

        Args:
            model: Any model; its kernels follow the masks from now on.
            plan: Sparsity at the end by layer, in [0, 1); a layer with 0, or none, is left alone.
        """
        self.layers = [layer for layer in model.layers if plan.get(layer.name, 0.0) > 0.0]
        self.plan = [plan[layer.name] for layer in self.layers]
        self.dense = [tf.Variable(layer.kernel) for layer in self.layers]
        self.masks = [tf.Variable(tf.ones_like(layer.kernel)) for layer in self.layers]

    def update(self, step: int, ramp_end: int) -> None:
        """Choose the masks anew for the sparsity of a step."""
        for sparsity, dense, mask in zip(self.plan, self.dense, self.masks, strict=True):
            now = cubic_ramp(sparsity, step, ramp_end)
            mask.assign(keep_largest(dense.numpy(), mask.numpy(), now))
        self.spread()

    def spread(self) -> None:
        """Set each kernel to its weights that are in."""
        for layer, dense, mask in zip(self.layers, self.dense, self.masks, strict=True):
            layer.kernel.assign(dense * mask)

    def named(self) -> dict[str, tf.Variable]:
        """Return the variables under names that a checkpoint can hold."""
        found: dict[str, tf.Variable] = {}
        for layer, dense, mask in zip(self.layers, self.dense, self.masks, strict=True):
            found |= {f"{layer.name}_dense": dense, f"{layer.name}_mask": mask}
        return found


def surgery_step(
    model: tf_keras.Model, masked: MaskedKernels, optimizer: Any, measure: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step of the dense weights with the gradient of the masked ones.

    Args:
        model: Its kernels are `masked`.
        masked: Dense weights and masks.
        optimizer: Is built here.
        measure: From a batch (image, target) to the loss, a scalar.

    Source: Guo, Yao, Chen, 2016, equation 2.
    """
    kernels = [layer.kernel for layer in masked.layers]
    behind = {kernel.ref(): dense for kernel, dense in zip(kernels, masked.dense, strict=True)}
    sources = list(model.trainable_variables)
    targets = [behind.get(variable.ref(), variable) for variable in sources]
    optimizer.build(targets)

    @tf.function
    def take_step(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = measure(image, target)
        gradients = tape.gradient(loss, sources)
        optimizer.apply_gradients(zip(gradients, targets, strict=True))
        masked.spread()
        return loss

    return take_step


def prune_by_surgery(dense: Weights, recovery: Recovery) -> tuple[Weights, dict[str, float]]:
    """Mask the smallest weights of each layer; what grows behind its mask comes back.

    Args:
        dense: The network.
        recovery: How much goes, and how it is trained.

    Returns:
        Weights with masks, and the figures of the training.

    Source: Guo, Yao, Chen, 2016, section 3.
    """
    model = to_keras(dense)
    masked = MaskedKernels(model, plan_layers(dense, recovery))

    def before_step(step: int) -> None:
        if recovery.updates_masks(step):
            masked.update(step, recovery.ramp_end)

    step = surgery_step(model, masked, recovery.optimizer, recovery.loss(model))
    figures = recovery.train(model, step, before_step, masked.named())
    return with_masks(from_keras(model, dense.architecture, dense.preprocessing)), figures
