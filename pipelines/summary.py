"""What a run prints at its end: results, verdict, where the report is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipelines.local import Outcome
from pipelines.progress import format_bytes, format_seconds
from pipelines.run_folder import RunFolder
from thimble.artifact import read_json

__all__ = ["result_rows", "show_outcome", "show_results"]

BRANCHES = ("baseline", "teacher", "student", "control")


def show_outcome(console: Console, outcome: Outcome, folder: str | Path) -> None:
    """Print how a run ended.

    Args:
        console: Where to.
        outcome: What `run_pipeline` returned.
        folder: The run folder.
    """
    results = read_results(outcome.outputs)
    if results:
        show_results(console, results)
    verdict = outcome.outputs.get("report", {}).get("verdict")
    if verdict:
        show_verdict(console, read_json(verdict / "verdict.json"))
    cached = sum(result.cached for result in outcome.results)
    console.print(
        f"{len(outcome.results)} stages in {format_seconds(outcome.seconds)}"
        + (f", {cached} of them cached" if cached else ""),
        markup=False,
    )
    run = RunFolder(folder)
    if verdict:
        _show_path(console, "report", run.report)
    if run.release.exists() and outcome.exit_code == 0:
        _show_path(console, "release", run.release)
    if outcome.message:
        errors = Console(stderr=True, highlight=False)
        errors.print("error: ", style="bold red", end="")
        errors.print(outcome.message, markup=False, soft_wrap=True)
        if outcome.log:
            _show_path(errors, "log", outcome.log)


def _show_path(console: Console, name: str, path: Path) -> None:
    """Print a path on a line of its own, never wrapped, so that it can be copied."""
    console.print(f"{name}: {path}", markup=False, soft_wrap=True)


def read_results(outputs: dict[str, dict[str, Path]]) -> dict[str, dict[str, Any]]:
    """Return evaluation and benchmark by branch, as far as the run got."""
    found = {}
    for branch in BRANCHES:
        evaluation = outputs.get(f"evaluate ({branch})", {}).get("evaluation")
        benchmark = outputs.get(f"benchmark ({branch})", {}).get("benchmarked")
        if evaluation:
            found[branch] = {
                "evaluation": read_json(evaluation / "evaluation.json"),
                "runs": read_json(benchmark / "benchmark.json")["runs"] if benchmark else [],
            }
    return found


def result_rows(results: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row per branch and variant, with the ratio to the baseline's float32 tensors."""
    reference = results.get("baseline", next(iter(results.values())))
    float32_bytes = reference["evaluation"]["float32_bytes"]
    for branch, result in results.items():
        evaluation = result["evaluation"]
        names = evaluation.get("variant_order") or list(evaluation["variants"])
        for name in names:
            figures = evaluation["variants"][name]
            timed = [run for run in result["runs"] if run["variant"] == name and run["xnnpack"]]
            slowest = min(timed, key=lambda run: int(run["threads"]), default=None)
            yield {
                "branch": branch,
                "variant": name,
                "package_bytes": figures["package_bytes"],
                "ratio": float32_bytes / figures["package_bytes"],
                "dice": figures["dice"],
                "difference": figures.get("difference"),
                "p90_seconds": slowest["p90_seconds"] if slowest else None,
            }


def show_results(console: Console, results: dict[str, dict[str, Any]]) -> None:
    """Print the table of packages."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for name in ("branch", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("package", "ratio", "Dice", "to baseline, points", "p90 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for row in result_rows(results):
        if previous and row["branch"] != previous:
            table.add_section()
        seconds = row["p90_seconds"]
        table.add_row(
            row["branch"] if row["branch"] != previous else "",
            row["variant"],
            format_bytes(row["package_bytes"]),
            f"{row['ratio']:.1f}x",
            f"{row['dice']:.4f}",
            format_difference(row["difference"]),
            "" if seconds is None else f"{seconds * 1e3:.2f}",
        )
        previous = row["branch"]
    console.print()
    console.print(table)
    console.print()


def format_difference(difference: dict[str, float] | None) -> str:
    """Return a Dice difference with its 95 % interval, in points (hundredths of Dice)."""
    if not difference:
        return ""
    mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def show_verdict(console: Console, verdict: dict[str, Any]) -> None:
    """Print the verdict and the gates behind it."""
    passed = bool(verdict["passed"])
    if verdict.get("sentence"):
        console.print(verdict["sentence"], markup=False)
    console.print(
        "passed" if passed else "failed", style="bold green" if passed else "bold red", end=""
    )
    console.print(": " + "; ".join(_gate(gate) for gate in verdict["gates"]), markup=False)


def _gate(gate: dict[str, Any]) -> str:
    """Return one gate in words."""
    value = "not measured" if gate["value"] is None else _amount(gate["value"], gate["unit"])
    sign = "<=" if gate["passed"] else "exceeds"
    return f"{gate['name'].replace('_', ' ')} {value} {sign} {_amount(gate['limit'], gate['unit'])}"


def _amount(value: float, unit: str) -> str:
    """Return a number with its unit."""
    if unit == "bytes":
        return format_bytes(value)
    if unit == "seconds":
        return f"{value * 1e3:.2f} ms"
    return f"{value:.4g}"
