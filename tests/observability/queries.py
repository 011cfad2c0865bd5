"""The queries of the dashboards, as Grafana sends them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "manifests" / "base" / "observability"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
VARIABLES = {
    "$pipeline": ".*",
    "$dataset": ".*",
    "$device": ".*",
    "$__range": "1h",
}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield the name of every panel and its query with all variables filled in."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                yield f"{path.stem}: {panel['title']}", expression


EVERY_PANEL = [pytest.param(expression, id=name) for name, expression in expressions()]
