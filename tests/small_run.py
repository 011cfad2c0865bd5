"""The parameters of the main job, as small as it can be run with every stage doing something."""

from typing import Any

__all__ = ["SMALL_RUN"]

SMALL_RUN: dict[str, dict[str, Any]] = {
    "all": {"patch_size": 64, "batch_size": 2, "evaluate_every": 10},
    # Few steps that make a teacher: it must know more than one class everywhere.
    "train": {"base_width": 4, "depth": 2, "steps": 60, "learning_rate": 0.003},
    "baseline": {"steps": 10},
    "prune": {"sparsity": 0.5, "steps": 10},
    "quantize": {"codebook_size": 16, "steps": 10},
    "distill": {"base_width": 2, "steps": 10},
    "student_prune": {"sparsity": 0.3, "steps": 10},
    "student_quantize": {"codebook_size": 16, "steps": 10},
    "control": {"steps": 10},
    "convert": {"calibration_patches": 4, "check_patches": 2},
    "benchmark": {"threads": "1", "seconds": 0.1},
    "report": {"max_dice_drop": 1.0, "max_worst_slice_drop": 0.0},
}
