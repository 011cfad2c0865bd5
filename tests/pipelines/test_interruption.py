"""A run that is stopped or killed leaves no process behind and continues with the same command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

TOY = Path(__file__).with_name("toy.py")
DEADLINE_SECONDS = 30


def _start(folder: Path, fifo: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(TOY), str(folder), json.dumps({"ready": str(fifo)})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _is_gone(process: psutil.Process) -> bool:
    try:
        # Where nobody reaps orphans, they stay as zombies.
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _left(processes: list[psutil.Process]) -> list[psutil.Process]:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and not all(map(_is_gone, processes)):
        time.sleep(0.01)
    return [process for process in processes if not _is_gone(process)]


def _interrupt(folder: Path, fifo: Path, number: signal.Signals) -> tuple[int, str]:
    """Stop a run while its first stage works; return exit code and output."""
    run = _start(folder, fifo)
    assert fifo.read_text() == "ready"
    processes = psutil.Process(run.pid).children(recursive=True)
    names = [process.name() for process in processes]
    assert "sleep" in names, "the stage has a child of its own"
    run.send_signal(number)
    output, _ = run.communicate(timeout=DEADLINE_SECONDS)
    assert _left(processes) == []
    return run.returncode, output


@pytest.fixture
def fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Through which the stage says that it works; the run's scratch folder is beside it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so(
    tmp_path: Path, fifo: Path, number: signal.Signals, code: int
) -> None:
    returned, output = _interrupt(tmp_path / "run", fifo, number)
    assert returned == code
    assert f"interrupted by {number.name}; the same command continues" in output
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_killed_run_continues(tmp_path: Path, fifo: Path) -> None:
    folder = tmp_path / "run"
    assert _interrupt(folder, fifo, signal.SIGKILL)[0] == -signal.SIGKILL
    again = _start(folder, fifo)
    output, _ = again.communicate(timeout=DEADLINE_SECONDS)
    assert again.returncode == 0, output
    assert "resumed" in (folder / "logs" / "01-first.log").read_text("utf-8").splitlines()
    assert list((tmp_path / "tmp").iterdir()) == []
