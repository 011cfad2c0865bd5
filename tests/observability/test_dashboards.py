"""Dashboards: as generated, whole, and about metrics that exist."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.observability.queries import DASHBOARDS, EVERY_PANEL, FOLDER, expressions
from thimble.metrics import METRICS

NAME = re.compile(r"\bthimble[:_][\w:]+")


@pytest.fixture(scope="module")
def generator(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "dashboards", repository / "manifests" / "dashboards.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up there.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "dashboards", module)
        spec.loader.exec_module(module)
    return module


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_committed_dashboards_are_the_generated_ones(generator: ModuleType) -> None:
    committed = {path: path.read_text(encoding="utf-8") for path in DASHBOARDS}
    assert committed == generator.pages(), "run `make dashboards`"
    assert len(committed) == 4


def test_dashboards_have_ids_of_their_own() -> None:
    pages = [read(path) for path in DASHBOARDS]
    assert len({page["uid"] for page in pages}) == len({page["title"] for page in pages}) == 4
    # Grafana allows 40 characters.
    assert all(len(page["uid"]) <= 40 for page in pages)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_are_whole(path: Path) -> None:
    page = read(path)
    panels = page["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    known = {variable["name"] for variable in page["templating"]["list"]} | {"__range"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert used <= known


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap(path: Path) -> None:
    taken = [
        (place["x"] + column, place["y"] + row)
        for place in (panel["gridPos"] for panel in read(path)["panels"])
        for column in range(place["w"])
        for row in range(place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(column for column, _ in taken) < 24


@pytest.mark.parametrize("expression", EVERY_PANEL)
def test_queries_name_metrics_that_exist(expression: str) -> None:
    rules = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
    recorded = {rule.get("record") for group in rules["groups"] for rule in group["rules"]}
    names = set(NAME.findall(expression))
    assert names
    assert names <= {row.name for row in METRICS.values()} | recorded


def test_queries_parse(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": "panel", "expr": expression} for _, expression in expressions()]
    for number, rule in enumerate(rules):
        rule["record"] = f"panel:{number}"
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
