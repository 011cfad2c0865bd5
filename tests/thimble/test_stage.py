"""The stage contract: configs, checkpoints, progress and errors."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from thimble.stage import BadInput, GateFailed, flat_fields, flatten, from_flat, image, start


@dataclass(frozen=True)
class Inner:
    """A nested part."""

    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise BadInput("rate must be <= 1")


@dataclass(frozen=True)
class Outer:
    """A config."""

    name: str = "a"
    inner: Inner = field(default_factory=Inner)


def test_flat_and_nested_forms_agree() -> None:
    assert flat_fields(Outer) == {"name": "a", "rate": 0.5}
    config = from_flat(Outer, {"name": "b", "rate": 0.25, "unrelated": object()})
    assert config == Outer("b", Inner(0.25))
    assert flatten(config) == {"name": "b", "rate": 0.25}


def test_the_tag_of_an_image_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THIMBLE_TAG_PRUNE", raising=False)
    assert image("prune") == "thimble-prune-python:dev"
    monkeypatch.setenv("THIMBLE_TAG_PRUNE", "abc")
    assert image("prune") == "thimble-prune-python:abc"


def test_a_stage_finds_its_checkpoint_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_CHECKPOINTS", str(tmp_path))
    data = tmp_path / "data.json"
    data.write_text("1")

    def checkpoint(name: str) -> Path:
        with start("s", Outer, {"name": name, "rate": 0.5}, [data]) as run:
            (run.checkpoint / "kept").touch()
            return run.checkpoint

    first = checkpoint("a")
    assert first == checkpoint("a")
    assert first != checkpoint("b")
    data.write_text("2")
    assert first != checkpoint("a")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("bad"), 2),
        (GateFailed("gate"), 1),
        (OSError(28, "No space left on device", "f"), 2),
        (RuntimeError("odd"), 1),
        (FileNotFoundError(2, "No such file or directory", "ours"), 1),
    ],
)
def test_a_failure_leaves_one_sentence_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    monkeypatch.setenv("THIMBLE_STATE", str(tmp_path))
    with pytest.raises(type(error)), start("s", Outer, flat_fields(Outer)):
        raise error
    record = json.loads((tmp_path / "error.json").read_text())
    assert record["stage"] == "s"
    assert record["exit_code"] == code
    assert str(error.args[-1]) in record["message"]


def test_a_refused_parameter_is_reported_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_STATE", str(tmp_path))
    with pytest.raises(BadInput), start("s", Outer, {"name": "a", "rate": 2.0}):
        pass
    assert "rate must be" in (tmp_path / "error.json").read_text()


def test_progress_reaches_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_STATE", str(tmp_path))
    with start("s", Outer, flat_fields(Outer)) as run:
        run.progress(2, 2, dice=0.5)
    line = json.loads((tmp_path / "progress.jsonl").read_text())
    assert (line["stage"], line["step"], line["figures"]) == ("s", 2, {"dice": 0.5})
    timing = json.loads((tmp_path / "timings.jsonl").read_text())
    assert timing["stage"] == "s"
