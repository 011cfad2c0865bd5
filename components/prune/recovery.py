"""What all methods of pruning share: the training that brings Dice back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tf_keras

from thimble.distillation import taught_loss
from thimble.models import to_keras
from thimble.records import Dataset
from thimble.stage import Run
from thimble.training import Validator, cosine_optimizer, fit, stream_patches
from thimble.weights import Weights

if TYPE_CHECKING:
    from components.prune.prune import PruneConfig

__all__ = ["Recovery"]


class Recovery:
    """Trains a network whose weights go; the network as it came in teaches it.

    Attributes:
        config: Of the stage.
        dataset: What it is trained and validated on.
        run: Progress and checkpoints.
        batches: From the steps already taken to the batches that follow.
        ramp_end: The first step at which all is pruned.
        steps: In all.
        optimizer: Adam with the schedule of the stage; not built.
    """

    def __init__(self, dense: Weights, dataset: Dataset, config: "PruneConfig", run: Run) -> None:
        """Bind the data, the teacher and the schedule."""
        self.config = config
        self.steps = config.schedule.steps
        self.ramp_end = int(self.steps * config.amount.ramp_share)
        self.optimizer = cosine_optimizer(config.schedule)
        self.dataset, self.run = dataset, run
        self.batches = stream_patches(dataset, config.augmentation, config.schedule)
        self._dense = dense

    def loss(self, model: tf_keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return the loss of a batch (image, target), a scalar."""
        teacher = to_keras(self._dense)
        return taught_loss(model, teacher, self.dataset, self.config.objective, self.config.target)

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
