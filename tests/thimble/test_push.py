"""Stages without a Pushgateway that answers; tests/services has a real one."""

import dataclasses
from pathlib import Path

import grimp
import pytest

from pipelines.identity import identify
from tests.services.prometheus import free_port
from thimble.artifact import finish
from thimble.push import ENVIRONMENT, Ending, push_ending
from thimble.stage import start


@dataclasses.dataclass(frozen=True)
class NoConfig:
    """A stage without parameters."""


def test_a_gateway_that_is_down_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THIMBLE_PUSHGATEWAY_URL", f"http://127.0.0.1:{free_port()}")
    with start("toy", NoConfig, {}) as run:
        finish(run, lambda path: None, tmp_path / "toy", {"dice_int8": 0.5, "dice_float32": 0.5})
    assert (tmp_path / "toy" / "history.json").exists()
    warning = capfd.readouterr().err
    assert warning.startswith("warning: metrics of toy were not pushed to http://127.0.0.1:")
    assert "refused" in warning
    assert warning.count("\n") == 1


def test_a_password_in_the_url_is_refused_and_not_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    push_ending(Ending("toy", 1.0), {"THIMBLE_PUSHGATEWAY_URL": "http://user:hidden@gateway"})
    warning = capfd.readouterr().err
    assert "THIMBLE_PUSHGATEWAY_PASSWORD" in warning
    assert "hidden" not in warning


def test_without_a_gateway_nothing_happens(capfd: pytest.CaptureFixture[str]) -> None:
    push_ending(Ending("toy", 1.0), {})
    assert capfd.readouterr() == ("", "")


def test_a_run_names_itself_in_variables_that_are_handed_on() -> None:
    arguments = {"ingest_kind": "folder", "ingest_name": "", "publish_commit": "3f9c1e2"}
    named = identify("compress", arguments, "demo")
    assert set(named) < set(ENVIRONMENT)
    assert named["THIMBLE_DATASET"] == "folder"
    assert identify("p", {**arguments, "ingest_name": "hip"}, "")["THIMBLE_DATASET"] == "hip"


def test_what_is_pushed_is_no_part_of_an_image() -> None:
    """A new way to push must not train anything again."""
    graph = grimp.build_graph("components", "thimble", cache_dir=None)
    assert "thimble.push" in graph.modules
    assert not graph.find_modules_that_directly_import("thimble.push")
