"""Bad scans and parameters: one clear sentence, exit code 2, nothing half-written."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.ingest import ingest as ingest_module
from components.ingest import transforms
from components.ingest.runner import _restore
from thimble.records import Dataset
from thimble.stage import BadInput

Ingest = Callable[..., Dataset]
LABELS = "ground=0;lesion=1"


def _empty(scans: Path) -> None:
    (scans / "images" / "scan 3.png").write_bytes(b"")


def _truncate(scans: Path) -> None:
    path = scans / "images" / "scan 3.png"
    path.write_bytes(path.read_bytes()[:100])


def _shrink(scans: Path) -> None:
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(scans / "images" / "scan 3.png")


def _flatten(scans: Path) -> None:
    Image.fromarray(np.full((20, 24), 7, np.uint8)).save(scans / "images" / "scan 3.png")


def _unknown_value(scans: Path) -> None:
    Image.fromarray(np.full((20, 24), 9, np.uint8)).save(scans / "labels" / "scan 3.png")


def _lose_label(scans: Path) -> None:
    (scans / "labels" / "scan 3.png").unlink()


def _lose_image(scans: Path) -> None:
    (scans / "images" / "scan 3.png").unlink()


def _single_class(scans: Path) -> None:
    for path in (scans / "labels").iterdir():
        Image.fromarray(np.zeros((20, 24), np.uint8)).save(path)


def _keep_two(scans: Path) -> None:
    for path in [*scans.glob("images/*"), *scans.glob("labels/*")]:
        if path.stem > "scan 1":
            path.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_empty, r"scan 3\.png is empty \(0 bytes\)"),
        (_truncate, r"scan 3\.png cannot be read as an image"),
        (_shrink, r"scan 3\.png has 9x9 pixels but label .*scan 3\.png has 24x20"),
        (_flatten, r"scan 3\.png is constant \(every sample is 7\)"),
        (_unknown_value, r"scan 3\.png holds raw values outside the classes: 9\."),
        (_lose_label, r"image without label: .*scan 3\.png"),
        (_lose_image, r"label without image: .*scan 3\.png"),
        (_single_class, "All 10 labels hold one class only: ground"),
        (_keep_two, "2 image.* too few for three splits"),
    ],
)
def test_bad_scans(
    ingest: Ingest, scans: Path, tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    spoil(scans)
    with pytest.raises(BadInput, match=sentence):
        ingest(kind="paired", source=str(scans), classes=LABELS)
    assert [path.name for path in tmp_path.iterdir()] == [scans.name], "nothing half-written"


def test_all_bad_scans_are_counted(ingest: Ingest, scans: Path) -> None:
    for path in scans.glob("images/scan [0-7].png"):
        path.write_bytes(b"")
    with pytest.raises(
        BadInput,
        match=r"8 of 10 files .* is empty \(0 bytes\).*\(8 of this kind\) All are .* in the log",
    ):
        ingest(kind="paired", source=str(scans), classes=LABELS)


def test_classes_must_be_named(ingest: Ingest, scans: Path) -> None:
    with pytest.raises(BadInput, match="classes is empty.*raw values 0-1"):
        ingest(kind="paired", source=str(scans))


def test_a_file_that_vanishes_is_one_refusal(
    ingest: Ingest, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is read once, so that what is listed and then gone is known before the splits."""
    look = ingest_module.find_out

    def lose_then_look(*arguments: Any) -> Any:
        (scans / "images" / "scan 3.png").unlink()
        return look(*arguments)

    monkeypatch.setattr(ingest_module, "find_out", lose_then_look)
    dataset = ingest(
        kind="paired", source=str(scans), classes=LABELS, elastic_copies=0, max_rejected_share=0.1
    )
    (refusal,) = (dataset.folder / "rejected.jsonl").read_text("utf-8").splitlines()
    assert "scan 3.png" in refusal and "No such file" in refusal
    assert len(list(dataset.entries())) == 9


def test_an_image_that_cannot_be_deformed_keeps_its_words(
    ingest: Ingest, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the second pass: Beam wraps it, but not for the user."""
    monkeypatch.setattr("components.ingest.elastic.MAX_SIDE", 20)
    with pytest.raises(BadInput) as caught:
        ingest(kind="paired", source=str(scans), classes=LABELS)
    assert str(caught.value).endswith("cut the scan into parts, or set elastic_copies=0.")
    assert [path.name for path in tmp_path.iterdir()] == [scans.name], "nothing half-written"


def test_full_disk(
    ingest: Ingest, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x.part"))

    monkeypatch.setattr(transforms, "frame_pieces", refuse)
    with pytest.raises(OSError, match="No space left") as caught:
        ingest(kind="paired", source=str(scans), classes=LABELS)
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == [scans.name]


def test_other_errors_are_left_alone() -> None:
    _restore("RuntimeError: something else [while running 'Read']")


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"kind": "video"}, "kind must be one of dicom, instances, isbi2012"),
        ({"source": "/somewhere"}, "reads no folder"),
        ({"kind": "paired", "source": "/no such folder"}, "/no such folder does not exist"),
        ({"classes": "a"}, "classes must be"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"normalization": "minmax"}, "normalization must be"),
        ({"tile": 100}, "tile must be a multiple of 16"),
        ({"elastic_copies": -1}, "elastic_copies must be in"),
        ({"elastic_sigma_pixels": float("nan")}, "elastic_sigma_pixels must be in"),
        ({"border_sigma": -1.0}, "border_sigma must be in"),
        ({"phantom_size": 8}, "phantom_size must be in"),
        ({"shards": 0}, "shards must be in"),
        ({"workers": 0}, "workers must be in"),
        ({"split_rule": "group"}, "needs group_column"),
        ({"attribute_columns": "name=who"}, "attribute_columns must be attribute=column"),
        ({"attribute_columns": "site=x", "kind": "dicom"}, "is not for kind=dicom"),
        ({"spacing_mm": -1.0}, "spacing_mm must be in"),
        ({"intensity": "bright"}, "intensity must be"),
        ({"intensity": "40/0"}, "intensity must be"),
        ({"volumes": "0,1,2,3"}, "volumes must be"),
        ({"include_burned_in": "faces"}, "include_burned_in must hold only"),
        ({"plane": "oblique"}, "plane must be"),
        ({"low_percentile": 60.0}, "low_percentile must be"),
        ({"high_percentile": 40.0}, "high_percentile must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_parameters(ingest: Ingest, parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        ingest(**parameters)


def test_unknown_runner(ingest: Ingest) -> None:
    with pytest.raises(BadInput, match="NoSuchRunner"):
        ingest(runner="NoSuchRunner", phantom_images=3, phantom_size=32)
