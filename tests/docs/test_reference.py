"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_cli", "make_parameters"])
def test_page_is_current(name: str, repository: Path) -> None:
    maker = _load(repository / "docs" / f"{name}.py")
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), "run `make reference`"


def test_every_parameter_is_described(repository: Path) -> None:
    page = _load(repository / "docs" / "make_parameters.py").page()
    assert not [line for line in page.splitlines() if line.startswith("| `") and "|  |" in line]
