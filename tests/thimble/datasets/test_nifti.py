"""NIfTI: the same slices whichever way axes lie, robust intensities, labels on the same grid."""

import gzip
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from tests.dicom_phantoms import read
from thimble.datasets import nifti_volume, open_source
from thimble.datasets.source import SourceOptions

SHAPE = (12, 9, 5)


def volume(shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """Another value in every voxel, in right, anterior, superior."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def mask(shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    """A box off the centre."""
    label = np.zeros(shape, np.uint8)
    label[2:5, 1:4, 1:4] = 2
    return label


def put(path: Path, values: NDArray[Any], affine: Any = None, **header: Any) -> Path:
    """Write a volume."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine
    image = nib.Nifti1Image(values, affine, dtype=values.dtype)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def put_pair(folder: Path, name: str = "a", label: Any = None, **kinds: Any) -> None:
    """Write an image and its label."""
    put(folder / "imagesTr" / f"{name}.nii.gz", kinds.get("image", volume()))
    values = mask() if label is None else label
    put(folder / "labelsTr" / f"{name}.nii.gz", values, kinds.get("affine"))


def whole(folder: Path, **options: Any) -> Any:
    """All slices of the only volume, `(slices, height, width)`, and their labels."""
    samples, refused = read(folder, options.pop("labels", "required"), "nifti", **options)
    assert not refused
    return np.stack([s.image[..., 0] for s in samples]), np.stack([s.label for s in samples])


def test_slices_are_seen_as_dicom_stores_them(tmp_path: Path) -> None:
    put_pair(tmp_path)
    ends = {"low_percentile": 0.0, "high_percentile": 100.0}
    values, label = volume(), mask()
    for plane, axes in (("axial", (2, 1, 0)), ("coronal", (1, 2, 0)), ("sagittal", (0, 2, 1))):
        images, labels = whole(tmp_path, plane=plane, **ends)
        expected = values.transpose(axes)[:, ::-1, ::-1]
        assert (np.rint(expected * 65535 / values.max()) == images).all()
        assert (labels == label.transpose(axes)[:, ::-1, ::-1]).all()


def test_any_turn_of_the_axes_gives_the_same_slices(tmp_path: Path) -> None:
    put_pair(tmp_path)
    expected = whole(tmp_path)
    image = nib.Nifti1Image(volume(), np.diag([1.0, 2.0, 3.0, 1.0]))
    label = nib.Nifti1Image(mask(), np.diag([1.0, 2.0, 3.0, 1.0]))
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turn = np.column_stack([axes, flips])
            nib.save(image.as_reoriented(turn), tmp_path / "imagesTr" / "a.nii.gz")
            for of_label in (turn, np.column_stack([range(3), (1, 1, 1)])):
                nib.save(label.as_reoriented(of_label), tmp_path / "labelsTr" / "a.nii.gz")
                found = whole(tmp_path)
                assert all((one == other).all() for one, other in zip(found, expected, strict=True))
    samples, _ = read(tmp_path, "required", "nifti")
    assert {sample.spacing for sample in samples} == {(2.0, 1.0)}
    assert samples[0].attributes == {"slice_thickness": "3"}


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (0, 0), (2, 3)])
def test_sform_or_qform_or_neither(tmp_path: Path, codes: tuple[int, int]) -> None:
    for folder, values in (("images", volume()), ("labels", mask())):
        image = nib.Nifti1Image(values, None)
        affine = np.diag([-1.0, -2.0, 3.0, 1.0]) if any(codes) else None
        image.header.set_qform(affine, codes[0])
        image.header.set_sform(affine, codes[1])
        image.header["pixdim"][1:4] = 1, 2, 3
        (tmp_path / folder).mkdir()
        nib.save(image, tmp_path / folder / "a.nii")
    samples, refused = read(tmp_path, "required", "nifti")
    assert not refused
    assert samples[0].spacing == (2.0, 1.0)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.float64, np.float32, np.int16, np.uint8])
def test_labels_of_any_type_with_whole_values(tmp_path: Path, kind: Any) -> None:
    put_pair(tmp_path, label=mask().astype(kind))
    assert whole(tmp_path)[1].max() == 2


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (mask() * np.float32(0.6), "no whole numbers"),
        (np.where(mask() > 0, np.nan, 0).astype(np.float32), "no whole numbers"),
        (-mask().astype(np.int16), "Expected whole numbers in"),
        (mask().astype(np.int32) * 40000, "Expected whole numbers in"),
        (mask()[:-1], "has the shape"),
        (np.stack([mask(), mask()], 3), "more than three axes"),
    ],
)
def test_bad_labels(tmp_path: Path, label: NDArray[Any], reason: str) -> None:
    put_pair(tmp_path, label=label)
    samples, refused = read(tmp_path, "required", "nifti")
    assert reason in refused[0].reason
    assert len(samples) <= 1


def test_a_label_of_another_affine(tmp_path: Path) -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 3] = 0.5
    put_pair(tmp_path, affine=affine)
    assert "another affine" in read(tmp_path, "required", "nifti")[1][0].reason
    affine[0, 3] = 1e-4
    put_pair(tmp_path, affine=affine)
    assert not read(tmp_path, "required", "nifti")[1]


def test_intensities_are_robust_and_windows_fixed(tmp_path: Path) -> None:
    values = volume()
    values[0, 0, 0] = 1.7e6
    put_pair(tmp_path, image=values)
    images, _ = whole(tmp_path)
    assert images.dtype == np.uint16
    assert np.count_nonzero(images == 65535) <= 0.01 * images.size + 1
    assert np.median(images) == pytest.approx(32768, abs=400)
    images, _ = whole(tmp_path, intensity="100.5/201")
    expected = np.clip(np.rint(volume() / 200 * 65535), 0, 65535).transpose(2, 1, 0)[:, ::-1, ::-1]
    expected[0, -1, -1] = 65535
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_nan_voxels_are_refused(tmp_path: Path) -> None:
    values = volume()
    values[3, 3, 3] = np.nan
    put_pair(tmp_path, image=values)
    assert "1 values that are NaN" in read(tmp_path, "required", "nifti")[1][0].reason


def test_empty_slices_are_left_out(tmp_path: Path) -> None:
    values = volume()
    values[:, :, 0] = values[:, :, 4] = 0
    put_pair(tmp_path, image=values)
    samples, _ = read(tmp_path, "required", "nifti")
    assert [sample.id for sample in samples] == ["a/0001", "a/0002", "a/0003"]


def test_four_axes_and_channels(tmp_path: Path) -> None:
    values = np.stack([volume(), volume()[::-1], volume()[:, ::-1]], 3)
    put_pair(tmp_path, image=values)
    ends = {"low_percentile": 0.0, "high_percentile": 100.0}
    first, _ = whole(tmp_path, **ends)
    assert len(first) == 5
    assert len(whole(tmp_path, volumes="all", **ends)[0]) == 15
    samples, _ = read(tmp_path, "required", "nifti", volumes="0,2", **ends)
    assert samples[0].image.shape == (9, 12, 3)
    assert (samples[0].image[..., 0] == first[0]).all()
    assert not samples[0].image[..., 2].any()
    assert "of 3 volume(s)" in read(tmp_path, "required", "nifti", volumes="3")[1][0].reason


def test_channels_in_files_of_their_own(tmp_path: Path) -> None:
    for channel in range(2):
        put(tmp_path / "imagesTr" / f"case_{channel:04d}.nii.gz", volume()[:: 1 - 2 * channel])
    put(tmp_path / "labelsTr" / "case.nii.gz", mask())
    samples, refused = read(tmp_path, "required", "nifti")
    assert not refused
    assert samples[0].id == "case/0000"
    assert (samples[0].image[..., 0] == samples[0].image[:, ::-1, 1]).all()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/x_{}.nii", "labels/x_{}.nii"),
        ("x_{}_image.nii.gz", "x_{}_label.nii.gz"),
        ("images_x_{}.nii", "labels_x_{}.nii"),
        ("x_{}.nii", "x_{}_seg.nii.gz"),
        ("x_{}/image.nii", "x_{}/mask.nii"),
        ("x_{}.mgz", "x_{}_mask.mgz"),
    ],
)
def test_layouts(tmp_path: Path, images: str, labels: str) -> None:
    for number in (2, 10):
        for name, values in ((images, volume()), (labels, mask().astype(np.int32))):
            path = tmp_path / name.format(number)
            path.parent.mkdir(exist_ok=True)
            kind = nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image
            nib.save(kind(values, np.eye(4)), path)
    put(tmp_path / "imagesTs" / "y.nii", volume())
    reader = open_source("nifti", SourceOptions(source=str(tmp_path)))
    cases, refused = reader.cases()
    assert [case.id for case in cases] == ["x_2", "x_10"]
    assert not refused
    assert "test set without labels" in reader.notes[0]


def test_bad_files_are_refused_alone(tmp_path: Path) -> None:
    put_pair(tmp_path, "good")
    for name in ("cut", "short", "empty", "text", "zip", "lonely"):
        put_pair(tmp_path, name)
    images = tmp_path / "imagesTr"
    data = gzip.decompress((images / "cut.nii.gz").read_bytes())
    (images / "cut.nii.gz").write_bytes((images / "cut.nii.gz").read_bytes()[:-60])
    (images / "short.nii.gz").write_bytes(gzip.compress(data[:-400]))
    (images / "empty.nii.gz").write_bytes(b"")
    (images / "text.nii.gz").write_bytes(gzip.compress(b"no volume" * 99))
    (images / "zip.nii.gz").write_bytes(b"PK\x03\x04" + b"0" * 999)
    (images / "lonely.nii.gz").unlink()
    huge = bytearray(data)
    huge[42:48] = np.array([32000] * 3, "<i2").tobytes()
    put_pair(tmp_path, "huge")
    (images / "huge.nii.gz").write_bytes(gzip.compress(bytes(huge)))
    os.rename(images / "text.nii.gz", os.path.join(os.fsencode(images), b"t\xfcxt.nii.gz"))
    samples, refused = read(tmp_path, "required", "nifti")
    assert {sample.id[:4] for sample in samples} == {"good"}
    assert len(refused) == 8
    words = " ".join(refusal.reason for refusal in refused)
    for expected in ("0 bytes", "is cut", "label without image", "declares slices", "not UTF-8"):
        assert expected in words, expected


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_volume_of_gigabytes_is_streamed(
    tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 4 GB with holes; packed (which takes a minute at that size) a file above the limit of memory.
    shape = (64, 64, 64) if packed else (1024, 1024, 2048)
    monkeypatch.setattr(nifti_volume, "IN_MEMORY", 2**16)
    image = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), np.eye(4))
    image.header.set_data_shape(shape)
    image.header["vox_offset"] = 352
    path = tmp_path / "images" / "a.nii"
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.write(image.header.binaryblock + b"\0" * 4)
        file.truncate(352 + 2 * int(np.prod(shape)))
        for place in (3, shape[2] - 1):
            file.seek(352 + 2 * shape[0] * shape[1] * place)
            file.write(np.arange(shape[0] * 4, dtype="<i2").tobytes())
    if packed:
        (tmp_path / "images" / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    process = psutil.Process()
    before, most = process.memory_info().rss, 0
    count = 0
    for sample in _samples(tmp_path):
        most = max(most, process.memory_info().rss - before)
        count += 1
        assert sample.image.shape == (shape[1], shape[0], 1)
    assert count == 2
    assert most < 300e6


def _samples(folder: Path) -> Any:
    """The slices of the only volume, one by one."""
    options = SourceOptions(source=str(folder), labels="none")
    reader = open_source("nifti", options)
    cases, _ = reader.cases()
    yield from reader.read(cases[0])


def test_hippocampus(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("hippocampus")
    options = SourceOptions(source=str(folder / "dev"))
    reader = open_source("nifti", options)
    cases, refused = reader.cases()
    assert (len(cases), refused) == (208, [])
    case = cases[3]
    found: Any = list(reader.read(case))
    label = nib.as_closest_canonical(nib.load(case.label)).get_fdata()
    stacked = np.stack([sample.label for sample in found])
    assert stacked.sum() == label.sum()
    assert {sample.spacing for sample in found} == {(1.0, 1.0)}


def test_quirks_are_told(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shared_data("hippocampus")
    _, refused = read(folder / "quirks", "required", "nifti")
    assert sorted(refusal.reason[:19] for refusal in refused) == [
        "image without label",
        "label without image",
        "label without image",
    ]
    for number in ("010", "011"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "images").mkdir(exist_ok=True)
        of = "quirks/labels_hippocampus_010" if number == "010" else "dev/labels/hippocampus_011"
        (tmp_path / "labels" / f"{number}.nii.gz").symlink_to(folder / f"{of}.nii.gz")
        image = folder / "dev" / "images" / "hippocampus_011.nii.gz"
        (tmp_path / "images" / f"{number}.nii.gz").symlink_to(image)
    reader = open_source("nifti", SourceOptions(source=str(tmp_path)))
    reader.cases()
    assert "equal labels: labels/010.nii.gz, labels/011.nii.gz" in reader.notes


# nibabel leaves the .REC of a PAR file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_odd_volumes(shared_data: Callable[[str], Path]) -> None:
    samples, refused = read(shared_data("nifti_dicom_nibabel"), "none", "nifti")
    assert {sample.id.partition("/")[0] for sample in samples} >= {
        "anatomical", "example4d", "example_nifti2", "functional", "reoriented_anat_moved",
        "standard", "test",
    }  # fmt: skip
    reasons = " ".join(refusal.reason for refusal in refused)
    assert "second part" in reasons
    assert "NaN" in reasons
