"""What a search shows while a trial is at work; the trial's own line is printed when it ends."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.status import Status

from pipelines.plan import Task
from pipelines.progress import PLAIN_EVERY_SECONDS, TaskResult, format_seconds

__all__ = ["TrialProgress"]


class TrialProgress:
    """A spinning line on a terminal; elsewhere a line every half minute."""

    def __init__(self, console: Console, title: str) -> None:
        """Show a trial that is called `title`."""
        self._console = console
        self._title = title
        self._status: Status | None = None
        self._task: Task | None = None
        self._began = self._spoke = 0.0

    def start(self, total: int) -> None:
        """Begin the trial."""
        self._began = self._spoke = time.monotonic()
        if self._console.is_terminal:
            self._status = self._console.status(self._title)
            self._status.start()

    def begin(self, task: Task) -> None:
        """Begin a task."""
        self._task = task
        self._show("")

    def update(self, record: Mapping[str, Any]) -> None:
        """Take the latest progress record of the task."""
        self._show(f" {record['step']}/{record['total']}" if record else "")

    def end(self, result: TaskResult) -> None:
        """End a task; a trial says nothing about tasks that went well."""

    def stop(self) -> None:
        """End the trial."""
        if self._status:
            self._status.stop()

    def _show(self, steps: str) -> None:
        """Say where the trial is."""
        now = time.monotonic()
        label = self._task.label if self._task else ""
        line = f"{self._title}: {label}{steps}  {format_seconds(now - self._began)}"
        if self._status:
            self._status.update(line)
        elif now - self._spoke >= PLAIN_EVERY_SECONDS:
            self._spoke = now
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
