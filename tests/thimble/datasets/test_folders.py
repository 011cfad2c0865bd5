"""Which label belongs to which image, and which patient."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thimble.datasets import open_source
from thimble.datasets.folders import natural_order
from thimble.datasets.source import Case, Refusal, SourceOptions
from thimble.stage import BadInput


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(path)


def _listed(
    folder: Path, kind: str = "paired", group: str = "", labels: str = "required"
) -> tuple[list[Case], list[Refusal]]:
    return open_source(kind, SourceOptions(str(folder), group, labels)).cases()


def _cases(folder: Path, kind: str = "paired", group: str = "") -> list[Case]:
    cases, refused = _listed(folder, kind, group)
    assert not refused
    return cases


def test_natural_order() -> None:
    assert sorted(["s10", "s9", "a 2", "s9b"], key=natural_order) == ["a 2", "s9", "s9b", "s10"]


@pytest.mark.parametrize("layout", [("images", "labels"), ("image", "label")])
def test_matched_by_stem(tmp_path: Path, layout: tuple[str, str]) -> None:
    images, labels = layout
    _touch(tmp_path, f"{images}/s10.png", f"{images}/s9.JPG", f"{labels}/s10.tif")
    _touch(tmp_path, f"{labels}/s9.png")
    (tmp_path / images / ".hidden.png").write_bytes(b"")
    (tmp_path / images / "notes.txt").write_text("x")
    assert [case.id for case in _cases(tmp_path)] == ["s9", "s10"]


def test_names_of_any_language(tmp_path: Path) -> None:
    """A macOS archive holds decomposed letters."""
    name = "Zürich scan 1"
    _touch(tmp_path, f"images/{unicodedata.normalize('NFD', name)}.png", f"labels/{name}.png")
    assert [case.id for case in _cases(tmp_path)] == [name]


def test_isbi_layouts(tmp_path: Path) -> None:
    _touch(tmp_path, "train/image/0.png", "train/label/0.png", "test/5.png")
    assert len(_cases(tmp_path, "isbi2012")) == 1
    assert len(_cases(tmp_path / "train", "isbi2012")) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("images/b.png", "image without label: .*b.png"),
        ("labels/c.png", "label without image: .*c.png"),
    ],
)
def test_one_without_the_other_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    _touch(tmp_path, "images/a.png", "labels/a.png", name)
    cases, refused = _listed(tmp_path)
    assert [case.id for case in cases] == ["a"]
    assert [refusal.file for refusal in refused] == [name]
    assert re.search(reason, refused[0].reason)


def test_equal_stems_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "images/a.png", "images/a.tif", "labels/a.png", "images/b.png", "labels/b.png")
    cases, refused = _listed(tmp_path)
    assert [case.id for case in cases] == ["b"]
    files = ["images/a.png", "images/a.tif", "labels/a.png"]
    assert sorted(refusal.file for refusal in refused) == files
    assert "a.png and" in refused[0].reason and "have the same stem" in refused[0].reason


def test_no_layout(tmp_path: Path) -> None:
    _touch(tmp_path, "scans/a.png")
    with pytest.raises(BadInput, match="has no images/ .* It holds: scans"):
        _cases(tmp_path)


def test_images_without_labels(tmp_path: Path) -> None:
    _touch(tmp_path, "images/ill/a.png", "images/well/b.png")
    (tmp_path / "index.csv").write_text("file,patient\na.png,p1\nb.png,p1\n")
    cases, refused = _listed(tmp_path, "paired", "patient", "none")
    assert [(case.id, case.group) for case in cases] == [("ill/a", "p1"), ("well/b", "p1")]
    assert not refused


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="absent does not exist"):
        _cases(tmp_path / "absent")
    with pytest.raises(BadInput, match="source is empty"):
        open_source("paired", SourceOptions()).cases()
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(BadInput, match="holds no images"):
        _cases(tmp_path)
    with pytest.raises(BadInput, match="Unknown kind.*isbi2012"):
        open_source("video", SourceOptions())


def test_groups(tmp_path: Path) -> None:
    _touch(tmp_path, "images/a.png", "labels/a.png", "images/b.png", "labels/b.png")
    index = tmp_path / "index.csv"
    index.write_text("patient,file\nMüller,a.png\nOtto,b.png\n", "utf-8-sig")
    assert [case.group for case in _cases(tmp_path, group="patient")] == ["Müller", "Otto"]
    assert [case.group for case in _cases(tmp_path)] == ["a", "b"]
    for text, sentence in (
        ("patient,file\nMüller,a.png\n", "names no patient for 1 image.*: b"),
        ("patient,file\nMüller,a.png\n,b.png\n", "names no patient for 1 image.*: b"),
        ("case,age\na,1\n", "has the columns case, age. Expected 'patient'"),
        ("", "has the columns none"),
    ):
        index.write_text(text, "utf-8")
        with pytest.raises(BadInput, match=sentence):
            _cases(tmp_path, group="patient")
    index.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BadInput, match="no UTF-8"):
        _cases(tmp_path, group="patient")
    index.unlink()
    with pytest.raises(BadInput, match=r"index.csv is missing"):
        _cases(tmp_path, group="patient")
