"""The compiled retraining: its golden copy, its order, and what it takes from the last release."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thimble.artifact import write_json
from thimble.stage import BadInput

GOLDEN = Path(__file__).resolve().parents[2] / "pipelines" / "golden" / "retrain.yaml"
STORE = "s3://releases/nuclei"


@pytest.fixture(scope="module")
def retrain() -> Any:
    from pipelines.retrain import retrain

    return retrain


def test_golden(tmp_path: Path) -> None:
    """`make golden` writes the copy again after a wanted change."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("THIMBLE_TAG_")}
    path = tmp_path / "retrain.yaml"
    command = [sys.executable, "-m", "pipelines.cli", "compile", "--pipeline", "retrain"]
    subprocess.run(
        [*command, "--out", str(path)], check=True, env=environment, cwd=GOLDEN.parents[2]
    )
    assert path.read_bytes() == GOLDEN.read_bytes(), "the pipeline changed: run `make golden`"


def test_it_is_the_main_pipeline_with_a_beginning_and_an_opponent(retrain: Any) -> None:
    from pipelines.compress import compress
    from pipelines.plan import plan_tasks

    labels, main = (
        [task.label for task in plan_tasks(pipeline.pipeline_spec).values()]
        for pipeline in (retrain, compress)
    )
    assert labels[0] == "restore"
    assert sorted(labels) == sorted([*main, "restore", "evaluate (released)"])
    assert labels.index("evaluate (released)") < labels.index("report")


def test_parameters_of_a_run_fit_a_retraining(retrain: Any) -> None:
    from pipelines.compress import compress

    groups, main = (p.pipeline_func.groups for p in (retrain, compress))
    assert {task: groups[task] for task in main} == dict(main)
    assert set(groups) - set(main) == {"restore"}


def test_the_example_fits(retrain: Any) -> None:
    from pipelines.parameters import equal_budgets, flat_arguments, load_parameters

    groups = retrain.pipeline_func.groups
    parameters = load_parameters(GOLDEN.parents[1] / "params" / "demo-retrain.yaml")
    arguments = flat_arguments(equal_budgets(parameters, groups), groups)
    demo = load_parameters(GOLDEN.parents[1] / "params" / "demo.yaml")
    assert arguments["ingest_phantom_images"] > demo["ingest"]["phantom_images"]


def make_release(folder: Path) -> Path:
    """A run folder with as much of a release as its parameters need."""
    (folder / "release").mkdir(parents=True)
    (folder / "basis").mkdir()
    (folder / "release" / "SHA256SUMS").write_text("sums", encoding="utf-8")
    write_json(folder / "release" / "manifest.json", {"name": "nuclei"})
    return folder


def test_a_run_folder_is_a_release(tmp_path: Path) -> None:
    from pipelines.last_release import release_arguments

    folder = make_release(tmp_path / "first")
    given = release_arguments(str(folder), {})
    assert given["restore"]["release"] == str(folder)
    assert given["publish"] == {"release_name": "nuclei"}
    assert release_arguments(str(folder / "release"), {}) == given
    (folder / "release" / "SHA256SUMS").write_text("other sums", encoding="utf-8")
    assert release_arguments(str(folder), {})["restore"] != given["restore"], "the cache sees it"


def test_a_release_in_a_store_that_is_looked_up_later() -> None:
    from pipelines.last_release import release_arguments

    given = release_arguments(STORE, {"publish": {"basis_url": "s3://artifacts/basis"}}, later=True)
    assert given["restore"] == {
        "release": STORE,
        "basis_url": "s3://artifacts/basis",
        "version": "",
    }
    assert given["publish"] == {
        "release_url": "s3://releases",
        "release_name": "nuclei",
        "basis_url": "s3://artifacts/basis",
    }


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("nowhere", "holds no release"),
        ("s3://releases", "names a model"),
        (STORE, "publish.basis_url"),
    ],
)
def test_no_release(release: str, expected: str) -> None:
    from pipelines.last_release import release_arguments

    with pytest.raises(BadInput, match=expected):
        release_arguments(release, {}, later=True)
