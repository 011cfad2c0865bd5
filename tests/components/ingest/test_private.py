"""Nothing of a patient leaves: a run on phantoms full of identifiers, and a search for them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from components.ingest.ingest import IngestConfig, ingest_source
from tests import dicom_phantoms as phantoms
from tests.dicom_phantoms import disc, make, save
from thimble.artifact import finish
from thimble.records import load_dataset
from thimble.stage import BadInput, flat_fields, start

# Two patients, and everyone and everything around them: no word of it may leave.
WORDS = (
    "Quixotez", "Wimbledonix", "MRN4711807", "MRN9922331", "19310417", "Dulcineastreet", "Panzavet",
    "Rocinantehospital", "ACC7788123", "Montiel-Ward", "Barataria", "SN55443322", "Sanchonote",
    "Toboso-Study", "Lamancha", "1.2.826.0.1.4711807",
)  # fmt: skip
PATIENTS = (("Quixotez^Alonso", "MRN4711807"), ("Wimbledonix^Aldonza", "MRN9922331"))


def _identify(data: Dataset, name: str, number: str) -> None:
    """Write identifiers wherever they fit: PS3.15 Table E.1-1, sequences, private elements."""
    data.PatientName, data.PatientID, data.PatientBirthDate = name, number, "19310417"
    data.PatientAddress, data.OtherPatientIDs = "1 Dulcineastreet", [number, "MRN9922331"]
    data.ReferringPhysicianName = data.OperatorsName = "Panzavet^Sancho"
    data.InstitutionName, data.StationName = "Rocinantehospital", "Barataria"
    data.InstitutionalDepartmentName, data.AccessionNumber = "Montiel-Ward", "ACC7788123"
    data.DeviceSerialNumber, data.StudyDescription = "SN55443322", f"Toboso-Study {name}"
    data.SeriesDescription = data.ProtocolName = data.ImageComments = f"Sanchonote {name}"
    data.StudyID, data.PatientComments = "Toboso-Study", "Lamancha"
    data.Manufacturer, data.ManufacturerModelName = f"Maker of {name}", "Quixotez"
    data.BodyPartExamined = "WIMBLEDONIX"
    other, inner = Dataset(), Dataset()
    inner.PatientName, inner.PatientID = name, number
    other.PatientID, other.ReferencedPatientSequence = number, Sequence([inner])
    data.OtherPatientIDsSequence = Sequence([other])
    data.RequestAttributesSequence = Sequence([inner])
    block = data.private_block(0x0099, "Rocinantehospital", create=True)
    block.add_new(1, "LO", f"{name} {number}")
    block.add_new(2, "SQ", Sequence([inner]))
    data.file_meta.SourceApplicationEntityTitle = "Barataria"


def _write(folder: Path, first: int = 0) -> int:
    """Write two patients and every kind of broken file; return how many images are good."""
    count = 0
    for name, number in PATIENTS:
        home = folder / f"{name} {number}" / "Toboso-Study"
        for series in range(3):
            for place in range(4):
                data = make(disc(first + count), f"s{series}", place, number)
                _identify(data, name, number)
                data.SeriesInstanceUID = f"1.2.826.0.1.4711807.{series}.{count // 12}"
                data.SOPInstanceUID = f"1.2.826.0.1.4711807.{series}.{place}.{count // 12}"
                data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
                path = save(data, home / f"{name}-{series}-{place}.dcm")
                label = Image.fromarray((data.pixel_array > 900).astype(np.uint8))
                label.save(home / f"{data.SOPInstanceUID}.png")
                count += 1
        whole = path.read_bytes()
        (home / f"cut {name}.dcm").write_bytes(whole[:-900])
        (home / f"header {name}.dcm").write_bytes(whole[:700])
        (home / f"text {name}.dcm").write_bytes(name.encode() * 100)
        (home / f"{name}.png").write_bytes(b"no png")
        broken = make(disc(0), "broken", 0, number)
        _identify(broken, name, number)
        raw = save(broken, home / f"number {name}.dcm").read_bytes()
        (home / f"number {name}.dcm").write_bytes(raw.replace(b"\\".join([b"0.5", b"0.75"]),
                                                              b"Quixotez"))  # fmt: skip
        data = make(disc(0), "capture", 1, number, SOPClassUID=phantoms.CAPTURE)
        _identify(data, name, number)
        save(data, home / "capture.dcm")
        (home / f"loop {name}").symlink_to(home)
    return count


def _search(root: Path) -> list[str]:
    """Every (file, word) below a folder, names of files too."""
    found = []
    for path in sorted(root.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        haystack = str(path.relative_to(root)).encode() + b"\n" + content
        for word in WORDS:
            forms = (word, word.lower(), word.upper(), word.title())
            for form in {code for f in forms for code in (f.encode(), f.encode("utf-16-le"))}:
                if form in haystack:
                    found.append(f"{path.relative_to(root)}: {word}")
    return found


def _ingest(out: Path, source: Path, **parameters: Any) -> None:
    """Run the stage as its component does."""
    arguments = {"kind": "dicom", "source": str(source), "split_rule": "group", "elastic_copies": 1}
    arguments |= {"classes": "rest=0;disc=1", "validation_share": 0.2, "test_share": 0.2}
    with start("ingest", IngestConfig, flat_fields(IngestConfig) | arguments | parameters) as run:
        write, figures = ingest_source(run.config, run)
        finish(run, write, out / "dataset", figures)


@pytest.fixture
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where all that a run writes goes."""
    out = tmp_path / "run"
    for name in ("THIMBLE_STATE", "THIMBLE_CHECKPOINTS"):
        (out / name).mkdir(parents=True)
        monkeypatch.setenv(name, str(out / name))
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", phantoms.KEY)
    return out


def test_no_identifier_leaves(
    tmp_path: Path, everything: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    count = 0
    for copy in range(4):  # patients enough for three splits, and names enough for a leak
        count += _write(scans / f"Lamancha {copy}", count)
        for path in (scans / f"Lamancha {copy}").rglob("*[0-9].dcm"):
            data = pydicom.dcmread(path)
            data.PatientID = f"{data.PatientID}-{copy}"
            data.SeriesInstanceUID += f".{copy}"
            label = path.parent / f"{data.SOPInstanceUID}.png"
            data.SOPInstanceUID += f".{copy}"
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            label.rename(path.parent / f"{data.SOPInstanceUID}.png")
            save(data, path)
    _ingest(everything, scans, max_rejected_share=0.9)
    dataset = load_dataset(everything / "dataset")
    entries = list(dataset.entries())
    assert len(entries) == count
    assert len({entry.group for entry in entries}) == 8
    assert all(entry.group.startswith("patient-") for entry in entries)
    where: dict[str, set[str]] = {}
    for entry in entries:
        where.setdefault(entry.group, set()).add(entry.split)
        assert set(entry.attributes) >= {"site", "manufacturer", "modality"}
    assert all(len(splits) == 1 for splits in where.values())
    assert dataset.spec["rejected"] > 30
    with pytest.raises(BadInput, match="max_rejected_share") as caught:
        _ingest(everything / "failed", scans, max_rejected_share=0.0)
    said = "".join(capfd.readouterr()) + str(caught.value)
    (everything / "said.log").write_text(said.replace(str(scans), ""), encoding="utf-8")
    assert not _search(everything)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    _write(tmp_path)
    assert {line.rpartition(": ")[2] for line in _search(tmp_path)} == set(WORDS)


def test_no_identifier_is_printed_by_data_check(tmp_path: Path, everything: Path) -> None:
    _write(tmp_path / "scans")
    command = [sys.executable, "-m", "pipelines.cli", "data", "check", "."]
    done = subprocess.run(
        command, cwd=tmp_path / "scans", capture_output=True, text=True, check=False
    )
    everything.joinpath("said.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    assert "2 patients" in done.stdout
    assert not _search(everything)


def test_equal_patients_share_a_name_under_one_key_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thimble.datasets import open_source
    from thimble.datasets.source import SourceOptions

    for patient, series in (("a", "one"), ("a ", "two"), ("b", "three")):
        save(make(disc(0), series, 0, patient), tmp_path / f"{series}.dcm")
    groups = []
    for key in (phantoms.KEY, phantoms.KEY + "!"):
        monkeypatch.setenv("THIMBLE_PATIENT_KEY", key)
        reader = open_source("dicom", SourceOptions(source=str(tmp_path), labels="none"))
        groups.append([case.group for case in reader.cases()[0]])
    assert [len(set(names)) for names in groups] == [2, 2]
    assert not set(groups[0]) & set(groups[1])
    with pytest.raises(TypeError, match="does not leave"):
        import pickle

        from thimble.datasets.privacy import open_pseudonyms

        pickle.dumps(open_pseudonyms())
