"""The section on slices: one row a site, manufacturer, size of lesion, and lesions by size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.report.branches import Branch
from components.report.formats import (
    GAP,
    count_text,
    dice_text,
    difference_text,
    distance_text,
    exists,
    interval_text,
    percent_text,
    range_text,
)
from components.report.gates import Candidate
from components.report.slices import UNITS, drop_of, shown_name, slices_of, worst_slice
from components.report.tables import Cell, Table, number_cell

__all__ = ["Sliced", "sliced"]

SLICES = (
    "Slice",
    "Gate",
    "Change",
    "95 % interval",
    "Dice",
    "95 % interval",
    "HD95",
    "95 % interval",
    "Images",
    "Patients",
)
LESIONS = (
    "Lesions",
    "Found",
    "95 % interval",
    "Change",
    "95 % interval",
    "Area",
    "Number",
    "Images",
)


@dataclass(frozen=True)
class Sliced:
    """What the page shows: a sentence, slices if there are any, lesions by size."""

    sentence: str
    slices: Table | None
    lesions: Table | None
    notes: str


def sliced(branch: Branch, gated: Candidate, baseline: Branch, limit: float) -> Sliced | None:
    """Return the tables of the package that the gates judge.

    Args:
        branch: Its branch.
        gated: The package.
        baseline: What it is compared with.
        limit: Largest drop of a slice; 0 if there is no gate.

    Returns:
        None for an evaluation of an older version, which tells no slices.
    """
    if "slices" not in branch.evaluation:
        return None
    records, variant = slices_of(branch), gated.variant
    rows = [_row(record, variant, drop_of(record, variant, baseline), limit) for record in records]
    table = Table("By site, manufacturer and size of lesion", SLICES, tuple(rows), sortable=True)
    recall = branch.evaluation["small_lesion_recall"]
    found = [_lesions(row, variant, recall["unit"]) for row in recall["sizes"] if row["lesions"]]
    lesions = Table("Lesions found, by size", LESIONS, tuple(found))
    return Sliced(
        _sentence(branch, variant, baseline),
        table if rows else None,
        lesions if found else None,
        _notes(branch.evaluation, limit),
    )


def _row(
    record: Mapping[str, Any], variant: str, drop: float | None, limit: float
) -> tuple[Cell, ...]:
    """A slice."""
    figures = record["variants"][variant]
    gap = figures["difference"] or {}
    unit = "mm" if "hd95_mm" in figures else "pixels"
    distance = figures[f"hd95_{unit}"]
    change = None if drop is None else -drop
    low, high = (figures[f"hd95_{unit}_{end}"] for end in ("low", "high"))
    return (
        Cell(shown_name(record)),
        _verdict(record, drop, limit),
        number_cell(difference_text(change), change),
        Cell(interval_text(gap)),
        number_cell(dice_text(figures["dice"]), figures["dice"]),
        Cell(range_text(figures["dice_low"], figures["dice_high"], dice_text)),
        number_cell(distance_text(distance, unit), distance),
        Cell(range_text(low, high, lambda value: distance_text(value, unit).split(GAP)[0])),
        number_cell(count_text(record["images"]), record["images"]),
        number_cell(count_text(record["groups"]), record["groups"]),
    )


def _verdict(record: Mapping[str, Any], drop: float | None, limit: float) -> Cell:
    """Whether a slice keeps the limit, or why it is not judged."""
    if not record["judged"]:
        return Cell(record["doubt"])
    if drop is None or not limit:
        return Cell("off" if not limit else "not measured")
    mark = "pass" if drop <= limit * (1 + 1e-9) else "fail"
    return Cell(mark, mark=mark)


def _lesions(row: Mapping[str, Any], variant: str, unit: str) -> tuple[Cell, ...]:
    """Lesions of one size."""
    figures = row["variants"][variant]
    gap = figures["difference"] or {}
    return (
        Cell(row["value"]),
        number_cell(percent_text(figures["recall"]), figures["recall"]),
        Cell(range_text(figures["low"], figures["high"], percent_text)),
        number_cell(difference_text(gap.get("recall")), gap.get("recall")),
        Cell(interval_text(gap)),
        Cell(_area(row["range"], UNITS[unit])),
        number_cell(count_text(row["lesions"]), row["lesions"]),
        number_cell(count_text(row["images"]), row["images"]),
    )


def _area(bounds: Sequence[float | None], unit: str) -> str:
    """A range of areas."""
    low, high = (f"{value:,.4g}" if exists(value) else "" for value in bounds)
    if low and high:
        return f"{low} to {high} {unit}"
    return f"{'above ' + low if low else 'up to ' + high} {unit}" if low or high else "any"


def _sentence(branch: Branch, variant: str, baseline: Branch) -> str:
    """What the slices say."""
    worst = worst_slice(branch, variant, baseline)
    if worst is None:
        return "No slice holds enough patients to be judged: these are figures to look at."
    return f"The largest drop from the baseline is {dice_text(worst.drop)}, in {worst.detail}."


def _notes(evaluation: Mapping[str, Any], limit: float) -> str:
    """How the figures were made."""
    recall = evaluation["small_lesion_recall"]
    edges = {"train": "are the terciles of the training lesions", "given": "were given"}
    gate = (
        f"The gate ({limit:g}) judges the change itself, the worst of all slices that are judged."
        if limit
        else "The gate on the worst slice is off."
    )
    notes = [
        "Dice pools the pixels of a slice. Change: Dice minus that of baseline-float32. Intervals "
        "resample patients, one slice at a time: of twenty one may miss by chance.",
        f"{gate} Too few: fewer than 5 patients.",
        "A lesion is a connected part of the foreground of one image. It is found if its overlap "
        f"(intersection over union) with what touches it is at least {recall['least_overlap']:g}. "
        f"The sizes {edges[recall['origin']]}; an image goes by its median lesion.",
    ]
    if recall["unit"] == "pixels":
        notes.append("The spacing of some images is not known: areas are in pixels.")
    if evaluation.get("not_sliced"):
        names = ", ".join(evaluation["not_sliced"])
        notes.append(f"Not shown, for they have too many values: {names}.")
    return " ".join(notes)
