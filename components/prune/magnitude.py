"""Magnitude pruning with tfmot: what went stays away."""

from components.prune.masking import apply_masks, set_pruning_step, strip, wrap
from components.prune.plan import plan_layers, with_masks
from components.prune.recovery import Recovery
from thimble.models import from_keras, to_keras
from thimble.training import gradient_step
from thimble.weights import Weights

__all__ = ["prune_by_magnitude"]


def prune_by_magnitude(dense: Weights, recovery: Recovery) -> tuple[Weights, dict[str, float]]:
    """Zero the smallest weights of each layer.

    Args:
        dense: The network.
        recovery: How much goes, and how it is trained.

    Source: Han et al., 2015; Zhu, Gupta, 2017, equation 1.
    """
    wrapped = wrap(
        to_keras(dense),
        plan_layers(dense, recovery),
        recovery.steps,
        recovery.config.amount.ramp_share,
    )
    recovery.optimizer.build(wrapped.trainable_variables)
    figures = recovery.train(
        wrapped,
        gradient_step(wrapped, recovery.optimizer, recovery.loss(wrapped)),
        lambda step: set_pruning_step(wrapped, step),
        {},
        before_validation=lambda: apply_masks(wrapped),
    )
    apply_masks(wrapped)
    pruned = from_keras(strip(wrapped), dense.architecture, dense.preprocessing)
    return with_masks(pruned), figures
