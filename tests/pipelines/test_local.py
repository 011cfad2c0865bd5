"""What `thimble run` promises about caching, failures and files, on a toy pipeline."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.local import Outcome
from thimble.stage import BadInput

Run = Callable[..., Outcome]
TASKS = ["first", "second (left)", "third (left)", "second (right)", "third (right)"]


def ended(outcome: Outcome) -> dict[str, str]:
    return {result.task.label: result.word for result in outcome.results}


def test_runs_then_takes_everything_from_the_cache(run_toy: Run) -> None:
    fresh = run_toy()
    assert fresh.exit_code == 0, fresh.message
    # Both branches are given the same, so that the second has nothing left to do.
    shared = dict.fromkeys(("second (right)", "third (right)"), "cached")
    assert ended(fresh) == dict.fromkeys(TASKS, "done") | shared
    assert fresh.outputs["third (left)"]["result"].read_text() == "123"
    again = run_toy()
    assert ended(again) == dict.fromkeys(TASKS, "cached")
    assert again.outputs == fresh.outputs


def test_a_changed_parameter_runs_again_what_depends_on_it(run_toy: Run) -> None:
    run_toy()
    changed = run_toy(other="none")
    assert ended(changed) == {
        **dict.fromkeys(TASKS, "cached"),
        "second (right)": "done",
        "third (right)": "done",
    }
    # The earlier results are still there.
    assert set(ended(run_toy()).values()) == {"cached"}


def test_a_damaged_result_runs_again(run_toy: Run) -> None:
    result = run_toy().outputs["second (left)"]["result"]
    (result / "second.txt").unlink()
    again = run_toy()
    assert again.exit_code == 0
    assert ended(again) == {
        **dict.fromkeys(TASKS, "cached"),
        "second (left)": "done",
        "third (left)": "done",
    }


@pytest.mark.parametrize(
    ("fault", "exit_code", "message"),
    [
        ("input", 2, "second (left): scan.png is cut off. Expected a whole PNG. Copy it again."),
        ("bug", 1, "second (left): ZeroDivisionError: by zero"),
        ("killed", 1, "second (left): was ended by signal 9"),
    ],
)
def test_a_failure_is_one_sentence_and_ends_the_run(
    run_toy: Run, fault: str, exit_code: int, message: str
) -> None:
    outcome = run_toy(fault=fault)
    assert outcome.exit_code == exit_code
    assert outcome.message.startswith(message)
    assert ended(outcome) == {"first": "done", "second (left)": "failed"}
    assert outcome.log is not None
    assert outcome.log.name == "02-second-left.log"
    assert ("Traceback" in outcome.log.read_text()) == (fault != "killed")
    # The same folder goes on once the cause is gone, and an old error is not reported again.
    assert ended(run_toy())["first"] == "cached"


def test_everything_is_in_the_run_folder(
    run_toy: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_toy()
    assert capfd.readouterr() == ("", "")
    folder = tmp_path / "rün 1"
    assert "second says 12" in (folder / "logs" / "02-second-left.log").read_text("utf-8")
    timings = json.loads((folder / "timings.json").read_text("utf-8"))
    assert list(timings["tasks"]) == sorted(TASKS)
    first = timings["tasks"]["first"]
    assert 0 <= first["stage_seconds"] <= first["seconds"] <= timings["seconds"]
    metrics = (folder / "metrics.prom").read_text("utf-8")
    assert 'branch="left",dataset="toy",pipeline="toy",stage="second"} 0.5' in metrics
    # A cached task keeps the time that it took, and its figures.
    run_toy()
    again = json.loads((folder / "timings.json").read_text("utf-8"))["tasks"]["first"]
    assert again == {**first, "ended": "cached"}
    assert (folder / "metrics.prom").read_text("utf-8") == metrics


def test_the_working_directory_does_not_matter(
    run_toy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("thimble", "components", "kfp"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    monkeypatch.chdir(elsewhere)
    assert run_toy(folder=Path("relative")).exit_code == 0
    assert (elsewhere / "relative" / "report.html").exists() is False
    assert os.listdir(elsewhere / "relative" / "checkpoints") == []


def test_a_full_disk_is_bad_input(run_toy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.engine

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(pipelines.engine, "run_process", full)
    outcome = run_toy()
    assert outcome.exit_code == BadInput.exit_code
    assert "No space left on device" in outcome.message
    assert "Free space" in outcome.message


def test_a_gateway_that_is_down_does_not_stop_a_run(
    run_toy: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("THIMBLE_PUSHGATEWAY_URL", "http://127.0.0.1:9")
    assert run_toy().exit_code == 0
    assert capfd.readouterr().err.startswith("warning: metrics of run were not pushed")
    assert "warning: metrics of first" in (tmp_path / "rün 1/logs/01-first.log").read_text("utf-8")
