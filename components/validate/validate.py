"""Validate: does a data set hold what its description says, and is it fit for training?"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.artifact import write_json
from thimble.records import SPLITS, Dataset, Entry, Record, decode_record, load_dataset
from thimble.stage import BadInput, Run, require
from thimble.tfrecord import read_frames

__all__ = ["ValidateConfig", "validate_dataset"]

SHOWN = 3
# Name, failures and praise of a check; cases of each split by id.
Check = tuple[str, list[str], str]
Entries = Mapping[str, Mapping[str, Entry]]
READ = ("border_sigma", "pixels")


@dataclass(frozen=True)
class ValidateConfig:
    """What a data set must hold.

    Attributes:
        min_foreground_share: Least share of foreground pixels in each split, in [0, 1].
        max_foreground_share: Largest share of foreground pixels in each split, in [0, 1].
        min_split_images: Least number of images in each split, >= 1.
    """

    min_foreground_share: float = 0.001
    max_foreground_share: float = 0.95
    min_split_images: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high = self.min_foreground_share, self.max_foreground_share
        require(
            0 <= low < high <= 1,
            "0 <= min_foreground_share < max_foreground_share <= 1 must hold",
            min_foreground_share=low,
            max_foreground_share=high,
        )
        require(
            self.min_split_images >= 1,
            "min_split_images must be >= 1",
            min_split_images=self.min_split_images,
        )


@dataclass
class _Seen:
    """What the records of one split held.

    Attributes:
        pixels: Label pixels of each class, originals only.
        copies: Records of each id.
        intensities: Mean intensity of each image, originals only; 1 is the largest.
        constant: Ids of images without contrast.
        broken: Sentences about records that do not match the description.
    """

    pixels: NDArray[np.int64]
    copies: Counter[str] = field(default_factory=Counter)
    intensities: list[float] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def _mismatch(record: Record, spec: Mapping[str, Any], entry: Entry | None) -> str:
    """Return how a record contradicts the description; empty if it does not."""
    if entry is None:
        return "is not a case of this split"
    expected = (*entry.shape, spec["channels"])
    bits = 8 * record.image.dtype.itemsize
    if record.image.shape != expected or bits != spec["bit_depth"]:
        return f"has shape {record.image.shape}, {bits} bits; expected {expected}, " + str(
            spec["bit_depth"]
        )
    if int(record.label.max()) >= len(spec["classes"]):
        return f"has the class {record.label.max()}; expected less than {len(spec['classes'])}"
    if (record.border is not None) != bool(spec["border_sigma"]):
        return "has a border map or lacks it against border_sigma"
    if record.group != entry.group:
        return f"has the group {record.group}; expected {entry.group}"
    return ""


def _read_split(
    dataset: Dataset, split: str, entries: Mapping[str, Entry], tick: Callable[[], None]
) -> _Seen:
    """Read all records of a split in the order of the files."""
    spec = dataset.spec
    seen = _Seen(np.zeros(len(spec["classes"]), np.int64))
    for name in spec["shards"][split]:
        try:
            for record in map(decode_record, read_frames(dataset.folder / name)):
                tick()
                seen.copies[record.id] += 1
                if problem := _mismatch(record, spec, entries.get(record.id)):
                    seen.broken.append(f"{name}: {record.id} {problem}")
                elif record.copy == 0:
                    seen.pixels += np.bincount(record.label.ravel(), minlength=len(seen.pixels))
                    largest = np.iinfo(record.image.dtype).max
                    seen.intensities.append(float(record.image.mean()) / largest)
                    if record.image.min() == record.image.max():
                        seen.constant.append(record.id)
        except BadInput as error:
            seen.broken.append(str(error))
    return seen


def _listed(items: list[str]) -> str:
    """Return the first few items and how many more there are."""
    more = f" (and {len(items) - SHOWN} more)" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more


def _straddling(entries: Entries, key: str) -> list[str]:
    """Return what lies in two splits: cases of one group, or with identical pixels."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for split in SPLITS:
        for case, entry in entries[split].items():
            places[getattr(entry, key)].setdefault(split, case)
    return [
        " = ".join(f"{case} ({split})" for split, case in sorted(found.items()))
        for _, found in sorted(places.items())
        if len(found) > 1
    ]


def _check_records(
    spec: Mapping[str, Any], entries: Entries, seen: Mapping[str, _Seen]
) -> Iterator[Check]:
    """Yield name, failures and praise of every check on the records."""
    broken = [text for split in SPLITS for text in seen[split].broken]
    yield "records", broken, "every record decodes and matches dataset.json"
    counts = []
    for split in SPLITS:
        copies, images = seen[split].copies, spec["counts"][split]["images"]
        total = images + spec["counts"][split]["copies"]
        if set(copies) != set(entries[split]) or copies.total() != total:
            counts.append(
                f"{split} holds {copies.total()} records of {len(copies)} images; expected "
                f"{total} of {images}"
            )
        if not counts and seen[split].pixels.tolist() != spec["pixels"][split]:
            counts.append(f"{split} has {seen[split].pixels.tolist()} pixels of each class; "
                          f"expected {spec['pixels'][split]}")  # fmt: skip
    yield "counts", counts, "images, copies and pixels are as many as dataset.json says"
    constant = [case for split in SPLITS for case in seen[split].constant]
    yield "contrast", constant, "no image is constant"


def _foreground(seen: _Seen) -> float:
    """Return the share of a split's pixels that belong to a class but the first."""
    return float(seen.pixels[1:].sum() / max(seen.pixels.sum(), 1))


def _figures(seen: Mapping[str, _Seen], checks: int) -> dict[str, float]:
    """Return what drift would change: size, foreground and intensity of each split."""
    figures = {"images": sum(float(len(found.copies)) for found in seen.values())}
    for split, found in seen.items():
        figures[f"images_{split}"] = float(len(found.copies))
        figures[f"foreground_{split}"] = _foreground(found)
        figures[f"intensity_mean_{split}"] = float(np.mean(found.intensities))
    return {**figures, "checks": float(checks)}


def _check_classes(
    spec: Mapping[str, Any], seen: Mapping[str, _Seen], config: ValidateConfig
) -> Iterator[Check]:
    """Yield the checks on classes and foreground."""
    names = [entry["name"] for entry in spec["classes"]]
    absent = [
        f"{name} is absent from {split}"
        for split in SPLITS
        for name, count in zip(names, seen[split].pixels.tolist(), strict=True)
        if not count
    ]
    yield "classes", absent, "every class is present in every split"
    low, high = config.min_foreground_share, config.max_foreground_share
    shares = {split: _foreground(seen[split]) for split in SPLITS}
    outside = [
        f"{split} has a foreground share of {share:.4f}; expected {low} to {high}"
        for split, share in shares.items()
        if not low <= share <= high
    ]
    told = ", ".join(f"{split} {share:.4f}" for split, share in shares.items())
    yield "foreground", outside, f"foreground shares: {told}"


def _check_splits(entries: Entries, config: ValidateConfig) -> Iterator[Check]:
    """Yield the checks on who lies where."""
    sizes = {split: len(entries[split]) for split in SPLITS}
    small = [
        f"{split} has {size} image(s); expected at least {config.min_split_images}"
        for split, size in sizes.items()
        if size < config.min_split_images
    ]
    told = ", ".join(f"{split} {size}" for split, size in sizes.items())
    yield "sizes", small, f"images: {told}"
    yield "duplicates", _straddling(entries, "digest"), "no image lies in two splits"
    yield "groups", _straddling(entries, "group"), "no group lies in two splits"


FIXES = {
    "records": "run ingest again",
    "counts": "run ingest again",
    "contrast": "remove these images and their labels",
    "classes": "change the split, or drop the class from the parameter classes",
    "foreground": "check the labels, or change min_foreground_share and max_foreground_share",
    "sizes": "add images, or change validation_share and test_share",
    "duplicates": "remove the copies, or use split_rule=hash, which keeps them together",
    "groups": "use split_rule=group with group_column",
}


def validate_dataset(
    dataset_path: str | Path, config: ValidateConfig, run: Run
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Check a Dataset artifact, reading every record once.

    Args:
        dataset_path: The artifact.
        config: What it must hold.
        run: Progress.

    Returns:
        A function that writes `validation.json` into a folder, and figures: images, checks, and
        images, foreground and intensity_mean of each split.

    Raises:
        BadInput: If a check fails: all that failed, and how to mend each.
    """
    dataset = load_dataset(dataset_path)
    spec = dataset.spec
    absent = [name for name in READ if name not in spec]
    require(not absent, f"dataset.json must hold {', '.join(READ)}: run ingest again", lacks=absent)
    total = sum(sum(count.values()) for count in spec["counts"].values())
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        run.progress(min(done, total), total)

    entries: dict[str, dict[str, Entry]] = {split: {} for split in SPLITS}
    for entry in dataset.entries():
        entries[entry.split][entry.id] = entry
    seen = {split: _read_split(dataset, split, entries[split], tick) for split in SPLITS}
    checks = [
        *_check_records(spec, entries, seen),
        *_check_classes(spec, seen, config),
        *_check_splits(entries, config),
    ]
    failed = [f"{name}: {_listed(bad)}. Fix: {FIXES[name]}" for name, bad, _ in checks if bad]
    if failed:
        raise BadInput(
            f"Data set {spec.get('name')} failed {len(failed)} of {len(checks)} checks. "
            + ". ".join(failed)
            + "."
        )
    verdict = {
        "passed": True,
        "checks": [{"name": n, "passed": True, "detail": told} for n, _, told in checks],
    }
    figures = _figures(seen, len(checks))
    return lambda folder: write_json(folder / "validation.json", verdict), figures
