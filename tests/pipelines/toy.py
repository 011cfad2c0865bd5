"""A small pipeline for the tests of the runner, and a program that runs it.

`python toy.py FOLDER '{"parameter": value}'` runs it as `thimble run` would.
"""

import json
import sys

from kfp import dsl
from rich.console import Console

from pipelines.local import run_pipeline
from pipelines.progress import PlainProgress
from thimble.stage import stage


@stage("first")
def first(
    model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics], steps: int, ready: str
) -> None:
    """Count to `steps`; with `ready`, a FIFO, tell that half is done and wait for the end."""
    import dataclasses
    import signal
    import subprocess

    from thimble.artifact import finish
    from thimble.stage import start

    @dataclasses.dataclass(frozen=True)
    class FirstConfig:
        steps: int = 3

    with start("first", FirstConfig, locals()) as run:
        done = run.checkpoint / "half"
        resumed = done.exists()
        print("resumed" if resumed else "fresh")
        run.progress(1, steps, loss=0.5)
        if ready and not resumed:
            done.touch()
            subprocess.Popen(["sleep", "1000"])
            with open(ready, "w") as fifo:
                fifo.write("ready")
            signal.pause()
        run.progress(steps, steps, loss=0.1)
        figures = {"images": float(steps), "resumed": float(resumed)}
        finish(run, lambda path: (path / "first.txt").write_text("1"), model.path, figures, metrics)


@stage("second")
def second(
    model: dsl.Input[dsl.Model],
    result: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    fault: str,
) -> None:
    """Copy, or fail in the way that `fault` says."""
    import dataclasses
    import os
    import signal
    from pathlib import Path

    from thimble.artifact import finish
    from thimble.stage import BadInput, start

    @dataclasses.dataclass(frozen=True)
    class SecondConfig:
        fault: str = ""

    with start("second", SecondConfig, locals(), [model.path]) as run:
        if fault == "input":
            raise BadInput("scan.png is cut off. Expected a whole PNG. Copy it again.")
        if fault == "bug":
            raise ZeroDivisionError("by zero")
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        text = Path(model.path, "first.txt").read_text() + "2"
        print(f"second says {text}")
        finish(run, lambda path: (path / "second.txt").write_text(text), result.path,
               {"sparsity": 0.5}, metrics, model.path)  # fmt: skip


@stage("third")
def third(model: dsl.Input[dsl.Model], result: dsl.Output[dsl.Artifact]) -> None:
    """Copy once more."""
    from pathlib import Path

    Path(result.path).write_text(Path(model.path, "second.txt").read_text() + "3")


@dsl.pipeline(name="branch")
def branch(model: dsl.Input[dsl.Model], fault: str) -> dsl.Artifact:
    """Two stages in a row."""
    copied = second(model=model, fault=fault)
    return third(model=copied.outputs["result"]).outputs["result"]


@dsl.pipeline(name="toy")
def toy(
    steps: int = 3, ready: str = "", fault: str = "", other: str = "", ingest_kind: str = "toy"
) -> None:
    """One stage and two branches."""
    model = first(steps=steps, ready=ready).outputs["model"]
    branch(model=model, fault=fault).set_display_name("left")
    branch(model=model, fault=other).set_display_name("right")


@dsl.pipeline(name="other")
def other(steps: int = 3, ready: str = "") -> None:
    """Another pipeline."""
    first(steps=steps, ready=ready)


if __name__ == "__main__":
    console = Console(file=sys.stdout)
    outcome = run_pipeline(toy, json.loads(sys.argv[2]), sys.argv[1], PlainProgress(console))
    console.print(outcome.message, soft_wrap=True)
    sys.exit(outcome.exit_code)
