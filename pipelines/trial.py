"""One trial of a search: the main pipeline's stages for one branch, scored on validation.

The tasks are those of `compress` with equal inputs, so that they share its cached results: teacher
and baseline are trained once, and what the best trial made is not made again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp import dsl

from components.distill.component import distill
from components.prune.component import prune
from components.quantize.component import quantize
from pipelines.budget import Measured
from pipelines.compress import (
    COMPRESSION,
    DELIVERY,
    TRUNK,
    baseline_branch,
    student_branch,
    teacher_branch,
    trunk,
)
from pipelines.settings import Settings, configured
from pipelines.space import Choice
from thimble.artifact import read_json

__all__ = ["REFERENCE", "read_trial", "student_trial", "teacher_trial", "trial_run"]

REFERENCE = "float32"


@dsl.pipeline(name="teacher-trial")
@configured(**TRUNK, **COMPRESSION, **DELIVERY)
def teacher_trial(settings: Settings):
    """Compress the teacher and compare it with the baseline."""
    with trunk(settings) as (dataset, _, teacher):
        longer, baseline = baseline_branch(teacher, dataset, settings)
        shared = {"dataset": dataset, "baseline": baseline.outputs["evaluation"]}
        teacher_branch(teacher, longer, shared, settings)


@dsl.pipeline(name="student-trial")
@configured(
    **TRUNK, distill=distill, student_prune=prune, student_quantize=quantize, **DELIVERY
)  # fmt: skip
def student_trial(settings: Settings):
    """Distill a student, compress it and compare it with the baseline."""
    with trunk(settings) as (dataset, _, teacher):
        longer, baseline = baseline_branch(teacher, dataset, settings)
        shared = {"dataset": dataset, "baseline": baseline.outputs["evaluation"]}
        student_branch(longer, shared, settings)


def trial_run(choice: Choice, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the pipeline of a trial and its arguments.

    Args:
        choice: What to try.
        arguments: All flat arguments of `compress`; the trial takes over what it does not set.
    """
    width = arguments["train_base_width"]
    pipeline = teacher_trial if choice.branch(width) == "teacher" else student_trial
    changed = {
        f"{task}_{name}": value
        for task, fields in choice.changes(width).items()
        for name, value in fields.items()
    }
    every = {**arguments, **changed, "evaluate_split": "validation"}
    return pipeline, {name: every[name] for name in pipeline.component_spec.inputs}


def read_trial(
    outputs: Mapping[str, Mapping[str, Path]], branch: str
) -> tuple[list[Measured], int]:
    """Read what a trial measured.

    Args:
        outputs: Paths by task label and output name, as `run_in` returns them.
        branch: teacher or student.

    Returns:
        One record per variant, in the order of convert, and the bytes of the baseline's weights as
        float32.
    """
    baseline = read_json(outputs["evaluate (baseline)"]["evaluation"] / "evaluation.json")
    evaluation = read_json(outputs[f"evaluate ({branch})"]["evaluation"] / "evaluation.json")
    timings = read_json(outputs[f"benchmark ({branch})"]["benchmarked"] / "benchmark.json")
    reference = baseline["variants"][REFERENCE]["dice"]
    measured = []
    for name in evaluation["variant_order"]:
        found = evaluation["variants"][name]
        runs = [run for run in timings["runs"] if run["variant"] == name]
        # The setting that the gates judge: fewest threads, with XNNPACK.
        run = min(runs, key=lambda run: (not run["xnnpack"], run["threads"]))
        measured.append(
            Measured(
                variant=name,
                package_bytes=int(found["package_bytes"]),
                dice=float(found["dice"]),
                dice_drop=reference - found["dice"],
                p90_ms=1e3 * run["p90_seconds"],
            )
        )
    return measured, int(baseline["float32_bytes"])
