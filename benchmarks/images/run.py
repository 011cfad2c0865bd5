"""How long the images take, and what Docker costs a run. Needs a quiet machine and half an hour.

`python benchmarks/images/run.py [build] [rebuild] [run]`: all of them by default. BASE_IMAGE is
that of `make images`. `rebuild` appends a line to a stage's code and takes it back.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "components" / "prune" / "prune.py"


def timed(*command: str) -> float:
    """Return the seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def images(*arguments: str) -> float:
    """Return the seconds that `make images` takes."""
    return timed(sys.executable, "images/build.py", *arguments)


def build() -> None:
    """All images without a cache."""
    print(f"all images, no cache: {images('--no-cache'):.0f} s; to reach: <= 900 s on 2 cores")


def rebuild() -> None:
    """One image after a change of one line."""
    images("prune")
    before = CODE.read_text(encoding="utf-8")
    try:
        CODE.write_text(before + "\n# one line\n", encoding="utf-8")
        print(f"rebuild after one line: {images('prune'):.1f} s; to reach: <= 15 s")
    finally:
        CODE.write_text(before, encoding="utf-8")


def run() -> None:
    """The demo in Docker and in processes, both from nothing."""
    images()
    with tempfile.TemporaryDirectory() as folder:
        seconds = {}
        for runner in ("local", "docker"):
            out = str(Path(folder, runner))
            thimble = [sys.executable, "-m", "pipelines.cli", "run"]
            seconds[runner] = timed(*thimble, "--runner", runner, "--out", out)
            shutil.rmtree(out)
    ratio = seconds["docker"] / seconds["local"]
    print(f"the demo: {seconds['local']:.0f} s in processes, {seconds['docker']:.0f} s in Docker")
    print(f"ratio {ratio:.2f}; to reach: <= 1.25")


PARTS: dict[str, Callable[[], None]] = {"build": build, "rebuild": rebuild, "run": run}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
