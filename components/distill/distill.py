"""Distillation of a narrow student from a wide teacher, pixel by pixel."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thimble.accounting import account_for
from thimble.distillation import TargetConfig, choose_teacher, taught_loss
from thimble.models import build, from_keras
from thimble.objective import ObjectiveConfig
from thimble.patches import AugmentationConfig
from thimble.records import load_dataset
from thimble.stage import BadInput, Run, require
from thimble.training import (
    ScheduleConfig,
    Validator,
    cosine_optimizer,
    fit,
    gradient_step,
    make_deterministic,
    stream_patches,
)
from thimble.weights import Weights, load_weights

__all__ = ["DistillConfig", "distill_student"]


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


def _student_architecture(teacher: Weights, base_width: int) -> dict[str, Any]:
    """Return the teacher's architecture with another width."""
    shape = teacher.architecture["config"]
    if base_width > shape["base_width"]:
        raise BadInput(
            f"The student (base_width={base_width}) is wider than its teacher "
            f"({shape['base_width']}). Choose a smaller base_width."
        )
    # The widths of a teacher whose channels were cut are not the student's.
    regular = {name: value for name, value in shape.items() if name != "widths"}
    student = {**regular, "base_width": base_width, "normalization": "batch"}
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
        BadInput: If the student is wider than the teacher, or the teacher of no use.
        Diverged: If the loss is no longer finite.

    Source: Mangalam, Salzmann, 2018, section 3 (batch normalisation, class weights, mixed
    targets); Hinton et al., 2015.
    """
    make_deterministic(config.schedule.seed)
    dataset, taught = load_dataset(dataset_path), load_weights(teacher_path)
    architecture = _student_architecture(taught, config.base_width)
    teacher = choose_teacher(teacher_path, taught, dataset, config.target)
    student = build(architecture)
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(student.trainable_variables)
    validator = Validator(dataset, student)
    schedule = config.schedule
    outcome = fit(
        run,
        schedule,
        stream_patches(dataset, config.augmentation, schedule),
        gradient_step(
            student,
            optimizer,
            taught_loss(student, teacher, dataset, config.objective, config.target),
        ),
        validator.dice,
        {"model": student, "optimizer": optimizer},
    )
    weights = from_keras(student, architecture, dataset.preprocessing())
    return weights, {**account_for(weights), **outcome.figures()}
