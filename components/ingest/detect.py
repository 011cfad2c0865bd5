"""What kind of data set a folder holds, from names and first bytes."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thimble.datasets.isbi2012 import Isbi2012Reader
from thimble.datasets.paired import PairedReader
from thimble.datasets.pixels import SUFFIXES, read_label
from thimble.datasets.walk import walk_files
from thimble.stage import BadInput

__all__ = ["Guess", "guess_kinds", "suggest_classes"]

VOLUMES = (".nii", ".nii.gz", ".mgh", ".mgz", ".par", ".hdr")
PATIENTS = ("patient_id", "patient", "subject", "subject_id", "case_id")
# More values than this in one label are objects, not classes.
MOST_CLASSES = 16
LABELS_LOOKED_AT = 5


@dataclass(frozen=True)
class Guess:
    """A kind of data that a folder seems to hold.

    Attributes:
        kind: Key of `thimble.datasets.DATASETS`.
        parameters: Other flat parameters of ingest that follow from the folder.
        remark: What a user should know; may be empty.
    """

    kind: str
    parameters: dict[str, str]
    remark: str = ""


def _is_dicom(path: str) -> bool:
    """Return whether a file looks like DICOM."""
    if path.lower().endswith((".dcm", ".ima", ".dcm.gz")):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _count(source: str) -> Counter[str]:
    """Return how many files of each sort there are."""
    found: Counter[str] = Counter()
    for path, trouble in walk_files(source):
        lower = path.lower()
        if trouble:
            continue
        if lower.endswith(VOLUMES):
            found["volumes"] += 1
        elif lower.endswith(SUFFIXES):
            found["images"] += 1
        elif found["dicom"] or _is_dicom(path):
            found["dicom"] += 1
    return found


def _has_layout(source: str, layouts: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """Return the first layout that a folder has."""
    folder = Path(source)
    return next((pair for pair in layouts if all((folder / part).is_dir() for part in pair)), None)


def _patients(source: str) -> tuple[dict[str, str], str]:
    """Return what a table beside the images says of patients, and a remark on its other columns."""
    try:
        with open(Path(source) / "index.csv", newline="", encoding="utf-8-sig") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}, ""
    column = next((name for name in PATIENTS if name in columns), "")
    split = {"split_rule": "group", "group_column": column} if column else {}
    return split, f"index.csv has the columns {', '.join(columns)}"


def _guess_images(source: str) -> Guess:
    """Say what PNG, TIFF or JPEG images are."""
    groups, remark = _patients(source)
    if _has_layout(source, Isbi2012Reader.layouts[:1]):
        return Guess("isbi2012", {})
    layout = _has_layout(source, PairedReader.layouts)
    if not layout:
        words = "images without labels (masks): a network cannot be trained on them, validate can"
        if "label" in remark:
            words += "; the column label names a class of each image, and ingest takes masks only"
        parameters = {"labels": "none", "split_rule": "hash"} | groups
        return Guess("paired", parameters, f"{words}{'; ' + remark if remark else ''}")
    values = _look_at_labels(Path(source) / layout[1])
    if len(values) > MOST_CLASSES:
        return Guess("instances", {"split_rule": "hash"} | groups, remark)
    parameters = {"split_rule": "hash", "classes": suggest_classes(values)} | groups
    return Guess("paired", parameters, remark)


def _look_at_labels(folder: Path) -> list[int]:
    """Return the values of a few labels."""
    found: set[int] = set()
    names = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    for path in names[:: max(1, len(names) // LABELS_LOOKED_AT)]:
        try:
            found |= set(np.unique(read_label(str(path))).tolist())
        except BadInput:
            continue
    return sorted(found)


def suggest_classes(values: list[int]) -> str:
    """Return the parameter `classes` for some raw values; the names are for the user to change."""
    if len(values) < 2:  # noqa: PLR2004
        return ""
    first, *rest = values
    named = [f"class_{value}={value}" for value in rest]
    return ";".join([f"background={first}", *named])


def guess_kinds(source: str) -> Iterator[Guess]:
    """Yield what a folder holds; several if it is mixed.

    Args:
        source: The folder.

    Raises:
        BadInput: If it holds nothing that ingest reads.
    """
    found = _count(source)
    if found["dicom"]:
        yield Guess("dicom", {"split_rule": "group"})
    if found["volumes"]:
        yield Guess("nifti", {"split_rule": "group"})
    if found["images"] and not (found["dicom"] or found["volumes"]):
        yield _guess_images(source)
    if not any(found.values()):
        held = sorted(os.listdir(source))[:10]
        raise BadInput(
            f"{source} holds no scans that ingest reads. It holds: {', '.join(held) or 'nothing'}. "
            "Expected DICOM, NIfTI, or PNG, TIFF or JPEG images."
        )
