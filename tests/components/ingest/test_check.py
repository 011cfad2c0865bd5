"""The look at a folder before a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.check import inspect_source
from thimble.stage import BadInput


def test_a_good_folder(scans: Path) -> None:
    found = inspect_source("paired", str(scans), classes="ground=0;lesion=1", split_rule="hash")
    assert found["images"] == 10
    assert found["formats"] == {"png grey 8 bit": 10}
    assert found["sizes"] == {"24x20": 10}
    assert found["raw_labels"] == "0-1"
    assert [entry["name"] for entry in found["classes"]] == ["ground", "lesion"]
    assert abs(sum(entry["share"] for entry in found["classes"]) - 1) < 1e-12
    assert found["splits"] == {"train": 7, "validation": 1, "test": 2}
    assert found["problems"] == []


def test_problems_are_listed(scans: Path) -> None:
    (scans / "images" / "scan 3.png").write_bytes(b"")
    (scans / "images" / "scan 4.png").write_bytes(b"x")
    problems = inspect_source("paired", str(scans), classes="ground=0;lesion=1")["problems"]
    assert len(problems) == 2
    assert "scan 3.png is empty" in problems[0]


def test_missing_classes_are_a_problem(scans: Path) -> None:
    assert "raw values 0-1" in inspect_source("paired", str(scans))["problems"][0]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        inspect_source("paired", str(tmp_path / "absent"))


def test_isbi2012(shared_data: Callable[[str], Path]) -> None:
    found = inspect_source("isbi2012", str(shared_data("isbi2012")))
    assert found["splits"] == {"train": 21, "validation": 3, "test": 6}
    assert found["raw_labels"] == "0, 255"
    assert found["problems"] == []
