"""The toy pipeline, imported from its file, and a way to run it quietly."""

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.local import Outcome, run_pipeline
from pipelines.progress import PlainProgress


@pytest.fixture(scope="session")
def toy() -> Any:
    """The module toy.py."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_toy(toy: Any, tmp_path: Path) -> Callable[..., Outcome]:
    """Runs the toy pipeline in a folder with a space and letters beyond ASCII."""

    def run(folder: Path = tmp_path / "rün 1", **arguments: Any) -> Outcome:
        console = Console(file=io.StringIO())
        return run_pipeline(
            toy.toy, {"ingest_kind": "toy", **arguments}, folder, PlainProgress(console)
        )

    return run
