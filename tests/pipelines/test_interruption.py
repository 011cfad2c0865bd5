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


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_interruption(tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    folder, fifo = tmp_path / "run", tmp_path / "fifo"
    os.mkfifo(fifo)
    run = _start(folder, fifo)
    assert fifo.read_text() == "ready"
    processes = psutil.Process(run.pid).children(recursive=True)
    names = [process.name() for process in processes]
    assert "sleep" in names, "the stage has a child of its own"

    # Nobody else may use the folder meanwhile.
    second = _start(folder, fifo)
    second.communicate(timeout=DEADLINE_SECONDS)
    assert second.returncode != 0

    run.send_signal(number)
    output, _ = run.communicate(timeout=DEADLINE_SECONDS)
    assert run.returncode == exit_code
    assert _left(processes) == []
    if number != signal.SIGKILL:
        assert f"interrupted by {number.name}; the same command continues" in output

    again = _start(folder, fifo)
    output, _ = again.communicate(timeout=DEADLINE_SECONDS)
    assert again.returncode == 0, output
    assert "resumed" in (folder / "logs" / "01-first.log").read_text("utf-8").splitlines()
