"""Magnitude pruning while fine-tuning, with a sparsity per layer from a sensitivity scan."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from components.prune.masking import apply_masks, set_pruning_step, strip, wrap
from components.prune.sensitivity import PROBED, allocate, scan_layers
from thimble.accounting import account_for
from thimble.models import from_keras, to_keras
from thimble.objective import (
    ObjectiveConfig,
    class_weights,
    weighted_cross_entropy,
)
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
    supervised_step,
)
from thimble.weights import Weights, load_weights, sparsity_of

__all__ = ["PruneConfig", "SparsityConfig", "prune_model"]

SCANNED_TILES = 12


@dataclass(frozen=True)
class SparsityConfig:
    """How much goes, where and when.

    Attributes:
        sparsity: Share of zeros among all kernel weights at the end, in [0, 0.98].
        allocation: `sensitivity` (per layer, from a scan on validation) or `uniform`.
        ramp_share: Share of the steps over which the sparsity rises (cubic), in (0, 1].
    """

    sparsity: float = 0.9
    allocation: str = "sensitivity"
    ramp_share: float = 0.6

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            0 <= self.sparsity <= PROBED[-1],
            f"sparsity must be in [0, {PROBED[-1]}]",
            sparsity=self.sparsity,
        )
        require(
            self.allocation in {"sensitivity", "uniform"},
            "allocation must be 'sensitivity' or 'uniform'",
            allocation=self.allocation,
        )
        require(
            0 < self.ramp_share <= 1, "ramp_share must be in (0, 1]", ramp_share=self.ramp_share
        )


@dataclass(frozen=True)
class PruneConfig:
    """Everything that pruning needs.

    Attributes:
        branch: Label of the network in the run.
        amount: How much goes, where and when.
        augmentation: Patches.
        objective: Weights of the pixels.
        schedule: Steps, pace and patience.
    """

    branch: str = "teacher"
    amount: SparsityConfig = field(default_factory=SparsityConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(steps=600, learning_rate=5e-4)
    )


def _kernels(weights: Weights) -> dict[str, np.ndarray]:
    """Return the kernels by layer."""
    return {
        name.removesuffix("/kernel"): array
        for name, array in weights.tensors.items()
        if name.endswith("/kernel")
    }


def _validation_tiles(dataset: Dataset, validator: Validator) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a few central tiles of validation scans and their labels."""
    tile = int(dataset.tile)
    scans = [scan for scan in validator.scans if min(scan[1].shape) >= tile] or validator.scans
    images, labels = [], []
    for index in range(SCANNED_TILES):
        image, label = scans[index * len(scans) // SCANNED_TILES]
        pad = [(0, max(tile - side, 0)) for side in label.shape]
        image, label = np.pad(image, [*pad, (0, 0)], "symmetric"), np.pad(label, pad, "symmetric")
        place = (index * 5 % SCANNED_TILES) / max(SCANNED_TILES - 1, 1)
        top, left = (round(place * (side - tile)) for side in label.shape)
        images.append(image[top : top + tile, left : left + tile])
        labels.append(label[top : top + tile, left : left + tile])
    return tf.constant(np.stack(images)), tf.constant(np.stack(labels))


def _scan(
    model: tf_keras.Model, dataset: Dataset, validator: Validator, objective: ObjectiveConfig
) -> Callable[[dict[str, np.ndarray], Run], dict[str, np.ndarray]]:
    """Return the sensitivity scan of this model on validation tiles."""
    images, labels = _validation_tiles(dataset, validator)
    by_class = tf.constant(class_weights(dataset.spec, objective.class_weight_power))
    pixels = tf.gather(by_class, tf.cast(labels, tf.int32))

    @tf.function
    def measure() -> tf.Tensor:
        return weighted_cross_entropy(model(images, training=False), labels, pixels)

    def scan(kernels: dict[str, np.ndarray], run: Run) -> dict[str, np.ndarray]:
        done = iter(range(1, len(kernels) * len(PROBED) + 1))

        def loss_with(name: str, kernel: np.ndarray) -> float:
            variable = model.get_layer(name).kernel
            variable.assign(kernel)
            loss = float(measure())
            variable.assign(kernels[name])
            run.progress(next(done), len(kernels) * len(PROBED), scan_loss=loss)
            return loss

        return scan_layers(kernels, loss_with, float(measure()))

    return scan


def _fine_tune(
    model: tf_keras.Model, dataset: Dataset, config: PruneConfig, run: Run
) -> dict[str, float]:
    """Prune and train a wrapped model; leave it at its best full sparsity."""
    optimizer = cosine_optimizer(config.schedule)
    optimizer.build(model.trainable_variables)
    validator = Validator(dataset, model)

    def validate() -> float:
        apply_masks(model)
        return validator.dice()

    outcome = fit(
        run,
        config.schedule,
        stream_patches(dataset, config.augmentation, config.schedule),
        supervised_step(model, optimizer, dataset, config.objective),
        validate,
        {"model": model, "optimizer": optimizer},
        before_step=lambda step: set_pruning_step(model, step),
        eligible_from=int(config.schedule.steps * config.amount.ramp_share) + 1,
    )
    apply_masks(model)
    return outcome.figures()


def prune_model(
    model_path: str | Path, dataset_path: str | Path, config: PruneConfig, run: Run
) -> tuple[Weights, dict[str, float]]:
    """Zero the smallest weights of each layer step by step while the rest is trained on.

    Args:
        model_path: Model artifact.
        dataset_path: Dataset artifact.
        config: Amount, patches, objective and schedule.
        run: Progress and checkpoints.

    Returns:
        Weights with `<kernel>.mask` constraints, and the figures.

    Raises:
        Diverged: If the loss is no longer finite.

    Source: Han et al., 2015; Zhu, Gupta, 2017, equation 1 (cubic schedule).
    """
    make_deterministic(config.schedule.seed)
    dataset, dense = load_dataset(dataset_path), load_weights(model_path)
    model, kernels = to_keras(dense), _kernels(dense)
    if config.amount.allocation == "sensitivity":
        scan = _scan(model, dataset, Validator(dataset, model), config.objective)
        sizes = {name: kernel.size for name, kernel in kernels.items()}
        plan = allocate(sizes, scan(kernels, run), config.amount.sparsity)
    else:
        plan = dict.fromkeys(kernels, config.amount.sparsity)
    wrapped = wrap(model, plan, config.schedule.steps, config.amount.ramp_share)
    figures = _fine_tune(wrapped, dataset, config, run)
    stripped = strip(wrapped)
    pruned = from_keras(stripped, dense.architecture, dense.preprocessing)
    masks = {
        f"{name}/kernel.mask": (pruned.tensors[f"{name}/kernel"] != 0).astype(np.uint8)
        for name in kernels
    }
    result = Weights(dense.architecture, pruned.tensors, masks, dense.preprocessing)
    figures = {**account_for(result), **figures, "sparsity_reached": sparsity_of(result)}
    return result, figures
