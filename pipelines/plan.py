"""Which tasks a compiled pipeline holds, what people call them, and in which order they run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp.local import graph_utils

__all__ = ["IMAGE_OF", "Task", "plan_tasks", "sort_tasks"]

# Steps without an image of their own, and the stage whose image they run in.
IMAGE_OF = {"refuse": "validate"}

_kfp_sort = graph_utils.topological_sort_tasks


@dataclass(frozen=True)
class Task:
    """One task of a pipeline.

    Attributes:
        number: Place in the order of execution, from 1; one that ends the run takes the place of
            the next.
        stage: The component's name.
        branch: The part of the pipeline that it belongs to; empty for the trunk.
        is_exit: Whether it runs even after a failure.
    """

    number: int
    stage: str
    branch: str
    is_exit: bool

    @property
    def ends_the_run(self) -> bool:
        """Tell whether it runs instead of all that comes after it."""
        return self.stage in IMAGE_OF

    @property
    def label(self) -> str:
        """Return the name on the screen, such as `prune (teacher)`."""
        return f"{self.stage} ({self.branch})" if self.branch else self.stage

    @property
    def slug(self) -> str:
        """Return the name in file names, such as `07-prune-teacher`."""
        return "-".join(filter(None, (f"{self.number:02d}", self.stage, self.branch)))


def sort_tasks(tasks: Mapping[str, Any]) -> list[str]:
    """Sort tasks as kfp does, but in the same order every time.

    kfp walks a protobuf map, whose order changes from process to process.

    Returns:
        A stack of task names: the first to run is the last.
    """
    natural = sorted(tasks, key=lambda name: [_number(part) for part in re.split(r"(\d+)", name)])
    return _kfp_sort({name: tasks[name] for name in natural})


def _number(part: str) -> tuple[int, str]:
    """Make `train-2` sort before `train-10`."""
    return (int(part), "") if part.isdigit() else (-1, part)


def plan_tasks(spec: Any) -> dict[str, Task]:
    """Return the tasks of a pipeline spec by the name of their component.

    Component names are unique in a compiled pipeline: a nested pipeline that is used twice has
    its components twice, with a number behind the name of the second.
    """
    plan: dict[str, Task] = {}
    _walk(spec, spec.root.dag, "", plan)
    return plan


def _walk(spec: Any, dag: Any, branch: str, plan: dict[str, Task]) -> None:
    """Add the tasks of one DAG and of the DAGs inside it."""
    for name in reversed(sort_tasks(dag.tasks)):
        task = dag.tasks[name]
        component = spec.components[task.component_ref.name]
        title = task.task_info.name
        # A display name that the pipeline chose names a branch; kfp's default is the task's name.
        inner = branch or (title if title != name else "")
        if component.WhichOneof("implementation") == "dag":
            _walk(spec, component.dag, inner, plan)
        else:
            stage = re.sub(r"(-\d+)+$", "", task.component_ref.name.removeprefix("comp-"))
            if any((known.stage, known.branch) == (stage, inner) for known in plan.values()):
                raise ValueError(f"two tasks are {stage} of branch {inner!r}: set_display_name")
            is_exit = any(
                value.HasField("task_final_status") for value in task.inputs.parameters.values()
            )
            before = sum(not known.ends_the_run for known in plan.values())
            plan[task.component_ref.name] = Task(before + 1, stage, inner, is_exit)
