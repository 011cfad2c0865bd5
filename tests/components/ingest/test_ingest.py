"""Scans in, records out: exact content, equal bytes on every run, real scans."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.ingest.border import border_map, find_instances
from thimble.patches import AugmentationConfig, training_batches
from thimble.records import SPLITS, Dataset, read_records
from thimble.stage import BadInput

Ingest = Callable[..., Dataset]


def _digests(dataset: Dataset) -> dict[str, str]:
    """Every file but the history, which names the parameters."""
    files = [path for path in dataset.folder.iterdir() if path.name != "history.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _cases(dataset: Dataset) -> dict[str, list[str]]:
    """The ids of each split."""
    return {s: [e.id for e in dataset.entries() if e.split == s] for s in SPLITS}


def _read(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def test_records_hold_the_scans(ingest: Ingest, scans: Path) -> None:
    dataset = ingest(
        kind="paired", source=str(scans), classes="ground=0;lesion=1", elastic_copies=2, shards=3
    )
    spec = dataset.spec
    assert _cases(dataset)["train"] == [f"scan {number}" for number in range(7)]
    assert _cases(dataset)["validation"] == ["scan 7"]
    assert spec["counts"]["train"] == {"images": 7, "copies": 14}
    assert [len(spec["shards"][split]) for split in ("train", "validation", "test")] == [3, 1, 2]
    images, labels = [], []
    for record in read_records(dataset, "train"):
        images.append(_read(scans / "images" / f"{record.id}.png"))
        labels.append(_read(scans / "labels" / f"{record.id}.png"))
        assert np.array_equal(record.image[..., 0], images[-1])
        assert np.array_equal(record.label, labels[-1])
        instances = find_instances(record.label, record.label, "foreground")
        assert record.border is not None
        assert np.array_equal(record.border, border_map(instances, 5.0))
    assert spec["pixels"]["train"] == np.bincount(np.ravel(labels)).tolist()
    assert abs(spec["normalization"]["mean"][0] - np.mean(images) / 255) < 1e-12
    assert abs(spec["normalization"]["std"][0] - np.std(images) / 255) < 1e-12
    everything = list(read_records(dataset, "train", originals_only=False))
    assert [record.copy for record in everything[:4]] == [0, 1, 2, 0]
    assert not np.array_equal(everything[0].image, everything[1].image)
    assert {record.copy for record in read_records(dataset, "test", False)} == {0}
    assert sorted(path.name for path in dataset.folder.iterdir()) == sorted(
        [
            "cases.jsonl",
            "dataset.json",
            "history.json",
            "rejected.jsonl",
            *sum(spec["shards"].values(), []),
        ]
    )


def test_two_runs_write_the_same_bytes(ingest: Ingest) -> None:
    parameters = {"phantom_images": 6, "phantom_size": 48, "kind": "phantom_nuclei"}
    first = _digests(ingest(**parameters))
    assert first == _digests(ingest(**parameters))
    assert first != _digests(ingest(**parameters, seed=2))


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(ingest: Ingest) -> None:
    parameters = {"phantom_images": 6, "phantom_size": 48}
    one, two = ingest(**parameters), ingest(**parameters, workers=2)
    assert _digests(one) == _digests(two)


def test_mixed_depth_and_colour(ingest: Ingest, scans: Path) -> None:
    """8-bit images of a 16-bit set are scaled by 257, colour becomes luma."""
    deep = np.random.default_rng(0).integers(0, 65536, (20, 24)).astype(np.uint16)
    Image.fromarray(deep).save(scans / "images" / "scan 0.png")
    grey = _read(scans / "images" / "scan 1.png")
    Image.fromarray(np.dstack([grey] * 3)).save(scans / "images" / "scan 1.png")
    dataset = ingest(kind="paired", source=str(scans), classes="a=0;b=1", elastic_copies=0)
    assert dataset.spec["bit_depth"] == 16
    first, second = list(read_records(dataset, "train"))[:2]
    assert first.image.dtype == second.image.dtype == np.uint16
    assert np.array_equal(first.image[..., 0], deep)
    assert np.array_equal(second.image[..., 0], grey.astype(np.uint16) * 257)


def test_three_channels_and_own_statistics(ingest: Ingest, scans: Path) -> None:
    dataset = ingest(
        kind="paired", source=str(scans), classes="a=0;b=1", channels=3, normalization="image",
        elastic_copies=1, border_sigma=0.0,
    )  # fmt: skip
    record = next(read_records(dataset, "test"))
    assert record.image.shape == (20, 24, 3)
    assert record.border is None
    assert dataset.normalization == {"kind": "image"}


def test_groups_and_names(ingest: Ingest, scans: Path) -> None:
    rows = [f"scan {number},p{number // 2}" for number in range(10)]
    (scans / "index.csv").write_text("\n".join(["name,patient", *rows]), "utf-8")
    dataset = ingest(
        kind="paired", source=str(scans), classes="a=0;b=1", split_rule="group",
        group_column="patient", name="liver", terms="CC0", source_digest="d1g3st",
    )  # fmt: skip
    spec = dataset.spec
    patients = [{e.group for e in dataset.entries() if e.split == name} for name in SPLITS]
    assert sum(map(len, patients)) == 5
    assert (spec["name"], spec["terms"], spec["source_digest"]) == ("liver", "CC0", "d1g3st")
    assert next(read_records(dataset, "test")).group in patients[0] | patients[1] | patients[2]


def test_rejected_files_are_listed(ingest: Ingest, scans: Path) -> None:
    (scans / "images" / "scan 3.png").write_bytes(b"")
    (scans / "labels" / "scan 5.png").unlink()
    dataset = ingest(
        kind="paired", source=str(scans), classes="a=0;b=1", elastic_copies=0,
        max_rejected_share=0.2,
    )  # fmt: skip
    lines = (dataset.folder / "rejected.jsonl").read_text("utf-8").splitlines()
    first, second = map(json.loads, lines)
    assert first["file"] == "images/scan 3.png" and "is empty (0 bytes)" in first["reason"]
    assert second["file"] == "images/scan 5.png" and "image without label" in second["reason"]
    assert dataset.spec["rejected"] == 2
    assert dataset.spec["rejected_reasons"] == {
        "* is empty (* bytes)": 1,
        "image without label: *": 1,
    }
    assert sum(count["images"] for count in dataset.spec["counts"].values()) == 8


def test_images_without_labels(ingest: Ingest, scans: Path) -> None:
    shutil.rmtree(scans / "labels")
    dataset = ingest(kind="paired", source=str(scans), labels="none", elastic_copies=0)
    assert dataset.spec["labelled"] is False
    assert sum(count["images"] for count in dataset.spec["counts"].values()) == 10
    with pytest.raises(BadInput, match="has no labels.*labels=required"):
        training_batches(dataset.folder, dataset.spec, AugmentationConfig(patch_size=16), 1, 1)


def test_isbi2012(ingest: Ingest, shared_data: Callable[[str], Path]) -> None:
    source = shared_data("isbi2012")
    dataset = ingest(kind="isbi2012", source=str(source), elastic_copies=0)
    cases = _cases(dataset)
    assert cases["train"] == [f"{number:02d}" for number in range(21)]
    assert cases["validation"] == ["21", "22", "23"]
    assert cases["test"] == [f"{number:02d}" for number in range(24, 30)]
    assert dataset.classes == ["cell", "membrane"]
    pixels = np.sum(list(dataset.spec["pixels"].values()), axis=0)
    assert abs(pixels[1] / pixels.sum() - 0.220) < 0.001
    record = next(read_records(dataset, "test"))
    label = _read(source / "train" / "label" / "24.png")
    assert np.array_equal(record.label, (label == 0).astype(np.uint8))
    assert record.border is not None
    assert record.border[label == 0].mean() > 100, "membranes lie between cells"


def test_nuclei(ingest: Ingest, shared_data: Callable[[str], Path]) -> None:
    source = shared_data("dsb2018_nuclei/dev")
    dataset = ingest(
        kind="instances", source=str(source), split_rule="hash", elastic_copies=0, border_sigma=0.0
    )
    counts = {split: count["images"] for split, count in dataset.spec["counts"].items()}
    assert counts == {"train": 339, "validation": 49, "test": 97}
    assert sorted({entry.shape for entry in dataset.entries()}) == [
        (256, 256), (256, 320), (260, 347), (360, 360),
    ]  # fmt: skip
    where: dict[str, str] = {}
    for entry in dataset.entries():
        assert where.setdefault(entry.digest, entry.split) == entry.split
