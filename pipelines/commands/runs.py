"""`thimble runs`: list, compare and clean run folders."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput

FOLDER = click.Path(path_type=Path)


@click.group(short_help="List, compare and clean run folders.")
def runs() -> None:
    """List, compare and clean run folders.

    \b
    Examples:
      thimble runs list
      thimble runs compare runs/first runs/second
      thimble runs clean runs/first
    """


@runs.command("list", short_help="List the runs in a folder.")
@click.argument("root", type=FOLDER, default=Path("runs"))
def list_(root: Path) -> None:
    """List the runs in a folder, `runs` unless told otherwise.

    \b
    Example:
      thimble runs list /data/runs
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from pipelines.progress import format_seconds

    if not root.is_dir():
        raise BadInput(f"{root} is not a folder. Expected a folder of run folders.")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for name in ("run", "data", "ended", "stages", "time", "MB"):
        table.add_column(name, justify="right" if name in ("stages", "time", "MB") else "left")
    for folder in sorted(path.parent for path in root.glob("*/run.json")):
        timings = _read(folder / "timings.json")
        tasks = timings.get("tasks", {})
        seconds = sum(task["seconds"] for task in tasks.values())
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        ended = {None: "never", 0: "done"}.get(timings.get("exit_code"), "failed")
        table.add_row(
            folder.name,
            _description(folder)["dataset"],
            ended,
            str(len(tasks)),
            format_seconds(seconds),
            f"{size / 1e6:.1f}",
        )
    Console(highlight=False).print(table)


@runs.command(short_help="Compare parameters and results of runs.")
@click.argument("folders", type=FOLDER, nargs=-1, required=True, metavar="FOLDER...")
@click.option("--all", "everything", is_flag=True, help="Every figure, not only the main ones.")
def compare(folders: tuple[Path, ...], everything: bool) -> None:
    """Show the parameters that differ between runs, and their figures side by side.

    \b
    Example:
      thimble runs compare runs/first runs/second
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    names = [folder.absolute().name for folder in folders]
    parameters = [_description(folder)["parameters"] for folder in folders]
    figures = [_figures(folder, everything) for folder in folders]
    for title, columns in (("parameters that differ", parameters), ("figures", figures)):
        console.print(title, style="bold")
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
        table.add_column("")
        for name in names:
            table.add_column(name, justify="right", overflow="fold")
        for key in dict.fromkeys(key for column in columns for key in column):
            values = [column.get(key) for column in columns]
            if title == "figures" or any(value != values[0] for value in values):
                table.add_row(key, *(_shown(value) for value in values))
        console.print(table)


@runs.command(short_help="Delete what the latest run does not use.")
@click.argument("folders", type=FOLDER, nargs=-1, required=True, metavar="FOLDER...")
def clean(folders: tuple[Path, ...]) -> None:
    """Delete results of earlier parameters and half-done work; the latest run stays as it is.

    \b
    Example:
      thimble runs clean runs/first
    """
    from pipelines.run_folder import open_run

    for root in folders:
        with open_run(root, _description(root)) as folder:
            timings = _read(folder.timings)
            if len(timings.get("tasks", {})) != timings.get("planned"):
                raise BadInput(
                    f"the latest run in {root} did not reach its end, so what it will use is not "
                    "known. Let it end first, or delete the folder."
                )
            freed = sum(_remove(path) for path in _unused(folder))
        click.echo(f"{root}: freed {freed / 1e6:.1f} MB")


def _unused(folder: Any) -> Iterator[Path]:
    """Yield what no task of the latest run has as its output."""
    timings = _read(folder.timings)
    tasks = timings.get("tasks", {}).values()
    kept = {(folder.root / path).parent for task in tasks for path in task["outputs"]}
    yield from folder.checkpoints.iterdir()
    for run in folder.artifacts.iterdir():
        made = list(run.iterdir())
        yield from (task for task in made if task not in kept)
        if not kept.intersection(made):
            yield run
    for entry in folder.cache.rglob("*.files"):
        if not any(Path(uri).parent in kept for uri in _read(entry)):
            yield from (entry, entry.with_suffix(".json"))


def _remove(path: Path) -> int:
    """Delete a file or folder and return its bytes."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shutil.rmtree(path)
        return size
    size = path.stat().st_size if path.exists() else 0
    path.unlink(missing_ok=True)
    return size


def _description(folder: Path) -> dict[str, Any]:
    """Return run.json of a run folder."""
    from pipelines.run_folder import RunFolder

    description = RunFolder(folder).read_description()
    if not description:
        raise BadInput(f"{folder} is not a run folder. Expected one that `thimble run` made.")
    return description


def _figures(folder: Path, everything: bool) -> dict[str, float]:
    """Return the figures of the latest run by task and name."""
    from pipelines.progress import KEY_FIGURES

    tasks = _read(folder / "timings.json").get("tasks", {})
    return {
        f"{label}: {name}": value
        for label, task in tasks.items()
        for name, value in task["figures"].items()
        if everything or name in KEY_FIGURES.get(label.split(" ")[0], ())
    }


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON file, or an empty dict if there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _shown(value: Any) -> str:
    """Return a value in few characters."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
