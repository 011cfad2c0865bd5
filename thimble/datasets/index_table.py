"""The table index.csv beside the images: which patient, which site, which manufacturer."""

import csv
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from thimble.datasets.pixels import SUFFIXES
from thimble.datasets.source import ATTRIBUTES
from thimble.stage import BadInput, require

__all__ = ["parse_columns", "read_attributes", "read_table"]

# Longest first.
VOLUMES = (".nii.gz", ".nii", ".mgz", ".mgh")
ID_COLUMNS = ("id", "name", "image", "image_id", "file", "filename", "file_name", "stem", "case")
# A kind of scanner is short; free text is none.
LONGEST = 64


def read_table(index: Path, wanted: Mapping[str, str]) -> tuple[str, dict[str, dict[str, str]]]:
    """Read index.csv.

    Args:
        index: The table, UTF-8 with a head.
        wanted: Columns that it must have, and the parameter that names each.

    Returns:
        The column that names the image, and by stem of the image its row.

    Raises:
        BadInput: If the table or a column is missing.
    """
    columns = " and ".join(f"{name!r} ({parameter})" for name, parameter in wanted.items())
    expected = f"{columns} and one of: {', '.join(ID_COLUMNS)}."
    try:
        with open(index, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        raise BadInput(
            f"{index} is missing. Expected a table with the columns {expected}"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{index} is no UTF-8 CSV table ({error}). Save it again.") from None
    found = list(rows[0]) if rows else []
    names = [name for name in ID_COLUMNS if name in found]
    if not names or not set(wanted) <= set(found):
        shown = ", ".join(map(str, found)) or "none"
        raise BadInput(f"{index} has the columns {shown}. Expected {expected}")
    table = {}
    for row in rows:
        name = unicodedata.normalize("NFC", Path(row[names[0]] or "").name)
        lower = name.lower()
        cut = next((len(end) for end in (*SUFFIXES, *VOLUMES) if lower.endswith(end)), 0)
        table[name[: len(name) - cut]] = {column: (row[column] or "").strip() for column in wanted}
    return names[0], table


def parse_columns(text: str) -> dict[str, str]:
    """Read the parameter `attribute_columns`: 'site=hospital;manufacturer=vendor'.

    Returns:
        The column of each attribute.

    Raises:
        BadInput: If it is something else, or an attribute may not leave the source.
    """
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    columns = {name.strip(): column.strip() for name, _, column in pairs}
    require(
        all(columns.values()) and set(columns) <= set(ATTRIBUTES) and len(columns) == len(pairs),
        "attribute_columns must be attribute=column, with ; between them, each attribute one of "
        f"{', '.join(ATTRIBUTES)}, such as site=hospital;manufacturer=vendor",
        attribute_columns=text,
    )
    return columns


def read_attributes(source: str, text: str) -> dict[str, dict[str, str]]:
    """Return the attributes of images from columns of index.csv.

    Args:
        source: The data set's folder, where index.csv lies.
        text: The parameter `attribute_columns`; empty for none.

    Returns:
        By stem of the image, the attributes that its row tells.

    Raises:
        BadInput: If the table or a column is missing, or a value is longer than 64 characters.
    """
    columns = parse_columns(text)
    if not columns:
        return {}
    index = Path(source) / "index.csv"
    _, table = read_table(index, dict.fromkeys(columns.values(), "attribute_columns"))
    for stem, row in table.items():
        for column, value in row.items():
            require(
                len(value) <= LONGEST and value.isprintable(),
                f"{index}: a value of {column} must be at most {LONGEST} printable characters",
                image=stem,
                length=len(value),
            )
    return {
        stem: {name: row[column] for name, column in columns.items() if row[column]}
        for stem, row in table.items()
    }
