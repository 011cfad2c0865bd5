"""DICOM: decoded, ordered, made unsigned; bad files are refused one by one."""

import csv
import gzip
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import disc, make, save, save_series
from thimble.datasets import open_source
from thimble.datasets.source import Refusal, Sample, SourceOptions
from thimble.datasets.volume_options import VolumeConfig
from thimble.stage import BadInput

ALL = "annotated,secondary_capture,ultrasound,text"
Read = tuple[list[Sample], list[Refusal]]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)


def read(folder: Path, labels: str = "none", **volume: Any) -> Read:
    """Every image of a folder, and everything that was refused."""
    options = SourceOptions(source=str(folder), labels=labels, volume=VolumeConfig(**volume))
    reader = open_source("dicom", options)
    cases, refused = reader.cases()
    samples = []
    for case in cases:
        try:
            for found in reader.read(case):
                (refused if isinstance(found, Refusal) else samples).append(found)  # type: ignore
        except BadInput as error:
            refused.append(Refusal(case.name, str(error)))
    return samples, refused


def one(folder: Path, **volume: Any) -> Any:
    """The only image of a folder, `(height, width, channels)`."""
    samples, refused = read(folder, **volume)
    assert not refused
    assert len(samples) == 1
    return samples[0].image


def test_every_file_that_decodes_is_read_and_every_other_is_refused(
    shared_data: Callable[[str], Path],
) -> None:
    folder = shared_data("dicom_pydicom")
    options = SourceOptions(
        source=str(folder), labels="none", volume=VolumeConfig(include_burned_in=ALL)
    )
    reader: Any = open_source("dicom", options)
    listing = reader.listing()
    refused = {listing.names[refusal.file] for refusal in listing.refused}
    files = {file for case in listing.cases for file in (case.files or (case.image,))}
    for case in listing.cases:
        try:
            for found in reader.read(case):
                if isinstance(found, Refusal):
                    names = {reader._name(file): file for file in case.files}
                    refused.add(os.path.relpath(names[found.file], folder))
        except BadInput:
            refused.add(os.path.relpath(case.image, folder))
    with open(folder / "index.csv", newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    expected = {row["file"] for row in rows if row["decode"] != "ok"}
    assert len(expected) == 84
    assert refused == expected
    read_files = {os.path.relpath(file, folder) for file in files} - refused
    good = {row["file"] for row in rows if row["decode"] == "ok"}
    # Segmentations are labels, and zipMR.gz is an image that index.csv leaves out.
    assert good - read_files == {"test_files/liver_1frame.dcm", "test_files/liver_expb_1frame.dcm"}
    assert read_files - good == {"test_files/zipMR.gz"}


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless,
     JPEG2000Lossless],
)  # fmt: skip
def test_lossless_syntaxes_give_the_stored_values(tmp_path: Path, syntax: Any) -> None:
    data = make(disc(1))
    if syntax.is_encapsulated:
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
    save(data, tmp_path / "a.dcm")
    assert (one(tmp_path)[..., 0] == disc(1)).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_and_htj2k(tmp_path: Path, bits: int, signed: bool) -> None:
    import imagecodecs
    from pydicom.encaps import encapsulate

    values = disc(0).astype(np.int32) * (2**bits - 1) // 1300
    stored = (values - 2 ** (bits - 1) * signed).astype(np.int16 if signed else np.uint16)
    unsigned = (stored.astype(np.int32) & (2**bits - 1)).astype(
        np.uint8 if bits == 8 else np.uint16
    )
    for syntax, encoded in (
        (JPEGLosslessSV1, imagecodecs.jpeg8_encode(unsigned, lossless=True, bitspersample=bits)),
        (HTJ2KLossless, imagecodecs.htj2k_encode(stored, reversible=True)),
    ):
        stores = 16 if syntax == HTJ2KLossless else bits
        data = make(stored, BitsStored=stores, HighBit=stores - 1)
        data.PixelData = encapsulate([encoded])
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = syntax
        save(data, tmp_path / "a.dcm")
        image = one(tmp_path)[..., 0].astype(np.int32)
        shift = 32768 if signed else 0
        assert (image - shift == stored if image.max() > 255 else image == stored).all()


def test_extended_jpeg_of_12_bits(tmp_path: Path) -> None:
    import imagecodecs
    from pydicom.encaps import encapsulate

    encoded = imagecodecs.jpeg8_encode(disc(0), level=100, bitspersample=12)
    data = make(disc(0), BitsStored=12, HighBit=11)
    data.PixelData = encapsulate([encoded])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    save(data, tmp_path / "a.dcm")
    assert np.abs(one(tmp_path)[..., 0].astype(int) - disc(0)).max() <= 4
    data.PixelData = encapsulate([encoded[: len(encoded) // 2]])
    save(data, tmp_path / "a.dcm")
    assert len(read(tmp_path)[1]) == 1


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    data = make(disc(0), BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    save(data, tmp_path / "a.dcm")
    assert (one(tmp_path)[..., 0] == 4095 - disc(0)).all()
    shown = one(tmp_path, intensity="600/1000")[..., 0]
    assert shown[0, 0] == 65535 - 0  # 100 lies below the window
    small = (disc(0) // 8).astype(np.uint8)
    save(make(small, PhotometricInterpretation="MONOCHROME1"), tmp_path / "a.dcm")
    assert (one(tmp_path)[..., 0] == 255 - small).all()


def test_ct_is_hounsfield_plus_1024_however_it_is_stored(tmp_path: Path) -> None:
    units = disc(0).astype(np.int16) - 1024
    common = {"SOPClassUID": phantoms.CT, "Modality": "CT"}
    save(make(units, "signed", **common), tmp_path / "a.dcm")
    save(make(disc(0), "unsigned", RescaleSlope=1, RescaleIntercept=-1024, **common),
         tmp_path / "b.dcm")  # fmt: skip
    halves = ((units.astype(np.int32) + 2000) // 2).astype(np.uint16)
    save(make(halves, "slope", RescaleSlope=2, RescaleIntercept=-2000, **common),
         tmp_path / "c.dcm")  # fmt: skip
    samples, refused = read(tmp_path)
    assert not refused
    images = [sample.image[..., 0].astype(int) for sample in samples]
    assert sorted(int(np.abs(image - disc(0)).max()) for image in images) == [0, 0, 1]


def test_window_in_hounsfield_units(tmp_path: Path) -> None:
    values = np.array([[-1000, -160, -159], [40, 239, 240]], np.int16)
    data = make(values, SOPClassUID=phantoms.CT, Modality="CT", WindowCenter=[40, 0],
                WindowWidth=[400, 1])  # fmt: skip
    save(data, tmp_path / "a.dcm")
    for intensity in ("40/400", "file"):
        image = one(tmp_path, intensity=intensity)[..., 0]
        # PS3.3 C.11.2.1.2: black up to 39.5 - 199.5, white above 39.5 + 199.5.
        assert image.tolist()[0] == [0, 0, round(65535 / 399)]
        assert image.tolist()[1][1:] == [65535, 65535]
        assert abs(int(image[1, 0]) - 32768 - 82) <= 1
    del data.WindowCenter
    save(data, tmp_path / "a.dcm")
    assert "has no window" in read(tmp_path, intensity="file")[1][0].reason


def test_a_series_with_negative_values_is_shifted_as_a_whole(tmp_path: Path) -> None:
    for place, low in enumerate((0, -50, 0)):
        save(make(disc(place).astype(np.int16) + low - 100, place=place), tmp_path / f"{place}.dcm")
    samples, _ = read(tmp_path)
    expected = [disc(place).astype(int) + low - 100 for place, low in enumerate((0, -50, 0))]
    for sample, values in zip(samples, expected, strict=True):
        assert (sample.image[..., 0].astype(int) - 32768 == values).all()


def test_32_bits_and_floats_keep_their_order(tmp_path: Path) -> None:
    values = disc(0).astype(np.uint32) * 100_000
    save(make(values, "a"), tmp_path / "a.dcm")
    real = disc(0).astype(np.float32) / 7e5
    data = make(None, "b", Rows=real.shape[0], Columns=real.shape[1], SamplesPerPixel=1,
                BitsAllocated=32, PhotometricInterpretation="MONOCHROME2")  # fmt: skip
    data.FloatPixelData = real.tobytes()
    save(data, tmp_path / "b.dcm")
    samples, refused = read(tmp_path, low_percentile=0.0, high_percentile=100.0)
    assert not refused
    for sample in samples:
        image = sample.image[..., 0]
        assert image.dtype == np.uint16
        assert (int(image.min()), int(image.max())) == (0, 65535)
        assert (np.diff(image.ravel()[np.argsort(disc(0).ravel(), kind="stable")].astype(int)) >= 0
                ).all()  # fmt: skip
    data.FloatPixelData = np.where(real > 1e-3, np.nan, real).astype(np.float32).tobytes()
    save(data, tmp_path / "b.dcm")
    assert "NaN" in read(tmp_path)[1][0].reason


def test_palette_and_ycbcr_become_rgb(tmp_path: Path) -> None:
    indices = (disc(0) % 4).astype(np.uint8)
    data = make(indices, "palette", PhotometricInterpretation="PALETTE COLOR")
    for colour, table in (("Red", [0, 10, 20, 30]), ("Green", [5] * 4), ("Blue", [40, 30, 20, 9])):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(data, f"{colour}PaletteColorLookupTableData", bytes(table))
    save(data, tmp_path / "a.dcm")
    image = one(tmp_path)
    assert image[indices == 3].tolist()[0] == [30, 5, 9]
    grey = np.stack([np.full((SIDE, SIDE), level, np.uint8) for level in (90, 128, 128)], 2)
    grey[: SIDE // 2, :, 0] = 200
    data = make(grey, "ycbcr", PhotometricInterpretation="YBR_FULL")
    (tmp_path / "a.dcm").unlink()
    save(data, tmp_path / "b.dcm")
    assert one(tmp_path)[0, 0].tolist() == [200, 200, 200]


SIDE = phantoms.SIDE


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


def test_spacing_can_be_changed(tmp_path: Path) -> None:
    save(make(disc(0)), tmp_path / "a.dcm")
    samples, _ = read(tmp_path, spacing_mm=0.25)
    assert samples[0].image.shape == (64, 96, 1)
    assert samples[0].spacing == (0.25, 0.25)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user who may not read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_each_bad_file_is_refused_alone(tmp_path: Path) -> None:
    good = save_series(tmp_path / "good")
    whole = good[0].read_bytes()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "empty.dcm").write_bytes(b"")
    (bad / "text.dcm").write_bytes(b"not an image " * 40)
    (bad / "cut.dcm").write_bytes(whole[: len(whole) - 700])
    (bad / "cut-header.dcm").write_bytes(whole[:400])
    with zipfile.ZipFile(bad / "scans.zip", "w") as archive:
        archive.writestr("a.dcm", whole)
    (bad / "bomb.dcm.gz").write_bytes(gzip.compress(b"\0" * 10_000_000))
    save(make(disc(0), "huge", Rows=65535, Columns=65535), bad / "huge.dcm")
    save(make(disc(0), "frames", NumberOfFrames=2**31 - 1), bad / "frames.dcm")
    save(make(None, "none"), bad / "no-pixels.dcm")
    save(make(disc(0), "slope", RescaleSlope=0, RescaleIntercept=0), bad / "slope.dcm")
    number = make(disc(0), "number")
    number.NumberOfFrames = "1"
    raw = save(number, bad / "number.dcm").read_bytes()
    place = raw.index(b"IS", raw.index(b"\x28\x00\x08\x00"))
    (bad / "number.dcm").write_bytes(raw[: place + 4] + b"xy" + raw[place + 6 :])
    syntax = make(disc(0), "syntax")
    raw = save(syntax, bad / "syntax.dcm").read_bytes()
    (bad / "syntax.dcm").write_bytes(raw.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x99\x00UI"))
    samples, refused = read(tmp_path)
    assert len(samples) == 6
    assert len(refused) == len(list(bad.iterdir()))
    assert all("Received" not in r.reason and len(r.reason) > 20 for r in refused)
    words = " ".join(refusal.reason for refusal in refused)
    for expected in ("0 bytes", "zip archive", "preamble", "65535x65535", "frames", "no pixel data",
                     "slope is 0", "NumberOfFrames", "transfer syntax"):  # fmt: skip
        assert expected in words, expected


def test_links_in_a_loop_and_closed_folders(tmp_path: Path) -> None:
    save_series(tmp_path / "scans")
    (tmp_path / "scans" / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.dcm").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    closed = tmp_path / "closed"
    closed.mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    closed.chmod(0)
    with unprivileged():
        samples, refused = read(tmp_path)
    closed.chmod(0o700)
    assert len(samples) == 6
    reasons = sorted(refusal.reason for refusal in refused)
    assert len(reasons) == 4
    assert "cannot be listed" in " ".join(reasons)
    assert "is read already" in " ".join(reasons)


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    path = save(make(disc(0)), tmp_path / "a.dcm")
    os.rename(path, os.path.join(os.fsencode(tmp_path), b"M\xfcller.dcm"))
    samples, refused = read(tmp_path)
    assert (len(samples), refused) == (1, [])


def test_a_header_of_another_size_than_its_codestream_takes_no_memory(tmp_path: Path) -> None:
    data = make(disc(0))
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    place = data.PixelData.index(b"\xff\x51") + 6
    data.PixelData = (
        data.PixelData[:place] + (60000).to_bytes(4, "big") * 2 + data.PixelData[place + 8 :]
    )
    save(data, tmp_path / "a.dcm")
    assert "the header says (32, 32)" in read(tmp_path)[1][0].reason


def test_one_bad_slice_does_not_cost_the_series(tmp_path: Path) -> None:
    paths = save_series(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-900])
    samples, refused = read(tmp_path)
    assert (len(samples), len(refused)) == (5, 1)
    assert {sample.id[-4:] for sample in samples} == {"0000", "0001", "0003", "0004", "0005"}


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
