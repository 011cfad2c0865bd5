"""Pictures: what the colours mean, their size, and broken files."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.report.branches import Branch, load_branches
from components.report.overlays import (
    AGREE,
    BOTH,
    BUDGET,
    CLEAR,
    EXTRA,
    MISSED,
    Case,
    cases,
    compare,
)
from thimble.artifact import read_json
from thimble.stage import BadInput


def opened(uri: str) -> Image.Image:
    assert uri.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def write_case(folder: Path, **pictures: np.ndarray) -> Branch:
    """An evaluation with one case of these pictures."""
    case: dict[str, object] = {"id": "a b/ü", "role": "worst", "dice": 0.5, "baseline_dice": 0.6}
    for kind, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{kind}.png")
        case[kind] = f"{kind}.png"
    return Branch("teacher", folder, {"variants": {}, "cases": [case], "headline": "int8"})


def test_compare_by_hand() -> None:
    truth = np.array([[0, 1, 1], [0, 1, 2]], np.uint8)
    prediction = np.array([[0, 1, 0], [2, 2, 2]], np.uint8)
    expected = [[CLEAR, AGREE, MISSED], [EXTRA, BOTH, AGREE]]
    assert compare(truth, prediction).tolist() == expected


def test_panels(tmp_path: Path) -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[5:, 5:] = 1
    before, after = truth.copy(), truth.copy()
    before[:5, :5], after[6, 6] = 1, 0
    scan = np.arange(600, dtype=np.uint8).reshape(20, 30)
    branch = write_case(tmp_path, scan=scan, truth=truth, baseline=before, prediction=after)
    (case,) = cases(branch)
    assert [panel.title for panel in case.panels] == [
        "Scan",
        "Truth",
        "Baseline",
        "Compressed",
        "Changed",
    ]
    assert (case.width, case.height, case.change) == (30, 20, "−0.1000")
    assert case.panels[3].label == "teacher-int8 against truth in a b/ü, Dice 0.5000"
    marks = [np.asarray(opened(panel.mask)) for panel in case.panels[1:]]
    assert (marks[0] == np.where(truth == 1, AGREE, CLEAR)).all()
    assert (marks[1][:5, :5] == EXTRA).all()
    assert marks[2][6, 6] == MISSED
    assert np.unique(marks[3]).tolist() == [CLEAR, MISSED]
    grey = np.asarray(opened(case.scan).convert("L")).astype(int)
    assert np.abs(grey - scan).max() <= 4


def test_colour_scan_and_no_baseline(tmp_path: Path) -> None:
    mask = np.eye(16, dtype=np.uint8)
    scan = np.dstack([mask * 200, mask * 20, mask * 90])
    (case,) = cases(write_case(tmp_path, scan=scan, truth=mask, prediction=mask))
    assert [panel.title for panel in case.panels] == ["Scan", "Truth", "Compressed"]
    assert opened(case.scan).mode == "P"


def test_large_scans_get_smaller(tmp_path: Path) -> None:
    mask = np.zeros((600, 1200), np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, mask.shape).astype(np.uint8)
    (case,) = cases(write_case(tmp_path, scan=noise, truth=mask, baseline=mask, prediction=mask))
    assert opened(case.scan).size == opened(case.panels[1].mask).size == (512, 256)
    assert (case.width, case.height) == (1200, 600)


def test_many_images_shrink_until_they_fit(
    full_run: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = load_branches(full_run)["teacher"]

    def size(drawn: list[Case]) -> int:
        return sum(len(case.scan) + sum(len(panel.mask) for panel in case.panels) for case in drawn)

    whole = cases(branch)
    assert BUDGET > size(whole) > 100_000
    monkeypatch.setattr("components.report.overlays.BUDGET", size(whole) - 1)
    shrunk = cases(branch)
    assert len(shrunk) == len(whole) and size(shrunk) < size(whole)
    assert opened(shrunk[0].scan).width == int(0.9 * 192)


def test_missing_picture(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    branch = write_case(tmp_path, scan=mask, truth=mask, baseline=mask, prediction=mask)
    (tmp_path / "truth.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"a b/ü cannot be read.*run evaluate again"):
        cases(branch)


def test_shapes_that_differ(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    branch = write_case(tmp_path, scan=mask, truth=mask, baseline=mask[:4], prediction=mask)
    with pytest.raises(BadInput, match=r"one shape.*\(4, 8\)"):
        cases(branch)


def test_evaluations_are_read_once(full_run: dict[str, str | None]) -> None:
    branches = load_branches(full_run)
    assert list(branches) == ["baseline", "teacher", "student", "control"]
    stored = read_json(Path(full_run["teacher_evaluation"] or "") / "evaluation.json")
    assert branches["teacher"].evaluation == stored
