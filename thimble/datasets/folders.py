"""Folders of images and labels: matched by stem, grouped by a column of index.csv."""

import csv
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from thimble.datasets.pixels import SUFFIXES
from thimble.datasets.source import Case
from thimble.stage import BadInput

__all__ = ["find_pair", "natural_order", "pair_cases"]

ID_COLUMNS = ("id", "name", "image", "image_id", "file", "filename", "file_name", "stem", "case")
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


def _by_stem(folder: Path) -> dict[str, str]:
    """Return the images of a folder by stem, NFC so that macOS archives match."""
    found: dict[str, str] = {}
    for path in folder.iterdir():
        stem, suffix = os.path.splitext(path.name)
        if path.name.startswith(".") or suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        stem = unicodedata.normalize("NFC", stem)
        if stem in found:
            pair = sorted([found[stem], str(path)])
            raise BadInput(f"{pair[0]} and {pair[1]} have the same stem. Rename or remove one.")
        found[stem] = str(path)
    if not found:
        raise BadInput(
            f"Folder {folder} holds no images. Expected files that end in {', '.join(SUFFIXES)}."
        )
    return found


def _refuse_lonely(lonely: list[str], what: str, missing: str, folder: Path) -> None:
    """Raise if an image has no label, or a label no image."""
    if lonely:
        shown = ", ".join(sorted(lonely)[:SHOWN]) + (", ..." if len(lonely) > SHOWN else "")
        raise BadInput(
            f"{len(lonely)} {what} without {missing}: {shown}. Expected a file of the same stem "
            f"in {folder}: add it, or remove the {what}."
        )


def pair_cases(source: str, images: Path, labels: Path, group_column: str) -> list[Case]:
    """Match images and labels by stem.

    Args:
        source: The data set's folder, where index.csv lies.
        images: Folder of images.
        labels: Folder of labels.
        group_column: Column of index.csv that names the patient; empty for none.

    Returns:
        Cases in natural order.

    Raises:
        BadInput: If files do not match or index.csv does not name every image.
    """
    image_files, label_files = _by_stem(images), _by_stem(labels)
    lonely_images = [image_files[stem] for stem in image_files.keys() - label_files.keys()]
    lonely_labels = [label_files[stem] for stem in label_files.keys() - image_files.keys()]
    _refuse_lonely(lonely_images, "image(s)", "label", labels)
    _refuse_lonely(lonely_labels, "label(s)", "image", images)
    stems = sorted(image_files, key=natural_order)
    groups = _read_groups(Path(source) / "index.csv", group_column, stems) if group_column else {}
    return [Case(s, groups.get(s, s), image_files[s], label_files[s]) for s in stems]


def _read_groups(index: Path, column: str, stems: list[str]) -> dict[str, str]:
    """Return the group of every stem from a column of index.csv."""
    try:
        with open(index, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        raise BadInput(
            f"{index} is missing. Expected a table with the column {column!r} "
            f"(group_column) and one of: {', '.join(ID_COLUMNS)}."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{index} is no UTF-8 CSV table ({error}). Save it again.") from None
    columns = list(rows[0]) if rows else []
    names = [name for name in ID_COLUMNS if name in columns]
    if column not in columns or not names:
        raise BadInput(
            f"{index} has the columns {', '.join(map(str, columns)) or 'none'}. Expected "
            f"{column!r} (group_column) and one of: {', '.join(ID_COLUMNS)}."
        )
    groups = {}
    for row in rows:
        name = unicodedata.normalize("NFC", Path(row[names[0]] or "").name)
        stem = os.path.splitext(name)[0] if name.lower().endswith(SUFFIXES) else name
        groups[stem] = (row[column] or "").strip()
    absent = [stem for stem in stems if not groups.get(stem)]
    if absent:
        raise BadInput(
            f"{index} names no {column} for {len(absent)} image(s): {', '.join(absent[:SHOWN])}. "
            f"Add a row with {names[0]} and {column} for each."
        )
    return groups
