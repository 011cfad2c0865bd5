"""A first release and what follows it, as a user runs them, on phantoms that become more."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.small_run import SMALL_RUN
from thimble.artifact import load_history, read_json
from thimble.datasets.export import write_phantom
from thimble.records import load_dataset

PARAMETERS: dict[str, dict[str, Any]] = {
    **SMALL_RUN,
    "ingest": {
        "kind": "isbi2012",
        "tile": 64,
        "elastic_copies": 1,
        "validation_share": 0.2,
        "test_share": 0.25,
    },
    "publish": {"release_name": "phantom"},
}
FIRST, SECOND = 12, 18

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def thimble(*arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs are, with parameters and a first release in the run `first`."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(yaml.safe_dump(PARAMETERS), encoding="utf-8")
    write_phantom(folder / "scans", "phantom_membranes", FIRST, 64, 1)
    code, said = thimble(
        *("run", "--params", folder / "small.yaml", "--data", folder / "scans"),
        *("--out", folder / "first"),
    )
    assert code == 0, said
    assert "stage" in said
    return folder


@pytest.fixture(scope="module")
def more(place: Path) -> Path:
    """More scans: the first, new ones, and one of the test set again under another name."""
    folder = place / "more"
    write_phantom(folder, "phantom_membranes", SECOND, 64, 1)
    for part in ("images", "labels"):
        held = sorted((folder / part).iterdir())[FIRST - 1]
        shutil.copyfile(held, folder / part / f"again{held.suffix}")
    return folder


def retrain(place: Path, data: Path, *changes: str) -> tuple[int, str]:
    sets = [word for change in changes for word in ("--set", change)]
    return thimble(
        *("retrain", "--release", place / "first", "--params", place / "small.yaml"),
        *("--data", data, "--out", place / "second", *sets),
    )


def artifact(run: Path, task: str, name: str) -> Path:
    """An artifact of the last run in a folder."""
    outputs = read_json(run / "timings.json")["tasks"][task]["outputs"]
    return next(run / each for each in outputs if Path(each).name == name)


def test_more_scans_make_a_candidate(place: Path, more: Path) -> None:
    # Networks this small differ by chance: what is shown is the way, not the Dice.
    code, said = retrain(place, more, "report.non_inferiority_margin=1")
    assert code == 0, said
    assert "candidate: to follow the release phantom/" in said
    second = place / "second"
    verdict = read_json(artifact(second, "report", "verdict") / "verdict.json")
    assert verdict["retraining"]["decision"] == "candidate"
    assert verdict["retraining"]["data"] == {"images": 3, "known": 9, "new": 6, "excluded": 4}
    assert {gate["name"] for gate in verdict["gates"]} >= {"dice_drop", "loss_to_release"}
    page = (second / "report.html").read_text(encoding="utf-8")
    assert "Retraining: what changed" in page
    assert "6 images that the release had not seen" in page

    # The test set is that of the release, and nothing of it is trained on.
    old, new = (
        load_dataset(artifact(run, "ingest", "dataset")) for run in (place / "first", second)
    )
    held = [[e for e in each.entries() if e.split == "test"] for each in (old, new)]
    assert held[0] == held[1] and len(held[0]) == 3
    frozen = {entry.digest for entry in held[0]}
    assert not [e.id for e in new.entries() if e.digest in frozen and e.split != "test"]
    # Training went on from the release's network, and both packages saw the same images.
    trained = load_history(artifact(second, "train", "trained"))
    assert [each["stage"] for each in trained] == ["train", "train", "train"]
    scored = [
        read_json(artifact(second, f"evaluate ({branch})", "evaluation") / "evaluation.json")
        for branch in ("released", "teacher")
    ]
    images = [set(each["variants"]["float32"]["dice_per_image"]) for each in scored]
    assert images[0] == images[1] == {entry.id for entry in held[0]}
    assert (second / "release" / "SHA256SUMS").is_file()
    assert (second / "basis" / "frozen" / "dataset.json").is_file(), "the next can start from it"


def test_a_worse_network_keeps_the_release(place: Path, more: Path) -> None:
    code, said = retrain(
        place, more, "report.non_inferiority_margin=0", "prune.sparsity=0.98", "prune.steps=2"
    )
    assert code == 1, said
    assert "the release phantom/" in said and "stays" in said
    assert "loss of Dice to the release" in said
    second = place / "second"
    tasks = read_json(second / "timings.json")["tasks"]
    assert tasks["train"]["ended"] == "cached", "only what the change touches runs again"
    assert tasks["publish"]["ended"] == "failed"
    page = (second / "report.html").read_text(encoding="utf-8")
    assert "release kept" in page and "not shown to be no worse" in page
    assert not (second / "release").exists() and not (second / "basis").exists()
    assert (place / "first" / "release" / "SHA256SUMS").is_file()


def emptied(label: np.ndarray) -> np.ndarray:
    """All membrane, but for a corner."""
    label = np.zeros_like(label)
    label[:8, :8] = 255
    return label


def darker(image: np.ndarray) -> np.ndarray:
    """The same scans, exported with another window."""
    return image // 3


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [("labels", emptied, "foreground"), ("images", darker, "darker")],
    ids=["broken labels", "drift alone"],
)
def test_what_is_not_fit_stops_before_training(
    place: Path,
    more: Path,
    tmp_path: Path,
    part: str,
    change: Callable[[np.ndarray], np.ndarray],
    reason: str,
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(more, changed)
    for file in (changed / part).iterdir():
        with Image.open(file) as image:
            array = np.asarray(image)
        Image.fromarray(change(array)).save(file)
    code, said = thimble(
        *("retrain", "--release", place / "first", "--params", place / "small.yaml"),
        *("--data", changed, "--out", tmp_path / "third"),
    )
    assert code == 1, said
    assert "refuse: " in said and reason in said
    assert "kept: the release phantom/" in said
    tasks = read_json(tmp_path / "third" / "timings.json")["tasks"]
    assert set(tasks) == {"restore", "ingest", "validate", "refuse"}, "nothing was trained"
