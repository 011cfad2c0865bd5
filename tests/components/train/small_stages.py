"""The training stages with so little to do that a test can run them."""

from pathlib import Path
from typing import Any

from components.distill.distill import DistillConfig, distill_student
from components.prune.prune import PruneConfig, prune_model
from components.quantize.quantize import QuantizeConfig, quantize_model
from components.train.train import TrainConfig, train_model
from thimble.stage import flat_fields, start
from thimble.weights import writer

__all__ = ["SMALL", "STAGES", "run_stage"]

STAGES: dict[str, tuple[type, Any]] = {
    "train": (TrainConfig, train_model),
    "distill": (DistillConfig, distill_student),
    "prune": (PruneConfig, prune_model),
    "quantize": (QuantizeConfig, quantize_model),
}
SMALL = {
    "base_width": 4,
    "depth": 2,
    "patch_size": 32,
    "steps": 40,
    "evaluate_every": 10,
    "learning_rate": 0.01,
    "batch_size": 2,
}


def run_stage(
    name: str,
    inputs: list[Path],
    output: Path,
    extra: dict[str, Path] | None = None,
    **changes: Any,
) -> dict[str, float]:
    """Run a stage as its component does; `extra` are the artifacts that may be left out."""
    from thimble.artifact import finish

    config_class, work = STAGES[name]
    arguments = flat_fields(config_class) | SMALL | changes
    with start(name, config_class, arguments, inputs) as run:
        weights, figures = work(*inputs, run.config, run, **(extra or {}))
        finish(run, writer(weights), output, figures, previous=inputs[0])
    return dict(figures)
