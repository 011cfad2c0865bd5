"""Trained weight sharing: every kernel takes its values from a small trained codebook."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from components.quantize.codebook import INITIALIZATIONS, cluster
from components.quantize.folding import fold_batch_norm
from components.quantize.rate import Shared, price_of, share_by_rate
from components.quantize.shared_kernels import SharedKernels, codebook_step, kernels_of
from thimble.accounting import account_for
from thimble.distillation import TargetConfig, choose_teacher, taught_loss
from thimble.fisher import fisher_information
from thimble.models import from_keras, to_keras
from thimble.objective import ObjectiveConfig
from thimble.patches import AugmentationConfig
from thimble.records import Dataset, load_dataset
from thimble.stage import Run, require
from thimble.training import (
    ScheduleConfig,
    Validator,
    cosine_optimizer,
    fit,
    make_deterministic,
    stream_patches,
)
from thimble.weights import Weights, load_weights

__all__ = ["CodebookConfig", "QuantizeConfig", "quantize_model"]

# Batches whose gradients tell how much each weight matters.
SENSITIVITY_BATCHES = 48

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class CodebookConfig:
    """The shared values.

    Attributes:
        codebook_size: Values per layer with the zero, in [2, 256].
        initialization: Start of k-means: linear, density or random.
        rate_weight: What a bit is worth, in the mean loss of dropping a weight; 0 = plain k-means,
            which takes no account of bits.
    """

    codebook_size: int = 32
    initialization: str = "linear"
    rate_weight: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            2 <= self.codebook_size <= 256,
            "codebook_size must be in [2, 256]",
            codebook_size=self.codebook_size,
        )
        known = ", ".join(INITIALIZATIONS)
        require(
            self.initialization in INITIALIZATIONS,
            f"initialization must be one of {known}",
            initialization=self.initialization,
        )
        require(
            0 <= self.rate_weight <= 1,
            "rate_weight must be in [0, 1]",
            rate_weight=self.rate_weight,
        )


@dataclass(frozen=True)
class QuantizeConfig:
    """Everything that weight sharing needs.

    Attributes:
        branch: Label of the network in the run.
        codebook: Size and start of the codebooks.
        target: How much the teacher teaches the quantized network.
        augmentation: Patches.
        objective: Weights of the pixels.
        schedule: Steps, pace and patience.
    """

    branch: str = "teacher"
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    target: TargetConfig = field(
        default_factory=lambda: TargetConfig(temperature=2.0, soft_share=0.5)
    )
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(steps=200, learning_rate=2e-4)
    )


def _share(
    model: tf_keras.Model, measure: Loss, batches: Iterable[Any], config: QuantizeConfig
) -> dict[str, Shared]:
    """Choose the codebook of each kernel and the entry of each weight."""
    kernels, book, seed = kernels_of(model), config.codebook, config.schedule.seed
    if book.rate_weight == 0:
        return {
            name: cluster(kernel, book.codebook_size, book.initialization, seed)
            for name, kernel in kernels.items()
        }
    steep = fisher_information(model, measure, itertools.islice(batches, SENSITIVITY_BATCHES))
    price = price_of(kernels, steep, book.rate_weight)
    return {
        name: share_by_rate(
            kernel, steep[name], book.codebook_size, price, book.initialization, seed
        )
        for name, kernel in kernels.items()
    }


def _train_codebooks(
    folded: Weights, teacher: tf_keras.Model, dataset: Dataset, config: QuantizeConfig, run: Run
) -> tuple[tf_keras.Model, SharedKernels, dict[str, float]]:
    """Share the values of the kernels, train them, round them as they ship."""
    model = to_keras(folded)
    validator = Validator(dataset, model)
    before = validator.dice()
    batches = stream_patches(dataset, config.augmentation, config.schedule)
    measure = taught_loss(model, teacher, dataset, config.objective, config.target)
    shared = SharedKernels(model, _share(model, measure, batches(0), config))
    clustered = validator.dice()
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(shared.variables)
    outcome = fit(
        run,
        config.schedule,
        batches,
        codebook_step(shared, optimizer, measure),
        validator.dice,
        {"model": model, "optimizer": optimizer, **shared.named()},
    )
    shared.round_to_half()
    entries = sum(codebook.shape[0] for codebook in shared.codebooks)
    return (
        model,
        shared,
        {
            **outcome.figures(),
            "dice_validation_before": before,
            "dice_validation_clustered": clustered,
            "dice_validation": validator.dice(),
            "codebook_entries_mean": entries / len(shared.codebooks),
        },
    )


def quantize_model(
    model_path: str | Path,
    dataset_path: str | Path,
    config: QuantizeConfig,
    run: Run,
    teacher_path: str | Path | None = None,
) -> tuple[Weights, dict[str, float]]:
    """Fold batch normalisation, share each layer's values, and train the shared values.

    Args:
        model_path: Model artifact, pruned or not; zeros stay zero.
        dataset_path: Dataset artifact.
        config: Codebooks, patches, objective and schedule.
        run: Progress and checkpoints.
        teacher_path: Model artifact that teaches; the network as it came in if there is none.

    Returns:
        Weights with `<kernel>.indices` and `<kernel>.codebook` constraints, and the figures.

    Raises:
        BadInput: If the teacher does not fit the data or knows nothing.
        Diverged: If the loss is no longer finite.

    Source: Han, Mao, Dally, 2015, section 3; Choi, El-Khamy, Lee, 2017, sections 3 and 4.
    """
    make_deterministic(config.schedule.seed)
    dataset = load_dataset(dataset_path)
    folded = fold_batch_norm(load_weights(model_path))
    teacher = choose_teacher(teacher_path, folded, dataset, config.target)
    model, shared, figures = _train_codebooks(folded, teacher, dataset, config, run)
    result = from_keras(model, folded.architecture, folded.preprocessing, shared.constraints())
    return result, {**account_for(result), **figures}
