"""Bad DICOM files: each is refused alone, with a reason and without a name."""

import csv
import gzip
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    JPEG2000Lossless,
)

from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import disc, make, read, save, save_series
from thimble.datasets import open_source
from thimble.datasets.source import Refusal, SourceOptions
from thimble.datasets.volume_options import VolumeConfig
from thimble.stage import BadInput


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)


ALL = "annotated,secondary_capture,ultrasound,text"


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
