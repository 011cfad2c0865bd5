"""The stage contract: config from flat parameters, the run handle, errors with exit codes."""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import importlib
import json
import os
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "BadInput",
    "GateFailed",
    "Run",
    "ThimbleError",
    "flat_fields",
    "flatten",
    "from_flat",
    "image",
    "require",
    "stage",
    "start",
]


# A full or read-only disk is the user's to mend; other operating system errors are ours.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class ThimbleError(Exception):
    """A failure with one clear sentence for the user; `exit_code` is what the CLI ends with."""

    exit_code = 1


class BadInput(ThimbleError):
    """Data or a parameter is wrong. The message says what was received, expected, and the fix."""

    exit_code = 2


class GateFailed(ThimbleError):
    """The result is worse than a gate allows; nothing is published."""


def require(condition: bool, expected: str, **received: object) -> None:
    """Check a parameter.

    Args:
        condition: What must hold.
        expected: The rule in words, such as `sparsity must be in [0, 1)`.
        received: The offending values by name.

    Raises:
        BadInput: If `condition` is false.
    """
    if not condition:
        shown = ", ".join(f"{name}={value!r}" for name, value in received.items())
        raise BadInput(f"{expected}. Received: {shown}")


def image(name: str) -> str:
    """Return the container image of a stage.

    The tag carries the digest of the sources that the stage imports (`pipelines.closure` sets it),
    so that a code change re-runs what it touches. The word `python` keeps kfp.local from warning.
    """
    tag = os.environ.get(f"THIMBLE_TAG_{name.upper()}", "dev")
    return f"thimble-{name}-python:{tag}"


def stage(name: str) -> Any:
    """Return the KFP decorator of a stage: a lightweight component in the image of that stage."""
    from kfp import dsl

    return functools.partial(dsl.component, base_image=image(name), install_kfp_package=False)


def flat_fields(config_class: type) -> dict[str, Any]:
    """Return the leaf fields of a nested config dataclass with their defaults, in order."""
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(field.type):
            # A stage may choose other defaults for a part that it shares with others.
            made = field.default_factory is not dataclasses.MISSING
            leaves |= flatten(field.default_factory()) if made else flat_fields(field.type)  # type: ignore
        else:
            leaves[field.name] = field.default
    return leaves


def from_flat(config_class: type, arguments: Mapping[str, Any]) -> Any:
    """Build a nested config from flat arguments.

    Args:
        config_class: A dataclass whose fields are leaves or dataclasses.
        arguments: At least one value per leaf name; other names are ignored.

    Raises:
        BadInput: If the config's own checks refuse a value.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(field.type):
            values[field.name] = from_flat(field.type, arguments)  # type: ignore[arg-type]
        else:
            values[field.name] = arguments[field.name]
    return config_class(**values)


def flatten(config: Any) -> dict[str, Any]:
    """Return the leaves of a nested config as one flat dict."""
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        leaves |= flatten(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return leaves


class Run:
    """The only way out of a stage while it works: progress and a folder for checkpoints."""

    def __init__(self, name: str, config: Any, key: str, checkpoint: Path) -> None:
        """Bind the stage's name and config to the folder that survives a restart."""
        self.name = name
        self.config = config
        self.key = key
        self.checkpoint = checkpoint
        self.started = time.monotonic()
        # What `thimble.artifact.finish` wrote, and where packages may be.
        self.figures: dict[str, float] = {}
        self.artifacts: list[Path] = []
        self._last_progress = 0.0

    def progress(self, step: int, total: int, **figures: float) -> None:
        """Tell how far the stage is; at most four times a second reaches the state file.

        Args:
            step: Work done, in the stage's own unit.
            total: Work in all.
            figures: Numbers that matter now, such as `loss` or `dice`.
        """
        now = time.monotonic()
        if now - self._last_progress < 0.25 and step < total:
            return
        self._last_progress = now
        record = {
            "stage": self.name,
            "key": self.key,
            "step": step,
            "total": total,
            "seconds": round(now - self.started, 3),
            "figures": {name: float(value) for name, value in figures.items()},
        }
        shown = " ".join(f"{name}={value:.4g}" for name, value in figures.items())
        print(f"[{self.name}] {step}/{total} {shown}", flush=True)
        _append_state("progress.jsonl", record)


def _append_state(name: str, record: dict[str, Any]) -> None:
    """Append one JSON line to a file of the run's state folder, if there is one."""
    folder = os.environ.get("THIMBLE_STATE")
    if folder:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        with open(Path(folder) / name, "a", encoding="utf-8") as file:
            file.write(line)


def _fingerprint(path: str | Path) -> str:
    """Digest an input: JSON and tensors by content, bulk records by name and size."""
    path = Path(path)
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(file.name.encode() + b"\0")
        if file.suffix in {".json", ".safetensors", ".thimble"}:
            digest.update(file.read_bytes())
        else:
            digest.update(str(file.stat().st_size).encode())
    return digest.hexdigest()


def _key(name: str, config: Any, inputs: Sequence[str | Path]) -> str:
    """Name a stage's work: its code, its config and its inputs."""
    parts = [image(name), json.dumps(flatten(config), sort_keys=True)]
    parts += [_fingerprint(path) for path in inputs]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _explain(error: BaseException) -> tuple[str, int]:
    """Return one sentence and an exit code for any failure of a stage."""
    if isinstance(error, ThimbleError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}. Free space or choose another --out folder.", 2
    return f"{type(error).__name__}: {error}", 1


@contextlib.contextmanager
def start(
    name: str,
    config_class: type,
    arguments: Mapping[str, Any],
    inputs: Sequence[str | Path] = (),
) -> Iterator[Run]:
    """Open a stage: build its config, find its checkpoint folder, report a failure clearly.

    Args:
        name: The stage.
        config_class: Its config dataclass.
        arguments: Flat parameters; names that are no fields are ignored, so `locals()` will do.
        inputs: Paths of the input artifacts; they take part in the checkpoint's key.

    Yields:
        The run handle.

    Raises:
        ThimbleError: As raised inside; `error.json` in the state folder names stage and fix.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="thimble-") as scratch:
        try:
            config = from_flat(config_class, arguments)
            key = _key(name, config, inputs)
            root = os.environ.get("THIMBLE_CHECKPOINTS", scratch)
            checkpoint = Path(root) / f"{name}-{key}"
            checkpoint.mkdir(parents=True, exist_ok=True)
            run = Run(name, config, key, checkpoint)
            yield run
            seconds = round(time.monotonic() - run.started, 3)
            _append_state("timings.jsonl", {"stage": name, "key": key, "seconds": seconds})
        except BaseException as error:
            _report(name, error)
            if isinstance(error, Exception):  # an interruption is no failure
                _push(name, arguments, began, None)
            raise
        _push(name, arguments, began, run)


def _push(name: str, arguments: Mapping[str, Any], began: float, run: Run | None) -> None:
    """Tell the Pushgateway, if one is set, how a stage ended; without `run`, that it failed."""
    if not os.environ.get("THIMBLE_PUSHGATEWAY_URL"):
        return
    # By name: what is pushed is no part of what a stage is, so that a new metric re-runs none.
    push = importlib.import_module("thimble.push")
    ending = push.Ending(
        stage=name,
        seconds=time.monotonic() - began,
        failed=run is None,
        labels={label: str(arguments.get(label, "")) for label in ("branch", "device")},
        figures=run.figures if run else {},
        artifacts=run.artifacts if run else [],
    )
    push.push_ending(ending)


def _report(name: str, error: BaseException) -> None:
    """Write `error.json` for the CLI and the traceback for the log."""
    message, exit_code = _explain(error)
    traceback.print_exc()
    folder = os.environ.get("THIMBLE_STATE")
    if not folder:
        return
    record = {
        "stage": name,
        "type": type(error).__name__,
        "message": message,
        "exit_code": exit_code,
    }
    with contextlib.suppress(OSError):
        (Path(folder) / "error.json").write_text(json.dumps(record, ensure_ascii=False), "utf-8")
