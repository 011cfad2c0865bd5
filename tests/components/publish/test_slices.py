"""Slices in the model card."""

from typing import Any

from components.publish.slices import slices_text
from tests.components.slicing import slice_scores

BASELINE = {f"i{index:02d}": 0.9 for index in range(30)}
DICE = {name: 0.84 if index % 5 == 3 else 0.9 for index, name in enumerate(BASELINE)}
CHOSEN = [
    {"name": f"teacher-{variant}", "branch": "teacher", "variant": variant}
    for variant in ("float32", "int8")
]


def rows(text: str, start: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def evaluation(baseline: dict[str, float] | None = BASELINE) -> dict[str, Any]:
    return slice_scores({"float32": DICE, "int8": BASELINE}, baseline)


def test_every_package_on_every_slice() -> None:
    text = slices_text(CHOSEN, {"teacher": evaluation()})
    first, second = rows(text, "site: east")
    assert first == [
        "site: east", "6", "teacher-float32", "0.8400 (0.8400 to 0.8400)",
        "-0.0600 (-0.0600 to -0.0600)", "3.2 mm",
    ]  # fmt: skip
    assert second[2:5] == [
        "teacher-int8", "0.9000 (0.9000 to 0.9000)", "+0.0000 (+0.0000 to +0.0000)"
    ]  # fmt: skip
    assert len(rows(text, "lesion size: ")) == 6
    small = rows(text, "small")[0]
    assert small[:3] == ["small, up to 12.5 mm²", "120", "teacher-float32"]
    assert rows(text, "medium")[0][0] == "medium, 12.5 to 40 mm²"
    assert rows(text, "large")[0][0] == "large, above 40 mm²"
    assert "overlap with what touches it is at least 0.1" in " ".join(text.split())


def test_small_slices_carry_a_star() -> None:
    few = {name: 0.5 for name in list(BASELINE)[:5]}
    text = slices_text(CHOSEN[:1], {"teacher": slice_scores({"float32": few}, None)})
    assert rows(text, "site: south*")[0][1:5] == ["1", "teacher-float32", "0.5000", "not known"]


def test_values_of_the_source_stay_in_their_cell() -> None:
    changed = evaluation()
    changed["slices"][0]["value"] = "a|b\n<script> `x`"
    text = slices_text(CHOSEN[:1], {"teacher": changed})
    assert rows(text, "site: a/b (script> 'x'")[0][1] == "6"


def test_evaluation_of_an_older_version() -> None:
    assert slices_text(CHOSEN, {"teacher": {}}) == "Not measured."


def test_data_of_one_kind() -> None:
    changed = evaluation() | {"slices": []}
    text = slices_text(CHOSEN, {"teacher": changed})
    assert text.startswith("All test images are of one site") and "| small, up to" in text
