"""Folders of images and labels: matched by stem, grouped by a column of index.csv."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from thimble.datasets.index_table import read_table
from thimble.datasets.pixels import SUFFIXES
from thimble.datasets.source import Case, Refusal
from thimble.stage import BadInput

__all__ = ["find_images", "find_pair", "natural_order", "pair_cases", "read_groups"]

SHOWN = 5


def natural_order(text: str) -> list[str | int]:
    """Sort key by which `slice 9` comes before `slice 10`."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def find_pair(source: str, layouts: Sequence[tuple[str, str]]) -> tuple[Path, Path]:
    """Return the folders of images and labels.

    Args:
        source: The data set's folder.
        layouts: Pairs of folder names relative to it; the first that exists counts.

    Raises:
        BadInput: If the folder or every layout is missing.
    """
    names = " or ".join(f"{images}/ + {labels}/" for images, labels in layouts)
    if not source:
        raise BadInput(f"source is empty. Expected a folder with {names}.")
    folder = Path(source)
    if not folder.is_dir():
        raise BadInput(f"Folder {source} does not exist. Expected a folder with {names}.")
    for images, labels in layouts:
        if (folder / images).is_dir() and (folder / labels).is_dir():
            return folder / images, folder / labels
    held = sorted(entry.name for entry in folder.iterdir())[: 2 * SHOWN]
    raise BadInput(
        f"Folder {source} has no {names}. It holds: {', '.join(held) or 'nothing'}. "
        "Move the images and the labels there, each label under its image's name."
    )


def _by_stem(folder: Path) -> tuple[dict[str, str], list[Refusal]]:
    """Return the images of a folder by stem, NFC so that macOS archives match."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in folder.iterdir():
        stem, suffix = os.path.splitext(path.name)
        if path.name.startswith(".") or suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        found[unicodedata.normalize("NFC", stem)].append(str(path))
    if not found:
        raise BadInput(
            f"Folder {folder} holds no images. Expected files that end in {', '.join(SUFFIXES)}."
        )
    refused = [
        Refusal(
            f"{folder.name}/{Path(path).name}",
            f"{' and '.join(sorted(paths))} have the same stem. Rename or remove one.",
        )
        for paths in found.values()
        if len(paths) > 1
        for path in paths
    ]
    return {stem: paths[0] for stem, paths in found.items() if len(paths) == 1}, refused


def _lonely(files: Mapping[str, str], others: Container[str], words: tuple[str, str, Path]) -> list[
    Refusal
]:  # fmt: skip
    """Return a refusal for each file without its partner; words: what, missing, where."""
    what, missing, folder = words
    return [
        Refusal(
            f"{Path(path).parent.name}/{Path(path).name}",
            f"{what} without {missing}: {path}. Expected a file of the same stem in {folder}: add "
            f"it, or remove the {what}.",
        )
        for stem, path in sorted(files.items())
        if stem not in others
    ]


def pair_cases(
    source: str, images: Path, labels: Path, group_column: str
) -> tuple[list[Case], list[Refusal]]:
    """Match images and labels by stem.

    Args:
        source: The data set's folder, where index.csv lies.
        images: Folder of images.
        labels: Folder of labels.
        group_column: Column of index.csv that names the patient; empty for none.

    Returns:
        Cases in natural order, and a refusal for each file without its partner or with the stem
        of another.

    Raises:
        BadInput: If a folder holds no images, or index.csv does not name every image.
    """
    image_files, twice = _by_stem(images)
    label_files, twice_labels = _by_stem(labels)
    refused = [
        *twice,
        *twice_labels,
        *_lonely(image_files, label_files, ("image", "label", labels)),
        *_lonely(label_files, image_files, ("label", "image", images)),
    ]
    stems = sorted(image_files.keys() & label_files.keys(), key=natural_order)
    groups = read_groups(Path(source) / "index.csv", group_column, stems) if group_column else {}
    return [Case(s, groups.get(s, s), image_files[s], label_files[s]) for s in stems], refused


def find_images(source: str, folders: Sequence[str], group_column: str) -> list[Case]:
    """Return images that need no label.

    Args:
        source: The data set's folder.
        folders: Names of folders below it; the first that exists counts, else the source itself.
        group_column: Column of index.csv that names the patient; empty for none.

    Returns:
        Cases in natural order; the id is the path below the folder without the suffix.

    Raises:
        BadInput: If the folder is missing or holds no images.
    """
    top = Path(source)
    if not source or not top.is_dir():
        raise BadInput(f"Folder {source!r} does not exist. Expected a folder with images.")
    folder = next((top / name for name in folders if (top / name).is_dir()), top)
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            name = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
            found.setdefault(os.path.splitext(name)[0], str(path))
    if not found:
        raise BadInput(
            f"Folder {folder} holds no images. Expected files that end in {', '.join(SUFFIXES)}."
        )
    stems = {os.path.basename(case): case for case in found}
    groups = read_groups(top / "index.csv", group_column, list(stems)) if group_column else {}
    ids = sorted(found, key=natural_order)
    return [Case(case, groups.get(os.path.basename(case), case), found[case]) for case in ids]


def read_groups(index: Path, column: str, stems: list[str]) -> dict[str, str]:
    """Return the group of every stem from a column of index.csv.

    Args:
        index: The table.
        column: Names the patient.
        stems: Of images or volumes; what is in the table may have its suffix or not.

    Raises:
        BadInput: If the table or the column is missing, or does not name every stem.
    """
    name, table = read_table(index, {column: "group_column"})
    groups = {stem: row[column] for stem, row in table.items()}
    absent = [stem for stem in stems if not groups.get(stem)]
    if absent:
        raise BadInput(
            f"{index} names no {column} for {len(absent)} image(s): {', '.join(absent[:SHOWN])}. "
            f"Add a row with {name} and {column} for each."
        )
    return groups
