"""The report's section about the search before the run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.report.search import read_trials, searched
from thimble.stage import BadInput


def test_rows_say_what_binds(trials: dict[str, Any]) -> None:
    section = searched(trials)
    assert section is not None
    shown = [[cell.text for cell in row] for row in section.table.rows]
    assert [row[0] for row in shown] == ["1", "2 (best)", "3"]
    assert [row[-1] for row in shown] == ["over: Dice drop", "fits", "failed"]
    assert shown[0][1:10] == [
        *("student, width 4", "0.92", "16", "0.0003", "int8"),
        *("31,204", "0.7971", "+0.0071", "1.50\N{NO-BREAK SPACE}ms"),
    ]
    assert shown[2][5:10] == ["–"] * 5
    assert [row[6].value for row in section.table.rows] == [31_204, 31_204, None]
    assert section.table.head[4] == "Bit price" and section.table.sortable
    assert [row[4].value for row in section.table.rows] == [0.0003] * 3
    assert "3 trials on the validation split" in section.sentence
    limits = "1 met the budget (Dice drop at most 0.005, package at most 40.0\N{NO-BREAK SPACE}kB)"
    assert limits in section.sentence


def test_no_search_no_section(
    tmp_path: Path, full_run: dict[str, str | None], render: Callable[..., dict[str, float]]
) -> None:
    assert searched(read_trials("")) is None
    render(full_run, tmp_path / "out")
    assert 'id="search"' not in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_the_section_is_on_the_page(
    tmp_path: Path,
    full_run: dict[str, str | None],
    render: Callable[..., dict[str, float]],
    trials: dict[str, Any],
) -> None:
    render(full_run, tmp_path / "out", trials=json.dumps(trials))
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert '<li><a href="#search">Search</a></li>' in page
    assert 'aria-label="Trials of the search" id="trials"' in page


def test_text_of_trials_is_escaped(
    tmp_path: Path,
    full_run: dict[str, str | None],
    render: Callable[..., dict[str, float]],
    trials: dict[str, Any],
) -> None:
    trials["trials"][0] |= {"variant": "<script>alert(1)</script>", "binds": ["<b>"]}
    render(full_run, tmp_path / "out", trials=json.dumps(trials))
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<script>alert" not in page and "over: <b>" not in page


@pytest.mark.parametrize(
    "trials", ["{", "[]", "3", '{"trials": []}', '{"budget": {}, "best": 1, "trials": [{}]}']
)
def test_other_text_is_refused(trials: str) -> None:
    with pytest.raises(BadInput, match="trials must be the JSON that a search writes"):
        read_trials(trials)
