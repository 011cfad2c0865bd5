"""The training loop of all stages that train: schedule, validation, checkpoints, resume."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from thimble.objective import (
    ObjectiveConfig,
    class_weights,
    pixel_weights,
    weighted_cross_entropy,
)
from thimble.patches import AugmentationConfig, training_batches
from thimble.preprocessing import normalize
from thimble.records import Dataset, read_records
from thimble.scoring import confusion, foreground_dice
from thimble.stage import BadInput, Run, ThimbleError, require
from thimble.tiling import predict_tiled
from thimble.weights import Weights

__all__ = [
    "Diverged",
    "Outcome",
    "ScheduleConfig",
    "Validator",
    "cosine_optimizer",
    "fit",
    "gradient_step",
    "make_deterministic",
    "refuse_other_task",
    "stream_patches",
    "supervised_loss",
    "supervised_step",
]

CHECKED_EVERY = 10


class Diverged(ThimbleError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How long and how fast a network trains.

    Attributes:
        steps: Optimiser steps at most.
        batch_size: Patches a step.
        learning_rate: Peak of the cosine schedule, after a linear warm-up of 5 % of the steps.
        evaluate_every: Steps between validations.
        patience: Validations without a better Dice after which training stops; 0 = never.
        seed: Of weights, order and augmentation.
    """

    steps: int = 1200
    batch_size: int = 4
    learning_rate: float = 1e-3
    evaluate_every: int = 100
    patience: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.steps >= 1, "steps must be >= 1", steps=self.steps)
        require(self.batch_size >= 1, "batch_size must be >= 1", batch_size=self.batch_size)
        require(
            0 < self.learning_rate <= 1,
            "learning_rate must be in (0, 1]",
            learning_rate=self.learning_rate,
        )
        require(
            self.evaluate_every >= 1,
            "evaluate_every must be >= 1",
            evaluate_every=self.evaluate_every,
        )
        require(self.patience >= 0, "patience must be >= 0", patience=self.patience)
        require(0 <= self.seed < 2**32, "seed must be in [0, 2**32)", seed=self.seed)


@dataclass(frozen=True)
class Outcome:
    """What a training found: the best validation Dice, at which step, after how many steps."""

    dice: float
    best_step: int
    steps: int

    def figures(self) -> dict[str, float]:
        """Return the figures that every training stage reports."""
        return {
            "dice_validation": self.dice,
            "best_step": float(self.best_step),
            "steps": float(self.steps),
        }


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, so that equal inputs give equal bytes.

    TensorFlow's own deterministic mode stays off: on a CPU with a fixed number of threads training
    repeats bit for bit without it, in less time.
    """
    tf_keras.utils.set_random_seed(seed)


def refuse_other_task(weights: Weights, dataset: Dataset, name: str) -> None:
    """Refuse a network of other channels or classes than the data set's.

    Args:
        weights: The network.
        dataset: What it is to be used on.
        name: What the network is called in the error.

    Raises:
        BadInput: If it does not fit.
    """
    shape = weights.architecture["config"]
    if (shape["channels"], shape["classes"]) != (dataset.channels, len(dataset.classes)):
        raise BadInput(
            f"The {name} has {shape['channels']} channels and {shape['classes']} classes, "
            f"the data set {dataset.channels} and {len(dataset.classes)}. Use one made for it."
        )


def cosine_optimizer(schedule: ScheduleConfig) -> tf_keras.optimizers.Optimizer:
    """Return Adam with linear warm-up and cosine decay to zero (Loshchilov, Hutter, 2017)."""
    warmup = max(1, schedule.steps // 20)
    rate = tf_keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, schedule.steps - warmup),
        warmup_target=schedule.learning_rate,
        warmup_steps=warmup,
    )
    return tf_keras.optimizers.Adam(rate)


def stream_patches(
    dataset: Dataset, augmentation: AugmentationConfig, schedule: ScheduleConfig
) -> Callable[[int], tf.data.Dataset]:
    """Return the function from the steps already taken to the batches that follow."""
    return lambda skip: training_batches(
        dataset.folder, dataset.spec, augmentation, schedule.batch_size, schedule.seed, skip
    )


def supervised_loss(
    model: tf_keras.Model, dataset: Dataset, objective: ObjectiveConfig
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the training loss of a batch of labelled patches, a scalar."""
    weights = tf.constant(class_weights(dataset.spec, objective.class_weight_power))

    def measure(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        pixels = pixel_weights(target, weights, objective.border_weight)
        return weighted_cross_entropy(model(image, training=True), target[..., 0], pixels)

    return measure


def supervised_step(
    model: tf_keras.Model, optimizer: Any, dataset: Dataset, objective: ObjectiveConfig
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step on a batch of labelled patches; it gives back the loss."""
    return gradient_step(model, optimizer, supervised_loss(model, dataset, objective))


def gradient_step(
    model: tf_keras.Model, optimizer: Any, measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step on any loss of a batch (image, target); it gives back the loss."""

    @tf.function
    def take_step(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = measure(image, target)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return take_step


class Validator:
    """Pooled foreground Dice of a model on the validation split, tiled as it ships."""

    def __init__(self, dataset: Dataset, model: tf_keras.Model, overlap: int = 32) -> None:
        """Load and normalise the validation scans once.

        Raises:
            BadInput: If the split is empty.
        """
        self.forward = tf.function(lambda tiles: model(tiles, training=False))
        preprocessing = dataset.preprocessing()
        self.tile = int(dataset.tile)
        self.overlap = min(overlap, self.tile // 4)
        self.classes = len(dataset.classes)
        self.scans = [
            (normalize(record.image, preprocessing), record.label)
            for record in read_records(dataset, "validation")
        ]
        if not self.scans:
            raise BadInput("The validation split is empty. Raise validation_share.")

    def dice(self) -> float:
        """Return pooled foreground Dice in [0, 1]."""
        counts = np.zeros((self.classes, 3), np.int64)
        for image, label in self.scans:
            logits = predict_tiled(
                image, lambda tiles: self.forward(tiles).numpy(), self.tile, self.overlap
            )
            counts += confusion(label, logits.argmax(-1).astype(np.uint8), self.classes)
        return foreground_dice(counts)


class _Progress(tf.Module):
    """The numbers of a training that a checkpoint keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)
        self.best_step = tf.Variable(0, dtype=tf.int64)
        self.best_dice = tf.Variable(-1.0, dtype=tf.float64)
        self.stale = tf.Variable(0, dtype=tf.int64)


class _Checkpoints:
    """The latest and the best state of a training, each in its own folder."""

    def __init__(self, run: Run, parts: dict[str, Any]) -> None:
        self.numbers = _Progress()
        state = tf.train.Checkpoint(numbers=self.numbers, **parts)
        folder = run.checkpoint
        self.latest = tf.train.CheckpointManager(state, str(folder / "latest"), max_to_keep=1)
        self.best = tf.train.CheckpointManager(state, str(folder / "best"), max_to_keep=1)
        self.state = state

    def resume(self) -> int:
        """Restore the latest state; return the step that it had reached."""
        if self.latest.latest_checkpoint:
            self.state.restore(self.latest.latest_checkpoint).expect_partial()
        return int(self.numbers.step)

    def keep(self, step: int, dice: float, eligible: bool) -> None:
        """Save the state, as the best too where it is."""
        numbers = self.numbers
        numbers.step.assign(step)
        if eligible and dice > float(numbers.best_dice):
            numbers.best_dice.assign(dice)
            numbers.best_step.assign(step)
            numbers.stale.assign(0)
            self.best.save(checkpoint_number=step)
        else:
            numbers.stale.assign_add(1)
        self.latest.save(checkpoint_number=step)

    def restore_best(self, steps: int) -> Outcome:
        """Load the best state and tell what it was."""
        dice, best_step = float(self.numbers.best_dice), int(self.numbers.best_step)
        self.state.restore(self.best.latest_checkpoint).expect_partial()
        return Outcome(dice, best_step, steps)


def _check_loss(loss: float, step: int, schedule: ScheduleConfig) -> None:
    """Stop a training whose loss is no number."""
    if not math.isfinite(loss):
        raise Diverged(
            f"The loss is {loss} at step {step}. Expected a finite number. Lower learning_rate "
            f"(received {schedule.learning_rate}) or check the scans' intensities."
        )


def fit(  # noqa: PLR0913
    run: Run,
    schedule: ScheduleConfig,
    batches: Callable[[int], Iterable[Any]],
    take_step: Callable[..., tf.Tensor],
    validate: Callable[[], float],
    parts: dict[str, Any],
    *,
    before_step: Callable[[int], None] | None = None,
    eligible_from: int = 0,
) -> Outcome:
    """Train, validate, keep the best state, and leave the model in it.

    Args:
        run: For progress and the checkpoint folder; a killed training continues from it.
        schedule: Steps, pace and patience.
        batches: From the steps already taken to an iterator of batches.
        take_step: One optimiser step on a batch; returns the loss, a scalar.
        validate: Validation Dice of the present state.
        parts: What a checkpoint holds (model, optimizer, ...), by name.
        before_step: Called with the step's number before each, also after a resume.
        eligible_from: First step whose state may be the best (pruning: when all is pruned).

    Returns:
        The best validation Dice and its step.

    Raises:
        Diverged: If the loss is no longer finite.
    """
    checkpoints = _Checkpoints(run, parts)
    first = checkpoints.resume()
    dice = max(float(checkpoints.numbers.best_dice), 0.0)
    step, loss, stream = first, tf.constant(0.0), iter(batches(first))
    while step < schedule.steps and not _exhausted(checkpoints, schedule, eligible_from, step):
        if before_step:
            before_step(step)
        loss = take_step(*next(stream))
        step += 1
        if step % CHECKED_EVERY == 0 or step == schedule.steps:
            _check_loss(float(loss), step, schedule)
            run.progress(step, schedule.steps, loss=float(loss), dice=dice)
        if step % schedule.evaluate_every == 0 or step == schedule.steps:
            dice = validate()
            checkpoints.keep(step, dice, step >= eligible_from)
            run.progress(step, schedule.steps, loss=float(loss), dice=dice)
    return checkpoints.restore_best(step)


def _exhausted(
    checkpoints: _Checkpoints, schedule: ScheduleConfig, eligible_from: int, step: int
) -> bool:
    """Tell whether patience ran out."""
    waited = int(checkpoints.numbers.stale)
    return bool(schedule.patience) and step > eligible_from and waited >= schedule.patience
