"""Artifacts on disk: written under a temporary name, renamed when whole, with their history."""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from thimble.stage import BadInput, Run, flatten

__all__ = [
    "digest_file",
    "digest_folder",
    "finish",
    "load_history",
    "read_json",
    "write_atomically",
    "write_json",
]

REPORTED_VERSIONS = ("thimble", "numpy", "tensorflow-cpu", "ai-edge-litert", "apache-beam", "kfp")


def write_json(path: str | Path, value: Any) -> None:
    """Write canonical JSON: sorted keys, no spaces, UTF-8, a newline at the end."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        BadInput: If the file is missing or not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} is missing. Expected an artifact of Thimble there.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid JSON ({error}). Make the artifact again.") from None


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; make a file or a folder there.

    It is renamed to `path` when the block ends well (an older artifact there is replaced), and
    removed when it does not.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    partial = scratch / path.name
    try:
        yield partial
        if path.is_dir() and not path.is_symlink():
            os.replace(path, scratch / "previous")
        os.replace(partial, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digest_file(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_folder(path: str | Path) -> str:
    """Return the SHA-256 over the sorted relative names and contents of a file or folder."""
    path = Path(path)
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        digest.update(len(name.encode()).to_bytes(8, "little") + name.encode())
        digest.update(file.stat().st_size.to_bytes(8, "little"))
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def load_history(path: str | Path | None) -> list[dict[str, Any]]:
    """Return what the stages before wrote into an artifact's history (empty for none)."""
    file = Path(path) / "history.json" if path else None
    return list(read_json(file)) if file and file.exists() else []


def _versions() -> dict[str, str]:
    """Return the versions that shaped a result."""
    found = {"python": platform.python_version()}
    for name in REPORTED_VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def finish(
    run: Run,
    write: Callable[[Path], None],
    path: str | Path,
    figures: Mapping[str, float],
    metrics: Any = None,
    previous: str | Path | None = None,
) -> None:
    """Write a stage's result, its history and its figures. The only writer of results.

    Args:
        run: The stage's run handle.
        write: Fills the folder that it is given.
        path: Where the artifact goes; it appears there only when whole.
        figures: Numbers of this stage; no times, so that equal inputs give equal bytes.
        metrics: The KFP `Metrics` output, if any.
        previous: The artifact whose history this one continues.
    """
    figures = {name: float(value) for name, value in figures.items()}
    entry = {
        "stage": run.name,
        "config": flatten(run.config),
        "metrics": figures,
        "versions": _versions(),
    }
    with write_atomically(path) as folder:
        folder.mkdir()
        write(folder)
        write_json(folder / "history.json", [*load_history(previous), entry])
    if metrics is not None:
        for name, value in figures.items():
            metrics.log_metric(name, value)
        # kfp's cache takes a task only when every output has a file.
        Path(metrics.path).parent.mkdir(parents=True, exist_ok=True)
        write_json(metrics.path, figures)
    run.figures = figures
    run.artifacts = [Path(folder) for folder in (path, previous) if folder]
    shutil.rmtree(run.checkpoint, ignore_errors=True)
