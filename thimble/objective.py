"""What training minimises: cross-entropy weighted by class and by the borders between objects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from thimble.stage import require

__all__ = ["ObjectiveConfig", "class_weights", "pixel_weights", "weighted_cross_entropy"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the pixels.

    Attributes:
        class_weight_power: 0 weighs all pixels alike, 1 all classes alike, 0.5 between them.
        border_weight: w0 of the U-Net paper: extra weight of the gaps between touching objects.
    """

    class_weight_power: float = 0.5
    border_weight: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            0 <= self.class_weight_power <= 1,
            "class_weight_power must be in [0, 1]",
            class_weight_power=self.class_weight_power,
        )
        require(
            0 <= self.border_weight <= 100,
            "border_weight must be in [0, 100]",
            border_weight=self.border_weight,
        )


def class_weights(spec: dict[str, Any], power: float) -> np.ndarray:
    """Return one weight per class, `(classes,)`, whose mean over the training pixels is 1.

    Args:
        spec: `dataset.json`; its `pixels.train` counts the pixels of each class.
        power: Exponent of the inverse frequency, in [0, 1].
    """
    counts = np.maximum(np.asarray(spec["pixels"]["train"], np.float64), 1.0)
    share = counts / counts.sum()
    weights = share**-power
    normalized: np.ndarray = (weights / (weights * share).sum()).astype(np.float32)
    return normalized


def pixel_weights(target: tf.Tensor, weights: tf.Tensor, border_weight: float) -> tf.Tensor:
    """Return the weight map `(batch, height, width)`.

    Args:
        target: `(batch, height, width, 2)` uint8: class index and border map in 1/255.
        weights: `(classes,)` of `class_weights`.
        border_weight: w0.

    Source: Ronneberger et al., 2015, equation 2.
    """
    by_class = tf.gather(weights, tf.cast(target[..., 0], tf.int32))
    return by_class + border_weight / 255.0 * tf.cast(target[..., 1], tf.float32)


def weighted_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the weighted mean cross-entropy, a scalar in nats.

    Args:
        logits: `(batch, height, width, classes)`.
        labels: `(batch, height, width)` class indices.
        weights: `(batch, height, width)`.

    Source: Ronneberger et al., 2015, equation 1.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), logits)
    return tf.reduce_sum(weights * losses) / tf.reduce_sum(weights)
