"""Attributes of images from columns of index.csv."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from thimble.datasets import open_source
from thimble.datasets.index_table import parse_columns, read_attributes
from thimble.datasets.source import SourceOptions
from thimble.stage import BadInput


def test_columns() -> None:
    assert parse_columns("") == {}
    assert parse_columns("site=hospital; manufacturer = vendor") == {
        "site": "hospital",
        "manufacturer": "vendor",
    }
    for wrong in ("site", "site=", "=x", "name=patient", "site=a;site=b"):
        with pytest.raises(BadInput, match="attribute_columns must be .*site, manufacturer"):
            parse_columns(wrong)


def test_rows_by_stem_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(
        "file,hospital,vendor\na.png, north ,Acme\nsub/b.PNG,,Acme\nc,south,\n"
    )
    assert read_attributes(str(tmp_path), "site=hospital;manufacturer=vendor") == {
        "a": {"site": "north", "manufacturer": "Acme"},
        "b": {"manufacturer": "Acme"},
        "c": {"site": "south"},
    }
    assert read_attributes(str(tmp_path / "absent"), "") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,vendor\na,b\n", r"has the columns file, vendor. Expected 'hospital' \(attribute_"),
        (f"file,hospital\na,{'x' * 65}\n", "at most 64 printable characters.*image='a', length=65"),
        ("file,hospital\na,x\x07\n", "at most 64 printable characters"),
    ],
)
def test_tables_that_do_not_do(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(BadInput, match=words):
        read_attributes(str(tmp_path), "site=hospital")


def test_table_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"index.csv is missing.*'hospital' \(attribute_columns\)"):
        read_attributes(str(tmp_path), "site=hospital")


def test_sample_tells_its_row(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "index.csv").write_text("file,hospital\na.png,north\n")
    options = SourceOptions(str(tmp_path), attribute_columns="site=hospital")
    reader = open_source("instances", options)
    cases, _ = reader.cases()
    # A worker gets the reader without what it has read.
    for each in (reader, open_source("instances", options)):
        found = {case.id: dict(next(each.read(case)).attributes) for case in cases}
        assert found == {"a": {"site": "north"}, "b": {}}


def test_slices_tell_the_row_of_their_volume(tmp_path: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
        values = np.arange(24, dtype=np.uint8).reshape(4, 3, 2) % 5
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / folder / "a.nii.gz")
    (tmp_path / "index.csv").write_text("file,hospital\na.nii.gz,north\n")
    reader = open_source("nifti", SourceOptions(str(tmp_path), attribute_columns="site=hospital"))
    (case,), _ = reader.cases()
    kinds = [dict(sample.attributes) for sample in reader.read(case)]
    assert kinds == [{"site": "north", "slice_thickness": "1"}] * 2


def test_phantom_has_no_table() -> None:
    with pytest.raises(BadInput, match="leave group_column and attribute_columns empty"):
        open_source("phantom_nuclei", SourceOptions(attribute_columns="site=hospital"))


def test_kinds_of_real_scans(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("dsb2018_nuclei") / "dev"
    found = read_attributes(str(folder), "site=kind")
    cases, _ = open_source("instances", SourceOptions(str(folder))).cases()
    assert {case.id for case in cases} == set(found)
    assert {each["site"] for each in found.values()} == {"grey", "rgb"}
