"""Trained weight sharing: every kernel takes its values from a small trained codebook."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.quantize.codebook import INITIALIZATIONS, cluster
from components.quantize.folding import fold_batch_norm
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


class _SharedKernels:
    """The codebooks as variables, and the kernels that follow them."""

    def __init__(self, model: tf_keras.Model, config: CodebookConfig, seed: int) -> None:
        self.layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
        self.codebooks: list[tf.Variable] = []
        self.indices: list[np.ndarray] = []
        for layer in self.layers:
            codebook, indices = cluster(
                layer.kernel.numpy(), config.codebook_size, config.initialization, seed
            )
            self.codebooks.append(tf.Variable(codebook, name=f"{layer.name}/codebook"))
            self.indices.append(indices)
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


def _make_step(
    model: tf_keras.Model,
    shared: _SharedKernels,
    optimizer: Any,
    dataset: Dataset,
    objective: ObjectiveConfig,
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step of codebooks and biases on a batch of patches."""
    measure = supervised_loss(model, dataset, objective)
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


def _train_codebooks(
    model: tf_keras.Model, dataset: Dataset, config: QuantizeConfig, run: Run
) -> tuple[_SharedKernels, dict[str, float]]:
    """Cluster the kernels, train the shared values, round them as they ship."""
    validator = Validator(dataset, model)
    before = validator.dice()
    shared = _SharedKernels(model, config.codebook, config.schedule.seed)
    clustered = validator.dice()
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(shared.variables)
    outcome = fit(
        run,
        config.schedule,
        stream_patches(dataset, config.augmentation, config.schedule),
        _make_step(model, shared, optimizer, dataset, config.objective),
        validator.dice,
        {"model": model, "optimizer": optimizer, **_named(shared)},
    )
    shared.round_to_half()
    return shared, {
        **outcome.figures(),
        "dice_validation_before": before,
        "dice_validation_clustered": clustered,
        "dice_validation": validator.dice(),
    }


def _named(shared: _SharedKernels) -> dict[str, tf.Variable]:
    """Return the codebooks under names that a checkpoint can hold."""
    return {f"codebook_{index}": variable for index, variable in enumerate(shared.codebooks)}


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
