"""What all methods of pruning share: the training that brings Dice back."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tf_keras

from thimble.distillation import choose_teacher, taught_loss
from thimble.records import Dataset
from thimble.stage import Run
from thimble.training import Validator, cosine_optimizer, fit, stream_patches
from thimble.weights import Weights

if TYPE_CHECKING:
    from components.prune.prune import PruneConfig

__all__ = ["Recovery"]

# Of our own methods, evenly over the ramp.
MASK_UPDATES = 20


class Recovery:
    """Trains a network whose weights go; another, or it as it came in, teaches it.

    Attributes:
        config: Of the stage.
        dataset: What it is trained and validated on.
        run: Progress and checkpoints.
        batches: From the steps already taken to the batches that follow.
        ramp_end: The first step at which all is pruned.
        steps: In all.
        optimizer: Adam with the schedule of the stage; not built.
    """

    def __init__(
        self,
        dense: Weights,
        dataset: Dataset,
        config: "PruneConfig",
        run: Run,
        teacher_path: str | Path | None = None,
    ) -> None:
        """Bind the data, the teacher and the schedule."""
        self.config = config
        self.steps = config.schedule.steps
        self.ramp_end = int(self.steps * config.amount.ramp_share)
        self.optimizer = cosine_optimizer(config.schedule)
        self.dataset, self.run = dataset, run
        self.batches = stream_patches(dataset, config.augmentation, config.schedule)
        self._teacher = choose_teacher(teacher_path, dense, dataset, config.target)

    def updates_masks(self, step: int) -> bool:
        """Tell whether masks are chosen anew before a step.

        Half of what is left after the ramp trains with the masks as they are.
        """
        every = max(1, self.ramp_end // MASK_UPDATES)
        last = self.ramp_end + (self.steps - self.ramp_end) // 2
        return step <= last and (step % every == 0 or step == self.ramp_end)

    def loss(self, model: tf_keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return the loss of a batch (image, target), a scalar."""
        return taught_loss(
            model, self._teacher, self.dataset, self.config.objective, self.config.target
        )

    def train(
        self,
        model: tf_keras.Model,
        take_step: Callable[..., tf.Tensor],
        before_step: Callable[[int], None],
        parts: dict[str, Any],
        before_validation: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """Train, and leave the model in its best state with all weights pruned.

        Args:
            model: What is validated.
            take_step: One step on a batch.
            before_step: Called with the step's number before each.
            parts: What a checkpoint holds beside model and optimizer.
            before_validation: Called before each validation.
        """
        validator = Validator(self.dataset, model)

        def validate() -> float:
            before_validation()
            return validator.dice()

        schedule = self.config.schedule
        outcome = fit(
            self.run,
            schedule,
            self.batches,
            take_step,
            validate,
            {"model": model, "optimizer": self.optimizer, **parts},
            before_step=before_step,
            eligible_from=self.ramp_end + 1,
        )
        return outcome.figures()
