"""The stages, for the tests that hold every one of them to the same contract."""

from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "ingest validate train distill prune quantize huffman convert evaluate benchmark report "
    "publish restore"
).split()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that asks for `stage` once per stage."""
    if "stage" in metafunc.fixturenames:
        metafunc.parametrize("stage", STAGES)


@pytest.fixture
def folder(stage: str) -> Path:
    return ROOT / "components" / stage


@pytest.fixture
def config_class(stage: str) -> type[Any]:
    """The stage's config: the dataclass of its algorithm file that carries the stage's name."""
    found: Any = getattr(
        import_module(f"components.{stage}.{stage}"), f"{stage.capitalize()}Config", None
    )
    assert found is not None, f"components/{stage}/{stage}.py has no {stage.capitalize()}Config"
    assert is_dataclass(found)
    return found


@pytest.fixture
def component(stage: str) -> Any:
    """The KFP component of the stage."""
    return getattr(import_module(f"components.{stage}.component"), stage)
