"""Pruning while fine-tuning: which weights go, and the training that brings Dice back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from components.prune.channels import prune_by_channels
from components.prune.magnitude import prune_by_magnitude
from components.prune.plan import ALLOCATIONS
from components.prune.recovery import Recovery
from components.prune.sensitivity import PROBED
from components.prune.surgery import prune_by_surgery
from thimble.accounting import account_for
from thimble.distillation import TargetConfig
from thimble.objective import ObjectiveConfig
from thimble.patches import AugmentationConfig
from thimble.records import load_dataset
from thimble.stage import Run, require
from thimble.training import ScheduleConfig, make_deterministic
from thimble.weights import Weights, load_weights, sparsity_of

__all__ = ["METHODS", "PruneConfig", "SparsityConfig", "prune_model"]

# From the dense network and its recovery to the pruned weights and figures.
Method = Callable[[Weights, Recovery], tuple[Weights, dict[str, float]]]
METHODS: dict[str, Method] = {
    "magnitude": prune_by_magnitude,
    "surgery": prune_by_surgery,
    "channels": prune_by_channels,
}


@dataclass(frozen=True)
class SparsityConfig:
    """How much goes, where and when.

    Attributes:
        method: `magnitude` (what went stays away), `surgery` (masks come back), or `channels`
            (whole channels are cut out).
        sparsity: Share of zeros among all kernel weights at the end, in [0, 0.995]; for
            `channels`, the share of the work that goes.
        allocation: How it is shared out: `sensitivity` (a scan of each layer on validation),
            `fisher` (the weights that cost least by the loss's curvature) or `uniform`; `channels`
            does not use it.
        ramp_share: Share of the steps over which the sparsity rises (cubic), in (0, 1].
    """

    method: str = "magnitude"
    sparsity: float = 0.9
    allocation: str = "sensitivity"
    ramp_share: float = 0.6

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            self.method in METHODS,
            f"method must be one of {', '.join(METHODS)}",
            method=self.method,
        )
        require(
            0 <= self.sparsity <= PROBED[-1],
            f"sparsity must be in [0, {PROBED[-1]}]",
            sparsity=self.sparsity,
        )
        require(
            self.allocation in ALLOCATIONS,
            f"allocation must be one of {', '.join(ALLOCATIONS)}",
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
        target: How much the network as it came in teaches the pruned one.
        augmentation: Patches.
        objective: Weights of the pixels.
        schedule: Steps, pace and patience.
    """

    branch: str = "teacher"
    amount: SparsityConfig = field(default_factory=SparsityConfig)
    target: TargetConfig = field(
        default_factory=lambda: TargetConfig(temperature=2.0, soft_share=0.5)
    )
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(steps=600, learning_rate=5e-4)
    )


def prune_model(
    model_path: str | Path,
    dataset_path: str | Path,
    config: PruneConfig,
    run: Run,
    teacher_path: str | Path | None = None,
) -> tuple[Weights, dict[str, float]]:
    """Zero weights of each layer, or mask channels, step by step while the rest is trained on.

    Args:
        model_path: Model artifact.
        dataset_path: Dataset artifact.
        config: Amount, targets, patches, objective and schedule.
        run: Progress and checkpoints.
        teacher_path: Model artifact that teaches; the network as it came in if there is none.

    Returns:
        Weights with `<kernel>.mask` constraints, or of fewer channels, and the figures.

    Raises:
        BadInput: If the teacher does not fit the data or knows nothing.
        Diverged: If the loss is no longer finite.

    Source: Han et al., 2015; Zhu, Gupta, 2017, equation 1 (cubic schedule); for `surgery` Guo, Yao,
        Chen, 2016, section 3; for `channels` Molchanov et al., 2019, section 3.1.
    """
    make_deterministic(config.schedule.seed)
    dataset, dense = load_dataset(dataset_path), load_weights(model_path)
    recovery = Recovery(dense, dataset, config, run, teacher_path)
    result, figures = METHODS[config.amount.method](dense, recovery)
    figures = {**account_for(result), "sparsity_reached": sparsity_of(result), **figures}
    return result, figures
