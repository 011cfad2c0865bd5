"""A stage's config is the truth; the KFP parameters repeat it, and every value is checked."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest

from thimble.stage import BadInput, flat_fields, from_flat

MOST_FIELDS = 7
KFP_TYPES = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool}


def _parameters(component: Any) -> dict[str, tuple[type, Any]]:
    """The KFP parameters by name: type and default."""
    inputs = component.component_spec.inputs or {}
    return {
        name: (KFP_TYPES[spec_type], spec.default)
        for name, spec in inputs.items()
        if (spec_type := _kfp_type(spec.type)) in KFP_TYPES
    }


def _kfp_type(name: str) -> str:
    return {"String": "STRING", "Integer": "NUMBER_INTEGER", "Float": "NUMBER_DOUBLE"}.get(
        name, name.upper()
    )


def _classes(config_class: Any) -> Iterator[Any]:
    yield config_class
    for field in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(field.type):
            yield from _classes(field.type)


def test_leaf_names_are_unique(config_class: type[Any]) -> None:
    leaves = [
        field.name
        for part in _classes(config_class)
        for field in dataclasses.fields(part)
        if not dataclasses.is_dataclass(field.type)
    ]
    assert sorted(leaves) == sorted(set(leaves))


def test_config_is_frozen_small_and_described(config_class: type[Any]) -> None:
    """docs/reference/parameters.md takes each leaf's line from the class's Attributes."""
    for part in _classes(config_class):
        fields = dataclasses.fields(part)
        assert part.__dataclass_params__.frozen, part
        assert len(fields) <= MOST_FIELDS, f"{part.__name__} has {len(fields)} fields"
        leaves = [field.name for field in fields if not dataclasses.is_dataclass(field.type)]
        missing = [name for name in leaves if f"    {name}:" not in (part.__doc__ or "")]
        assert not missing, f"{part.__name__}: Attributes lack {missing}"


def test_parameters_repeat_the_config(config_class: type[Any], component: Any) -> None:
    parameters = _parameters(component)
    fields = flat_fields(config_class)
    assert set(parameters) == set(fields)
    for name, default in fields.items():
        if default is dataclasses.MISSING:
            continue
        kind, repeated = parameters[name]
        assert repeated == default, f"{name}: config has {default!r}, KFP has {repeated!r}"
        assert kind is type(default), f"{name}: config has {type(default)}, KFP has {kind}"


def test_defaults_are_accepted(config_class: type[Any]) -> None:
    from_flat(config_class, _filled(config_class))


def test_out_of_range_is_refused(config_class: type[Any], subtests: pytest.Subtests) -> None:
    defaults = _filled(config_class)
    for name, value in defaults.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        with subtests.test(parameter=name):
            wrong = [-(10**9)] if isinstance(value, int) else [-1e9, math.nan]
            for candidate in wrong:
                with pytest.raises(BadInput, match=name):
                    from_flat(config_class, {**defaults, name: candidate})


def _filled(config_class: type[Any]) -> dict[str, Any]:
    """The defaults; a required leaf is a path or a name, so any text will do."""
    return {
        name: "given" if default is dataclasses.MISSING else default
        for name, default in flat_fields(config_class).items()
    }
