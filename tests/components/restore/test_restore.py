"""A release and its basis come back as they were published, or not at all."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.publish.publish import PublishConfig, publish_release
from components.restore.restore import RestoreConfig, restore_release
from tests.components.publish.making import add_basis_inputs, make_inputs
from thimble.artifact import finish, load_history, read_json
from thimble.stage import BadInput, flat_fields, start

Restore = Callable[..., Path]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A run folder with a release, as `thimble run` leaves it."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    inputs = make_inputs(folder)
    add_basis_inputs(folder, inputs)
    run_folder = tmp_path / "first"
    flat = flat_fields(PublishConfig) | {"release_name": "membrane", "run_name": "first"}
    with start("publish", PublishConfig, flat) as run:
        write, figures = publish_release(inputs, run.config, run, run_folder / "basis")
        finish(run, write, run_folder / "release", figures)
    return run_folder


@pytest.fixture
def restore(tmp_path: Path) -> Restore:
    """Runs the stage; returns the folder of its artifacts."""

    def run_stage(**arguments: Any) -> Path:
        made = tmp_path / "made"
        others = {part: made / part for part in ("model", "validation", "frozen")}
        with start("restore", RestoreConfig, flat_fields(RestoreConfig) | arguments) as run:
            found, write, figures = restore_release(run.config, run, others)
            finish(run, write, made / "released", figures, previous=found)
        return made

    return run_stage


def test_a_release_comes_back(released: Path, restore: Restore) -> None:
    made = restore(release=str(released))
    package = (made / "released" / "float32.thimble").read_bytes()
    assert package == (released / "release" / "teacher-float32.thimble").read_bytes()
    assert not (made / "released" / "int8.thimble").exists(), "it was not released"
    rows = read_json(made / "released" / "variants.json")
    assert [row["variant"] for row in rows] == ["float32"]
    version = hashlib.sha256((released / "release" / "SHA256SUMS").read_bytes()).hexdigest()[:12]
    described = read_json(made / "released" / "release.json")
    assert described["name"] == f"membrane/{version}"
    assert (described["package"], described["variant"]) == ("teacher-float32", "float32")
    assert described["origin"]["run_name"] == "first"
    assert [each["stage"] for each in load_history(made / "released")] == ["convert", "restore"]
    assert (made / "model" / "architecture.json").is_file()
    assert (made / "validation" / "schema.pbtxt").is_file()


def test_only_test_records_are_kept(released: Path, restore: Restore) -> None:
    frozen = restore(release=str(released)) / "frozen"
    assert sorted(file.name for file in frozen.iterdir()) == [
        "cases.jsonl",
        "dataset.json",
        "test.tfrecord",
    ]
    shards = read_json(frozen / "dataset.json")["shards"]
    assert shards == {"train": [], "validation": [], "test": ["test.tfrecord"]}


def test_a_release_holds_no_scans(released: Path) -> None:
    names = {file.name for file in (released / "release").rglob("*")}
    assert not any(name.endswith((".tfrecord", ".jsonl")) for name in names)


@pytest.mark.parametrize(
    "file", ["frozen/test.tfrecord", "model/architecture.json", "released/float32.thimble"]
)
def test_a_changed_basis_is_refused(released: Path, restore: Restore, file: str) -> None:
    (released / "basis" / file).write_bytes(b"other")
    with pytest.raises(BadInput, match="is not the one that was published with it"):
        restore(release=str(released))


def test_a_changed_manifest_is_refused(released: Path, restore: Restore) -> None:
    manifest = released / "release" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("first", "other"), "utf-8")
    with pytest.raises(BadInput, match="not what was published"):
        restore(release=str(released))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "which release"),
        ({"release": "s3://releases"}, "<model>"),
        ({"release": "s3://releases/nuclei/model"}, "basis_url"),
        ({"release": "nowhere"}, "holds no release"),
    ],
)
def test_wrong_parameters(restore: Restore, arguments: dict[str, str], expected: str) -> None:
    with pytest.raises(BadInput, match=expected):
        restore(**arguments)
