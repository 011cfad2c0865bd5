"""Train, prune and quantize a LeNet with the algorithms of the stages of those names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.lenet.data import Augmentation, Digits, Mnist, stream_digits
from benchmarks.lenet.networks import architecture_of
from components.prune.masking import apply_masks, set_pruning_step, strip, wrap
from components.prune.plan import with_masks
from components.quantize.codebook import cluster
from components.quantize.shared_kernels import SharedKernels, codebook_step, kernels_of
from thimble.models import build, from_keras, to_keras
from thimble.stage import Run
from thimble.training import (
    ScheduleConfig,
    cosine_optimizer,
    fit,
    gradient_step,
    make_deterministic,
)
from thimble.weights import Weights

__all__ = ["STAGES", "Recipe", "count_errors", "prune_dense", "quantize_pruned", "train_dense"]

STAGES = ("train", "prune", "quantize")


@dataclass(frozen=True)
class Recipe:
    """All that is chosen for a network; tuned on validation.

    Attributes:
        network: A name in `networks.LENETS`.
        sparsity: Of each layer at the end of pruning, in [0, 1).
        codebook: Entries of each layer's codebook with the zero.
        soft_share: Share of the dense network's predictions in the loss while compressing.
        augmentations: How far images are bent in `train`, `prune` and `quantize`.
        schedules: Of the same; the seed is set for each run.
        ramp_share: Share of the pruning over which the sparsity rises.
    """

    network: str
    sparsity: Mapping[str, float]
    codebook: Mapping[str, int]
    soft_share: float
    augmentations: Mapping[str, Augmentation]
    schedules: Mapping[str, ScheduleConfig]
    ramp_share: float = 0.6


class _Stage:
    """What the three stages share: data, schedule, checkpoints and the score."""

    def __init__(self, data: Mnist, recipe: Recipe, name: str, seed: int, folder: Path) -> None:
        self.schedule = replace(recipe.schedules[name], seed=seed)
        self.run = Run(name, self.schedule, "", folder / f"checkpoints-{name}")
        self.stream = stream_digits(
            data.train,
            self.schedule.batch_size,
            recipe.augmentations[name],
            10 * seed + STAGES.index(name),
        )
        self.validation = data.validation
        self.optimizer = cosine_optimizer(self.schedule)
        make_deterministic(seed)

    def accuracy(self, model: tf_keras.Model) -> float:
        """Return the share of validation images that are right, in [0, 1]."""
        return 1.0 - count_errors(model, self.validation) / len(self.validation.labels)


def count_errors(model: tf_keras.Model, digits: Digits) -> int:
    """Return how many images a network gets wrong."""
    wrong = 0
    for start in range(0, len(digits.labels), 1000):
        images = tf.constant(digits.images[start : start + 1000], tf.float32) / 255.0
        found = model(images, training=False).numpy().argmax(-1)
        wrong += int(np.count_nonzero(found != digits.labels[start : start + 1000]))
    return wrong


def _loss(
    model: tf_keras.Model, teacher: tf_keras.Model | None = None, soft_share: float = 0.0
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the loss of a batch: cross-entropy with the labels and with the teacher.

    Source: Hinton, Vinyals, Dean, 2015, equation 1, at temperature 2.
    """

    def measure(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        logits = model(image, training=True)
        hard = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
        if teacher is None or soft_share == 0:
            return tf.reduce_mean(hard)
        taught = tf.nn.softmax(teacher(image, training=False) / 2.0)
        soft = 4.0 * tf.nn.softmax_cross_entropy_with_logits(taught, logits / 2.0)
        return tf.reduce_mean(soft_share * soft + (1.0 - soft_share) * hard)

    return measure


def train_dense(data: Mnist, recipe: Recipe, seed: int, folder: Path) -> Weights:
    """Train the uncompressed network."""
    stage = _Stage(data, recipe, "train", seed, folder)
    architecture = architecture_of(recipe.network)
    model = build(architecture)
    stage.optimizer.build(model.trainable_variables)
    fit(
        stage.run,
        stage.schedule,
        stage.stream,
        gradient_step(model, stage.optimizer, _loss(model)),
        lambda: stage.accuracy(model),
        {"model": model, "optimizer": stage.optimizer},
    )
    return from_keras(model, architecture, _preprocessing())


def prune_dense(data: Mnist, recipe: Recipe, seed: int, folder: Path, dense: Weights) -> Weights:
    """Zero the smallest weights of each layer step by step while the rest is trained on.

    Source: Han et al., 2015; Zhu, Gupta, 2017, equation 1.
    """
    stage = _Stage(data, recipe, "prune", seed, folder)
    teacher = to_keras(dense)
    steps = stage.schedule.steps
    model = wrap(to_keras(dense), recipe.sparsity, steps, recipe.ramp_share)
    stage.optimizer.build(model.trainable_variables)

    def validate() -> float:
        apply_masks(model)
        return stage.accuracy(model)

    fit(
        stage.run,
        stage.schedule,
        stage.stream,
        gradient_step(model, stage.optimizer, _loss(model, teacher, recipe.soft_share)),
        validate,
        {"model": model, "optimizer": stage.optimizer},
        before_step=lambda step: set_pruning_step(model, step),
        eligible_from=int(steps * recipe.ramp_share) + 1,
    )
    apply_masks(model)
    pruned = from_keras(strip(model), dense.architecture, dense.preprocessing)
    return with_masks(pruned)


def quantize_pruned(
    data: Mnist, recipe: Recipe, seed: int, folder: Path, models: tuple[Weights, Weights]
) -> Weights:
    """Share each layer's values, train the shared values, and round them to float16.

    Args:
        data: Splits.
        recipe: Codebooks and schedule.
        seed: Of order and augmentation.
        folder: For checkpoints.
        models: The pruned network, and the dense one that teaches.

    Source: Han, Mao, Dally, 2015, section 3.
    """
    stage = _Stage(data, recipe, "quantize", seed, folder)
    model, teacher = to_keras(models[0]), to_keras(models[1])
    kernels = kernels_of(model)
    shared = SharedKernels(
        model, {name: cluster(kernel, recipe.codebook[name]) for name, kernel in kernels.items()}
    )
    stage.optimizer.build(shared.variables)
    fit(
        stage.run,
        stage.schedule,
        stage.stream,
        codebook_step(shared, stage.optimizer, _loss(model, teacher, recipe.soft_share)),
        lambda: stage.accuracy(model),
        {"model": model, "optimizer": stage.optimizer, **shared.named()},
    )
    shared.round_to_half()
    return from_keras(model, models[0].architecture, _preprocessing(), shared.constraints())


def _preprocessing() -> dict[str, Any]:
    """Return how the networks are fed."""
    return {
        "channels": 1,
        "classes": [str(digit) for digit in range(10)],
        "normalization": {"kind": "scale", "factor": "1/255"},
        "size": [28, 28],
    }
