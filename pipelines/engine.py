"""Where Thimble takes over from kfp.local: how a task runs, and when a cached result counts.

kfp.local has no public place for any of this, so five of its names are replaced while a pipeline
runs. `tests/pipelines/test_engine.py` checks them against the version that is pinned.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp import dsl
from kfp.local import cache, graph_utils
from kfp.local.orchestrator import task_executor
from kfp.local.status import Status
from kfp.local.subprocess_task_handler import SubprocessTaskHandler

from pipelines.plan import Task, sort_tasks
from pipelines.processes import Watcher, run_process
from pipelines.progress import Progress, TaskResult
from pipelines.run_folder import RunFolder
from thimble.artifact import read_json, write_atomically, write_json
from thimble.stage import BadInput, ThimbleError

if TYPE_CHECKING:
    from pipelines.containers import Containers

__all__ = ["KFP_VERSION", "CheckedCache", "Engine", "StageFailed"]

KFP_VERSION = "2.17.0"

# Linux ends the stage together with the run even when the run is killed. -P keeps a folder
# named `components` in the working directory from hiding ours.
_BOOTSTRAP = """
import ctypes, os, runpy, signal, sys
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the run has ended")
runpy.run_module("kfp.dsl.executor_main", run_name="__main__", alter_sys=True)
"""


class StageFailed(ThimbleError):
    """A stage ended with an error; carries what the stage said and where its log is."""

    def __init__(self, task: Task, message: str, exit_code: int, log: Path) -> None:
        """Take over the exit code that the stage asked for."""
        super().__init__(f"{task.label}: {message}")
        self.exit_code = exit_code
        self.log = log


class CheckedCache(cache.LocalCache):
    """kfp's cache, which serves an output only while all the files that it had are there."""

    def compute_key(self, component_name: str, *arguments: Any, **named: Any) -> str:
        """Leave out the number that a pipeline gives to its second use of a stage.

        The same stage with the same inputs is `comp-prune` in one pipeline and `comp-prune-2` in
        another: they share its result.
        """
        name = re.sub(r"(-\d+)+$", "", component_name)
        return str(super().compute_key(name, *arguments, **named))

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Store the list of files first: an entry without one does not count."""
        files = {uri: _inventory(uri) for uri in _uris(outputs)}
        with write_atomically(self._list_path(key)) as partial:
            write_json(partial, files)
        super().put(key, outputs)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the outputs, or None (and forget them) if anything about them is damaged."""
        try:
            outputs = super().get(key)
            if outputs is not None:
                files = read_json(self._list_path(key))
                if all(files[uri] == _inventory(uri) for uri in _uris(outputs)):
                    return dict(outputs)
        except (BadInput, AttributeError, KeyError, TypeError, ValueError) as error:
            # Half-written or tampered with: as good as missing.
            logging.info("cache entry %s is damaged, its stage runs again: %r", key, error)
        for path in (self._entry_path(key), self._list_path(key)):
            Path(path).unlink(missing_ok=True)
        return None

    def _list_path(self, key: str) -> Path:
        """Return where the list of files of an entry is."""
        return Path(self.cache_root) / f"{key}.files"


def _uris(outputs: Mapping[str, Any]) -> list[str]:
    """Return where the artifacts among the outputs of a task are."""
    lists = [value if isinstance(value, list) else [value] for value in outputs.values()]
    return [value.uri for values in lists for value in values if isinstance(value, dsl.Artifact)]


def _inventory(uri: str) -> dict[str, int]:
    """Return relative names and sizes of the files of an artifact."""
    root = Path(uri)
    files = [root] if root.is_file() else [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in files}


@dataclass
class Engine:
    """Runs the tasks of one pipeline run.

    Attributes:
        folder: The run folder.
        plan: Task by component name.
        watcher: Ends the processes of the stages.
        progress: Shows what happens.
        interpreters: Python of an image by its name without tag; this one if it is not there.
        identity: Variables that name the run in metrics (`pipelines.identity`).
        containers: Runs the stages in their images; None runs processes.
        results: What became of every task, in order.
        outputs: Outputs of every task that ended well, by its label.
        failure: The first failure; nothing but exit tasks runs after it.
    """

    folder: RunFolder
    plan: Mapping[str, Task]
    watcher: Watcher
    progress: Progress
    interpreters: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    containers: "Containers | None" = None
    results: list[TaskResult] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    failure: StageFailed | None = None
    _current: Task | None = None
    _executed: bool = False
    _code: int = 0

    @property
    def planned(self) -> int:
        """Return how many tasks a run has that ends well."""
        return sum(not task.ends_the_run for task in self.plan.values())

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the names of kfp.local inside the block."""
        ours = CheckedCache(str(self.folder.cache))
        execute = task_executor.execute_single_task
        with contextlib.ExitStack() as stack:
            for owner, name, value in (
                (graph_utils, "topological_sort_tasks", sort_tasks),
                (cache, "get_local_cache", lambda: ours),
                (task_executor, "execute_single_task", self._wrap(execute)),
                (self._handler(), "run", lambda handler: self._run(handler)),  # noqa: PLW0108
            ):
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
            yield

    def _handler(self) -> Any:
        """Return the class of kfp that starts a stage."""
        if self.containers is None:
            return SubprocessTaskHandler
        from kfp.local.docker_task_handler import DockerTaskHandler

        return DockerTaskHandler

    def _wrap(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Return kfp's function that looks up or runs a task, with our accounts around it."""

        def execute_task(**arguments: Any) -> tuple[dict[str, Any], Status]:
            """Run one task, unless the run has failed already."""
            task = self.plan[arguments["task_spec"].component_ref.name]
            if self.failure and not task.is_exit:
                return {}, Status.FAILURE
            self._current, self._executed = task, False
            self.progress.begin(task)
            began = time.monotonic()
            outputs, status = execute(**arguments)
            self._settle(task, outputs, status, time.monotonic() - began)
            return outputs, status

        return execute_task

    def _settle(self, task: Task, outputs: dict[str, Any], status: Status, seconds: float) -> None:
        """Record how a task ended."""
        figures = {
            name: float(value)
            for output in outputs.values()
            if isinstance(output, dsl.Metrics)
            for name, value in output.metadata.items()
            if isinstance(value, (int, float))
        }
        failed = status != Status.SUCCESS
        compute = self._stage_seconds(task) if self._executed else 0.0
        result = TaskResult(task, seconds, compute, not self._executed, failed, figures)
        self.results.append(result)
        self.progress.end(result)
        if failed:
            self.failure = self.failure or self._explain(task)
            return
        self.outputs[task.label] = outputs
        if figures:
            self.folder.metrics.mkdir(exist_ok=True)
            record = {"stage": task.stage, "branch": task.branch, "figures": figures}
            write_json(self.folder.metrics / f"{task.slug}.json", record)

    def _run(self, handler: Any) -> Status:
        """Run a stage in place of the handler's `run`."""
        task = self._current
        if task is None:
            raise RuntimeError("kfp.local ran a task that it never announced")
        self._executed = True
        state = self._state(task)
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        log = self._log(task)
        log.write_text(f"# {task.label}: {handler.image}\n", encoding="utf-8")
        environment = self._environment(state)
        reader = ProgressReader(state / "progress.jsonl")

        def poll() -> None:
            """Show how far the stage is."""
            self.progress.update(reader.read())

        if self.containers:
            self._code = self.containers.run(handler, task.stage, log, environment, poll)
        else:
            environment |= {"TMPDIR": str(self.watcher.scratch), **handler.env_vars}
            command = self._command(handler, task)
            self._code = run_process(
                command, log, {**os.environ, **environment}, self.watcher, poll
            )
        return Status.SUCCESS if self._code == 0 else Status.FAILURE

    def _command(self, handler: Any, task: Task) -> list[str]:
        """Return the command of a stage as a process."""
        # kfp's command is `sh -ec <script> <source> <arguments>`: the script saves the source and
        # starts Python. Without the shell between, the stage is our own child.
        source = self.watcher.scratch / f"{task.slug}.py"
        source.write_text(handler.full_command[3], encoding="utf-8")
        python = self.interpreters.get(handler.image.split(":")[0], sys.executable)
        command = [python, "-P", "-c", _BOOTSTRAP, str(os.getpid())]
        return [*command, "--component_module_path", str(source), *handler.full_command[4:]]

    def _environment(self, state: Path) -> dict[str, str]:
        """Return the variables that every stage gets."""
        return {
            **self.identity,
            "THIMBLE_STATE": str(state),
            "THIMBLE_CHECKPOINTS": str(self.folder.checkpoints),
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "_KFP_RUNTIME": "true",
        }

    def _state(self, task: Task) -> Path:
        """Return the folder where a task reports progress, errors and times."""
        return self.folder.state / task.slug

    def _log(self, task: Task) -> Path:
        """Return the log of a task."""
        return self.folder.logs / f"{task.slug}.log"

    def _stage_seconds(self, task: Task) -> float:
        """Return the time that the stage itself says it computed."""
        path = self._state(task) / "timings.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return sum(float(json.loads(line)["seconds"]) for line in lines)

    def _explain(self, task: Task) -> StageFailed:
        """Turn what a failed stage left into one sentence and an exit code."""
        log, path = self._log(task), self._state(task) / "error.json"
        try:
            error = read_json(path)
            return StageFailed(task, error["message"], int(error["exit_code"]), log)
        except (BadInput, KeyError, TypeError, ValueError):
            how = f"ended with exit code {self._code}"
            if self._code < 0:
                how = f"was ended by signal {-self._code}"
            if self.containers and self.containers.reason:
                how = self.containers.reason
            elif self._code == -9:
                how += " (the system may be out of memory)"
            return StageFailed(task, f"{how} and left no explanation", 1, log)


class ProgressReader:
    """Reads the lines that a stage has appended since the last look."""

    def __init__(self, path: Path) -> None:
        """Start at the beginning of a file that need not exist yet."""
        self._path = path
        self._offset = 0
        self._latest: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Return the latest whole record, or an empty dict before the first."""
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
            if newline:
                self._offset += len(whole) + 1
                self._latest = json.loads(whole.split(b"\n")[-1])
        return self._latest
