"""Does a data set hold what its description says, and is it fit for training by itself?"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.validate.config import ContentConfig
from thimble.records import SPLITS, Dataset, Entry, Record, decode_record
from thimble.stage import BadInput

__all__ = ["Check", "Entries", "Seen", "account", "check_content", "foreground_share", "read_split"]

SHOWN = 3
# Cases of each split by id.
Entries = Mapping[str, Mapping[str, Entry]]


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        name: What was asked about.
        failures: What is wrong; empty if nothing is.
        praise: What is right if nothing is wrong.
        fix: How to mend it.
    """

    name: str
    failures: list[str]
    praise: str
    fix: str

    @property
    def detail(self) -> str:
        """The first few failures and how many more there are, or the praise."""
        if not self.failures:
            return self.praise
        more = len(self.failures) - SHOWN
        return "; ".join(self.failures[:SHOWN]) + (f" (and {more} more)" if more > 0 else "")


@dataclass
class Seen:
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


def read_split(
    dataset: Dataset,
    split: str,
    entries: Mapping[str, Entry],
    visit: Callable[[Record | None, Entry | None], None],
) -> Seen:
    """Read all records of a split in the order of the files.

    Args:
        dataset: The data set.
        split: train, validation or test.
        entries: Cases of the split by id.
        visit: Called once a record: with the record and its entry if it is an original that
            matches the description, else with None twice.
    """
    spec = dataset.spec
    seen = Seen(np.zeros(len(spec["classes"]), np.int64))
    for name in spec["shards"][split]:
        try:
            for record in map(decode_record, dataset.frames(name)):
                entry = entries.get(record.id)
                seen.copies[record.id] += 1
                problem = _mismatch(record, spec, entry)
                if problem:
                    seen.broken.append(f"{name}: {record.id} {problem}")
                elif record.copy == 0:
                    account(seen, record)
                    visit(record, entry)
                    continue
                visit(None, None)
        except BadInput as error:
            seen.broken.append(str(error))
    return seen


def account(seen: Seen, record: Record) -> None:
    """Add an original to what a split holds."""
    seen.pixels += np.bincount(record.label.ravel(), minlength=len(seen.pixels))
    seen.intensities.append(float(record.image.mean()) / np.iinfo(record.image.dtype).max)
    if record.image.min() == record.image.max():
        seen.constant.append(record.id)


def foreground_share(seen: Seen) -> float:
    """Return the share of a split's pixels that belong to a class but the first."""
    return float(seen.pixels[1:].sum() / max(seen.pixels.sum(), 1))


def check_content(
    spec: Mapping[str, Any],
    entries: Entries,
    seen: Mapping[str, Seen],
    config: ContentConfig,
) -> list[Check]:
    """Answer every question about a data set by itself.

    Args:
        spec: Its `dataset.json`.
        entries: Its cases.
        seen: What the records of each split held.
        config: What it must hold.
    """
    checks = [*_check_records(spec, entries, seen)]
    if spec["labelled"]:
        checks += _check_labels(spec, seen, config)
    return [*checks, *_check_splits(entries, config)]


def _check_records(
    spec: Mapping[str, Any], entries: Entries, seen: Mapping[str, Seen]
) -> Iterator[Check]:
    """Yield the checks on the records."""
    again = "run ingest again"
    broken = [text for split in SPLITS for text in seen[split].broken]
    yield Check("records", broken, "every record decodes and matches dataset.json", again)
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
    praise = "images, copies and pixels are as many as dataset.json says"
    yield Check("counts", counts, praise, again)
    constant = [case for split in SPLITS for case in seen[split].constant]
    yield Check(
        "contrast", constant, "no image is constant", "remove these images and their labels"
    )


def _check_labels(
    spec: Mapping[str, Any], seen: Mapping[str, Seen], config: ContentConfig
) -> Iterator[Check]:
    """Yield the checks on classes and foreground."""
    names = [entry["name"] for entry in spec["classes"]]
    absent = [
        f"{name} is absent from {split}"
        for split in SPLITS
        for name, count in zip(names, seen[split].pixels.tolist(), strict=True)
        if not count
    ]
    fix = "change the split, or drop the class from the parameter classes"
    yield Check("classes", absent, "every class is present in every split", fix)
    low, high = config.min_foreground_share, config.max_foreground_share
    shares = {split: foreground_share(seen[split]) for split in SPLITS}
    outside = [
        f"{split} has a foreground share of {share:.4f}; expected {low} to {high}"
        for split, share in shares.items()
        if not low <= share <= high
    ]
    told = ", ".join(f"{split} {share:.4f}" for split, share in shares.items())
    fix = "check the labels, or change min_foreground_share and max_foreground_share"
    yield Check("foreground", outside, f"foreground shares: {told}", fix)


def _check_splits(entries: Entries, config: ContentConfig) -> Iterator[Check]:
    """Yield the checks on who lies where."""
    sizes = {split: len(entries[split]) for split in SPLITS}
    small = [
        f"{split} has {size} image(s); expected at least {config.min_split_images}"
        for split, size in sizes.items()
        if size < config.min_split_images
    ]
    told = ", ".join(f"{split} {size}" for split, size in sizes.items())
    fix = "add images, or change validation_share and test_share"
    yield Check("sizes", small, f"images: {told}", fix)
    fix = "remove the copies, or use split_rule=hash, which keeps them together"
    yield Check("duplicates", _straddling(entries, "digest"), "no image lies in two splits", fix)
    fix = "use split_rule=group with group_column"
    yield Check("groups", _straddling(entries, "group"), "no group lies in two splits", fix)


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
