"""What the model card says about parts of the test split: site, manufacturer, size of lesion."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["slices_text"]

UNITS = {"mm2": "mm²", "pixels": "px"}
HEAD = """\
| Slice | Images | Package | Dice, 95 % interval | Change to the baseline, 95 % interval | HD95 |
|---|---:|---|---:|---:|---:|
"""
LESIONS = """\
| Lesions | Number | Package | Found, 95 % interval | Change to the baseline, 95 % interval |
|---|---:|---|---:|---:|
"""
ONE = "All test images are of one site, one manufacturer and one size of lesion, as far as known."
RULE = """\
Dice pools the pixels of a slice; intervals resample patients, one slice at a time. A slice with a
star is too small to be judged. A lesion is a connected part of the foreground of one image, found
if its overlap with what touches it is at least {overlap:g}; an image counts under the size of its
median lesion."""


def slices_text(
    chosen: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Mapping[str, Any]]
) -> str:
    """Write the results on each slice and on lesions of each size.

    Args:
        chosen: Published candidates of verdict.json.
        evaluations: evaluation.json by branch.

    Returns:
        Markdown: two tables and how to read them.
    """
    wanted = [(each, evaluations.get(each["branch"]) or {}) for each in chosen]
    first = wanted[0][1]
    if "slices" not in first:
        return "Not measured."
    parts = [row for place in range(len(first["slices"])) for row in _slice_rows(wanted, place)]
    found = [row for place in range(_sizes(first)) for row in _lesion_rows(wanted, place)]
    rule = RULE.format(overlap=first["small_lesion_recall"]["least_overlap"])
    tables = [HEAD + "\n".join(parts) if parts else ONE]
    tables += [LESIONS + "\n".join(found)] if found else []
    return "\n\n".join([*tables, rule])


def _sizes(evaluation: Mapping[str, Any]) -> int:
    """Number of sizes of lesions."""
    return len(evaluation["small_lesion_recall"]["sizes"])


def _slice_rows(
    wanted: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], place: int
) -> Iterator[str]:
    """One row per package of a slice."""
    for each, evaluation in wanted:
        part = evaluation["slices"][place]
        figures = part["variants"][each["variant"]]
        star = "" if part["judged"] else "*"
        unit = "mm" if "hd95_mm" in figures else "pixels"
        distance = f"{figures[f'hd95_{unit}']:.3g} {'mm' if unit == 'mm' else 'px'}"
        score = _bounded(figures["dice"], figures["dice_low"], figures["dice_high"])
        yield _line(
            f"{_plain(part['by'].replace('_', ' '))}: {_plain(part['value'])}{star}",
            f"{part['images']:,}",
            each["name"],
            score,
            _change(figures["difference"], "dice"),
            distance,
        )


def _lesion_rows(
    wanted: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], place: int
) -> Iterator[str]:
    """One row per package of a size of lesion."""
    for each, evaluation in wanted:
        recall = evaluation["small_lesion_recall"]
        size = recall["sizes"][place]
        figures = size["variants"].get(each["variant"])
        if figures:
            yield _line(
                f"{size['value']}{_range(size['range'], UNITS[recall['unit']])}",
                f"{size['lesions']:,}",
                each["name"],
                _bounded(figures["recall"], figures["low"], figures["high"]),
                _change(figures["difference"], "recall"),
            )


def _line(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def _plain(value: str) -> str:
    """A value that the source chose, as one cell of Markdown."""
    return " ".join(value.replace("|", "/").replace("`", "'").replace("<", "(").split())


def _range(bounds: Sequence[float | None], unit: str) -> str:
    """A range of areas, if there is a bound."""
    low, high = bounds
    if low is None and high is None:
        return ""
    if low is None:
        return f", up to {high:.4g} {unit}"
    return f", above {low:.4g} {unit}" if high is None else f", {low:.4g} to {high:.4g} {unit}"


def _bounded(value: float, low: float | None, high: float | None) -> str:
    """A share with its interval."""
    return f"{value:.4f}" + (f" ({low:.4f} to {high:.4f})" if low is not None else "")


def _change(gap: Mapping[str, float | None] | None, name: str) -> str:
    """A difference with its interval."""
    if not gap:
        return "not known"
    low, high = gap["low"], gap["high"]
    return f"{gap[name]:+.4f}" + (f" ({low:+.4f} to {high:+.4f})" if low is not None else "")
