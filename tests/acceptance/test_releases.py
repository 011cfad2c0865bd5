"""A first release, killed once on its way, and what follows it, as a user runs them.

On real scans where they are, else on phantoms.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from tests.small_run import SMALL_RUN
from thimble.artifact import load_history, read_json
from thimble.codec import decode
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
    "publish": {"release_name": "membranes"},
}
FIRST, SECOND = 12, 18
# Of each real scan, so that all of this takes minutes.
SIDE = 128

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def write_scans(folder: Path, count: int, real: Path) -> None:
    """Write membranes and their labels: corners of real scans, or phantoms if there are none."""
    if not real.exists():
        write_phantom(folder, "phantom_membranes", count, 64, 1)
        return
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            with Image.open(real / part[:-1] / f"{number:02d}.png") as scan:
                scan.crop((0, 0, SIDE, SIDE)).save(folder / part / f"{number:02d}.png")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]


def thimble(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(command(*arguments), check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def kill_in(stage: str, arguments: Iterable[str | Path]) -> list[psutil.Process]:
    """Start a run, kill it when a stage starts, and return what it had started."""
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        seen = []
        for line in process.stdout:
            seen.append(line)
            if f"{stage}: started" in line:
                break
        else:
            pytest.fail("".join(seen))
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        return children


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Path:
    """Where all runs are, with parameters and scans: the first, and more."""
    folder = tmp_path_factory.mktemp("Läufe hier")
    (folder / "small.yaml").write_text(yaml.safe_dump(PARAMETERS), encoding="utf-8")
    write_scans(folder / "scans", FIRST, data_folder / "isbi2012" / "train")
    write_scans(folder / "more", SECOND, data_folder / "isbi2012" / "train")
    # One of the test set again under another name.
    for part in ("images", "labels"):
        held = sorted((folder / "more" / part).iterdir())[FIRST - 1]
        shutil.copyfile(held, held.with_stem("again"))
    return folder


@pytest.fixture(scope="module")
def first(place: Path) -> tuple[Path, str]:
    """The run of the first release, killed in prune and continued, and what it said."""
    out = place / "first"
    arguments = ["run", "--params", place / "small.yaml", "--data", place / "scans", "--out", out]
    children = kill_in("prune (teacher)", arguments)
    assert children
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    code, said = thimble(*arguments)
    assert code == 0, said
    return out, said


def test_the_main_job(first: tuple[Path, str], place: Path) -> None:
    run, said = first
    assert "stage" in said
    tasks = read_json(run / "timings.json")["tasks"]
    assert tasks["train"]["ended"] == "cached"
    assert tasks["prune (teacher)"]["ended"] == "done"

    page = (run / "report.html").read_text(encoding="utf-8")
    assert "not verified on a phone" in page
    assert "demonstration, not evidence" in page
    packages = list((run / "release").glob("*.thimble"))
    assert packages
    for package in packages:
        assert decode(package.read_bytes()).preprocessing["classes"] == ["cell", "membrane"]
    assert "thimble_dice_ratio" in (run / "metrics.prom").read_text()
    counts = read_json(artifact(run, "ingest", "dataset") / "dataset.json")["counts"]
    assert [counts[name]["images"] for name in ("train", "validation", "test")] == [7, 2, 3]

    arguments = ["run", "--params", place / "small.yaml", "--data", place / "scans", "--out", run]
    code, said = thimble(*arguments)
    assert code == 0, said
    repeated = read_json(run / "timings.json")["tasks"]
    assert [name for name, task in repeated.items() if task["ended"] != "cached"] == ["publish"]


def retrain(first: tuple[Path, str], data: Path, out: Path, *changes: str) -> tuple[int, str]:
    sets = [word for change in changes for word in ("--set", change)]
    return thimble(
        *("retrain", "--release", first[0], "--params", first[0].parent / "small.yaml"),
        *("--data", data, "--out", out, *sets),
    )


def artifact(run: Path, task: str, name: str) -> Path:
    """An artifact of the last run in a folder."""
    outputs = read_json(run / "timings.json")["tasks"][task]["outputs"]
    return next(run / each for each in outputs if Path(each).name == name)


def test_more_scans_make_a_candidate(first: tuple[Path, str], place: Path) -> None:
    # Networks this small differ by chance: what is shown is the way, not the Dice.
    second = place / "second"
    code, said = retrain(first, place / "more", second, "report.non_inferiority_margin=1")
    assert code == 0, said
    assert "candidate: to follow the release membranes/" in said
    verdict = read_json(artifact(second, "report", "verdict") / "verdict.json")
    assert verdict["retraining"]["decision"] == "candidate"
    assert verdict["retraining"]["data"] == {"images": 3, "known": 9, "new": 6, "excluded": 4}
    assert {gate["name"] for gate in verdict["gates"]} >= {"dice_drop", "loss_to_release"}
    page = (second / "report.html").read_text(encoding="utf-8")
    assert "Retraining: what changed" in page
    assert "6 images that the release had not seen" in page

    # The test set is that of the release, and nothing of it is trained on.
    old, new = (load_dataset(artifact(run, "ingest", "dataset")) for run in (first[0], second))
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


def test_a_worse_network_keeps_the_release(first: tuple[Path, str], place: Path) -> None:
    second = place / "second"
    worse = ("report.non_inferiority_margin=0", "prune.sparsity=0.98", "prune.steps=2")
    code, said = retrain(first, place / "more", second, *worse)
    assert code == 1, said
    assert "the release membranes/" in said and "stays" in said
    assert "loss of Dice to the release" in said
    tasks = read_json(second / "timings.json")["tasks"]
    assert tasks["train"]["ended"] == "cached", "only what the change touches runs again"
    assert tasks["publish"]["ended"] == "failed"
    page = (second / "report.html").read_text(encoding="utf-8")
    assert "release kept" in page and "not shown to be no worse" in page
    assert not (second / "release").exists() and not (second / "basis").exists()
    assert (first[0] / "release" / "SHA256SUMS").is_file()


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
    first: tuple[Path, str],
    place: Path,
    tmp_path: Path,
    part: str,
    change: Callable[[np.ndarray], np.ndarray],
    reason: str,
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(place / "more", changed)
    for file in (changed / part).iterdir():
        with Image.open(file) as image:
            array = np.asarray(image)
        Image.fromarray(change(array)).save(file)
    code, said = retrain(first, changed, tmp_path / "third")
    assert code == 1, said
    assert "refuse: " in said and reason in said
    assert "kept: the release membranes/" in said
    tasks = read_json(tmp_path / "third" / "timings.json")["tasks"]
    assert set(tasks) == {"restore", "ingest", "validate", "refuse"}, "nothing was trained"
