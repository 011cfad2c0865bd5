"""A retraining: when the release stays, and what the page says about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.report.retraining import GATE
from tests.components.report.conftest import evaluation
from thimble.artifact import read_json, write_json
from thimble.stage import BadInput

Render = Callable[..., dict[str, float]]
Inputs = dict[str, str | None]
FROZEN = {"images": 40, "known": 900, "new": 123, "excluded": 17}


def add_release(folder: Path, inputs: Inputs, shift: float, images: int = 40) -> Inputs:
    """Add a release whose every image scores `shift` above that of the new teacher."""
    record = evaluation("teacher", images)
    for figures in record["variants"].values():
        scores = figures["dice_per_image"]
        figures["dice_per_image"] = {name: value + shift for name, value in scores.items()}
    for name in ("released", "released_evaluation"):
        (folder / name).mkdir()
        inputs[name] = str(folder / name)
    write_json(folder / "released_evaluation" / "evaluation.json", record)
    described = {
        "name": "membranes/3f9c1e2ab0d4",
        "place": "runs/first",
        "package": "teacher-float32",
        "variant": "float32",
        "origin": {"run_name": "first", "commit": "3f9c1e2"},
        "dataset": {"counts": {"train": {"images": 800}}, "source_digest": "ab" * 32},
    }
    write_json(folder / "released" / "release.json", described)
    baseline = Path(inputs["baseline_evaluation"] or "") / "evaluation.json"
    changed = read_json(baseline)
    changed["dataset"]["frozen"] = FROZEN
    write_json(baseline, changed)
    return inputs


@pytest.fixture
def run(make_run: Callable[..., Inputs], tmp_path: Path) -> Inputs:
    return make_run(tmp_path / "run", images=40)


def test_no_worse_is_a_candidate(run: Inputs, render: Render, tmp_path: Path) -> None:
    add_release(tmp_path, run, 0.001)
    figures = render(run, tmp_path / "out")
    verdict = read_json(tmp_path / "out" / "verdict.json")
    assert verdict["passed"] and verdict["retraining"]["decision"] == "candidate"
    difference = verdict["retraining"]["difference"]
    # The same shift of every image leaves the bootstrap nothing to vary.
    assert difference["mean"] == pytest.approx(-0.001)
    assert difference["lower_one_sided_95"] == pytest.approx(-0.001)
    assert figures["release_difference"] == pytest.approx(-0.001)
    gate = next(gate for gate in verdict["gates"] if gate["name"] == GATE)
    assert gate["passed"] and gate["value"] == pytest.approx(0.001) and gate["limit"] == 0.01
    assert verdict["sentence"].startswith(
        "A candidate to follow the release membranes/3f9c1e2ab0d4"
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for words in (
        "Retraining: what changed",
        "123 images that the release had not seen",
        "17 were left out",
        "no worse than the release by more than 0.01",
        "somebody approves it, by name",
        "<td>membranes/3f9c1e2ab0d4</td>",
        "<td>800</td>",
    ):
        assert words in page, words


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "Validation: passed, 1 checks, no drift above its limits."),
        (
            {
                "compared": {"images": 900, "patients": 80},
                "anomalies": [{"feature": "p50", "likely": "brighter scans", "ratio": 1.4}],
            },
            "Validation against 900 images of the release: passed, 1 checks, 1 features above the "
            "limits of drift: p50: brighter scans.",
        ),
    ],
)
def test_what_validate_found(
    run: Inputs, render: Render, tmp_path: Path, found: dict[str, Any], expected: str
) -> None:
    add_release(tmp_path, run, 0.0)
    (tmp_path / "validation").mkdir()
    verdict = {
        "passed": True,
        "checks": [{"name": "records"}],
        "compared": None,
        "anomalies": [],
        **found,
    }
    write_json(tmp_path / "validation" / "validation.json", verdict)
    run["validation"] = str(tmp_path / "validation")
    render(run, tmp_path / "out")
    assert expected in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("shift", "margin"), [(0.011, 0.01), (0.002, 0.001)])
def test_worse_keeps_the_release(
    run: Inputs, render: Render, tmp_path: Path, shift: float, margin: float
) -> None:
    add_release(tmp_path, run, shift)
    figures = render(run, tmp_path / "out", non_inferiority_margin=margin)
    verdict = read_json(tmp_path / "out" / "verdict.json")
    assert figures["passed"] == 0
    assert verdict["retraining"]["decision"] == "kept"
    assert verdict["sentence"].startswith("The release membranes/3f9c1e2ab0d4 stays. Nothing ships")
    assert "loss to release" in verdict["sentence"]
    assert "not shown to be no worse" in verdict["retraining"]["why"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "release kept" in page and "Nothing was published" in page


def test_another_gate_keeps_the_release_too(run: Inputs, render: Render, tmp_path: Path) -> None:
    add_release(tmp_path, run, 0.0)
    render(run, tmp_path / "out", max_package_bytes=1000)
    told = read_json(tmp_path / "out" / "verdict.json")["retraining"]
    assert told["decision"] == "kept"
    assert "It fails package bytes." in told["why"]
    assert "is no worse than the release" in told["why"]


def test_a_few_bad_images_widen_the_bound(run: Inputs, render: Render, tmp_path: Path) -> None:
    """The mean alone would pass: the bound does not."""
    add_release(tmp_path, run, 0.0)
    file = Path(run["released_evaluation"] or "") / "evaluation.json"
    record = read_json(file)
    scores = record["variants"]["float32"]["dice_per_image"]
    for name in sorted(scores)[:2]:
        scores[name] += 0.15
    write_json(file, record)
    render(run, tmp_path / "out")
    told = read_json(tmp_path / "out" / "verdict.json")["retraining"]
    assert told["difference"]["mean"] == pytest.approx(-0.0075)
    assert told["difference"]["lower_one_sided_95"] < -0.01
    assert told["decision"] == "kept"


def test_images_of_a_patient_count_together(run: Inputs, render: Render, tmp_path: Path) -> None:
    """Ten images of one bad patient are one patient: the bound is wider than that of ten."""
    add_release(tmp_path, run, 0.0)
    file = Path(run["released_evaluation"] or "") / "evaluation.json"
    record = read_json(file)
    scores = record["variants"]["float32"]["dice_per_image"]
    for place, name in enumerate(sorted(scores)):
        scores[name] += 0.02 * (place < 10)
    write_json(file, record)
    render(run, tmp_path / "images")
    record["groups"] = {name: f"p{place // 10}" for place, name in enumerate(sorted(scores))}
    write_json(file, record)
    render(run, tmp_path / "patients")
    alone, grouped = (
        read_json(tmp_path / out / "verdict.json")["retraining"]["difference"]
        for out in ("images", "patients")
    )
    assert alone["mean"] == pytest.approx(grouped["mean"]) == pytest.approx(-0.005)
    assert grouped["lower_one_sided_95"] < alone["lower_one_sided_95"]
    assert (alone["groups"], grouped["groups"]) == (40, 4)


def test_other_images_are_refused(run: Inputs, render: Render, tmp_path: Path) -> None:
    add_release(tmp_path, run, 0.0, images=39)
    with pytest.raises(BadInput, match="on the same images"):
        render(run, tmp_path / "out")


def test_half_a_release_is_refused(run: Inputs, render: Render, tmp_path: Path) -> None:
    add_release(tmp_path, run, 0.0)
    run["released"] = None
    with pytest.raises(BadInput, match="belong together"):
        render(run, tmp_path / "out")


def test_without_a_release_nothing_is_said(
    run: Inputs, render: Render, tmp_path: Path, page: Any
) -> None:
    render(run, tmp_path / "out")
    verdict = read_json(tmp_path / "out" / "verdict.json")
    assert "retraining" not in verdict
    assert "Retraining" not in page.read_text(encoding="utf-8").split("<script")[0]
