"""Training of a U-Net on patches, with validation as it will be scored."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tf_keras

from thimble.accounting import account_for
from thimble.models import MODELS, build, from_keras, to_keras
from thimble.objective import ObjectiveConfig
from thimble.patches import AugmentationConfig
from thimble.records import Dataset, load_dataset
from thimble.stage import BadInput, Run, require
from thimble.training import (
    ScheduleConfig,
    Validator,
    cosine_optimizer,
    fit,
    make_deterministic,
    refuse_other_task,
    stream_patches,
    supervised_step,
)
from thimble.weights import Weights, load_weights

__all__ = ["ModelConfig", "TrainConfig", "train_model"]


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network; classes and channels come from the data set.

    Attributes:
        model: A name in `thimble.models.MODELS`.
        base_width: Channels of the first level; each level down doubles them.
        depth: Levels below the first, in [1, 6].
    """

    model: str = "unet"
    base_width: int = 16
    depth: int = 4

    def __post_init__(self) -> None:
        """Check the ranges before any data is read."""
        known = ", ".join(sorted(MODELS))
        require(self.model in MODELS, f"model must be one of {known}", model=self.model)
        config_class, _ = MODELS[self.model]
        config_class(base_width=self.base_width, depth=self.depth)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that training needs.

    Attributes:
        branch: Label of the network in the run: teacher, baseline or control.
        model: Shape of the network.
        augmentation: Patches.
        objective: Weights of the pixels.
        schedule: Steps, pace and patience.
    """

    branch: str = "teacher"
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)


def _architecture(config: ModelConfig, dataset: Dataset) -> dict[str, Any]:
    """Return the architecture for the data set's channels and classes."""
    shape = {
        "base_width": config.base_width,
        "depth": config.depth,
        "classes": len(dataset.classes),
        "channels": dataset.channels,
        "normalization": "batch",
    }
    return {"model": config.model, "config": shape}


def _check_sizes(config: TrainConfig, dataset: Dataset) -> None:
    """Refuse patches and tiles that the pooling does not divide."""
    unit = 2**config.model.depth
    sizes = {"patch_size": config.augmentation.patch_size, "tile": dataset.tile}
    for name, size in sizes.items():
        if size % unit:
            raise BadInput(
                f"{name}={size} is not divisible by 2**depth={unit}. Choose a multiple of {unit}."
            )


def _initial_model(
    config: TrainConfig, dataset: Dataset, initial: str | Path | None
) -> tuple[tf_keras.Model, dict[str, Any]]:
    """Return a new network, or the one to train on, with its architecture."""
    if initial is None:
        architecture = _architecture(config.model, dataset)
        return build(architecture), architecture
    weights = load_weights(initial)
    refuse_other_task(weights, dataset, "initial model")
    return to_keras(weights), weights.architecture


def train_model(
    dataset_path: str | Path, config: TrainConfig, run: Run, initial: str | Path | None = None
) -> tuple[Weights, dict[str, float]]:
    """Train a network, or train one on.

    Args:
        dataset_path: Dataset artifact.
        config: Shape, patches, objective and schedule.
        run: Progress and checkpoints.
        initial: Model artifact to train on; its shape is kept.

    Returns:
        The weights with the best validation Dice, and the figures.

    Raises:
        BadInput: If sizes, channels or classes do not fit.
        Diverged: If the loss is no longer finite.

    Source: Ronneberger et al., 2015, section 3.
    """
    make_deterministic(config.schedule.seed)
    dataset = load_dataset(dataset_path)
    _check_sizes(config, dataset)
    model, architecture = _initial_model(config, dataset, initial)
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(model.trainable_variables)
    validator = Validator(dataset, model)
    schedule = config.schedule
    outcome = fit(
        run,
        schedule,
        stream_patches(dataset, config.augmentation, schedule),
        supervised_step(model, optimizer, dataset, config.objective),
        validator.dice,
        {"model": model, "optimizer": optimizer},
    )
    weights = from_keras(model, architecture, dataset.preprocessing())
    return weights, {**account_for(weights), **outcome.figures()}
