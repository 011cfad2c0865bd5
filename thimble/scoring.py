"""Scores of segmentations: Dice, the worst decile, and the paired bootstrap.

One rule for every number that Thimble prints: masks are the argmax of the tiled full image, counts
are pooled over the images of a split, class 0 is the background, and "Dice" without a class is the
mean over the classes >= 1.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from thimble.stage import BadInput

__all__ = [
    "bootstrap_difference",
    "cluster_sums",
    "confusion",
    "dice",
    "foreground_dice",
    "resample_totals",
    "worst_decile",
]

Mask = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Bounds the memory of the bootstrap: indices drawn at once, whatever the number of images.
_DRAWS_AT_ONCE = 2_000_000


def confusion(label: Mask, prediction: Mask, classes: int) -> Counts:
    """Count true positives, false positives and false negatives of every class.

    Args:
        label: The truth, class indices in [0, classes), any shape, usually (height, width).
        prediction: The prediction, of the same shape and range.
        classes: Number of classes, background included.

    Returns:
        (classes, 3) int64: true positive, false positive, false negative. Counts of several
        images add up.

    Raises:
        BadInput: The shapes differ or an index is outside [0, classes).
    """
    label, prediction = np.asarray(label), np.asarray(prediction)
    if label.shape != prediction.shape:
        raise BadInput(
            "a prediction must have the shape of its label. "
            f"Received: label {label.shape}, prediction {prediction.shape}. "
            "Score the mask at the resolution of the scan."
        )
    for name, mask in (("label", label), ("prediction", prediction)):
        if mask.size and not (0 <= int(mask.min()) and int(mask.max()) < classes):
            raise BadInput(
                f"a {name} must hold class indices in [0, {classes}). Received: "
                f"{int(mask.min())} to {int(mask.max())}. Map raw label values to classes first."
            )
    pairs = label.ravel().astype(np.int64) * classes + prediction.ravel()
    matrix = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    hits = np.diagonal(matrix)
    return np.stack([hits, matrix.sum(axis=0) - hits, matrix.sum(axis=1) - hits], axis=1)


def dice(counts: Counts | Floats) -> Floats:
    """Dice coefficient of every class: 2 TP / (2 TP + FP + FN).

    Args:
        counts: (..., classes, 3) from `confusion`, or sums of such.

    Returns:
        (..., classes) float64 in [0, 1]; 1.0 for a class absent from both label and prediction.

    Source: Dice, 1945, "Measures of the amount of ecologic association between species".
    """
    counts = np.asarray(counts, np.float64)
    overlap = 2.0 * counts[..., 0]
    total = overlap + counts[..., 1] + counts[..., 2]
    return np.divide(overlap, total, out=np.ones_like(total), where=total > 0)


def foreground_dice(counts: Counts) -> float:
    """Mean Dice over the classes >= 1, the figure called "Dice" everywhere.

    Args:
        counts: (classes, 3) from `confusion`, or a sum of such; classes >= 2.

    Returns:
        A number in [0, 1].
    """
    return float(dice(counts)[1:].mean())


def worst_decile(per_image: Iterable[float]) -> float:
    """Mean of the worst (lowest) tenth of per-image scores.

    Args:
        per_image: Scores, higher is better, in any order; at least one.

    Returns:
        The mean of the floor(n / 10) lowest scores, of the lowest one if n < 20.

    Raises:
        BadInput: There is no score.
    """
    scores = np.sort(np.fromiter(per_image, np.float64))
    if not scores.size:
        raise BadInput("the worst decile needs at least one image. Received: none.")
    return float(scores[: max(1, scores.size // 10)].mean())


def bootstrap_difference(
    a: Sequence[float],
    b: Sequence[float],
    seed: int,
    resamples: int = 10_000,
    groups: Sequence[str] | None = None,
) -> dict[str, float]:
    """Paired bootstrap over images, or over patients, of the mean of `a - b`.

    Images are drawn with replacement; both scores of an image stay together, and so do all images
    of a group. Percentile intervals: they are too narrow for a handful of images, and one image
    (or one group) gives an interval of width 0.

    Args:
        a: (images,) scores of one model, for example Dice in [0, 1].
        b: (images,) scores of the other model on the same images in the same order.
        seed: Seed of the draws: equal inputs and seeds give equal bounds.
        resamples: Number of bootstrap samples, >= 1.
        groups: (images,) the patient of each image; None if each image is of its own.

    Returns:
        `mean` of the differences; `low` and `high`, the two-sided 95 % interval (2.5th and 97.5th
        percentile); `lower_one_sided_95`, the 5th percentile: "no worse than d" is claimed if it is
        above -d.

    Raises:
        BadInput: The lengths differ, are 0, a score is not finite, or resamples < 1.

    Source: Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", section 13.3; of groups:
        Davison and Hinkley, 1997, "Bootstrap Methods and their Application", section 3.8.
    """
    difference = _subtract(np.asarray(a, np.float64), np.asarray(b, np.float64))
    rows = np.stack([difference, np.ones_like(difference)], axis=1)
    sums = cluster_sums(rows, groups) if groups is not None else rows
    totals = resample_totals(sums, seed, resamples)
    low, lower, high = np.percentile(totals[:, 0] / totals[:, 1], [2.5, 5.0, 97.5])
    return {
        "mean": float(difference.mean()),
        "low": float(low),
        "high": float(high),
        "lower_one_sided_95": float(lower),
    }


def _subtract(first: Floats, second: Floats) -> Floats:
    """Differences of paired scores."""
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise BadInput(
            "a paired bootstrap needs two equally long, non-empty lists of scores. "
            f"Received: shapes {first.shape} and {second.shape}. Score both models on one split."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        raise BadInput("scores must be finite. Received: a NaN or infinite score.")
    return difference


def cluster_sums(values: Floats, groups: Sequence[str]) -> Floats:
    """Add up the rows of each group, so that groups can be drawn as wholes.

    Args:
        values: (images, columns) figures that add up: counts, sums, ones.
        groups: (images,) the patient of each image.

    Returns:
        (groups, columns) sums, groups in the order in which they appear first.

    Raises:
        BadInput: There are not as many groups as rows.
    """
    if len(values) != len(groups):
        raise BadInput(
            f"every image needs its group. Received: {len(values)} images and {len(groups)} groups."
        )
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(places), values.shape[1]))
    np.add.at(sums, [places[group] for group in groups], values)
    return sums


def resample_totals(sums: Floats, seed: int, resamples: int) -> Floats:
    """Bootstrap samples of totals, from which any ratio follows: a mean, a pooled Dice, a recall.

    Args:
        sums: (units, columns) figures of each unit that is drawn: an image or a patient.
        seed: Seed of the draws; with equal seeds and units, columns of two calls are paired.
        resamples: Number of bootstrap samples, >= 1.

    Returns:
        (resamples, columns) totals over as many units as there are, drawn with replacement.

    Raises:
        BadInput: There is no unit, or resamples < 1.
    """
    if not len(sums):
        raise BadInput("a bootstrap needs at least one image. Received: none.")
    if resamples < 1:
        raise BadInput(f"resamples must be >= 1. Received: resamples={resamples}")
    generator = np.random.default_rng(seed)
    units = len(sums)
    rows = max(1, _DRAWS_AT_ONCE // units)
    totals = np.empty((resamples, sums.shape[1]))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        totals[start : start + size] = times.astype(np.float64) @ sums
    return totals
