"""Keyed names, and images that may show a name."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import disc, make, read, save
from thimble.stage import BadInput


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)


def test_without_a_key_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THIMBLE_PATIENT_KEY")
    with pytest.raises(BadInput, match="openssl rand -hex 32"):
        read(tmp_path)
    file = tmp_path / "key"
    file.write_text(phantoms.KEY)
    monkeypatch.setenv("THIMBLE_PATIENT_KEY_FILE", str(file))
    save(make(disc(0)), tmp_path / "a.dcm")
    assert len(read(tmp_path)[0]) == 1
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", "short")
    with pytest.raises(BadInput, match="5 bytes"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("rule", "elements"),
    [
        ("annotated", {"BurnedInAnnotation": "YES"}),
        ("secondary_capture", {"SOPClassUID": phantoms.CAPTURE, "Modality": "OT"}),
        ("secondary_capture", {"ConversionType": "WSD"}),
        ("ultrasound", {"SOPClassUID": phantoms.ULTRASOUND, "Modality": "US"}),
    ],
)
def test_what_may_show_a_name_is_left_out(
    tmp_path: Path, rule: str, elements: dict[str, Any]
) -> None:
    save(make(disc(0), **elements), tmp_path / "a.dcm")
    samples, refused = read(tmp_path)
    assert not samples
    assert f"include_burned_in={rule}" in refused[0].reason
    assert len(read(tmp_path, include_burned_in=f"{rule},text")[0]) == 1


def test_ultrasound_with_regions_or_a_statement_passes(tmp_path: Path) -> None:
    common = {"SOPClassUID": phantoms.ULTRASOUND, "Modality": "US"}
    region = Dataset()
    region.RegionLocationMinX0 = 0
    save(make(disc(0), "a", SequenceOfUltrasoundRegions=Sequence([region]), **common),
         tmp_path / "a.dcm")  # fmt: skip
    save(make(disc(0), "b", BurnedInAnnotation="NO", **common), tmp_path / "b.dcm")
    assert len(read(tmp_path)[0]) == 2
