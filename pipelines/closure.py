"""Image tags from source code: a change re-runs the stages that import it and no other."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import grimp

__all__ = ["apply_tags", "source_tags"]

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("components", "thimble")
TAG_LENGTH = 12
# A stage does not behave differently because its page was rewritten; what is compiled follows from
# its sources, which count.
IGNORED_SUFFIXES = {".md", ".py", ".pyc", ".pyd", ".so"}


def source_tags(root: Path = ROOT) -> dict[str, str]:
    """Return the digest of what each stage imports, is rendered from and is installed with.

    Args:
        root: The folder that holds `components` and `thimble` as they are imported.

    Returns:
        Hexadecimal digest by stage name.
    """
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    folder = root / "components"
    stages = sorted(path.parent.name for path in folder.glob("*/component.py"))
    return {stage: _digest(stage, graph, root)[:TAG_LENGTH] for stage in stages}


def apply_tags() -> None:
    """Set the environment variables that `thimble.stage.image` reads.

    kfp bakes the image into a component when it is imported, so this comes before that. A tag that
    is set already, such as that of a released image, is left alone.
    """
    for stage, tag in source_tags().items():
        os.environ.setdefault(f"THIMBLE_TAG_{stage.upper()}", tag)


def _digest(stage: str, graph: grimp.ImportGraph, root: Path) -> str:
    """Digest names and contents of every file that makes a stage what it is."""
    digest = hashlib.sha256()
    for file in sorted(set(_files(stage, graph, root))):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _files(stage: str, graph: grimp.ImportGraph, root: Path) -> Iterator[Path]:
    """Yield the modules of a stage's import closure, the data beside them, and its lock."""
    entry = f"components.{stage}.component"
    packages = {root / "components" / stage}
    for module in {entry, *graph.find_upstream_modules(entry)}:
        path = root.joinpath(*module.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        yield source
        packages.add(source.parent)
        # Importing a.b.c runs a/__init__.py and a/b/__init__.py as well.
        for depth in range(1, len(module.split("."))):
            yield root.joinpath(*module.split(".")[:depth], "__init__.py")
    for package in packages:
        yield from (path for path in package.rglob("*") if _is_data(path))
    own = root / "images" / stage / "requirements.txt"
    lock = own if own.exists() else root / "images" / "development" / "requirements.txt"
    if lock.exists():  # an installed wheel has no locks beside it
        yield lock


def _is_data(path: Path) -> bool:
    """Tell whether a file is one that a stage may read while it runs."""
    return (
        path.is_file() and path.suffix not in IGNORED_SUFFIXES and "__pycache__" not in path.parts
    )
