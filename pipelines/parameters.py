"""Named runs: a YAML file of parameters grouped by task, changed by `--set`, made flat for kfp."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.settings import Group
from thimble.stage import BadInput

__all__ = ["equal_budgets", "flat_arguments", "load_parameters", "override", "typed"]

ALL = "all"
NUMBERS = (int, float)
WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
BUDGETS = {
    "baseline": ("prune", "quantize"),
    "control": ("distill", "student_prune", "student_quantize"),
}


def load_parameters(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read a parameter file.

    Args:
        path: YAML such as `{ingest: {kind: isbi2012}, train: {steps: 1200}}`.

    Raises:
        BadInput: If it is missing or not a mapping of mappings.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist. Expected a YAML file of parameters.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {error}") from None
    content = {} if content is None else content
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise BadInput(f"{path} must hold parameters grouped by task, as in `train: {{steps: 9}}`.")
    return {str(task): dict(fields) for task, fields in content.items()}


def override(
    parameters: Mapping[str, Mapping[str, Any]], changes: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Apply changes such as `train.steps=200`; values are read as YAML.

    Raises:
        BadInput: If a change is not of that form.
    """
    changed = {task: dict(fields) for task, fields in parameters.items()}
    for change in changes:
        name, equals, value = change.partition("=")
        task, dot, field = name.strip().partition(".")
        if not (equals and dot and task and field):
            raise BadInput(f"--set takes task.field=value. Received: {change!r}")
        try:
            changed.setdefault(task, {})[field] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError as error:
            raise BadInput(f"--set {change!r}: the value is not valid YAML ({error})") from None
    return changed


def flat_arguments(
    parameters: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Group]
) -> dict[str, Any]:
    """Return every pipeline parameter, with defaults filled in.

    The group `all` gives a value to each task that has the field; a task's own value wins.

    Args:
        parameters: Values by task and field.
        groups: What the pipeline takes.

    Raises:
        BadInput: If a task, a field or a type is wrong.
    """
    given = {task: dict(fields) for task, fields in parameters.items() if task != ALL}
    _refuse_unknown_tasks(given, groups)
    shared = dict(parameters.get(ALL, {}))
    for field in shared:
        if not any(field in group.types for group in groups.values()):
            known = sorted({name for group in groups.values() for name in group.types})
            raise BadInput(f"no task has a parameter {field!r}. Known: {', '.join(known)}")
    flat = {}
    for task, group in groups.items():
        mine = given.get(task, {})
        unknown = sorted(set(mine) - set(group.types))
        if unknown:
            known = ", ".join(group.types)
            raise BadInput(f"{task} has no parameter {unknown[0]!r}. Known: {known}")
        for field, kind in group.types.items():
            value = mine.get(field, shared.get(field, group.defaults[field]))
            flat[f"{task}_{field}"] = typed(f"{task}.{field}", value, kind)
    return flat


def equal_budgets(
    parameters: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Group]
) -> dict[str, dict[str, Any]]:
    """Give those that are compared as many steps as those they are compared with.

    The baseline goes on for as many steps as compressing the teacher takes, and the control trains
    for as many as the student in all, unless the parameters say otherwise.
    """

    def steps(*tasks: str) -> int:
        """Add up the steps of tasks."""
        shared = parameters.get(ALL, {})
        total = 0
        for task in tasks:
            default = shared.get("steps", groups[task].defaults["steps"])
            total += parameters.get(task, {}).get("steps", default)
        return total

    filled = {task: dict(fields) for task, fields in parameters.items()}
    for task, equals in BUDGETS.items():
        filled.setdefault(task, {}).setdefault("steps", steps(*equals))
    return filled


def _refuse_unknown_tasks(given: Mapping[str, Any], groups: Mapping[str, Group]) -> None:
    """Refuse a group that the pipeline does not have."""
    unknown = sorted(set(given) - set(groups))
    if unknown:
        known = ", ".join([ALL, *groups])
        raise BadInput(f"the pipeline has no task {unknown[0]!r}. Known: {known}")


def typed(name: str, value: Any, kind: type) -> Any:
    """Return the value in the parameter's type; kfp would only notice inside the stage."""
    if kind is float and isinstance(value, NUMBERS) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):
        # YAML reads 1e-3 as a string: it wants a dot, which people leave out.
        with contextlib.suppress(ValueError):  # what is no number is refused below
            return float(value)
    if kind is str and isinstance(value, NUMBERS) and not isinstance(value, bool):
        return str(value)
    if type(value) is kind:
        return value
    raise BadInput(f"{name} must be {WORDS[kind]}. Received: {value!r}")
