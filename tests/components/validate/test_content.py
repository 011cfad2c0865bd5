"""What a data set must hold by itself: every check that fails says what and where."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.validate.validate import ValidateConfig, examine_dataset
from thimble.artifact import write_json
from thimble.records import FORMAT, Entry, Record, encode_entries, encode_record
from thimble.stage import BadInput, flat_fields, start
from thimble.tfrecord import frame_record

CASES = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
Change = Callable[[dict[str, Any], dict[str, Entry], list[Record]], None]


def _records() -> list[Record]:
    """Originals a-d, and one copy of each training case."""
    records = []
    for index, (case, copy) in enumerate(
        [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0), ("d", 0)]
    ):
        image = np.random.default_rng(index).integers(0, 256, (8, 6, 1), dtype=np.uint8)
        label = (np.arange(48).reshape(8, 6) < 10).astype(np.uint8)
        records.append(Record(case, f"patient {case}", copy, image, label, label))
    return records


def _spec() -> dict[str, Any]:
    """What dataset.json says of them."""
    return {
        "format": FORMAT,
        "name": "tiny",
        "classes": [{"name": "ground", "raw": "0"}, {"name": "cell", "raw": "1"}],
        "channels": 1,
        "bit_depth": 8,
        "tile": 64,
        "normalization": {"kind": "image"},
        "counts": {
            "train": {"images": 2, "copies": 2},
            "validation": {"images": 1, "copies": 0},
            "test": {"images": 1, "copies": 0},
        },
        "pixels": {split: [38 * len(ids), 10 * len(ids)] for split, ids in CASES.items()},
        "labelled": True,
        "smallest_side": 6,
        "border_sigma": 5.0,
        "shards": {split: [f"{split}.tfrecord"] for split in CASES},
    }


def _entries() -> dict[str, Entry]:
    """What cases.jsonl says of them."""
    return {
        case: Entry(case, split, f"patient {case}", hashlib.sha256(case.encode()).hexdigest(),
                    (8, 6), (38, 10))
        for split, ids in CASES.items()
        for case in ids
    }  # fmt: skip


def _write(folder: Path, change: Change | None = None) -> Path:
    spec, entries, records = _spec(), _entries(), _records()
    if change:
        change(spec, entries, records)
    folder.mkdir()
    (folder / "cases.jsonl").write_text("".join(encode_entries(entries.values())), "utf-8")
    for split, ids in CASES.items():
        frames = [frame_record(encode_record(record)) for record in records if record.id in ids]
        (folder / f"{split}.tfrecord").write_bytes(b"".join(frames))
    write_json(folder / "dataset.json", spec)
    return folder


def _failures(folder: Path, **parameters: Any) -> str:
    """Judge a set by itself; return what failed, in words."""
    arguments = flat_fields(ValidateConfig) | parameters
    with start("validate", ValidateConfig, arguments, [folder]) as run:
        checks = examine_dataset(folder, run.config.content, run).checks
    return ". ".join(f"{each.name}: {each.detail}" for each in checks if each.failures)


def test_a_good_set_passes(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    with start("validate", ValidateConfig, flat_fields(ValidateConfig), [folder]) as run:
        examined = examine_dataset(folder, run.config.content, run)
    assert [check.name for check in examined.checks] == [
        "records", "counts", "contrast", "classes", "foreground", "sizes", "duplicates", "groups",
        "patients",
    ]  # fmt: skip
    assert not [check for check in examined.checks if check.failures]
    assert examined.splits == ["train", "train", "validation", "test"]
    assert len(examined.rows) == 4, "copies are not described"
    assert examined.rows[0]["foreground_cell"] == 10 / 48
    assert examined.seen["test"].pixels.tolist() == [38, 10]


def _replace(records: list[Record], place: int, **fields: Any) -> None:
    record = records[place]
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    records[place] = Record(**{**values, **fields})


def _no_label(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    _replace(records, 4, label=np.zeros((8, 6), np.uint8))
    spec["pixels"]["validation"] = [48, 0]


def _constant(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    _replace(records, 5, image=np.full((8, 6, 1), 3, np.uint8))


def _other_shape(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    entries["a"] = replace(entries["a"], shape=(6, 8))


def _unknown_class(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    _replace(records, 1, label=np.full((8, 6), 2, np.uint8))


def _lost_border(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    _replace(records, 3, border=None)


def _deep(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    _replace(records, 0, image=records[0].image.astype(np.uint16))


def _lost_record(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    del records[3]


def _other_pixels(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    spec["pixels"]["test"] = [37, 11]


def _duplicate(spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]) -> None:
    entries["d"] = replace(entries["d"], digest=entries["a"].digest)


def _straddling_patient(
    spec: dict[str, Any], entries: dict[str, Entry], records: list[Record]
) -> None:
    entries["c"] = replace(entries["c"], group="patient a")
    _replace(records, 4, group="patient a")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_no_label, r"^classes: cell is absent from validation. foreground: validation has a f"),
        (_constant, "contrast: d"),
        (
            _other_shape,
            r"records: train.tfrecord: a has shape \(8, 6, 1\), 8 bits; expected \(6, 8",
        ),
        (_unknown_class, "records: train.tfrecord: a has the class 2; expected less than 2"),
        (_lost_border, "b has a border map or lacks it"),
        (_deep, "a has shape .* 16 bits"),
        (_lost_record, "counts: train holds 3 records of 2 images; expected 4 of 2"),
        (_other_pixels, r"counts: test has \[38, 10\] pixels of each class; expected \[37, 11\]"),
        (_duplicate, r"duplicates: d \(test\) = a \(train\)"),
        (_straddling_patient, r"groups: a \(train\) = c \(validation\)"),
    ],
)
def test_failed_checks_stop_the_run(tmp_path: Path, change: Change, sentence: str) -> None:
    folder = _write(tmp_path / "data", change)
    assert re.search(sentence, _failures(folder))


def test_limits(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    said = _failures(folder, min_foreground_share=0.3)
    assert "train has a foreground share of 0.2083; expected 0.3 to" in said
    assert "share of 0.2083; expected 0.001 to 0.2" in _failures(folder, max_foreground_share=0.2)
    said = _failures(folder, min_split_images=2)
    assert "sizes: validation has 1 image(s); expected at least 2" in said
    for parameters in (
        {"min_foreground_share": 0.99},
        {"max_foreground_share": 1.5},
        {"min_split_images": 0},
        {"false_alarm_share": 0.0},
    ):
        with pytest.raises(BadInput, match="must"):
            _failures(folder, **parameters)


def test_damaged_shard(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    shard = folder / "test.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-3])
    assert re.search(r"records: .*test\.tfrecord is damaged \(record 0\)", _failures(folder))
    shard.unlink()
    assert re.search(r"records: .*test\.tfrecord cannot be read", _failures(folder))


def test_incomplete_description(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data", lambda spec, *_: spec.pop("pixels"))
    with pytest.raises(BadInput, match="must hold .*lacks=.'pixels'"):
        _failures(folder)
