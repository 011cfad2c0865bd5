"""Ingest from a real MinIO and into it: a case at a time in, shards out, the same records."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.ingest import ingest as ingest_module
from components.ingest import remote
from components.ingest.ingest import IngestConfig, ingest_source
from tests.components.ingest.conftest import save_pair
from tests.dicom_phantoms import KEY, disc, make, save, segment
from tests.services.minio import StoreServer
from thimble.artifact import finish
from thimble.patches import AugmentationConfig, training_batches
from thimble.records import SPLITS, Dataset, load_dataset, read_records
from thimble.stage import BadInput, flat_fields, start
from thimble.store import open_store

pytestmark = pytest.mark.services
Ingest = Callable[..., Dataset]
SCANS = 10
# Of the hippocampus those with a lower number.
VOLUMES = 40


@pytest.fixture
def bucket(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the data sets; this process may do everything there."""
    for name, value in store_server.environment().items():
        monkeypatch.setenv(name, value)
    return "s3://datasets"


@pytest.fixture
def scans(tmp_path: Path, bucket: str) -> str:
    """Ten scans with patients, in the store and in a folder of this test."""
    folder = tmp_path / "scans"
    rows = ["name,patient"]
    for index in range(SCANS):
        label = np.zeros((20, 24), np.uint8)
        label[4:12, 3 + index : 10 + index] = 1
        noise = np.random.default_rng(index).integers(0, 90, label.shape)
        save_pair(folder, f"scan {index}", (noise + 100 * label).astype(np.uint8), label)
        rows.append(f"scan {index},p{index // 2}")
    (folder / "index.csv").write_text("\n".join(rows), "utf-8")
    store = open_store(f"{bucket}/{tmp_path.name}")
    for path in folder.rglob("*.*"):
        store.upload(path, path.relative_to(folder).as_posix())
    return f"{bucket}/{tmp_path.name}"


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    """Runs ingest on the scans with flat parameters."""
    numbers = iter(range(1000))
    scans = {"kind": "paired", "classes": "a=0;b=1", "elastic_copies": 1}

    def run_ingest(**parameters: Any) -> Dataset:
        out = tmp_path / f"data set {next(numbers)}"
        given = flat_fields(IngestConfig) | scans | parameters
        with start("ingest", IngestConfig, given) as run:
            write, figures = ingest_source(run.config, run)
            finish(run, write, out, figures)
        return load_dataset(out)

    return run_ingest


def _records(dataset: Dataset) -> list[tuple[str, int, bytes]]:
    return [
        (record.id, record.copy, record.image.tobytes())
        for split in SPLITS
        for record in read_records(dataset, split, originals_only=False)
    ]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_same_records_from_the_store(
    ingest: Ingest, scans: str, tmp_path: Path, workers: int
) -> None:
    grouped = {"split_rule": "group", "group_column": "patient"}
    here = ingest(source=str(tmp_path / "scans"), **grouped)
    there = ingest(source=scans, workers=workers, **grouped)
    assert list(here.entries()) == list(there.entries())
    assert _records(here) == _records(there)
    assert there.spec["source_digest"] == open_store(scans).listing_digest()


def _put(folder: Path, bucket: str) -> str:
    """Copy a folder into the store; return its address there."""
    store = open_store(f"{bucket}/{folder.parent.name}-{folder.name}")
    for path in folder.rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(folder).as_posix())
    return f"{bucket}/{folder.parent.name}-{folder.name}"


def _same_from_the_store(
    ingest: Ingest, folder: Path, bucket: str, parameters: dict[str, Any]
) -> Dataset:
    """Compare what is read from a folder with what is read from its copy in the store."""
    here = ingest(source=str(folder), **parameters)
    there = ingest(source=_put(folder, bucket), **parameters)
    assert list(here.entries()) == list(there.entries())
    assert _records(here) == _records(there)
    rejected = [
        [
            json.loads(line)["reason"]
            for line in (each.folder / "rejected.jsonl").read_bytes().splitlines()
        ]
        for each in (here, there)
    ]
    assert rejected[0] == rejected[1]
    return there


def test_dicom_from_the_store(
    ingest: Ingest, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", KEY)
    for number in range(8):
        folder = tmp_path / "studies" / f"study {number}"
        discs = [disc(place, 900 + number) for place in range(6)]
        images = [make(disc, "t1", place, f"p{number}") for place, disc in enumerate(discs)]
        for place, image in enumerate(images):
            # Longer than what is looked into at first.
            image.add_new((0x0029, 0x0010), "LO", "A VENDOR")
            image.add_new((0x0029, 0x1001), "OB", bytes(100_000 if number == 2 else 10))
            save(image, folder / f"{(place * 5 + 3) % 6}.dcm")
        save(segment(images, {1: [pixels > 600 for pixels in discs]}), folder / "segments")
    (folder / "empty.dcm").write_bytes(b"")
    given = {"kind": "dicom", "split_rule": "group", "tile": 32}
    found = _same_from_the_store(ingest, tmp_path / "studies", bucket, given)
    assert len(list(found.entries())) == 48
    assert b"is empty" in (found.folder / "rejected.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("dicom_pydicom", {"kind": "dicom", "labels": "none", "split_rule": "hash"}),
        ("hippocampus/dev", {"kind": "nifti", "classes": "a=0;b=1;c=2", "split_rule": "group"}),
    ],
)
def test_real_medical_scans_from_the_store(
    ingest: Ingest,
    bucket: str,
    tmp_path: Path,
    shared_data: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    parameters: dict[str, Any],
) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", KEY)
    folder = tmp_path / "scans"
    for file in sorted(shared_data(name).rglob("*")):
        number = re.search(r"hippocampus_(\d+)", file.name)
        if file.is_file() and (not number or int(number[1]) < VOLUMES):
            target = folder / file.relative_to(shared_data(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    given = {"elastic_copies": 0, "max_rejected_share": 0.9, **parameters}
    found = _same_from_the_store(ingest, folder, bucket, given)
    assert len(list(found.entries())) > 40


def test_at_most_one_case_is_on_this_machine(
    ingest: Ingest, scans: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    read, most = remote.RemoteReader.read, []

    def watch(self: Any, case: Any) -> Any:
        for found in read(self, case):
            most.append(len(list(temporary.glob("thimble-case-*/*/*.png"))))
            yield found

    monkeypatch.setattr(remote.RemoteReader, "read", watch)
    ingest(source=scans)
    assert most == [2] * SCANS, "an image and its label"
    assert list(temporary.glob("thimble-*")) == []


def test_what_vanishes_is_refused_and_what_changes_stops(
    ingest: Ingest, scans: str, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, client = ingest_module.find_out, store_server.client()
    key = scans.removeprefix("s3://datasets/") + "/images/scan 3.png"

    def lose_then_look(*arguments: Any) -> Any:
        client.remove_object("datasets", key)
        return look(*arguments)

    monkeypatch.setattr(ingest_module, "find_out", lose_then_look)
    with pytest.raises(BadInput, match="has changed since the run began"):
        ingest(source=scans, max_rejected_share=0.2)
    monkeypatch.setattr(ingest_module, "check_unchanged", lambda *_: None)
    client.fput_object("datasets", key, __file__)
    dataset = ingest(source=scans, max_rejected_share=0.2)
    (line,) = (dataset.folder / "rejected.jsonl").read_text("utf-8").splitlines()
    refusal = json.loads(line)
    assert refusal["file"].endswith("images/scan 3.png")
    assert f"{scans}/images/scan 3.png does not exist any more" in refusal["reason"]


def test_nothing_there(ingest: Ingest, bucket: str) -> None:
    with pytest.raises(BadInput, match="holds nothing. Expected a folder of files"):
        ingest(source=f"{bucket}/nothing here")
    with pytest.raises(BadInput, match="source must be a folder, s3:// or gs://"):
        ingest(source="ftp://host/prefix")


def test_shards_in_the_store(
    ingest: Ingest, scans: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_SHARD_CACHE", str(tmp_path / "cache"))
    inside = ingest(source=scans)
    outside = ingest(source=scans, shards_at=f"{bucket}/shards/toy")
    assert not list(outside.folder.glob("*.tfrecord"))
    assert _records(inside) == _records(outside)
    store = open_store(f"{bucket}/shards/toy")
    for uri, entry in outside.spec["objects"].items():
        assert store.sha256(uri.rpartition("/")[2]) == entry["sha256"]
    batches = [
        training_batches(each.folder, each.spec, AugmentationConfig(patch_size=16), 4, 1).take(20)
        for each in (inside, outside)
    ]
    for (one, _), (other, _) in zip(*batches, strict=True):
        assert np.array_equal(one, other)
    again = ingest(source=scans, shards_at=f"{bucket}/shards/toy")
    assert again.spec["shards"] == outside.spec["shards"], "named by content: there once"
