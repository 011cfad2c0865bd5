"""Artifacts: whole or absent, canonical, with their history."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from thimble.artifact import (
    digest_folder,
    finish,
    load_history,
    read_json,
    write_atomically,
)
from thimble.stage import BadInput, start
from thimble.weights import Weights, figures_of, load_weights, save_weights, writer


@dataclass(frozen=True)
class Config:
    """A config with a branch."""

    branch: str = "teacher"


def sample() -> Weights:
    kernel = np.array([[0.0, 1.5], [0.0, -2.0]], np.float32)
    return Weights(
        {"model": "unet", "config": {"base_width": 1}},
        {"z/kernel": kernel, "a/bias": np.zeros(2, np.float32)},
        {"z/kernel.mask": (kernel != 0).astype(np.uint8)},
        {"tile": 128},
    )


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), write_atomically(target) as partial:
        partial.mkdir()
        (partial / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_older_artifact_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), write_atomically(target) as partial:
        partial.mkdir()
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["old"]
    with write_atomically(target) as partial:
        partial.mkdir()
        (partial / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_weights_come_back_bit_for_bit_in_their_order(tmp_path: Path) -> None:
    save_weights(sample(), tmp_path)
    again = load_weights(tmp_path)
    assert list(again.tensors) == ["z/kernel", "a/bias"]
    for name, tensor in sample().tensors.items():
        assert again.tensors[name].tobytes() == tensor.tobytes()
    assert again.constraints["z/kernel.mask"].tolist() == [[0, 1], [0, 1]]
    assert again.architecture == sample().architecture
    assert figures_of(again) == {"parameters": 6.0, "float32_bytes": 24.0, "sparsity": 0.5}


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    save_weights(sample(), tmp_path / "a")
    save_weights(sample(), tmp_path / "b")
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")


@pytest.mark.parametrize("name", ["weights.safetensors", "architecture.json"])
def test_a_damaged_model_is_refused(tmp_path: Path, name: str) -> None:
    save_weights(sample(), tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"again"):
        load_weights(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BadInput):
        load_weights(tmp_path)


def test_history_grows(tmp_path: Path) -> None:
    for previous, name in ((None, "one"), (tmp_path / "one", "two")):
        with start(name, Config, {"branch": "student"}) as run:
            finish(run, writer(sample()), tmp_path / name, {"dice_int8": 0.75}, previous=previous)
    assert [entry["stage"] for entry in load_history(tmp_path / "two")] == ["one", "two"]
    assert load_history(tmp_path / "two")[1]["config"] == {"branch": "student"}
    assert load_history(tmp_path / "two")[1]["metrics"] == {"dice_int8": 0.75}


def test_json_that_is_none_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(BadInput, match=r"x\.json"):
        read_json(tmp_path / "x.json")
