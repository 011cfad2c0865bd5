"""A search over a toy trial, and a program that runs it: `python toy_search.py FOLDER '{...}'`.

The trial has the tasks that a search reads, with results that follow from the choice by hand.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp import dsl
from rich.console import Console

from pipelines.budget import Budget
from pipelines.progress import PlainProgress
from pipelines.search import Search, Trial, best_trial, describe_choice, run_search
from pipelines.space import Choice, SearchSpace
from thimble.stage import ThimbleError, stage

SPACE = SearchSpace((4, 8), 0.8, 0.9, 0.05, (8, 16), (0.0,), ("float32", "int8"))
ARGUMENTS = {"ingest_kind": "toy", "train_base_width": 8, "report_title": "Toy"}


@stage("evaluate")
def evaluate(evaluation: dsl.Output[dsl.Artifact], size: int, dice: float, state: str) -> None:
    """Score; count the calls in a folder, and obey the files there that stop it."""
    import dataclasses
    import signal
    from pathlib import Path

    from thimble.artifact import write_json
    from thimble.stage import BadInput, start

    @dataclasses.dataclass(frozen=True)
    class EvaluateConfig:
        size: int
        dice: float
        state: str

    with start("evaluate", EvaluateConfig, locals()):
        calls = Path(state, "calls")
        with calls.open("a") as file:
            file.write(f"{size}\n")
        if Path(state, f"fail-{size}").exists():
            raise BadInput(f"a network of {size} cannot be made")
        if Path(state, f"wait-{size}").exists():
            Path(state, f"wait-{size}").unlink()
            with Path(state, "fifo").open("w") as fifo:
                fifo.write("ready")
            signal.pause()
        variants = {
            "float32": {"package_bytes": 2 * size, "dice": dice},
            "int8": {"package_bytes": size, "dice": dice - 0.001},
        }
        record = {"variants": variants, "variant_order": list(variants), "float32_bytes": 100_000}
        Path(evaluation.path).mkdir(parents=True)
        write_json(Path(evaluation.path) / "evaluation.json", record)


@stage("benchmark")
def benchmark(evaluation: dsl.Input[dsl.Artifact], benchmarked: dsl.Output[dsl.Artifact]) -> None:
    """Say that every variant takes one millisecond, or two without XNNPACK."""
    from pathlib import Path

    from thimble.artifact import write_json

    runs = [
        {"variant": name, "threads": threads, "xnnpack": fast, "p90_seconds": 1e-3 * (2 - fast)}
        for name in ("float32", "int8")
        for threads in (2, 1)
        for fast in (False, True)
    ]
    Path(benchmarked.path).mkdir(parents=True)
    write_json(Path(benchmarked.path) / "benchmark.json", {"runs": runs})


@dsl.pipeline(name="deliver")
def deliver(size: int, dice: float, state: str) -> None:
    """Score and time."""
    scored = evaluate(size=size, dice=dice, state=state)
    benchmark(evaluation=scored.outputs["evaluation"])


@dsl.pipeline(name="toy-trial")
def toy_trial(branch_size: int, branch_dice: float, state: str, ingest_kind: str = "toy") -> None:
    """A baseline and a teacher, whatever the width is."""
    evaluate(size=50_000, dice=0.9, state=state).set_display_name("baseline")
    deliver(size=branch_size, dice=branch_dice, state=state).set_display_name("teacher")


@dsl.pipeline(name="toy-student-trial")
def toy_student(branch_size: int, branch_dice: float, state: str, ingest_kind: str = "toy") -> None:
    """The same for a student."""
    evaluate(size=50_000, dice=0.9, state=state).set_display_name("baseline")
    deliver(size=branch_size, dice=branch_dice, state=state).set_display_name("student")


def expected(choice: Choice) -> tuple[int, float]:
    """Return bytes of int8 and Dice of float32; half the width costs 0.01 of Dice."""
    kept = round(1 - choice.sparsity, 2)
    size = round(10_000 * choice.width / 8 * kept * choice.codebook_size / 8)
    return size, 0.9 - (0.01 if choice.width == 4 else 0.0) - 0.01 * (choice.sparsity - 0.8)


def make(choice: Choice, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the toy trial of a choice."""
    size, dice = expected(choice)
    given = {"branch_size": size, "branch_dice": dice, "state": os.environ["TOY_STATE"]}
    pipeline = toy_trial if choice.branch(arguments["train_base_width"]) == "teacher" else None
    return pipeline or toy_student, {**given, "ingest_kind": "toy"}


def search(folder: str | Path, trials: int = 4, drop: float = 0.005, **changes: Any) -> list[Trial]:
    """Run the toy search in a folder; print a line per trial."""
    given = {"space": SPACE, "seed": 1, "arguments": ARGUMENTS, "code": {}, **changes}
    wanted = Search(budget=Budget(max_dice_drop=drop), trials=trials, **given)

    def tell(found: list[Trial], earlier: bool) -> None:
        best = best_trial(found, wanted.budget).number
        print(found[-1].number, describe_choice(found[-1]), earlier, best, flush=True)

    with Path(os.devnull).open("w", encoding="utf-8") as null:
        console = Console(file=null)
        return run_search(
            wanted, Path(folder), toy_trial, lambda _: PlainProgress(console), tell, make
        )


if __name__ == "__main__":
    try:
        search(sys.argv[1], **json.loads(sys.argv[2]))
    except ThimbleError as error:
        print(error)
        sys.exit(error.exit_code)
