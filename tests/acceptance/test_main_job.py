"""The main job on real scans, as a user runs it: killed once, continued, then run again."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from tests.small_run import SMALL_RUN
from thimble.artifact import read_json
from thimble.codec import decode

SCANS = {"kind": "isbi2012", "split_rule": "block", "elastic_copies": 1, "tile": 128}
PARAMETERS = {**SMALL_RUN, "ingest": SCANS}


@pytest.fixture
def command(tmp_path: Path, shared_data: Callable[[str], Path]) -> list[str]:
    parameters = tmp_path / "tiny.yaml"
    parameters.write_text(yaml.safe_dump(PARAMETERS))
    return [
        *(sys.executable, "-m", "pipelines.cli", "run"),
        *("--params", str(parameters)),
        *("--data", str(shared_data("isbi2012"))),
        *("--out", str(tmp_path / "Läufe hier" / "isbi")),
    ]


def kill_in(command: list[str], stage: str, cwd: Path) -> list[psutil.Process]:
    """Start a run, kill it when a stage starts, and return what it had started."""
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        seen = []
        for line in process.stdout:
            seen.append(line)
            if f"{stage}: started" in line:
                break
        else:
            pytest.fail("".join(seen))
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        return children


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_main_job_on_real_scans(command: list[str], tmp_path: Path) -> None:
    children = kill_in(command, "prune (teacher)", tmp_path)
    assert children
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive

    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "Läufe hier" / "isbi"
    tasks = read_json(run / "timings.json")["tasks"]
    assert tasks["train"]["ended"] == "cached"
    assert tasks["prune (teacher)"]["ended"] == "done"

    page = (run / "report.html").read_text(encoding="utf-8")
    assert "not verified on a phone" in page
    assert "demonstration, not evidence" in page
    packages = list((run / "release").glob("*.thimble"))
    assert packages
    for package in packages:
        assert decode(package.read_bytes()).preprocessing["classes"] == ["cell", "membrane"]
    assert "thimble_dice_ratio" in (run / "metrics.prom").read_text()
    counts = read_json(next(run.rglob("dataset.json")))["counts"]
    assert [counts[name]["images"] for name in ("train", "validation", "test")] == [21, 3, 6]

    again = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0
    repeated = read_json(run / "timings.json")["tasks"]
    assert [name for name, task in repeated.items() if task["ended"] != "cached"] == ["publish"]
