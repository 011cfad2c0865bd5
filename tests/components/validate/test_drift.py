"""Against the data of the last release, in the stage's own environment, by TFDV itself."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from thimble.artifact import read_json

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-validate" / "bin" / "python"
JOBS: dict[str, dict[str, Any]] = {
    "first": {"seed": 1},
    "clean": {"seed": 2, "against": "first"},
    "again": {"seed": 2, "against": "first"},
    "blurred": {"seed": 3, "against": "first", "fault": "blur"},
    "scanner": {"seed": 3, "against": "first", "fault": "a new scanner"},
    "accepted": {
        "seed": 3, "against": "first", "fault": "a new scanner",
        "parameters": {"accepted_features": "manufacturer"},
    },
    "unlabelled": {"seed": 4, "labelled": False},
    "lost": {"seed": 2, "against": "nowhere"},
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All jobs in one process, as TFX takes seconds to import."""
    folder = tmp_path_factory.mktemp("drift")
    jobs = [
        {
            **job,
            "patients": 150,
            "out": str(folder / name),
            "reference": str(folder / job["against"]) if "against" in job else None,
        }
        for name, job in JOBS.items()
    ]
    command = [str(PYTHON), "-W", "ignore", "-m", "tests.components.validate.in_environment"]
    ran = subprocess.run(
        command, input=json.dumps(jobs), text=True, cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return folder


def _verdict(done: Path, name: str) -> dict[str, Any]:
    return dict(read_json(done / name / "validation.json"))


def test_the_first_set_makes_the_rule(done: Path) -> None:
    verdict = _verdict(done, "first")
    assert verdict["passed"] and verdict["compared"] is None
    names = {path.name for path in (done / "first").iterdir()}
    assert {"schema.pbtxt", "statistics.binpb", "anomalies.pbtxt", "page.html"} <= names
    assert (done / "first.verdict").read_text() == "passed"


def test_another_sample_of_the_same_passes(done: Path) -> None:
    verdict = _verdict(done, "clean")
    assert verdict["passed"], verdict["reason"]
    assert verdict["compared"]["patients"] == 150
    for name in ("validation.json", "statistics.binpb", "anomalies.pbtxt", "page.html"):
        assert (done / "clean" / name).read_bytes() == (done / "again" / name).read_bytes()


def test_a_fault_is_named_and_fails(done: Path) -> None:
    verdict = _verdict(done, "blurred")
    assert not verdict["passed"]
    assert "blurred, smoothed or noisier images" in verdict["faults"]
    assert "not fit for training" in verdict["reason"] and "sharpness" in verdict["reason"]
    assert (done / "blurred.verdict").read_text() == "failed"
    page = (done / "blurred.html").read_text(encoding="utf-8")
    assert (
        "sharpness" in page
        and "<svg" in page
        and "://" not in page.replace("http://www.w3.org", "")
    )


def test_a_new_scanner_fails_unless_it_is_accepted(done: Path) -> None:
    assert "manufacturer" in _verdict(done, "scanner")["reason"]
    accepted = _verdict(done, "accepted")
    assert accepted["passed"], accepted["reason"]
    assert [each["feature"] for each in accepted["anomalies"]] == ["manufacturer"]
    schema = (done / "accepted" / "schema.pbtxt").read_text()
    assert "never seen" in schema and "never seen" not in (done / "first/schema.pbtxt").read_text()


def test_images_without_labels(done: Path) -> None:
    assert _verdict(done, "unlabelled")["passed"]
    assert "foreground" not in (done / "unlabelled" / "schema.pbtxt").read_text()


def test_a_reference_that_is_not_there(done: Path) -> None:
    said = (done / "lost.error").read_text()
    assert "nowhere cannot be read" in said and "Name another release" in said
