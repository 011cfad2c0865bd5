"""A pipeline of small stages for the tests of the Docker runner, and a program that runs it.

All of them run in the image of huffman. `python docker_toy.py FOLDER '{"parameter": value}'`.
"""

import json
import sys

from kfp import dsl
from rich.console import Console

from pipelines.closure import apply_tags
from pipelines.local import run_pipeline
from pipelines.progress import PlainProgress

apply_tags()

from thimble.stage import stage  # noqa: E402


@stage("huffman")
def first(model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics], wait: bool) -> None:
    """Say who and where we are; with `wait`, do half and then nothing until somebody ends it."""
    import dataclasses
    import json
    import os
    import signal
    from pathlib import Path

    from thimble.artifact import finish
    from thimble.stage import start

    @dataclasses.dataclass(frozen=True)
    class FirstConfig:
        wait: bool = False

    with start("first", FirstConfig, locals()) as run:
        half = run.checkpoint / "half"
        resumed = half.exists()
        half.touch()
        run.progress(1, 2)
        if wait and not resumed:
            signal.pause()
        limits = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        said = {
            "user": [os.getuid(), os.getgid()],
            "capabilities": Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0],
            "memory": [Path(path).read_text() for path in limits if Path(path).exists()][0],
            "environment": sorted(os.environ),
            "seen": os.listdir(Path(os.environ["THIMBLE_STATE"]).parents[1]),
        }
        finish(run, lambda path: (path / "said.json").write_text(json.dumps(said)), model.path,
               {"resumed": float(resumed)}, metrics)  # fmt: skip


@stage("huffman")
def second(
    model: dsl.Input[dsl.Model],
    result: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    fault: str,
    megabytes: int,
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
        if fault == "killed":
            os.kill(1, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "memory":
            held = bytearray(os.urandom(1 << 20) * (6 << 10))
            print(len(held))

        def write(path: Path) -> None:
            (path / "copy.json").write_text(Path(model.path, "said.json").read_text())
            (path / "zeros").write_bytes(bytes(megabytes << 20))

        finish(run, write, result.path, {"megabytes": float(megabytes)}, metrics, model.path)


@dsl.pipeline(name="docker-toy")
def toy(wait: bool = False, fault: str = "", megabytes: int = 0, ingest_source: str = "") -> None:
    """One stage after the other."""
    second(model=first(wait=wait).outputs["model"], fault=fault, megabytes=megabytes)


if __name__ == "__main__":
    console = Console(file=sys.stdout)
    given = json.loads(sys.argv[2])
    outcome = run_pipeline(toy, given, sys.argv[1], PlainProgress(console), runner="docker")
    console.print(outcome.message, soft_wrap=True)
    sys.exit(outcome.exit_code)
