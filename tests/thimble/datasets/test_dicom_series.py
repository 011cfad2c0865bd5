"""DICOM series: the order of slices, what is odd about it, and labels from wherever they lie."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import disc, make, read, save, save_series
from thimble.datasets import open_source
from thimble.datasets.source import SourceOptions


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)


def test_slices_lie_in_the_order_of_the_body_whatever_the_files_say(tmp_path: Path) -> None:
    save_series(tmp_path / "mixed", "one", 6)
    save_series(tmp_path / "mixed", "two", 4)
    for place in range(5):  # instance numbers run against the positions; a sagittal stack
        data = make(disc(place), "three", place)
        data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        data.ImagePositionPatient = [-2.0 * place, 0, 0]
        save(data, tmp_path / "elsewhere" / f"{place}.dcm")
    samples, refused = read(tmp_path)
    assert not refused
    sizes = Counter(sample.id.rpartition("/")[0] for sample in samples)
    assert sorted(sizes.values()) == [4, 5, 6]
    for case, size in sizes.items():
        found = [s.image[0, 0, 0] - 100 for s in samples if s.id.startswith(case)]
        assert [int(value) // 7 for value in found] in (
            list(range(size)),
            list(reversed(range(size))),
        )


def test_gaps_and_places_taken_twice_are_told(tmp_path: Path) -> None:
    for place in (0, 1, 2, 5, 6):
        save(make(disc(place), place=place), tmp_path / f"{place}.dcm")
    save(make(disc(9), place=9, ImagePositionPatient=[-10.0, -12.0, 3.0]), tmp_path / "again.dcm")
    reader = open_source("dicom", SourceOptions(source=str(tmp_path), labels="none"))
    cases, refused = reader.cases()
    assert (len(cases), refused) == (1, [])
    notes = " ".join(reader.notes)
    assert "1 slice(s) lie where another lies" in notes
    assert "2 slice(s) missing after slice 3" in notes
    assert len(list(reader.read(cases[0]))) == 6


def test_enhanced_frames_are_sorted_and_rescaled_each_by_its_own(tmp_path: Path) -> None:
    stored = [disc(place) for place in range(3)]
    save(phantoms.enhanced(stored, [8.0, 0.0, 4.0], [1.0, 2.0, 3.0]), tmp_path / "a.dcm")
    samples, refused = read(tmp_path)
    assert not refused
    by_id = {sample.id[-4:]: sample for sample in samples}
    for place, (frame, slope) in enumerate(((1, 2), (2, 3), (0, 1))):
        sample = by_id[f"{place:04d}"]
        assert (sample.image[..., 0] == stored[frame] * slope).all()
        assert sample.spacing == (1.5, 2.5)
        assert sample.attributes["slice_thickness"] == "4"


@pytest.mark.parametrize("by_place", [False, True])
def test_labels_from_a_segmentation(tmp_path: Path, by_place: bool) -> None:
    images = [pydicom.dcmread(path) for path in save_series(tmp_path / "scan")]
    masks = [np.roll(disc(0) > 900, place, 0) for place in range(6)]
    lesion = [np.roll(disc(0) > 1040, place, 0) & (place != 2) for place in range(6)]
    data = phantoms.segment(images, {1: masks, 2: lesion}, by_place)
    save(data, tmp_path / "labels" / "a.dcm")
    samples, refused = read(tmp_path, labels="required")
    assert not refused
    for place, sample in enumerate(samples):
        expected = np.where(lesion[place], 2, masks[place].astype(int))
        assert (sample.label == expected).all()


def test_labels_from_a_nifti_volume_whichever_way_it_lies(tmp_path: Path) -> None:
    import nibabel as nib

    save_series(tmp_path / "scan")
    masks = np.stack([np.roll(disc(0) > 900, place, 0) for place in range(6)], 2).astype(np.uint8)
    masks[0, 5, 1] = 3
    # Of (row, column, slice) to (column, row, slice), DICOM's axes turned to right and anterior.
    affine = np.diag([-0.75, -0.5, 3.0, 1.0])
    affine[:3, 3] = 10, 12, 0
    volume = nib.Nifti1Image(masks.transpose(1, 0, 2), affine)
    for turned in (volume, nib.as_closest_canonical(volume)):
        nib.save(turned, tmp_path / "scan" / "label.nii.gz")
        samples, refused = read(tmp_path, labels="required")
        assert not refused
        for place, sample in enumerate(samples):
            assert (sample.label == masks[..., place]).all()
    other = affine.copy()
    other[2, 3] = 1.5
    for wrong in (nib.Nifti1Image(masks.transpose(1, 0, 2)[:-1], affine),
                  nib.Nifti1Image(masks.transpose(1, 0, 2), other)):  # fmt: skip
        nib.save(wrong, tmp_path / "scan" / "label.nii.gz")
        samples, refused = read(tmp_path, labels="required")
        assert not samples
        assert "another shape or affine" in refused[0].reason


def test_labels_from_png_by_uid(tmp_path: Path) -> None:
    from PIL import Image

    paths = save_series(tmp_path / "scan")
    (tmp_path / "labels").mkdir()
    for path in paths[:5]:
        data = pydicom.dcmread(path)
        label = (data.pixel_array > 900).astype(np.uint8)
        Image.fromarray(label).save(tmp_path / "labels" / f"{data.SOPInstanceUID}.png")
    Image.fromarray(label).save(tmp_path / "labels" / "1.2.3.png")
    samples, refused = read(tmp_path, labels="required")
    assert len(samples) == 5
    assert all((s.label == (s.image[..., 0] > 900)).all() for s in samples)
    assert sorted("no label" in r.reason or "no image" in r.reason for r in refused) == [True] * 2


def test_the_order_trap(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("dicom_studies_dev")
    options = SourceOptions(source=str(folder), labels="none")
    reader = open_source("dicom", options)
    cases, refused = reader.cases()
    assert (len(cases), refused) == (5, [])
    assert len({case.group for case in cases}) >= 1
    for case in cases:
        depths = []
        for path in case.files:
            data = pydicom.dcmread(path, stop_before_pixels=True)
            rows, columns = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
            depths.append(float(np.array(data.ImagePositionPatient) @ np.cross(rows, columns)))
        assert (np.diff(depths) > 0).all()
