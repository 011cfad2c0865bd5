"""Releases: what is in them, when there is none, and how they get to their place."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.publish.publish import PublishConfig, publish_release
from tests.components.publish.making import Inputs, make_inputs, write_package, write_verdict
from thimble.artifact import finish, read_json
from thimble.codec import encode_model
from thimble.stage import BadInput, GateFailed, flat_fields, start
from thimble.weights import Weights

NAMES = [
    "MODEL_CARD.md",
    "SHA256SUMS",
    "manifest.json",
    "provenance.json",
    "teacher-float32.thimble",
]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Two branches of two packages each, all passed."""
    return make_inputs(tmp_path)


Publish = Callable[..., Path]


@pytest.fixture
def publish(inputs: Inputs, tmp_path: Path) -> Publish:
    """Runs the stage and returns its artifact."""

    def run_stage(**arguments: Any) -> Path:
        flat = flat_fields(PublishConfig) | {"commit": "3f9c1e2"} | arguments
        with start("publish", PublishConfig, flat) as run:
            write, figures = publish_release(inputs, run.config, run)
            finish(run, write, tmp_path / "artifact", figures)
        return tmp_path / "artifact"

    return run_stage


def test_release(publish: Publish, inputs: Inputs) -> None:
    made = publish()
    assert sorted(file.name for file in made.iterdir()) == sorted([*NAMES, "history.json"])
    for line in (made / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((made / name).read_bytes()).hexdigest() == digest
    package = (made / "teacher-float32.thimble").read_bytes()
    assert package == (Path(inputs["teacher"] or "") / "float32.thimble").read_bytes()
    manifest = read_json(made / "manifest.json")
    assert manifest["origin"]["commit"] == "3f9c1e2"
    assert manifest["packages"][0]["sha256"] == hashlib.sha256(package).hexdigest()
    assert manifest["packages"][0]["history"][0]["config"] == {"steps": 12}


def test_model_card(publish: Publish) -> None:
    card = (publish() / "MODEL_CARD.md").read_text(encoding="utf-8")
    for part in (
        "Research use only",
        "not verified on a phone",
        "-0.0010 (-0.0040 to +0.0020)",
        "| teacher-float32.thimble |",
        "Terms of use: CC0",
        "a demonstration, not evidence",
        "thimble predict teacher-float32.thimble",
        "normalization (kind image)",
        "commit `3f9c1e2`",
        "membrane",
    ):
        assert part in card


def test_chosen_packages(publish: Publish, tmp_path: Path) -> None:
    made = publish(release_packages="student-int8, teacher-int8", release_folder=str(tmp_path))
    assert {file.name for file in made.glob("*.thimble")} == {
        "student-int8.thimble",
        "teacher-int8.thimble",
    }


def test_failed_gate_publishes_nothing(publish: Publish, inputs: Inputs, tmp_path: Path) -> None:
    write_verdict(inputs, tmp_path / "verdict", teacher_float32=False)
    with pytest.raises(GateFailed, match=r"Dice drop 0.031, limit 0.01") as failure:
        publish(release_folder=str(tmp_path / "out"))
    assert failure.value.exit_code == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "artifact").exists()


def test_failed_package_is_not_published_along(
    publish: Publish, inputs: Inputs, tmp_path: Path
) -> None:
    write_verdict(inputs, tmp_path / "verdict", student_int8=False)
    with pytest.raises(GateFailed, match="student-int8"):
        publish(release_packages="teacher-float32,student-int8")


def test_release_folder(publish: Publish, inputs: Inputs, tmp_path: Path) -> None:
    home = tmp_path / "réleases here" / "membrane"
    arguments = {"release_folder": str(home.parent), "release_name": "membrane"}
    made = publish(**arguments)
    digest = hashlib.sha256((made / "SHA256SUMS").read_bytes()).hexdigest()[:12]
    assert sorted(path.name for path in home.iterdir()) == sorted([digest, "candidate"])
    assert (home / "candidate").read_text(encoding="utf-8") == f"{digest}\n"
    assert sorted(path.name for path in (home / digest).iterdir()) == sorted(NAMES)

    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    publish(**arguments)
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before

    write_package(Path(inputs["teacher"] or "") / "float32.thimble", 99)
    write_verdict(inputs, tmp_path / "verdict")
    publish(**arguments)
    newest = (home / "candidate").read_text(encoding="utf-8").strip()
    assert newest != digest and (home / digest).is_dir() and (home / newest).is_dir()
    assert len(list(home.iterdir())) == 3


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_written(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.replace

    def refuse(source: Any, target: Any) -> None:
        if "out" in Path(target).parts:
            raise OSError(number, os.strerror(number))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(BadInput, match="release_folder must be writable"):
        publish(release_folder=str(tmp_path / "out"))
    assert not (tmp_path / "artifact").exists()
    assert list((tmp_path / "out" / "model").iterdir()) == []


def test_folder_that_is_a_file(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="release_folder must be writable"):
        publish(release_folder=str(tmp_path / "file"))


def test_unknown_package(publish: Publish) -> None:
    with pytest.raises(BadInput, match=r"teacher-int4.*teacher-int8"):
        publish(release_packages="teacher-int4")


def test_package_that_was_not_judged(publish: Publish, inputs: Inputs) -> None:
    file = Path(inputs["teacher"] or "") / "float32.thimble"
    weights = Weights({}, {"conv/kernel": np.zeros((5, 5, 9, 9), np.float32)}, {}, {})
    file.write_bytes(encode_model(weights))
    with pytest.raises(BadInput, match="not the package that was judged"):
        publish()


def test_corrupt_or_missing_package(publish: Publish, inputs: Inputs) -> None:
    file = Path(inputs["teacher"] or "") / "float32.thimble"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(BadInput):
        publish()
    file.unlink()
    with pytest.raises(BadInput, match="is missing"):
        publish()


@pytest.mark.parametrize("missing", ["student", "student_evaluation"])
def test_branch_that_is_not_connected(publish: Publish, inputs: Inputs, missing: str) -> None:
    inputs[missing] = None
    with pytest.raises(BadInput):
        publish(release_packages="student-int8")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_release_name(name: str, publish: Publish) -> None:
    with pytest.raises(BadInput, match="release_name"):
        publish(release_name=name)


def test_component(inputs: Inputs, tmp_path: Path) -> None:
    """As KFP calls it, without a student."""
    from kfp import dsl

    from components.publish.component import publish as component

    names = ("verdict", "teacher", "teacher_evaluation")
    given = {name: dsl.Artifact(uri=str(inputs[name])) for name in names}
    outputs = {name: dsl.Artifact(uri=str(tmp_path / name)) for name in ("release", "basis")}
    metrics = dsl.Metrics(uri=str(tmp_path / "m"))
    component.python_func(**given, **outputs, metrics=metrics, release_name="membrane")
    assert not (tmp_path / "basis").exists(), "its parts are not connected"
    assert read_json(tmp_path / "release" / "manifest.json")["name"] == "membrane"
    assert metrics.metadata["package_bytes"] > 0
