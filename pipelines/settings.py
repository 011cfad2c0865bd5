"""Flat pipeline parameters `<task>_<field>`, taken from the components that they belong to.

A pipeline must list every parameter of its stages and hand each of them on: kfp silently gives an
omitted parameter of a nested pipeline the caller's value of the same name. Writing a hundred of
them out three times is where mistakes come from, so they are read from the components.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Group", "Settings", "configured", "group_of", "pick"]

TYPES = {"String": str, "Integer": int, "Float": float, "Boolean": bool}
# The pipeline itself gives these; nobody else may.
GIVEN_BY_PIPELINE = {"branch"}


@dataclass(frozen=True)
class Group:
    """The parameters of one task: its component's, or some of them with defaults of their own.

    Attributes:
        stage: The component's name.
        types: Python type by field.
        defaults: Default by field.
    """

    stage: str
    types: Mapping[str, type]
    defaults: Mapping[str, Any]


def pick(component: Any, **defaults: Any) -> Group:
    """Take some parameters of a component, with other defaults."""
    everything = group_of(component)
    types = {name: everything.types[name] for name in defaults}
    return Group(everything.stage, types, defaults)


def group_of(component: Any) -> Group:
    """Take all parameters of a component that are the user's to choose."""
    types, defaults = {}, {}
    for name, spec in (component.component_spec.inputs or {}).items():
        if spec.type in TYPES and name not in GIVEN_BY_PIPELINE:
            types[name], defaults[name] = TYPES[spec.type], spec.default
    return Group(component.component_spec.name, types, defaults)


class Settings:
    """The parameters of a pipeline while it is built, grouped by task."""

    def __init__(self, groups: Mapping[str, Group], values: Mapping[str, Any]) -> None:
        """Take the flat values of a call."""
        self._groups = groups
        self._values = values

    def __getitem__(self, task: str) -> dict[str, Any]:
        """Return the arguments of one task by field."""
        return {name: self._values[f"{task}_{name}"] for name in self._groups[task].types}

    def hand_on(self, *tasks: str, **renamed: str) -> dict[str, Any]:
        """Return flat arguments for a nested pipeline.

        Args:
            tasks: Tasks that are called the same in both pipelines.
            renamed: Task of the nested pipeline -> task of this one.
        """
        sources = {**{task: task for task in tasks}, **renamed}
        return {
            f"{task}_{name}": value
            for task, source in sources.items()
            for name, value in self[source].items()
        }


def configured(**tasks: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a pipeline function the parameters of its tasks.

    Args:
        tasks: Component or `Group` by task name.

    Returns:
        A decorator for a function whose last argument is `settings`. Put it under `dsl.pipeline`.
    """
    groups = {
        task: source if isinstance(source, Group) else group_of(source)
        for task, source in tasks.items()
    }
    extra = [
        inspect.Parameter(
            f"{task}_{name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=group.defaults[name],
            annotation=group.types[name],
        )
        for task, group in groups.items()
        for name in group.types
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        """Replace `settings` in the signature by the flat parameters."""
        signature = inspect.signature(function)
        own = [value for name, value in signature.parameters.items() if name != "settings"]
        # kfp calls pipeline functions by position.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        every = [value.replace(kind=kind) for value in own + extra]
        flat = inspect.Signature(
            [value for value in every if value.default is value.empty]
            + [value for value in every if value.default is not value.empty],
            return_annotation=signature.return_annotation,
        )

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> Any:
            """Bind the flat arguments, group them and build the pipeline."""
            values = flat.bind(*args, **kwargs).arguments
            mine = {value.name: values[value.name] for value in own if value.name in values}
            return function(**mine, settings=Settings(groups, values))

        build.__signature__ = flat  # type: ignore[attr-defined]
        build.groups = groups  # type: ignore[attr-defined]
        return build

    return decorate
