"""The card of a folder of which nothing is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.ingest.card import describe_folder
from pipelines.commands.data import card_lines
from tests.dicom_phantoms import KEY, disc, make, save
from thimble.stage import BadInput


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", KEY)


def cards(folder: Path, **given: Any) -> dict[str, dict[str, Any]]:
    """The cards of a folder by kind."""
    return {card["kind"]: card for card in describe_folder(str(folder), **given)}


# nibabel leaves the .REC of a PAR file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("isbi2012", "isbi2012", {"images": 30, "raw_labels": "0, 255"}),
        ("dsb2018_nuclei/dev", "instances", {"images": 485}),
        ("cxr_nih_2class", "paired", {"images": 1000, "patients": 682}),
        ("dicom_studies_dev", "dicom", {"cases": 5, "images": 128, "patients": 1}),
        ("hippocampus/dev", "nifti", {"cases": 208, "raw_labels": "0-2"}),
        ("nifti_dicom_nibabel", "nifti", {"cases": 18}),
        ("dicom_pydicom", "dicom", {"cases": 35}),
        ("hippocampus/quirks", "nifti", {"cases": 0, "images": 0}),
    ],
)
def test_real_folders(
    shared_data: Callable[[str], Path], name: str, kind: str, expected: dict[str, Any]
) -> None:
    card = cards(shared_data(name))[kind]
    assert {field: card[field] for field in expected} == expected
    assert card_lines(card)[-1].startswith(f"parameters: kind='{kind}'")


def test_images_without_masks_are_called_so(shared_data: Callable[[str], Path]) -> None:
    card = cards(shared_data("cxr_nih_2class"))["paired"]
    assert "without labels" in card["remark"]
    assert card["parameters"]["group_column"] == "patient_id"
    assert sum(card["splits"].values()) == 1000
    assert "stops" not in card


def test_paired_masks_get_a_suggestion(scans: Path) -> None:
    card = cards(scans)["paired"]
    assert card["parameters"]["classes"] == "background=0;class_1=1"
    assert card["images"] == 10
    assert sum(card["splits"].values()) == 10


def test_a_run_that_would_stop_says_why(tmp_path: Path) -> None:
    save(make(disc(0)), tmp_path / "a.dcm")
    (tmp_path / "b.dcm").write_bytes(b"")
    card = cards(tmp_path)["dicom"]
    assert "1 of 2 files" in card["stops"]
    assert sum(card["refused"].values()) == 1


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(BadInput, match="holds no scans"):
        cards(tmp_path)
