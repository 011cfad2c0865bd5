"""Slices of the test split, and the one in which a package lost most to the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.report.branches import Branch
from components.report.formats import GAP, dice_text

__all__ = [
    "WorstSlice",
    "drop_of",
    "lowest_dice",
    "shown_name",
    "size_text",
    "small_recall",
    "worst_slice",
]

UNITS = {"mm2": "mm²", "pixels": "px"}
REFERENCE = "float32"


@dataclass(frozen=True)
class WorstSlice:
    """The slice with the largest drop.

    Attributes:
        record: Its record of evaluation.json.
        drop: Pooled Dice of the baseline minus that of the package.
        detail: Its name, size and interval, and among how many it is the worst.
    """

    record: Mapping[str, Any]
    drop: float
    detail: str


def slices_of(branch: Branch) -> list[dict[str, Any]]:
    """Records of all slices; none in an evaluation of an older version."""
    return list(branch.evaluation.get("slices") or [])


def shown_name(record: Mapping[str, Any]) -> str:
    """Return how a slice is called: 'site A', 'small lesions', 'no lesion'."""
    by, value = str(record["by"]), str(record["value"])
    if by == "lesion_size":
        return "no lesion" if value == "none" else f"{value} lesions"
    return f"{by.replace('_', ' ')} {value}"


def size_text(images: int, groups: int) -> str:
    """Return how large a slice is: '14 images of 7 patients'."""
    few = f"{images:,} image{'' if images == 1 else 's'}"
    if groups == images:
        return few
    return f"{few} of {groups:,} patient{'' if groups == 1 else 's'}"


def drop_of(record: Mapping[str, Any], variant: str, baseline: Branch) -> float | None:
    """Return the pooled Dice of baseline-float32 on a slice minus that of a package."""
    own = record["variants"][variant]
    if own["difference"]:
        return -float(own["difference"]["dice"])
    for other in slices_of(baseline):
        if (other["by"], other["value"]) == (record["by"], record["value"]):
            found = other["variants"].get(REFERENCE)
            return float(found["dice"]) - float(own["dice"]) if found else None
    return None


def worst_slice(branch: Branch, variant: str, baseline: Branch) -> WorstSlice | None:
    """Return the judged slice with the largest drop from the baseline; the first of equals.

    It is the largest of several point estimates, so that without any loss it lies above 0; its
    interval is that of one slice and takes no account of the choice.
    """
    drops = [
        (drop, record)
        for record in slices_of(branch)
        if record["judged"] and (drop := drop_of(record, variant, baseline)) is not None
    ]
    if not drops:
        return None
    drop, record = max(drops, key=lambda each: each[0])
    gap = record["variants"][variant]["difference"] or {}
    bound = ""
    if gap.get("low") is not None:
        low, high = (dice_text(-gap[key]).replace("-", "−") for key in ("high", "low"))
        bound = f", 95{GAP}% interval {low} to {high}"
    size = size_text(record["images"], record["groups"])
    detail = f"{shown_name(record)} ({size}{bound}; worst of {len(drops)} slices)"
    return WorstSlice(record, drop, detail)


def lowest_dice(branch: Branch, variant: str) -> float | None:
    """Return the lowest pooled Dice of a judged slice, if one was judged."""
    scores = [each["variants"][variant]["dice"] for each in slices_of(branch) if each["judged"]]
    return min(scores, default=None)


def small_recall(branch: Branch, variant: str) -> float | None:
    """Return the share of the smallest lesions that is found, if there are any."""
    sizes = (branch.evaluation.get("small_lesion_recall") or {}).get("sizes") or []
    found = sizes[0]["variants"].get(variant) if sizes else None
    return float(found["recall"]) if found else None
