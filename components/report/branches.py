"""What the stages before measured, one record per branch (baseline, teacher, student, control)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.report.formats import exists
from thimble.artifact import load_history, read_json
from thimble.stage import BadInput

__all__ = ["BRANCHES", "Branch", "Branches", "load_branches", "setting_text"]

BRANCHES = ("baseline", "teacher", "student", "control")
REQUIRED = ("variants", "classes", "dataset", "float32_bytes")


@dataclass(frozen=True)
class Branch:
    """A model's evaluation and benchmark.

    Attributes:
        name: One of `BRANCHES`.
        folder: The evaluation artifact; picture paths are relative to it.
        evaluation: Its evaluation.json.
        benchmark: The benchmark.json; empty if there is none.
    """

    name: str
    folder: Path
    evaluation: dict[str, Any]
    benchmark: dict[str, Any] = field(default_factory=dict)

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """Figures by variant, in the order in which convert made them."""
        found = self.evaluation["variants"]
        order = [name for name in self.evaluation.get("variant_order") or found if name in found]
        return {name: found[name] for name in order}

    @property
    def history(self) -> list[dict[str, Any]]:
        """What each stage did to this model, oldest first."""
        return list(self.evaluation.get("history") or load_history(self.folder))

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Timings: one per variant, number of threads, and delegate."""
        return list(self.benchmark.get("runs", []))

    @property
    def images(self) -> int:
        """Number of test images that were scored."""
        sizes = [len(figures.get("dice_per_image") or {}) for figures in self.variants.values()]
        return max(sizes, default=0)

    def reference_run(self, variant: str) -> dict[str, Any] | None:
        """Return the timing that gates judge: fewest threads, with XNNPACK where it was measured.

        It is the slowest setting that a phone would use, so that no gate passes on luck.
        """
        runs = [
            run
            for run in self.runs
            if run.get("variant") == variant and exists(run.get("p90_seconds"))
        ]
        return min(runs, key=lambda run: (not run["xnnpack"], run["threads"]), default=None)


Branches = dict[str, Branch]


def setting_text(run: Mapping[str, Any]) -> str:
    """Return how a timing was made: '1 thread, XNNPACK'."""
    threads = f"{run['threads']} thread{'' if run['threads'] == 1 else 's'}"
    return f"{threads}, {'XNNPACK' if run['xnnpack'] else 'no XNNPACK'}"


def load_branches(inputs: Mapping[str, str | Path | None]) -> Branches:
    """Read the evaluations and benchmarks of a run.

    Args:
        inputs: `<branch>_evaluation` and `<branch>_benchmark` folders; None or absent where a
            branch was not run.

    Returns:
        The branches that exist, baseline first.

    Raises:
        BadInput: If the baseline is missing, or an evaluation or benchmark is not one.
    """
    branches: Branches = {}
    for name in BRANCHES:
        folder = inputs.get(f"{name}_evaluation")
        if not folder:
            continue
        evaluation = read_json(Path(folder) / "evaluation.json")
        missing = [key for key in REQUIRED if not evaluation.get(key)]
        if missing:
            raise BadInput(
                f"{folder}/evaluation.json is no evaluation: it has no {', '.join(missing)}. "
                "Expected the output of the evaluate stage; run it again."
            )
        split = evaluation.get("split", "test")
        if split != "test":
            raise BadInput(
                f"{folder}/evaluation.json is scored on {split}. Expected test, as the report "
                "says. Evaluate with split=test."
            )
        timings = inputs.get(f"{name}_benchmark")
        benchmark = read_json(Path(timings) / "benchmark.json") if timings else {}
        branches[name] = Branch(name, Path(folder), evaluation, benchmark)
    if "baseline" not in branches:
        raise BadInput(
            "a report compares with the baseline. Received: no baseline_evaluation. "
            "Give the evaluation of the uncompressed model."
        )
    return branches
