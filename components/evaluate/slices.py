"""Scores of slices of the split: one site, one manufacturer, one size of lesion.

A slice is scored as the whole split is: counts pooled over its images. Intervals and differences
resample patients, all images of one together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.lesions import LEAST_OVERLAP, Bins, Lesions, proportion
from components.evaluate.scores import CompareConfig, ImageScore, Scores
from thimble.records import Entry
from thimble.scoring import cluster_sums, dice, resample_totals

__all__ = ["FEWEST", "Scanned", "Slice", "cut_slices", "describe", "recall_by_size", "score_slice"]

LESION_SIZE, NO_LESION, UNKNOWN = "lesion_size", "none", "unknown"
# Below this many patients (images, where each is of its own) a slice is shown, but not judged.
FEWEST = 5
# Attributes that are amounts, not kinds; and a bound of what a reader can take in.
AMOUNTS = ("slice_thickness", "tube_voltage")
MOST_VALUES = 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scanned:
    """What slices are cut by.

    Attributes:
        id: Name of the image.
        group: Patient.
        lesions: Number of lesions of the truth by size.
        kinds: The value of each attribute, and the size of its lesions.
    """

    id: str
    group: str
    lesions: tuple[int, ...]
    kinds: Mapping[str, str]


@dataclass(frozen=True)
class Slice:
    """Images that share a value."""

    by: str
    value: str
    images: tuple[Scanned, ...]

    @property
    def groups(self) -> int:
        """Number of patients."""
        return len({image.group for image in self.images})

    @property
    def doubt(self) -> str:
        """Why it is not judged; empty if it is. Without a lesion Dice is 1, or 0 for any pixel."""
        if self.by == LESION_SIZE and self.value == NO_LESION:
            return "no lesion"
        return "too few" if self.groups < FEWEST else ""


def describe(entry: Entry, lesions: Lesions, bins: Bins) -> Scanned:
    """Return what slices an image belongs to.

    Args:
        entry: What is known of it.
        lesions: Those of its truth.
        bins: Sizes of lesions. The size of an image is that of the median of its lesions (the
            smaller of the two in the middle), `none` if it has none.
    """
    sizes = bins.place(np.sort(lesions.areas))
    counts = np.bincount(sizes, minlength=len(bins.names))
    size = bins.names[sizes[(len(sizes) - 1) // 2]] if len(sizes) else NO_LESION
    kinds = {name: value for name, value in entry.attributes.items() if value}
    return Scanned(entry.id, entry.group, tuple(counts.tolist()), {**kinds, LESION_SIZE: size})


def cut_slices(images: Sequence[Scanned], bins: Bins) -> tuple[list[Slice], list[str]]:
    """Cut the images by every attribute of 2 to 20 values, and by size of lesion.

    Args:
        images: All images that are scored; one without an attribute is in the slice `unknown`.
        bins: Sizes of lesions, in their order.

    Returns:
        Slices: site, manufacturer, other attributes by name, sizes; and the attributes with too
        many values.
    """
    names = {name for image in images for name in image.kinds} - {*AMOUNTS, LESION_SIZE}
    first = [name for name in ("site", "manufacturer") if name in names]
    slices, left = [], []
    for by in [*first, *sorted(names - set(first)), LESION_SIZE]:
        members: dict[str, list[Scanned]] = {}
        for image in images:
            members.setdefault(image.kinds.get(by, UNKNOWN), []).append(image)
        if len(members) > MOST_VALUES:
            left.append(by)
        elif len(members) > 1:
            order = [*bins.names, NO_LESION] if by == LESION_SIZE else sorted(members)
            slices += [Slice(by, v, tuple(members[v])) for v in order if v in members]
    return slices, left


def score_slice(
    part: Slice,
    variants: Mapping[str, Scores],
    baseline: Scores | None,
    bins: Bins,
    config: CompareConfig,
) -> dict[str, Any]:
    """Score every variant on a slice.

    Args:
        part: The slice.
        variants: Scores of each variant on all images.
        baseline: Those of the baseline, if there is one.
        bins: Sizes of lesions.
        config: How to compare.

    Returns:
        The record of evaluation.json. `dice` is pooled over the images of the slice, HD95 their
        mean, in mm if the spacing of all is known; `difference` is pooled Dice minus the
        baseline's, paired.
    """
    record = {
        "by": part.by,
        "value": part.value,
        "images": len(part.images),
        "groups": part.groups,
        "judged": not part.doubt,
        "doubt": part.doubt,
        "variants": _score_variants(part, variants, baseline, config),
    }
    if part.by == LESION_SIZE and part.value in bins.names:
        record["range"] = bins.ranges()[bins.names.index(part.value)]
    return record


def _score_variants(
    part: Slice, variants: Mapping[str, Scores], baseline: Scores | None, config: CompareConfig
) -> dict[str, Any]:
    """Scores of each variant; all are drawn together, so that they are paired."""
    known = all(score[i.id].hd95_mm is not None for score in variants.values() for i in part.images)
    unit = "mm" if known else "pixels"
    columns = [_columns(part, scores, unit) for scores in variants.values()]
    if baseline is not None:
        columns.append(_columns(part, baseline, unit))
    sums = cluster_sums(np.concatenate(columns, axis=1), [image.group for image in part.images])
    totals = resample_totals(sums, config.seed, config.bootstrap_resamples)
    # One unit cannot vary: the samples of a lone patient say nothing.
    samples = np.split(totals if part.groups > 1 else totals[:0], len(columns), axis=1)
    whole = np.split(sums.sum(axis=0), len(columns))
    found = {}
    for name, total, drawn in zip(variants, whole, samples, strict=False):
        difference = None
        if baseline is not None:
            gap = float(_pooled(total) - _pooled(whole[-1]))
            difference = _compared("dice", gap, _pooled(drawn) - _pooled(samples[-1]))
        found[name] = {
            **_bounded("dice", _pooled(total), _pooled(drawn)),
            **_bounded(f"hd95_{unit}", _mean(total), _mean(drawn)),
            "difference": difference,
        }
    return found


def _columns(part: Slice, scores: Scores, unit: str) -> Floats:
    """(images, 3 * foreground classes + 2): counts, HD95, one."""
    return np.stack([_row(scores[image.id], unit) for image in part.images])


def _row(score: ImageScore, unit: str) -> Floats:
    """The figures of an image that add up."""
    distance = score.hd95_mm if unit == "mm" else score.hd95
    return np.array([*score.counts[1:].ravel(), distance, 1.0], np.float64)


def _pooled(totals: Floats) -> Floats:
    """Mean Dice over the foreground classes of (..., columns) totals."""
    counts = totals[..., :-2]
    shape = (*counts.shape[:-1], counts.shape[-1] // 3, 3)
    return np.asarray(dice(counts.reshape(shape)).mean(axis=-1))


def _mean(totals: Floats) -> Floats:
    """Mean HD95 of (..., columns) totals."""
    return np.asarray(totals[..., -2] / totals[..., -1])


def _bounded(name: str, value: Any, drawn: Floats) -> dict[str, float | None]:
    """A figure with its two-sided 95 % interval; None if nothing could be drawn."""
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist() if drawn.size else (None, None)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def _compared(name: str, value: float, drawn: Floats) -> dict[str, float | None]:
    """A difference with its two-sided interval and one-sided bound."""
    bounds = np.percentile(drawn, [2.5, 97.5, 5.0]).tolist() if drawn.size else [None] * 3
    return {name: value, "low": bounds[0], "high": bounds[1], "lower_one_sided_95": bounds[2]}


def recall_by_size(
    images: Sequence[Scanned],
    variants: Mapping[str, Scores],
    baseline: Scores | None,
    bins: Bins,
    config: CompareConfig,
) -> dict[str, Any]:
    """Count the lesions that each variant finds.

    Args:
        images: All images that are scored.
        variants: Scores of each variant.
        baseline: Those of the baseline, if there is one.
        bins: Sizes of lesions.
        config: How to compare.

    Returns:
        `small_lesion_recall` of evaluation.json: per size, small first, the number of lesions, and
        of each variant those found, the recall with Wilson's interval (see `proportion`), and the
        difference to the baseline's recall, patients resampled.
    """
    rows = []
    for place, (name, bounds) in enumerate(zip(bins.names, bins.ranges(), strict=True)):
        holding = [image for image in images if image.lesions[place]]
        rows.append(
            {
                "value": name,
                "range": bounds,
                "lesions": sum(image.lesions[place] for image in holding),
                "images": len(holding),
                "groups": len({image.group for image in holding}),
                "variants": _recalls(holding, place, variants, baseline, config),
            }
        )
    return {"least_overlap": LEAST_OVERLAP, "unit": bins.unit, "origin": bins.origin, "sizes": rows}


def _recalls(
    images: Sequence[Scanned],
    place: int,
    variants: Mapping[str, Scores],
    baseline: Scores | None,
    config: CompareConfig,
) -> dict[str, Any]:
    """The recall of each variant on lesions of one size; none if there is no such lesion."""
    if not images:
        return {}
    compared = [*variants.values(), *([baseline] if baseline is not None else [])]
    rows = [
        [*(scores[image.id].found[place] for scores in compared), image.lesions[place]]
        for image in images
    ]
    sums = cluster_sums(np.array(rows, np.float64), [image.group for image in images])
    whole, drawn = sums.sum(axis=0), np.empty((0, sums.shape[1]))
    if baseline is not None and len(sums) > 1:
        drawn = resample_totals(sums, config.seed, config.bootstrap_resamples)
    found = {}
    for column, name in enumerate(variants):
        share = proportion(sums[:, column].tolist(), sums[:, -1].tolist())
        difference = None
        if baseline is not None:
            gap = float((whole[column] - whole[-2]) / whole[-1])
            gaps = (drawn[:, column] - drawn[:, -2]) / drawn[:, -1]
            difference = _compared("recall", gap, gaps)
        found[name] = {
            "found": int(whole[column]),
            "recall": share.value,
            "low": share.low,
            "high": share.high,
            "difference": difference,
        }
    return found
