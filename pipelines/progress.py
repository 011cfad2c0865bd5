"""What a run shows while it works: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.progress import Task as BarTask
from rich.text import Text

from pipelines.plan import Task

__all__ = [
    "LiveProgress",
    "PlainProgress",
    "Progress",
    "TaskResult",
    "choose_progress",
    "format_figures",
    "format_seconds",
]

PLAIN_EVERY_SECONDS = 30.0
LABEL_WIDTH = 20
KEY_FIGURES = {
    "ingest": ("images",),
    "validate": ("images",),
    "train": ("dice_validation", "steps"),
    "distill": ("dice_validation",),
    "prune": ("sparsity", "dice_validation"),
    "quantize": ("bits_per_weight", "dice_validation"),
    "huffman": ("package_bytes", "ratio"),
    "convert": ("package_bytes_int8", "tflite_bytes_int8"),
    "evaluate": ("dice_int8", "dice_float32", "dice"),
    "benchmark": ("p90_seconds_int8", "p90_seconds_float32", "p90_seconds"),
    "report": ("passed",),
}


@dataclass(frozen=True)
class TaskResult:
    """How a task ended.

    Attributes:
        task: Which task.
        seconds: Wall time as the run sees it.
        stage_seconds: Of these, what the stage itself computed; 0 for a cached task.
        cached: Whether an earlier result was taken.
        failed: Whether it failed.
        figures: The figures that the stage reported.
    """

    task: Task
    seconds: float
    stage_seconds: float
    cached: bool
    failed: bool
    figures: Mapping[str, float]

    @property
    def word(self) -> str:
        """Return how it ended in one word."""
        return "failed" if self.failed else "cached" if self.cached else "done"

    def key_figures(self) -> dict[str, float]:
        """Return at most two figures that say most about this stage."""
        wanted = [name for name in KEY_FIGURES.get(self.task.stage, ()) if name in self.figures]
        return {name: self.figures[name] for name in (wanted or list(self.figures))[:2]}


class Progress(Protocol):
    """Something that shows a run."""

    def start(self, total: int) -> None:
        """Begin a run of `total` tasks."""

    def begin(self, task: Task) -> None:
        """Begin a task."""

    def update(self, record: Mapping[str, Any]) -> None:
        """Take the latest progress record of the running task; empty before the first."""

    def end(self, result: TaskResult) -> None:
        """End a task."""

    def stop(self) -> None:
        """End the run, however it ended."""


def format_seconds(seconds: float) -> str:
    """Return a duration such as `4.2 s`, `3:05` or `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_figure(name: str, value: float) -> str:
    """Return one figure with its unit, such as `package 12.3 kB`."""
    words = name.replace("_", " ")
    if "bytes" in name:
        return f"{words.replace(' bytes', '')} {format_bytes(value)}"
    if "seconds" in name:
        return f"{words.replace(' seconds', '')} {value * 1e3:.1f} ms"
    shown = f"{value:.0f}" if float(value).is_integer() and value > 1 else f"{value:.4g}"
    return f"{words} {shown}"


def format_bytes(value: float) -> str:
    """Return a decimal size such as `1.24 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            digits = 0 if value >= 99.95 * size else 1 if value >= 9.995 * size else 2
            return f"{value / size:.{digits}f} {unit}"
    return f"{value:.0f} B"


def format_figures(figures: Mapping[str, float]) -> str:
    """Return figures in one line."""
    return "  ".join(format_figure(name, value) for name, value in figures.items())


class PlainProgress:
    """One line when a task begins and ends, and one every half minute between."""

    def __init__(self, console: Console) -> None:
        """Write to a console that need not be a terminal."""
        self._console = console
        self._total = 0
        self._task: Task | None = None
        self._began = self._spoke = 0.0

    def start(self, total: int) -> None:
        """Remember how many tasks there are."""
        self._total = total

    def begin(self, task: Task) -> None:
        """Remember the task; it may turn out to be cached."""
        self._task, self._began, self._spoke = task, time.monotonic(), 0.0

    def update(self, record: Mapping[str, Any]) -> None:
        """Say that the task has started, and every half minute how far it is."""
        now = time.monotonic()
        if self._task and not self._spoke:
            self._spoke = now
            self._say(self._task, "started")
        elif self._task and record and now - self._spoke >= PLAIN_EVERY_SECONDS:
            self._spoke = now
            figures = format_figures(dict(list(record["figures"].items())[:2]))
            step = f"{record['step']}/{record['total']}"
            self._say(self._task, step, format_seconds(now - self._began), figures)

    def end(self, result: TaskResult) -> None:
        """Say how the task ended."""
        seconds = "" if result.cached else format_seconds(result.seconds)
        self._say(result.task, result.word, seconds, format_figures(result.key_figures()))

    def stop(self) -> None:
        """Nothing is left to do."""

    def _say(self, task: Task, *parts: str) -> None:
        """Print one unwrapped line."""
        words = "  ".join(filter(None, parts))
        line = f"[{task.number}/{self._total}] {task.label}: {words}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Elapsed(ProgressColumn):
    """Time since the task began."""

    max_refresh = None

    def render(self, task: BarTask) -> Text:
        """Return the time without a fraction once it is longer than a minute."""
        return Text(format_seconds(task.elapsed or 0.0).rjust(7), style="cyan")


class LiveProgress:
    """A spinning line for the task at work; a line stays for each task that ended."""

    def __init__(self, console: Console) -> None:
        """Write to a terminal."""
        self._console = console
        self._total = 0
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[steps]}"),
            _Elapsed(),
            TextColumn("{task.fields[figures]}", style="green"),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=False,
        )
        self._bar: TaskID | None = None

    def start(self, total: int) -> None:
        """Show the live line."""
        self._total = total
        self._bars.start()

    def begin(self, task: Task) -> None:
        """Begin a new line."""
        self._bar = self._bars.add_task(self._title(task), total=None, steps="", figures="")

    def update(self, record: Mapping[str, Any]) -> None:
        """Move the bar."""
        if record and self._bar is not None:
            figures = dict(list(record["figures"].items())[:2])
            self._bars.update(
                self._bar,
                completed=record["step"],
                total=record["total"],
                steps=f"{record['step']}/{record['total']}",
                figures=format_figures(figures),
            )

    def end(self, result: TaskResult) -> None:
        """Leave one line that stays."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
        style = {"failed": "red", "cached": "dim", "done": "green"}[result.word]
        line = Text(f"{'x' if result.failed else '✓'} ", style=style)
        line.append(self._title(result.task), style="dim" if result.cached else "")
        seconds = result.word if result.failed or result.cached else format_seconds(result.seconds)
        line.append(f" {seconds.rjust(7)}  ", style=style if result.failed else "cyan")
        line.append(format_figures(result.key_figures()), style=style)
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def stop(self) -> None:
        """Take the live line away."""
        self._bars.stop()

    def _title(self, task: Task) -> str:
        """Return number and name, padded so that lines stand under each other."""
        place = f"{task.number:>2}/{self._total}"
        return f"{place} {task.label.ljust(LABEL_WIDTH)}"


def choose_progress(console: Console) -> Progress:
    """Return the live view on a terminal, else plain lines."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)
