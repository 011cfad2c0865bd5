"""What a run shows, as text."""

import io

import pytest
from rich.console import Console

from pipelines.plan import Task
from pipelines.progress import (
    LiveProgress,
    PlainProgress,
    TaskResult,
    choose_progress,
    format_bytes,
    format_figures,
    format_seconds,
)
from pipelines.summary import format_difference, result_rows, show_results, show_verdict

PRUNE = Task(7, "prune", "teacher", False)
RECORD = {"step": 120, "total": 400, "figures": {"loss": 0.51234, "dice": 0.81234, "more": 1.0}}


def _result(**changes: object) -> TaskResult:
    values = {"seconds": 65.0, "stage_seconds": 60.0, "cached": False, "failed": False}
    figures = {"sparsity": 0.85, "dice_validation": 0.8, "parameters": 1e6}
    return TaskResult(task=PRUNE, figures=figures, **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1:00"), (3725, "1:02:05")]
)
def test_seconds(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (999_499, "999 kB"),
     (1_239_000, "1.24 MB"), (3.5e9, "3.50 GB")],
)  # fmt: skip
def test_bytes(size: float, shown: str) -> None:
    assert format_bytes(size) == shown


def test_figures_have_units() -> None:
    figures = {"package_bytes": 2048, "p90_seconds": 0.0123, "images": 30, "dice": 0.80125}
    assert format_figures(figures) == "package 2.05 kB  p90 12.3 ms  images 30  dice 0.8013"


def test_plain_lines() -> None:
    out = io.StringIO()
    progress = PlainProgress(Console(file=out, width=40))
    progress.start(28)
    progress.begin(PRUNE)
    progress.update({})
    progress.update(RECORD)  # too early to say more
    progress._spoke -= 31  # half a minute later
    progress.update(RECORD)
    progress.end(_result())
    progress.end(_result(cached=True))
    progress.end(_result(failed=True))
    progress.stop()
    assert out.getvalue().splitlines() == [
        "[7/28] prune (teacher): started",
        "[7/28] prune (teacher): 120/400  0.0 s  loss 0.5123  dice 0.8123",
        "[7/28] prune (teacher): done  1:05  sparsity 0.85  dice validation 0.8",
        "[7/28] prune (teacher): cached  sparsity 0.85  dice validation 0.8",
        "[7/28] prune (teacher): failed  1:05  sparsity 0.85  dice validation 0.8",
    ]


def test_live_lines_fit_80_columns() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    progress = choose_progress(console)
    assert isinstance(progress, LiveProgress)
    progress.start(28)
    progress.begin(PRUNE)
    progress.update(RECORD)
    progress._bars.refresh()
    progress.end(_result())
    progress.stop()
    text = out.getvalue()
    assert "7/28 prune (teacher)" in text
    assert "120/400" in text
    assert "loss 0.5123  dice 0.8123" in text
    assert "✓ 7/28 prune (teacher) 1:05 sparsity 0.85 dice validation 0.8" in " ".join(text.split())


EVALUATION = {
    "float32_bytes": 1000,
    "variants": {
        "int8": {"package_bytes": 100, "dice": 0.8, "difference": None},
        "float32": {"package_bytes": 500, "dice": 0.81, "difference": None},
    },
    "variant_order": ["float32", "int8"],
}
RUNS = [
    {"variant": "int8", "threads": 2, "xnnpack": True, "p90_seconds": 0.001},
    {"variant": "int8", "threads": 1, "xnnpack": True, "p90_seconds": 0.002},
    {"variant": "int8", "threads": 1, "xnnpack": False, "p90_seconds": 0.009},
]


def test_result_rows() -> None:
    student = {**EVALUATION, "float32_bytes": 10}
    rows = list(
        result_rows(
            {
                "baseline": {"evaluation": EVALUATION, "runs": RUNS},
                "student": {"evaluation": student, "runs": []},
            }
        )
    )
    assert [(row["branch"], row["variant"], row["ratio"]) for row in rows] == [
        ("baseline", "float32", 2),
        ("baseline", "int8", 10),
        ("student", "float32", 2),
        ("student", "int8", 10),
    ]
    assert [row["p90_seconds"] for row in rows] == [None, 0.002, None, None]


def test_difference_in_points() -> None:
    difference = {"mean": -0.0012, "low": -0.003, "high": 0.0006}
    assert format_difference(difference) == "-0.12 [-0.30, +0.06]"
    assert format_difference(None) == ""


def test_tables_fit_80_columns() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, color_system=None)
    difference = {"mean": -0.1012, "low": -0.203, "high": -0.1006}
    variant = {"package_bytes": 123_456, "dice": 0.81, "difference": difference}
    evaluation = {"float32_bytes": 99e6, "variants": {"float32": variant}}
    show_results(console, {"baseline": {"evaluation": evaluation, "runs": []}})
    assert "-10.12 [-20.30, -10.06]" in out.getvalue()
    gate = {"name": "dice_drop", "value": 0.02, "limit": 0.01, "unit": "Dice", "passed": False}
    show_verdict(console, {"passed": False, "gates": [gate]})
    assert "failed: dice drop 0.02 exceeds 0.01" in out.getvalue()
