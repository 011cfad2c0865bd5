"""Learning from a teacher: its softened predictions beside the labels, pixel by pixel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from thimble.models import to_keras
from thimble.objective import (
    ObjectiveConfig,
    class_weights,
    pixel_weights,
    weighted_cross_entropy,
)
from thimble.records import Dataset, read_records
from thimble.scoring import confusion, foreground_dice
from thimble.stage import BadInput, require
from thimble.training import Validator, refuse_other_task
from thimble.weights import Weights, load_weights

__all__ = ["TargetConfig", "choose_teacher", "soft_cross_entropy", "taught_loss"]


@dataclass(frozen=True)
class TargetConfig:
    """What a network learns from.

    Attributes:
        temperature: T, softens both distributions; above 0.
        soft_share: Weight of the teacher's targets, in [0, 1]; the rest is the labels'.
    """

    temperature: float = 5.0
    soft_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.temperature > 0, "temperature must be > 0", temperature=self.temperature)
        require(
            0 <= self.soft_share <= 1, "soft_share must be in [0, 1]", soft_share=self.soft_share
        )


def _prior_dice(dataset: Dataset) -> float:
    """Return validation Dice of the best mask that looks at no scan: one class everywhere."""
    classes = len(dataset.classes)
    counts = np.zeros((classes, classes, 3), np.int64)
    for record in read_records(dataset, "validation"):
        for index in range(classes):
            counts[index] += confusion(record.label, np.full_like(record.label, index), classes)
    return max(foreground_dice(each) for each in counts)


def choose_teacher(
    path: str | Path | None, itself: Weights, dataset: Dataset, target: TargetConfig
) -> tf_keras.Model:
    """Return the network that teaches.

    Args:
        path: Model artifact; None: the network teaches itself.
        itself: The network as it comes in; also taken, unchecked, where nobody listens.
        dataset: What is taught; its validation split tells whether a teacher knows anything.
        target: How much the teacher counts.

    Raises:
        BadInput: If channels or classes of the artifact differ from the data set's, or if its Dice
            is not above that of one class everywhere.
    """
    if not path or target.soft_share == 0:
        return to_keras(itself)
    weights = load_weights(path)
    refuse_other_task(weights, dataset, "teacher")
    teacher = to_keras(weights)
    found, prior = Validator(dataset, teacher).dice(), _prior_dice(dataset)
    if found <= prior:
        raise BadInput(
            f"A teacher must know more than one class everywhere, validation Dice {prior:.4f}. "
            f"Received: {found:.4f}. Train it for more steps, or check labels and learning_rate."
        )
    return teacher


def soft_cross_entropy(
    student: tf.Tensor, teacher: tf.Tensor, weights: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Return the weighted mean cross-entropy to the softened teacher, times T squared.

    Args:
        student: Logits `(batch, height, width, classes)`.
        teacher: Logits `(batch, height, width, classes)`.
        weights: `(batch, height, width)`.
        temperature: T; the factor T squared keeps the gradients' size (section 2.1).

    Source: Hinton, Vinyals, Dean, 2015, equation 1 and section 2.1.
    """
    targets = tf.nn.softmax(teacher / temperature)
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, student / temperature)
    return temperature**2 * tf.reduce_sum(weights * losses) / tf.reduce_sum(weights)


def taught_loss(
    model: tf_keras.Model,
    teacher: tf_keras.Model,
    dataset: Dataset,
    objective: ObjectiveConfig,
    target: TargetConfig,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the training loss of a batch: the labels' and the teacher's targets, a scalar.

    Args:
        model: What is trained.
        teacher: Of the same task; it is not changed, and not run if `soft_share` is 0.
        dataset: For the weights of the classes.
        objective: Weights of the pixels.
        target: How much the teacher counts.

    Source: Hinton, Vinyals, Dean, 2015, section 2 (the weighted mean of two objectives).
    """
    by_class = tf.constant(class_weights(dataset.spec, objective.class_weight_power))
    share = target.soft_share

    def measure(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        logits = model(image, training=True)
        pixels = pixel_weights(label, by_class, objective.border_weight)
        hard = weighted_cross_entropy(logits, label[..., 0], pixels)
        if share == 0:
            return hard
        taught = tf.stop_gradient(teacher(image, training=False))
        soft = soft_cross_entropy(logits, taught, pixels, target.temperature)
        return share * soft + (1.0 - share) * hard

    return measure
