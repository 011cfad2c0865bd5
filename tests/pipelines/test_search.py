"""Searching a budget: order, interruption, failures, refusals."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.budget import Budget
from pipelines.cli import run_command
from pipelines.search import SearchStopped, best_trial
from pipelines.space import SearchSpace
from thimble.stage import BadInput

TOY = Path(__file__).with_name("toy_search.py")
BUDGET = Budget(max_dice_drop=0.005)
DEADLINE_SECONDS = 120


@pytest.fixture(scope="module")
def toy() -> Any:
    spec = importlib.util.spec_from_file_location("toy_search", TOY)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_search"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the toy trial counts its calls and finds its orders."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("TOY_STATE", str(folder))
    return folder


def calls(state: Path) -> Counter[int]:
    return Counter(int(line) for line in (state / "calls").read_text().splitlines())


def sizes(toy: Any, trials: list[Any]) -> list[int]:
    return [toy.expected(trial.choice)[0] for trial in trials]


def test_it_measures_what_the_stages_say(toy: Any, state: Path, tmp_path: Path) -> None:
    trials = toy.search(tmp_path / "run")
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    for trial in trials:
        size, dice = toy.expected(trial.choice)
        float32, int8 = trial.variants
        assert (float32.package_bytes, int8.package_bytes) == (2 * size, size)
        assert (float32.dice, float32.dice_drop) == (dice, pytest.approx(0.9 - dice))
        assert int8.dice_drop == pytest.approx(0.901 - dice)
        assert (float32.p90_ms, trial.float32_bytes) == (1.0, 100_000)
    inside = [trial for trial in trials if not trial.binds(BUDGET)]
    assert inside and all(trial.choice.width == 8 for trial in inside)
    smallest = min(trial.best(BUDGET).package_bytes for trial in inside)
    assert best_trial(trials, BUDGET).best(BUDGET).package_bytes == smallest
    assert calls(state)[50_000] == 1, "the baseline is shared by all trials"


def test_it_goes_on_and_ends_where_the_space_ends(toy: Any, state: Path, tmp_path: Path) -> None:
    space = SearchSpace((8,), 0.8, 0.9, 0.05, (8,), (0.0,), ("float32", "int8"))
    first = toy.search(tmp_path / "run", trials=2, space=space)
    every = toy.search(tmp_path / "run", trials=100, space=space)
    assert every[:2] == first
    assert len({trial.choice for trial in every}) == len(every) == space.size == 3
    before = calls(state)
    assert toy.search(tmp_path / "run", trials=2, space=space) == every
    assert calls(state) == before, "finished trials are not made again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(
    toy: Any, state: Path, tmp_path: Path, number: signal.Signals
) -> None:
    whole = toy.search(tmp_path / "whole", trials=3)
    (state / "calls").unlink()
    os.mkfifo(state / "fifo")
    (state / f"wait-{sizes(toy, whole)[1]}").touch()
    command = [sys.executable, str(TOY), str(tmp_path / "run"), '{"trials": 3}']
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert (state / "fifo").read_text() == "ready"
    run.send_signal(number)
    output, _ = run.communicate(timeout=DEADLINE_SECONDS)
    if number == signal.SIGTERM:
        assert run.returncode == 128 + number
        assert "interrupted by SIGTERM; the same command continues" in output
    else:
        assert run.returncode == -number
    assert len(json.loads((tmp_path / "run" / "search.json").read_text())["trials"]) == 1
    again = toy.search(tmp_path / "run", trials=3)
    assert [trial.choice for trial in again] == [trial.choice for trial in whole]
    assert [trial.variants for trial in again] == [trial.variants for trial in whole]
    counted = calls(state)
    assert counted[50_000] == 1
    assert [counted[size] for size in sizes(toy, whole)] == [1, 2, 1]


def test_a_trial_that_fails_is_noted_and_not_tried_again(
    toy: Any, state: Path, tmp_path: Path
) -> None:
    first = toy.search(tmp_path / "first", trials=1)[0]
    (state / f"fail-{toy.expected(first.choice)[0]}").touch()
    trials = toy.search(tmp_path / "run", trials=3)
    assert "cannot be made" in trials[0].failure
    assert list(trials[0].binds(BUDGET)) == ["failed"]
    assert all(trial.choice != first.choice for trial in trials[1:])
    assert best_trial(trials, BUDGET) in trials[1:]


def test_what_all_trials_need_stops_the_search(toy: Any, state: Path, tmp_path: Path) -> None:
    (state / "fail-50000").touch()
    with pytest.raises(SearchStopped, match="a network of 50000 cannot be made") as stopped:
        toy.search(tmp_path / "run")
    assert stopped.value.exit_code == 2
    assert not (tmp_path / "run" / "search.json").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drop": 0.01}, "another budget: max_dice_drop was 0.005, received 0.01. Choose another"),
        ({"seed": 2}, "another space: seed was 1, received 2"),
        (
            {"space": SearchSpace((8,), 0.8, 0.9, 0.05, (8, 16), (0.0,), ("float32", "int8"))},
            r"another space: widths was \[4, 8\], received \[8\]",
        ),
        (
            {"space": SearchSpace((4, 8), 0.8, 0.9, 0.05, (8, 16), (0.1,), ("float32", "int8"))},
            r"another space: rate_weights was \[0.0\], received \[0.1\]",
        ),
        (
            {"arguments": {"ingest_kind": "toy", "train_base_width": 8, "train_steps": 9}},
            "another parameters: train_steps was None, received 9",
        ),
        ({"code": {"THIMBLE_TAG_PRUNE": "b"}}, "another code: THIMBLE_TAG_PRUNE was None"),
    ],
)
def test_another_search_is_refused(
    toy: Any, state: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "run"
    toy.search(folder, trials=1)
    with pytest.raises(BadInput, match=words):
        toy.search(folder, trials=2, **changes)
    titled = {**toy.ARGUMENTS, "report_title": "Another title"}
    assert len(toy.search(folder, trials=1, arguments=titled)) == 1


@pytest.mark.parametrize("content", ["{", "{}", '{"format": "thimble-search/1", "identity": {}}'])
def test_a_damaged_file_is_refused(toy: Any, state: Path, tmp_path: Path, content: str) -> None:
    toy.search(tmp_path / "run", trials=1)
    (tmp_path / "run" / "search.json").write_text(content)
    with pytest.raises(BadInput, match=r"search\.json"):
        toy.search(tmp_path / "run", trials=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-bytes", "9"], "--max-bytes belongs to a search. Expected --max-dice-drop"),
        (["--trials", "9"], "--trials belongs to a search"),
        (["--max-dice-drop", "0"], "max_dice_drop must be in (0, 1]. Received: max_dice_drop=0.0"),
        (["--max-dice-drop", "1.1"], "max_dice_drop must be in (0, 1]"),
        (["--max-dice-drop", "0.1", "--max-bytes", "0"], "--max-bytes must be > 0. Received: 0"),
        (["--max-dice-drop", "0.1", "--max-p90-ms", "-1"], "--max-p90-ms must be > 0"),
        (["--max-dice-drop", "much"], "much"),
    ],
)
def test_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run_command(["run", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
