"""The `thimble` command: help, exit codes, and errors of one sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from thimble.stage import BadInput, GateFailed
from thimble.weights import Weights, load_weights, save_weights

HEAVY = ("kfp", "tensorflow", "numpy", "rich", "apache_beam", "grimp")


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """All commands by their words."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[" ".join((*path, name))] = command
        if isinstance(command, click.Group):
            found |= _commands(command, (*path, name))
    return found


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert cli.run_command(list(arguments)) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("name", _commands(cli.cli))
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run_command([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"thimble {name}" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from pipelines.cli import run_command; run_command(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--params", "nope"], "nope does not exist. Expected a YAML file or one of: demo,"),
        (["run", "--params", "isbi2012"], "no --data given. Expected the folder of the isbi2012"),
        (["run", "--params", "isbi2012", "--data", "/no/where"], "/no/where is not a folder"),
        (["run", "--data", "."], "phantom_membranes generates scans"),
        (["run", "--set", "train.stpes=3"], "train has no parameter 'stpes'"),
        (["run", "--set", "train"], "--set takes task.field=value"),
        (["run", "--runner", "docker", "--max-dice-drop", "0.1"], "runs its trials as processes"),
        (["run", "--runner", "moon"], "moon"),
        (["inspect", "/no/where"], "/no/where does not exist"),
        (["decode", "/no/where", "-o", "x"], "/no/where does not exist"),
        (["encode", "/no/where", "-o", "x"], "/no/where does not exist"),
        (["predict", "/no/model", "/no/image"], "/no/image does not exist"),
        (["bench", "/no/where"], "/no/where is missing"),
        (["data", "check", "/no/where"], "/no/where is not a folder"),
        (["runs", "list", "/no/where"], "/no/where is not a folder"),
        (["runs", "clean", "."], "is not a run folder"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in " ".join(_fails(capsys, *arguments).split())
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadInput("wrong"), ("wrong", 2)),
        (GateFailed("worse"), ("worse", 1)),
        (click.Abort(), ("interrupted", 130)),
        (
            OSError(28, "No space left on device", "/x"),
            ("No space left on device (/x). Free space and run the same command again.", 2),
        ),
        (KeyError("a"), ("KeyError: 'a'. This is a bug; `thimble --debug ...` shows where.", 1)),
    ],
)
def test_errors_become_sentences(error: Exception, expected: tuple[str, int]) -> None:
    assert cli.explain(error) == expected


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["--debug", "inspect", "/no/where"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Model folder of one small layer, half of it zeros."""
    kernel = np.arange(-8, 10, dtype=np.float32).reshape(3, 3, 1, 2)
    kernel[kernel < 0] = 0
    weights = Weights(
        {"model": "unet", "config": {"base_width": 1}},
        {"head/kernel": kernel, "head/bias": np.ones(2, np.float32)},
        {},
        {"normalization": {"kind": "image"}, "tile": 32, "channels": 1, "classes": ["a", "b"]},
    )
    save_weights(weights, tmp_path / "mödel one")
    return tmp_path / "mödel one"


def test_encode_inspect_decode(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, back = tmp_path / "a b.thimble", tmp_path / "back"
    assert cli.run_command(["encode", str(model), "-o", str(package)]) == 0
    assert f"{package.stat().st_size:,} bytes" in capsys.readouterr().out
    assert cli.run_command(["inspect", str(package), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found["tensors"]} >= {"head/kernel", "head/bias"}
    assert cli.run_command(["inspect", str(package)]) == 0
    assert "3x3x1x2" in capsys.readouterr().out
    assert cli.run_command(["decode", str(package), "-o", str(back)]) == 0
    before, after = load_weights(model), load_weights(back)
    assert before.architecture == after.architecture
    assert before.preprocessing == after.preprocessing
    for name, tensor in before.tensors.items():
        assert tensor.tobytes() == after.tensors[name].tobytes()


def test_a_damaged_package(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tmp_path / "a.thimble"
    assert cli.run_command(["encode", str(model), "-o", str(package)]) == 0
    data = package.read_bytes()
    package.write_bytes(data[: len(data) // 2])
    for arguments in (["inspect"], ["decode", "-o", str(tmp_path / "x")]):
        assert _fails(capsys, *arguments, str(package)).startswith("error: ")
    assert not (tmp_path / "x").exists()


def test_phantom_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scans"
    arguments = ["--images", "2", "--size", "64", "--out", str(out)]
    assert cli.run_command(["data", "phantom", *arguments]) == 0
    assert len(list(out.glob("images/*.png"))) == len(list(out.glob("labels/*.png"))) == 2
    assert "is not empty" in _fails(capsys, "data", "phantom", *arguments)


def test_paint() -> None:
    from pipelines.commands.predict import COLOURS, paint

    scan = np.array([[[100], [100]], [[200], [300]]], np.uint16)
    picture = paint(scan, np.array([[0, 0], [0, 1]], np.uint8))
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[1, 0].tolist() == [128, 128, 128]
    expected = [255 * 0.55 + colour * 0.45 for colour in COLOURS[0]]
    assert np.allclose(picture[1, 1], expected, atol=0.51)
    assert Image.fromarray(picture).mode == "RGB"
