"""Distillation of a narrow student from a wide teacher, pixel by pixel."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from thimble.accounting import account_for
from thimble.models import build, from_keras, to_keras
from thimble.objective import (
    ObjectiveConfig,
    class_weights,
    pixel_weights,
    weighted_cross_entropy,
)
from thimble.patches import AugmentationConfig
from thimble.records import Dataset, load_dataset
from thimble.stage import BadInput, Run, require
from thimble.training import (
    ScheduleConfig,
    Validator,
    cosine_optimizer,
    fit,
    make_deterministic,
    stream_patches,
)
from thimble.weights import Weights, load_weights

__all__ = ["DistillConfig", "TargetConfig", "distill_student", "soft_cross_entropy"]


@dataclass(frozen=True)
class TargetConfig:
    """What the student learns from.

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


@dataclass(frozen=True)
class DistillConfig:
    """Everything that distillation needs; depth and model are the teacher's.

    Attributes:
        branch: Label of the network in the run.
        base_width: Channels of the student's first level.
        target: Soft and hard targets.
        augmentation: Patches.
        objective: Weights of the pixels.
        schedule: Steps, pace and patience.
    """

    branch: str = "student"
    base_width: int = 4
    target: TargetConfig = field(default_factory=TargetConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        """Check the width; the teacher's is an upper limit."""
        require(self.base_width >= 1, "base_width must be >= 1", base_width=self.base_width)


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


def _make_step(
    student: tf_keras.Model,
    teacher: tf_keras.Model,
    optimizer: Any,
    dataset: Dataset,
    config: DistillConfig,
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step of the student on a batch of patches."""
    by_class = tf.constant(class_weights(dataset.spec, config.objective.class_weight_power))
    share, temperature = config.target.soft_share, config.target.temperature

    @tf.function
    def take_step(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        taught = teacher(image, training=False)
        with tf.GradientTape() as tape:
            logits = student(image, training=True)
            pixels = pixel_weights(target, by_class, config.objective.border_weight)
            hard = weighted_cross_entropy(logits, target[..., 0], pixels)
            soft = soft_cross_entropy(logits, taught, pixels, temperature)
            loss = share * soft + (1.0 - share) * hard
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
        return loss

    return take_step


def _student_architecture(teacher: Weights, base_width: int) -> dict[str, Any]:
    """Return the teacher's architecture with another width."""
    shape = teacher.architecture["config"]
    if base_width > shape["base_width"]:
        raise BadInput(
            f"The student (base_width={base_width}) is wider than its teacher "
            f"({shape['base_width']}). Choose a smaller base_width."
        )
    student = {**shape, "base_width": base_width, "normalization": "batch"}
    return {"model": teacher.architecture["model"], "config": student}


def distill_student(
    teacher_path: str | Path, dataset_path: str | Path, config: DistillConfig, run: Run
) -> tuple[Weights, dict[str, float]]:
    """Train a narrow student on a teacher's softened predictions and on the labels.

    Args:
        teacher_path: Model artifact.
        dataset_path: Dataset artifact.
        config: Width, targets, patches, objective and schedule.
        run: Progress and checkpoints.

    Returns:
        The student with the best validation Dice, and the figures.

    Raises:
        BadInput: If the student is wider than the teacher.
        Diverged: If the loss is no longer finite.

    Source: Mangalam, Salzmann, 2018, section 3 (batch normalisation, class weights, mixed
    targets); Hinton et al., 2015.
    """
    make_deterministic(config.schedule.seed)
    dataset, taught = load_dataset(dataset_path), load_weights(teacher_path)
    architecture = _student_architecture(taught, config.base_width)
    teacher, student = to_keras(taught), build(architecture)
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(student.trainable_variables)
    validator = Validator(dataset, student)
    schedule = config.schedule
    outcome = fit(
        run,
        schedule,
        stream_patches(dataset, config.augmentation, schedule),
        _make_step(student, teacher, optimizer, dataset, config),
        validator.dice,
        {"model": student, "optimizer": optimizer},
    )
    weights = from_keras(student, architecture, dataset.preprocessing())
    return weights, {**account_for(weights), **outcome.figures()}
