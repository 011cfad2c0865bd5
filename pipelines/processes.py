"""Processes that end with the run: each stage in its own group, a watcher for the worst case."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["Interrupted", "Watcher", "end_with_parent", "run_process", "signals_interrupt"]

POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1

# Reads "+group 7" and "-group 7" lines, and the same for containers. When the pipe closes, because
# the run ended or was killed, it kills what is left and removes the scratch folder (the first
# argument). Docker's client is imported by a program of its own: this one starts without packages.
_WATCHER = """
import os, shutil, signal, subprocess, sys
left = {"group": set(), "container": set()}
for line in sys.stdin:
    kind, name = line[1:].split()
    (left[kind].add if line[0] == "+" else left[kind].discard)(name)
for group in left["group"]:
    try:
        os.killpg(int(group), signal.SIGKILL)
    except ProcessLookupError:
        pass
if left["container"]:
    subprocess.run([sys.executable, "-I", "-c", sys.argv[2], *left["container"]])
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
_REMOVER = """
import contextlib, docker, sys
client = docker.from_env()
for name in sys.argv[1:]:
    with contextlib.suppress(docker.errors.NotFound):
        client.containers.get(name).remove(force=True)
"""


class Interrupted(BaseException):
    """The user or the system asked the run to stop.

    Not an `Exception`, so that kfp, which turns those into a failed task, lets it through.
    """

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(signal.Signals(number).name)
        self.number = number


class Watcher:
    """Outlives a SIGKILL of this process just long enough to take the stages down as well.

    Attributes:
        scratch: A folder for temporary files of the stages; it goes away with the run.
    """

    def __init__(self) -> None:
        """Start the watcher in a session of its own, out of the terminal's reach."""
        self.scratch = Path(tempfile.mkdtemp(prefix="thimble-run-"))
        command = [sys.executable, "-I", "-S", "-c", _WATCHER, str(self.scratch), _REMOVER]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, start_new_session=True, bufsize=1
        )

    def __enter__(self) -> "Watcher":
        """Return the watcher."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipe and wait until the watcher has cleaned up."""
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def _pipe(self) -> IO[str]:
        """Return the pipe; it exists because the constructor asked for it."""
        pipe = self._process.stdin
        if pipe is None:
            raise RuntimeError("the watcher was started without a pipe")
        return pipe

    def _tell(self, line: str) -> None:
        """Send a line; a watcher that was killed from outside is no reason to stop."""
        with contextlib.suppress(OSError):
            self._pipe.write(line + "\n")

    @contextlib.contextmanager
    def guard(self, group: int) -> Iterator[None]:
        """Kill a process group when the block ends, or when this process is gone."""
        self._tell(f"+group {group}")
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            self._tell(f"-group {group}")

    @contextlib.contextmanager
    def guard_container(self, name: str) -> Iterator[None]:
        """Remove a container if this process is gone before the block has ended."""
        self._tell(f"+container {name}")
        try:
            yield
        finally:
            self._tell(f"-container {name}")


def run_process(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    watcher: Watcher,
    poll: Callable[[], None],
) -> int:
    """Run a command in its own process group and leave nothing of the group behind.

    Args:
        command: The program and its arguments.
        log: Receives stdout and stderr.
        environment: All variables of the process.
        watcher: Told of the group, so that it ends even if this process is killed.
        poll: Called a few times a second while the command runs.

    Returns:
        The exit code; negative for the signal that ended it.
    """
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    try:
        # WNOWAIT leaves the leader unreaped: its number cannot go to somebody else's group
        # before the whole group was killed.
        with watcher.guard(process.pid):
            ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while os.waitid(os.P_PID, process.pid, ended) is None:
                time.sleep(POLL_SECONDS)
                poll()
    finally:
        code = process.wait()
    return code


def end_with_parent() -> None:
    """Ask Linux to end this process when the one that started it ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted` inside the block."""

    def interrupt(number: int, _: object) -> None:
        """Raise once; more of the same must not disturb the clean-up."""
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
