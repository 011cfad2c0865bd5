"""Runs a pipeline on this machine with kfp.local: cached, locked, resumable, without a server."""

import contextlib
import errno
import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import dsl, local

from pipelines.engine import Engine
from pipelines.identity import identify
from pipelines.interpreters import find_interpreters
from pipelines.plan import plan_tasks
from pipelines.processes import Interrupted, Watcher, signals_interrupt
from pipelines.progress import Progress, TaskResult
from pipelines.run_folder import RunFolder, open_run
from thimble.artifact import read_json, write_atomically, write_json
from thimble.metrics import expose
from thimble.push import RUN, Ending, push_ending
from thimble.stage import BadInput, ThimbleError

__all__ = ["Outcome", "describe", "run_in", "run_pipeline"]

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        exit_code: 0 done, 1 a stage or gate failed, 2 bad input, 128 + signal when interrupted.
        message: One sentence about what went wrong; empty if nothing did.
        log: The log of the stage that failed.
        results: Every task that was reached, in order.
        outputs: Paths of the artifacts by task label and output name.
        seconds: Wall time of the whole run.
        pages: Those of the outputs that are pages to look at.
    """

    exit_code: int
    message: str
    log: Path | None
    results: list[TaskResult]
    outputs: dict[str, dict[str, Path]]
    seconds: float
    pages: frozenset[Path]


def run_pipeline(
    pipeline: Any,
    arguments: Mapping[str, Any],
    run_folder: str | Path,
    progress: Progress,
    interpreters: Mapping[str, str] | None = None,
    runner: str = "local",
) -> Outcome:
    """Run a pipeline in a folder, continuing whatever an earlier run left there.

    Args:
        pipeline: What `@dsl.pipeline` made.
        arguments: Its parameters; `ingest_kind`, if there is one, names the kind of data.
        run_folder: Where everything of the run goes.
        progress: Shows the run.
        interpreters: Python by image name (without tag), for images with packages of their own;
            by default those that setup made.
        runner: `local` for processes of this machine, `docker` for the stages' images.

    Returns:
        The outcome; a stage that fails is an outcome, not an exception.

    Raises:
        BadInput: If the folder cannot be used, or an image or an interpreter is missing.
    """
    with open_run(run_folder, describe(pipeline, arguments)) as folder:
        return run_in(folder, pipeline, arguments, progress, interpreters, runner)


def describe(pipeline: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run folder remembers of a run."""
    return {
        "pipeline": pipeline.name,
        "dataset": str(arguments.get("ingest_kind", "")),
        "parameters": dict(arguments),
    }


def run_in(
    folder: RunFolder,
    pipeline: Any,
    arguments: Mapping[str, Any],
    progress: Progress,
    interpreters: Mapping[str, str] | None = None,
    runner: str = "local",
) -> Outcome:
    """Run a pipeline in a run folder that is open; arguments and result as in `run_pipeline`."""
    description = describe(pipeline, arguments)
    began = time.monotonic()
    with Watcher() as watcher:
        plan = plan_tasks(pipeline.pipeline_spec)
        identity = identify(pipeline.name, arguments, folder.root.name)
        if interpreters is None and runner == "local":
            interpreters = find_interpreters(pipeline.pipeline_spec)
        engine = Engine(folder, plan, watcher, progress, interpreters or {}, identity)
        if runner == "docker":
            from pipelines.containers import Containers

            engine.folder = folder.for_containers()
            engine.containers = Containers(engine.folder, arguments, watcher)
            engine.containers.require_images(pipeline.pipeline_spec)
        progress.start(engine.planned)
        error: BaseException | None = None
        try:
            _execute(engine, lambda: pipeline(**arguments))
        except Interrupted as interrupted:
            error = interrupted
        except ThimbleError as failure:
            error = failure
        finally:
            progress.stop()
        return _conclude(engine, description, error, time.monotonic() - began)


def _execute(engine: Engine, call: Callable[[], Any]) -> None:
    """Call the pipeline inside kfp.local, and translate what comes out of it.

    Raises:
        ThimbleError: If a stage failed or the disk let us down.
        Interrupted: If a signal came.
    """
    folder, workspace = engine.folder, engine.watcher.scratch / "workspace"
    workspace.mkdir()
    shutil.rmtree(folder.metrics, ignore_errors=True)
    # kfp deletes the workspace it is given after each run, hence one inside the scratch folder,
    # and keeps its settings in a global, hence init before each run.
    local.init(
        engine.containers.runner() if engine.containers else local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder.artifacts),
        workspace_root=str(workspace),
        enable_caching=True,
        cache_root=str(folder.cache),
    )
    try:
        with _interruptible(), _quiet(folder), engine.installed():
            call()
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise BadInput(
                f"cannot write to {folder.root}: {error.strerror}. "
                "Free space or choose another --out folder, then run the same command again."
            ) from error
        raise
    except RuntimeError:
        if engine.failure:
            raise engine.failure from None
        raise


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn signals into `Interrupted`; Python allows that in the main thread only."""
    if threading.current_thread() is threading.main_thread():
        with signals_interrupt():
            yield
    else:
        yield


@contextlib.contextmanager
def _quiet(folder: RunFolder) -> Iterator[None]:
    """Send what kfp prints, logs and warns to a file; our console holds the real stdout."""
    with open(folder.logs / "kfp.log", "w", encoding="utf-8") as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                yield


def _conclude(
    engine: Engine, description: Mapping[str, Any], error: BaseException | None, seconds: float
) -> Outcome:
    """Write the accounts of the run and say how it ended."""
    outputs = {
        label: {name: Path(value.path) for name, value in found.items() if hasattr(value, "path")}
        for label, found in engine.outputs.items()
    }
    made = [value for found in engine.outputs.values() for value in found.values()]
    pages = frozenset(Path(value.path) for value in made if isinstance(value, dsl.HTML))
    exit_code, message, log = 0, "", None
    if isinstance(error, Interrupted):
        exit_code = 128 + error.number
        message = f"interrupted by {error}; the same command continues"
    elif isinstance(error, ThimbleError):
        exit_code, message, log = error.exit_code, str(error), getattr(error, "log", None)
    outcome = Outcome(exit_code, message, log, engine.results, outputs, seconds, pages)
    with contextlib.suppress(OSError):  # the outcome is told even if the disk is full
        _record(engine.folder, description, outcome, engine.planned)
    if not isinstance(error, Interrupted):
        ending = Ending(RUN, seconds, failed=bool(exit_code))
        push_ending(ending, {**os.environ, **engine.identity})
    return outcome


def _record(
    folder: RunFolder, description: Mapping[str, Any], outcome: Outcome, planned: int
) -> None:
    """Write timings.json, metrics.prom and the report and release of this run."""
    earlier = read_json(folder.timings)["tasks"] if folder.timings.exists() else {}
    tasks = {}
    for result in outcome.results:
        entry = {"seconds": result.seconds, "stage_seconds": result.stage_seconds}
        if result.cached:
            entry = {key: earlier.get(result.task.label, {}).get(key, 0.0) for key in entry}
        tasks[result.task.label] = {
            **{key: round(value, 3) for key, value in entry.items()},
            "ended": result.word,
            "figures": dict(result.figures),
            "outputs": [
                path.relative_to(folder.root).as_posix()
                for path in outcome.outputs.get(result.task.label, {}).values()
            ],
        }
    timings = {
        "seconds": round(outcome.seconds, 3),
        "exit_code": outcome.exit_code,
        "planned": planned,
        "tasks": tasks,
    }
    with write_atomically(folder.timings) as partial:
        write_json(partial, timings)
    if folder.metrics.exists():
        labels = {key: str(description[key]) for key in ("pipeline", "dataset")}
        expose(folder.metrics, folder.root / "metrics.prom", labels)
