"""Which volume is the label of which, in the layouts that are in use."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from thimble.datasets.folders import natural_order
from thimble.datasets.nifti_volume import SUFFIXES
from thimble.datasets.source import Case, Refusal
from thimble.datasets.walk import walk_files

__all__ = ["find_volumes", "stem"]

LABEL = r"labels?|masks?|segs?|segmentations?"
FOLDER = re.compile(rf"^(?:(images?|imgs?)|({LABEL}))(tr|ts)?$", re.IGNORECASE)
START = re.compile(rf"^(?:(images?|imgs?)|({LABEL}))(?:[_-]|$)", re.IGNORECASE)
END = re.compile(rf"(?:^|[_-])(?:(images?|imgs?)|({LABEL}))$", re.IGNORECASE)
CHANNEL = re.compile(r"_(\d{4})$")


def stem(name: str) -> str:
    """Return a file name without the ending of a volume, in NFC."""
    lower = name.lower()
    ending = max((end for end in SUFFIXES if lower.endswith(end)), key=len, default="")
    return unicodedata.normalize("NFC", name[: len(name) - len(ending)])


def _role(path: str) -> tuple[str, str, bool]:
    """Return (image or label, key, whether it is of a test set) of a path below the source."""
    *folders, name = path.split(os.sep)
    role, test, kept = "", False, []
    for folder in folders:
        found = FOLDER.match(folder)
        if found:
            role = "label" if found[2] else "image"
            test = (found[3] or "").lower() == "ts"
        else:
            kept.append(folder)
    key = stem(name)
    if not role:
        for pattern in (START, END):
            found = pattern.search(key)
            if found and (found[0] != key or kept):
                role = "label" if found[2] else "image"
                key = pattern.sub("", key, count=1)
                break
    return role or "image", "/".join([*kept, key] if key else kept), test


def _listed(source: str) -> tuple[dict[str, dict[str, list[str]]], set[str], list[Refusal]]:
    """Return paths by role and key, the keys of test sets, and what cannot be looked at."""
    found: dict[str, dict[str, list[str]]] = {
        "image": defaultdict(list),
        "label": defaultdict(list),
    }
    tests: set[str] = set()
    refused = []
    for path, trouble in walk_files(source):
        name = os.path.relpath(path, source)
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        if trouble:
            refused.append(Refusal(shown, f"The {trouble}."))
            continue
        lower = name.lower()
        if not lower.endswith(SUFFIXES) or _is_second_part(path):
            continue
        if shown != name:
            refused.append(Refusal(shown, "The name is not UTF-8. Rename the file."))
            continue
        role, key, test = _role(name)
        found[role][key].append(path)
        if test:
            tests.add(key)
    return found, tests, refused


def _is_second_part(path: str) -> bool:
    """Return whether a file holds the voxels of a header beside it."""
    base, ending = os.path.splitext(path)
    return ending.lower() == ".img" and any(
        os.path.exists(base + header) for header in (".hdr", ".HDR")
    )


def _join_channels(images: dict[str, list[str]], labels: Sequence[str]) -> None:
    """Join `case_0000`, `case_0001`, ... into `case`, as nnU-Net names channels."""
    wanted = set(labels)
    for key in sorted(images):
        number = CHANNEL.search(key)
        base = CHANNEL.sub("", key)
        if number is None or key in wanted or base in images and base not in wanted:
            continue
        if base in wanted or (f"{base}_0000" in images and f"{base}_0001" in images):
            images.setdefault(f"{base}\0", []).extend(images.pop(key))


def find_volumes(source: str, labelled: bool) -> tuple[list[Case], list[Refusal], list[str]]:
    """Return volumes and their labels.

    Roles are taken from the folders (images, imagesTr, labels, labelsTr, masks, ...), else from the
    names (`images_7`, `7_seg`, `image` in a folder of the case); what is left of the path names the
    case. `imagesTs` without labels is left out where labels are required.

    Args:
        source: The data set's folder.
        labelled: Whether every image needs a label; if not, labels are left out.

    Returns:
        Cases in natural order (group: the id), what cannot be used, and remarks.
    """
    found, tests, refused = _listed(source)
    images, labels = found["image"], found["label"]
    _join_channels(images, list(labels))
    joined = {key[:-1] for key in images if key.endswith("\0")}
    images = {key.rstrip("\0"): sorted(paths) for key, paths in images.items()}
    notes = []
    if labelled:
        spare = sorted(key for key in tests if key in images and key not in labels)
        if spare:
            notes.append(f"{len(spare)} volume(s) of a test set without labels are left out")
            images = {key: paths for key, paths in images.items() if key not in spare}
    cases = []
    for key in sorted(images, key=natural_order):
        paths, of = images[key], labels.get(key, []) if labelled else []
        if len(paths) > 1 and key not in joined or len(of) > 1:
            refused += [_twice(path, source) for path in (paths if len(paths) > 1 else of)]
        elif labelled and not of:
            refused.append(_lonely(paths[0], source, "image", "label"))
        else:
            cases.append(Case(key, key, paths[0], of[0] if of else "", tuple(paths[1:])))
    if labelled:
        lonely = [key for key in labels if key not in images]
        refused += [_lonely(labels[key][0], source, "label", "image") for key in lonely]
    return cases, refused, notes


def _twice(path: str, source: str) -> Refusal:
    """Refuse a file whose case is named by two."""
    return Refusal(
        os.path.relpath(path, source),
        f"{Path(path).name} names the same case as another file. Rename or remove one.",
    )


def _lonely(path: str, source: str, what: str, missing: str) -> Refusal:
    """Refuse a file without its partner."""
    name = os.path.relpath(path, source)
    return Refusal(
        name,
        f"{what} without {missing}: {name}. Expected the {missing} under the same name (imagesTr "
        f"and labelsTr, images and labels, or name_image and name_label): add it or remove this.",
    )
