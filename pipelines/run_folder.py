"""A run folder: its layout, its lock, and the checks before anything runs in it."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thimble.artifact import read_json, write_atomically, write_json
from thimble.stage import BadInput

__all__ = ["RunFolder", "open_run"]

FORMAT = "thimble-run/1"
LEAST_FREE_BYTES = 100_000_000


class RunFolder:
    """The paths inside a run folder.

    Attributes:
        root: The folder itself, absolute.
        artifacts: Outputs of the stages, one folder per run and task.
        cache: Which outputs belong to which inputs.
        checkpoints: Half-done work of stages that were interrupted.
        logs: One file per stage, and kfp's own log.
        state: Progress, errors and times that the stages report, one folder per task.
        metrics: Figures of every task, for Prometheus.
    """

    def __init__(self, root: str | Path) -> None:
        """Name the paths; nothing is made yet."""
        self.root = Path(root).expanduser().absolute()
        self.artifacts = self.root / "artifacts"
        self.cache = self.root / "cache"
        self.checkpoints = self.root / "checkpoints"
        self.logs = self.root / "logs"
        self.state = self.root / "state"
        self.metrics = self.root / "metrics"
        self.description = self.root / "run.json"
        self.timings = self.root / "timings.json"
        self.lock = self.root / ".lock"
        self.report = self.root / "report.html"
        self.release = self.root / "release"

    def make(self) -> None:
        """Make the folders of the layout."""
        for folder in (self.artifacts, self.cache, self.checkpoints, self.logs, self.state):
            folder.mkdir(parents=True, exist_ok=True)

    def for_containers(self) -> "RunFolder":
        """Return this folder with a cache and checkpoints that are not those of processes."""
        other = RunFolder(self.root)
        other.cache = self.cache / "docker"
        other.checkpoints = self.checkpoints / "docker"
        other.make()
        return other

    def read_description(self) -> dict[str, Any]:
        """Return run.json, or an empty dict for a folder that never ran."""
        return dict(read_json(self.description)) if self.description.exists() else {}


@contextlib.contextmanager
def open_run(root: str | Path, description: dict[str, Any]) -> Iterator[RunFolder]:
    """Prepare and lock a run folder.

    Args:
        root: Where the run is or will be.
        description: At least `pipeline` and `dataset`; they must match an earlier run there.

    Yields:
        The folder, ours alone until the block ends.

    Raises:
        BadInput: If the folder cannot be written, is used by another run, or holds another
            pipeline, another kind of data or foreign files.
    """
    folder = RunFolder(root)
    _refuse_foreign(folder)
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        lock = open(folder.lock, "a+b", buffering=0)
    except OSError as error:
        raise _unwritable(folder, error) from None
    with lock:
        _take(lock, folder)
        _refuse_mismatch(folder, description)
        try:
            _require_space(folder)
            folder.make()
            with write_atomically(folder.description) as partial:
                write_json(partial, {"format": FORMAT, **description})
        except OSError as error:
            raise _unwritable(folder, error) from None
        yield folder


def _unwritable(folder: RunFolder, error: OSError) -> BadInput:
    """Explain why the folder cannot be used."""
    return BadInput(
        f"cannot write to {folder.root}: {error.strerror}. "
        "Expected a folder that can be written. Free space or choose another --out folder."
    )


def _refuse_foreign(folder: RunFolder) -> None:
    """Refuse a file, or a folder that holds things which are not a run."""
    root = folder.root
    if root.exists() and not root.is_dir():
        raise BadInput(f"{root} is a file. Expected a folder. Choose another --out folder.")
    try:
        names = {path.name for path in root.iterdir()} if root.exists() else set()
    except OSError as error:
        raise _unwritable(folder, error) from None
    if names - {".lock"} and not folder.description.exists():
        raise BadInput(
            f"{root} holds files that are not a run of Thimble ({sorted(names)[0]}). "
            "Expected an empty or a new folder. Choose another --out folder."
        )


def _take(lock: Any, folder: RunFolder) -> None:
    """Lock the folder and leave our process id for whoever comes second."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().decode().strip() or "unknown"
        raise BadInput(
            f"another run (pid {owner}) is using {folder.root}. "
            "Wait for it, stop it, or choose another --out folder."
        ) from None
    lock.seek(0)
    lock.truncate()
    with contextlib.suppress(OSError):  # a full disk is reported by the checks that follow
        lock.write(f"{os.getpid()}\n".encode())


def _refuse_mismatch(folder: RunFolder, description: dict[str, Any]) -> None:
    """Refuse a folder of another pipeline, of other data or of a newer format."""
    previous = folder.read_description()
    for key, expected in {"format": FORMAT, **description}.items():
        if key in ("format", "pipeline", "dataset") and previous.get(key, expected) != expected:
            raise BadInput(
                f"{folder.root} is a run folder of {key} {previous[key]!r}. "
                f"Expected {key} {expected!r}. Choose another --out folder."
            )


def _require_space(folder: RunFolder) -> None:
    """Refuse to begin on a disk that is nearly full."""
    free = shutil.disk_usage(folder.root).free
    if free < LEAST_FREE_BYTES:
        raise BadInput(
            f"{folder.root} is on a disk with {free / 1e6:.1f} MB free. "
            f"Expected at least {LEAST_FREE_BYTES / 1e6:.0f} MB. "
            "Free space or choose another --out folder."
        )
