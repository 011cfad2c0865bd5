"""images.lock: from what bake pushed, to what a cluster pulls."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.image_lock import format_lock, image_references, read_lock, read_pushed
from thimble.stage import BadInput

DIGEST = "sha256:" + "1" * 64


def pushed(folder: Path, stage: str, **changes: str) -> Path:
    file = folder / f"{stage}.json"
    names = f"r.example.org:5000/t/thimble-{stage}-python:4f2,r.example.org:5000/t/other:1"
    made = {"containerimage.digest": DIGEST, "image.name": names, **changes}
    file.write_text(json.dumps({stage: made, "buildx.build.warnings": []}), "utf-8")
    return file


def test_round_trip(tmp_path: Path) -> None:
    found = read_pushed([pushed(tmp_path, "train"), pushed(tmp_path, "prune")])
    assert found["train"] == f"r.example.org:5000/t/thimble-train-python@{DIGEST}"
    lock = tmp_path / "images.lock"
    lock.write_text(format_lock(found), "utf-8")
    assert read_lock(lock) == found
    assert image_references(["prune"], lock) == {"prune": found["prune"]}


def test_command(tmp_path: Path) -> None:
    file = pushed(tmp_path, "train")
    command = [sys.executable, "-m", "pipelines.image_lock", str(file)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.splitlines()[1].startswith("train r.example.org:5000/t/")


def test_a_registry_is_put_in_front_of_source_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_TAG_TRAIN", "4f2")
    monkeypatch.delenv("THIMBLE_REGISTRY", raising=False)
    assert image_references(["train"]) == {"train": "thimble-train-python:4f2"}
    monkeypatch.setenv("THIMBLE_REGISTRY", "r.example.org/t/")
    assert image_references(["train"]) == {"train": "r.example.org/t/thimble-train-python:4f2"}


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--push"):
        read_pushed([pushed(tmp_path, "train", **{"containerimage.digest": ""})])
    lock = tmp_path / "images.lock"
    with pytest.raises(BadInput, match="does not exist"):
        read_lock(lock)
    lock.write_text("train r.example.org/t/train:latest\n", "utf-8")
    with pytest.raises(BadInput, match="must be followed by"):
        read_lock(lock)
    lock.write_text(f"train r.example.org/t/train@{DIGEST}\n", "utf-8")
    with pytest.raises(BadInput, match="lacks prune"):
        image_references(["train", "prune"], lock)


def test_two_digests_of_one_image(tmp_path: Path) -> None:
    first = pushed(tmp_path, "train")
    (tmp_path / "b").mkdir()
    second = pushed(tmp_path / "b", "train", **{"containerimage.digest": "sha256:" + "2" * 64})
    with pytest.raises(BadInput, match="another file says"):
        read_pushed([first, second])
