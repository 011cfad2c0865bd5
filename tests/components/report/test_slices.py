"""The gate on the worst slice, and the section on slices."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.report.branches import Branch, load_branches
from components.report.gates import GateConfig, judge, judge_all, sentence
from components.report.slice_tables import sliced
from components.report.slices import drop_of, shown_name, size_text, worst_slice
from tests.components.slicing import slice_scores
from thimble.artifact import read_json
from thimble.stage import BadInput

Inputs = dict[str, str | None]
Render = Callable[..., dict[str, float]]
MakeRun = Callable[..., Inputs]

IMAGES = [f"i{index:02d}" for index in range(30)]
BASELINE = dict.fromkeys(IMAGES, 0.9)


def branch(dice: dict[str, float], name: str = "teacher") -> Branch:
    """An evaluation of one variant: images 3 and 4 of each five are of the sites east and south."""
    variants = {"float32": {"dice": 0.9, "package_bytes": 10, "dice_per_image": dice}}
    slices = slice_scores({"float32": dice}, None if name == "baseline" else BASELINE)
    return Branch(name, Path(), {"variants": variants, "float32_bytes": 100, **slices})


# Every image of the site east loses 0.06, so that its six images fail a limit of 0.05.
EAST = {name: 0.84 if index % 5 == 3 else 0.9 for index, name in enumerate(IMAGES)}


def test_worst_slice_is_named_with_its_size_and_interval() -> None:
    worst = worst_slice(branch(EAST), "float32", branch(BASELINE, "baseline"))
    assert worst is not None
    assert (worst.record["by"], worst.record["value"]) == ("site", "east")
    assert worst.drop == pytest.approx(0.06)
    assert worst.detail.replace("\N{NO-BREAK SPACE}", " ") == (
        "site east (6 images, 95 % interval 0.0600 to 0.0600; worst of 8 slices)"
    )


def test_drop_of_a_slice_above_the_limit_fails() -> None:
    teacher, baseline = branch(EAST), branch(BASELINE, "baseline")
    found = judge(teacher, "float32", baseline, GateConfig())
    gate = found.gates[-1]
    assert (gate.name, gate.limit, gate.passed) == ("worst_slice_drop", 0.05, False)
    words = sentence(found).replace("\N{NO-BREAK SPACE}", " ")
    assert words.startswith(
        "Nothing ships: teacher-float32 fails worst slice drop 0.0600 in site east (6 images, "
        "95 % interval 0.0600 to 0.0600; worst of 8 slices), limit 0.0500."
    )
    assert judge(teacher, "float32", baseline, GateConfig(max_worst_slice_drop=0.06)).passed
    assert [each.name for each in judge(teacher, "float32", baseline, OFF).gates] == ["dice_drop"]
    assert found.figures["worst_slice"] == pytest.approx(0.84)
    assert found.figures["small_lesion_recall"] == pytest.approx((24 * 4 + 6 * 3) / 120)


OFF = GateConfig(max_worst_slice_drop=0.0)


def test_slice_of_too_few_patients_is_not_judged() -> None:
    # The last patient alone loses everything: a slice of one is shown, but decides nothing.
    images = IMAGES[:12]
    dice = {name: 0.0 if index % 5 == 4 else 0.9 for index, name in enumerate(images)}
    slices = slice_scores({"float32": dice}, {name: 0.9 for name in images})
    record = next(each for each in slices["slices"] if each["value"] == "south")
    assert (record["images"], record["judged"], record["doubt"]) == (2, False, "too few")
    teacher = Branch("teacher", Path(), {"variants": {"float32": {}}, **slices})
    worst = worst_slice(teacher, "float32", teacher)
    assert worst is not None and worst.record["value"] != "south"


def test_no_slice_to_judge_is_no_gate() -> None:
    few = {name: 0.5 for name in IMAGES[:4]}
    evaluation = {"variants": {"float32": {"dice": 0.5}}, "float32_bytes": 100}
    teacher = Branch("teacher", Path(), evaluation | slice_scores({"float32": few}, few))
    found = judge(teacher, "float32", teacher, GateConfig())
    assert [gate.name for gate in found.gates] == ["dice_drop"] and found.passed
    shown = sliced(teacher, found, teacher, 0.05)
    assert shown is not None and shown.sentence.startswith("No slice holds enough patients")
    assert shown.slices is not None
    assert {row[1].text for row in shown.slices.rows} == {"too few"}


def test_evaluation_that_tells_no_slices_fails_the_gate() -> None:
    evaluation = {"variants": {"float32": {"dice": 0.9}}, "float32_bytes": 100}
    teacher = Branch("teacher", Path(), evaluation)
    gate = judge(teacher, "float32", teacher, GateConfig()).gates[-1]
    assert (gate.value, gate.passed) == (None, False)
    found = judge(teacher, "float32", teacher, OFF)
    assert found.passed and found.figures["worst_slice"] is None
    assert found.figures["small_lesion_recall"] is None
    assert sliced(teacher, found, teacher, 0.0) is None


def test_baseline_is_compared_with_its_own_float32() -> None:
    baseline = branch(BASELINE, "baseline")
    record = baseline.evaluation["slices"][0]
    assert record["variants"]["float32"]["difference"] is None
    assert drop_of(record, "float32", baseline) == 0.0


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"by": "site", "value": "A"}, "site A"),
        ({"by": "body_part", "value": "HEAD"}, "body part HEAD"),
        ({"by": "lesion_size", "value": "small"}, "small lesions"),
        ({"by": "lesion_size", "value": "none"}, "no lesion"),
    ],
)
def test_names(record: dict[str, Any], name: str) -> None:
    assert shown_name(record) == name


def test_sizes() -> None:
    assert size_text(1, 1) == "1 image"
    assert size_text(1_400, 7) == "1,400 images of 7 patients"
    assert size_text(3, 1) == "3 images of 1 patient"


def test_limit_out_of_range() -> None:
    with pytest.raises(BadInput, match=r"max_worst_slice_drop must be in \[0, 1\]"):
        GateConfig(max_worst_slice_drop=1.01)


def test_rows_of_the_page(make_run: MakeRun, render: Render, tmp_path: Path) -> None:
    inputs = make_run(tmp_path / "in", ("baseline", "teacher"), images=30, size=64, shown=1)
    render(inputs, tmp_path / "out", max_worst_slice_drop=0.001)
    branches = load_branches(inputs)
    gated = judge_all(branches, GateConfig())["teacher-float32"]
    shown = sliced(branches["teacher"], gated, branches["baseline"], 0.05)
    assert shown is not None and shown.slices is not None and shown.lesions is not None
    record = branches["teacher"].evaluation["slices"][0]
    figures = record["variants"]["float32"]
    cells = [cell.text for cell in shown.slices.rows[0]]
    assert cells[0] == "site east" and cells[1] == "pass"
    assert cells[4] == f"{figures['dice']:.4f}"
    assert cells[6] == f"{figures['hd95_mm']:.2f}\N{NO-BREAK SPACE}mm"
    assert [row[5].text for row in shown.lesions.rows] == [
        "up to 12.5 mm²",
        "12.5 to 40 mm²",
        "above 40 mm²",
    ]
    page = re.sub(r"\s+", " ", (tmp_path / "out" / "report.html").read_text("utf-8"))
    assert "By site, manufacturer and size of lesion" in page and "Imaging &amp; Co" in page
    verdict = read_json(tmp_path / "out" / "verdict.json")
    gate = verdict["gates"][-1]
    assert gate["name"] == "worst_slice_drop"
    assert f"Worst slice: {' '.join(gate['detail'].split())}." in page
