"""Trained weight sharing: every kernel takes its values from a small trained codebook."""

from dataclasses import dataclass, field
from pathlib import Path

import tf_keras

from components.quantize.codebook import INITIALIZATIONS
from components.quantize.folding import fold_batch_norm
from components.quantize.shared_kernels import SharedKernels, codebook_step
from thimble.accounting import account_for
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
    supervised_loss,
)
from thimble.weights import Weights, load_weights

__all__ = ["CodebookConfig", "QuantizeConfig", "quantize_model"]


@dataclass(frozen=True)
class CodebookConfig:
    """The shared values.

    Attributes:
        codebook_size: Values per layer with the zero, in [2, 256].
        initialization: Start of k-means: linear, density or random.
    """

    codebook_size: int = 32
    initialization: str = "linear"

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


@dataclass(frozen=True)
class QuantizeConfig:
    """Everything that weight sharing needs.

    Attributes:
        branch: Label of the network in the run.
        codebook: Size and start of the codebooks.
        augmentation: Patches.
        objective: Weights of the pixels.
        schedule: Steps, pace and patience.
    """

    branch: str = "teacher"
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(steps=200, learning_rate=2e-4)
    )


def _train_codebooks(
    model: tf_keras.Model, dataset: Dataset, config: QuantizeConfig, run: Run
) -> tuple[SharedKernels, dict[str, float]]:
    """Cluster the kernels, train the shared values, round them as they ship."""
    validator = Validator(dataset, model)
    before = validator.dice()
    kernels = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    sizes = dict.fromkeys(kernels, config.codebook.codebook_size)
    shared = SharedKernels(model, sizes, config.codebook.initialization, config.schedule.seed)
    clustered = validator.dice()
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(shared.variables)
    outcome = fit(
        run,
        config.schedule,
        stream_patches(dataset, config.augmentation, config.schedule),
        codebook_step(shared, optimizer, supervised_loss(model, dataset, config.objective)),
        validator.dice,
        {"model": model, "optimizer": optimizer, **shared.named()},
    )
    shared.round_to_half()
    return shared, {
        **outcome.figures(),
        "dice_validation_before": before,
        "dice_validation_clustered": clustered,
        "dice_validation": validator.dice(),
    }


def quantize_model(
    model_path: str | Path, dataset_path: str | Path, config: QuantizeConfig, run: Run
) -> tuple[Weights, dict[str, float]]:
    """Fold batch normalisation, share each layer's values, and train the shared values.

    Args:
        model_path: Model artifact, pruned or not; zeros stay zero.
        dataset_path: Dataset artifact.
        config: Codebooks, patches, objective and schedule.
        run: Progress and checkpoints.

    Returns:
        Weights with `<kernel>.indices` and `<kernel>.codebook` constraints, and the figures.

    Raises:
        Diverged: If the loss is no longer finite.

    Source: Han, Mao, Dally, 2015, section 3.
    """
    make_deterministic(config.schedule.seed)
    dataset = load_dataset(dataset_path)
    folded = fold_batch_norm(load_weights(model_path))
    model = to_keras(folded)
    shared, figures = _train_codebooks(model, dataset, config, run)
    result = from_keras(model, folded.architecture, folded.preprocessing, shared.constraints())
    return result, {**account_for(result), **figures}
