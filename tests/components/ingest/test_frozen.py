"""The frozen test set: taken over as it is, and nothing of it is trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.ingest.frozen import Frozen
from components.publish.basis import freeze_dataset
from tests.components.ingest.conftest import save_pair
from thimble.artifact import read_json
from thimble.records import Dataset, load_dataset, read_records
from thimble.stage import BadInput

Ingest = Callable[..., Dataset]
GIVEN: dict[str, Any] = {
    "kind": "paired",
    "classes": "background=0;thing=1",
    "elastic_copies": 1,
    "validation_share": 0.2,
    "test_share": 0.2,
}


def draw(folder: Path, stem: str, seed: int) -> None:
    """Add one scan."""
    label = np.zeros((20, 24), np.uint8)
    label[4:12, 5:12] = 1
    noise = np.random.default_rng(seed).integers(0, 90, label.shape)
    save_pair(folder, stem, (noise + 100 * label).astype(np.uint8), label)


def copy(folder: Path, stem: str, other: str) -> None:
    """Add a scan that has the pixels of another."""
    for part in ("images", "labels"):
        content = (folder / part / f"{stem}.png").read_bytes()
        (folder / part / f"{other}.png").write_bytes(content)


def freeze(dataset: Dataset, folder: Path) -> Path:
    """Make of a data set what a basis keeps of it."""
    freeze_dataset(dataset.folder, folder)
    return folder


def ids(dataset: Dataset, split: str) -> list[str]:
    return [entry.id for entry in dataset.entries() if entry.split == split]


@pytest.fixture
def first(ingest: Ingest, scans: Path) -> Dataset:
    """Eight scans for training and validation, `scan 8` and `scan 9` for the test."""
    return ingest(source=str(scans), **GIVEN)


def test_growing_data(ingest: Ingest, scans: Path, first: Dataset, tmp_path: Path) -> None:
    assert ids(first, "test") == ["scan 8", "scan 9"]
    assert ids(first, "validation") == ["scan 6", "scan 7"]
    frozen = freeze(first, tmp_path / "frozen")
    for index in range(10, 15):
        draw(scans, f"scan {index}", index)
    copy(scans, "scan 9", "scan 15")  # a test image under another name
    second = ingest(frozen, source=str(scans), **GIVEN)

    assert ids(second, "test") == ["scan 8", "scan 9"]
    assert set(ids(first, "train")) < set(ids(second, "train"))
    assert ids(second, "validation") == ["scan 14", "scan 6", "scan 7"]
    assert second.spec["frozen"] == {"images": 2, "known": 8, "new": 5, "excluded": 3}
    shard = second.spec["shards"]["test"][0]
    assert (second.folder / shard).read_bytes() == (first.folder / shard).read_bytes()
    assert second.spec["pixels"]["test"] == first.spec["pixels"]["test"]
    for split in ("train", "validation", "test"):
        assert [record.id for record in read_records(second, split)] == ids(second, split)
    copies = second.spec["counts"]["train"]["copies"]
    assert copies == second.spec["counts"]["train"]["images"] == len(ids(second, "train"))
    test = {entry.digest for entry in second.entries() if entry.split == "test"}
    assert not any(e.digest in test for e in second.entries() if e.split != "test")


def test_new_images_of_a_patient_of_the_test_set_are_left_out(
    ingest: Ingest, scans: Path, tmp_path: Path
) -> None:
    """... also if only another image of that patient tells."""
    given = GIVEN | {"split_rule": "group", "group_column": "patient"}

    def write_index(count: int) -> None:
        rows = [f"scan {index},p{index // 2}" for index in range(count)]
        (scans / "index.csv").write_text("\n".join(["id,patient", *rows]) + "\n", "utf-8")

    write_index(10)
    first = ingest(source=str(scans), **given)
    held = next(entry.group for entry in first.entries() if entry.split == "test")
    frozen = freeze(first, tmp_path / "frozen")
    for index in range(10, 14):
        draw(scans, f"scan {index}", index)
    write_index(14)
    index = (scans / "index.csv").read_text("utf-8")
    number = int(held.removeprefix("p"))
    # Two more images: one of a test patient, and one with its pixels, of "another" patient.
    draw(scans, "late", 99)
    copy(scans, "late", "later")
    draw(scans, "later still", 100)
    more = f"late,p{number}\nlater,p77\nlater still,p77\n"
    (scans / "index.csv").write_text(index + more, encoding="utf-8")
    second = ingest(frozen, source=str(scans), **given)
    used = ids(second, "train") + ids(second, "validation")
    assert not {"late", "later", "later still"} & set(used)
    assert second.spec["frozen"]["excluded"] == 3 + 2
    assert second.spec["frozen"]["new"] == 4


def test_validate_and_a_third_generation(
    ingest: Ingest, scans: Path, first: Dataset, tmp_path: Path
) -> None:
    second = ingest(freeze(first, tmp_path / "1"), source=str(scans), **GIVEN)
    assert second.spec["frozen"]["new"] == 0
    third = ingest(freeze(second, tmp_path / "2"), source=str(scans), **GIVEN)
    for name in ("cases.jsonl", *third.spec["shards"]["test"]):
        assert (third.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert read_json(third.folder / "dataset.json")["frozen"]["excluded"] == 2


def test_nothing_left(ingest: Ingest, first: Dataset, tmp_path: Path, scans: Path) -> None:
    frozen = freeze(first, tmp_path / "frozen")
    only = tmp_path / "only"
    for part in ("images", "labels"):
        (only / part).mkdir(parents=True)
        content = (scans / part / "scan 9.png").read_bytes()
        (only / part / "scan 9.png").write_bytes(content)
    with pytest.raises(BadInput, match="after 1 images of the frozen test set were left out"):
        ingest(frozen, source=str(only), **GIVEN)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"classes": "ground=0;thing=1"}, "classes"),
        ({"channels": 3}, "channels"),
        ({"border_sigma": 0.0}, "border maps"),
    ],
)
def test_other_data_are_refused(
    ingest: Ingest,
    first: Dataset,
    scans: Path,
    tmp_path: Path,
    change: dict[str, Any],
    expected: str,
) -> None:
    frozen = freeze(first, tmp_path / "frozen")
    with pytest.raises(BadInput, match=expected):
        ingest(frozen, source=str(scans), **GIVEN | change)


def test_deeper_images_are_refused(
    ingest: Ingest, first: Dataset, scans: Path, tmp_path: Path
) -> None:
    frozen = freeze(first, tmp_path / "frozen")
    with Image.open(scans / "images" / "scan 0.png") as image:
        deep = np.asarray(image).astype(np.uint16) * 256
    Image.fromarray(deep).save(scans / "images" / "scan 0.png")
    with pytest.raises(BadInput, match="16 bits, the frozen test set has 8"):
        ingest(frozen, source=str(scans), **GIVEN)


def test_a_set_without_a_test_split_is_refused(first: Dataset, tmp_path: Path) -> None:
    frozen = freeze(first, tmp_path / "frozen")
    lines = (frozen / "cases.jsonl").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if '"split": "test"' not in line]
    (frozen / "cases.jsonl").write_text("".join(kept), encoding="utf-8")
    with pytest.raises(BadInput, match="no image in its test split"):
        Frozen(load_dataset(frozen).folder)
