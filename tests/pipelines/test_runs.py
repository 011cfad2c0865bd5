"""`thimble runs` on folders that the toy pipeline filled."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli import run_command
from pipelines.local import Outcome

Run = Callable[..., Outcome]


def test_list_compare_clean(
    run_toy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "rün 1"
    run_toy(other="none")
    outcome = run_toy()
    assert run_command(["runs", "list", str(tmp_path)]) == 0
    assert "rün 1" in capsys.readouterr().out

    run_toy(folder=tmp_path / "second", fault="input")
    assert run_command(["runs", "compare", "--all", str(folder), str(tmp_path / "second")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "fault input" in shown
    assert "first: images 3 3" in shown

    (folder / "checkpoints" / "left").mkdir()
    before = set(folder.glob("artifacts/*/*"))
    assert run_command(["runs", "clean", str(folder)]) == 0
    assert "freed" in capsys.readouterr().out
    assert not list((folder / "checkpoints").iterdir())
    kept = {path.parent for found in outcome.outputs.values() for path in found.values()}
    assert set(folder.glob("artifacts/*/*")) == kept < before
    assert {result.word for result in run_toy().results} == {"cached"}
    again = {result.task.label: result.word for result in run_toy(other="none").results}
    assert again["second (right)"] == "done"

    assert run_command(["runs", "clean", str(tmp_path / "second")]) == 2
    assert "did not reach its end" in capsys.readouterr().err
