"""Lesions: connected parts of the foreground, their sizes, and which of them a mask finds.

A lesion is an 8-connected part of all classes >= 1 of one 2-D image, whatever its class. Objects
that touch are one lesion, and a lesion of a volume counts once in each slice that it crosses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from thimble.stage import BadInput, require

__all__ = [
    "LEAST_OVERLAP",
    "Bins",
    "Lesions",
    "Proportion",
    "bins_of",
    "find_lesions",
    "found_lesions",
    "parse_edges",
    "proportion",
]

# A lesion is found if its overlap (intersection over union) with what was predicted is as large.
LEAST_OVERLAP = 0.1
# Two-sided 95 % of the normal distribution.
NORMAL_95 = 1.959963984540054
NAMES = {0: ("all",), 1: ("small", "large"), 2: ("small", "medium", "large")}

Mask = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lesions:
    """The lesions of one image.

    Attributes:
        parts: (height, width) 0 outside, else the number of the lesion from 1.
        areas: (lesions,) areas, in the unit in which they were asked for.
    """

    parts: npt.NDArray[np.int32]
    areas: Floats


@dataclass(frozen=True)
class Bins:
    """Sizes by which lesions are told apart; they never depend on the images that are scored.

    Attributes:
        unit: mm2, or pixels where the spacing of an image is not known.
        edges: At most 2 increasing areas; a lesion of exactly that area is in the lower bin.
        origin: train (the terciles of the lesions of the train split) or given.
    """

    unit: str
    edges: tuple[float, ...]
    origin: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bins, small first."""
        return NAMES[len(self.edges)]

    def place(self, areas: Floats) -> npt.NDArray[np.intp]:
        """Return the bin of each area, an index into `names`."""
        return np.searchsorted(self.edges, areas, side="left")

    def ranges(self) -> list[list[float | None]]:
        """Return the bounds of each bin: above the first, up to the second (None is no bound)."""
        bounds = [None, *self.edges, None]
        return [list(pair) for pair in zip(bounds[:-1], bounds[1:], strict=True)]


@dataclass(frozen=True)
class Proportion:
    """A share and its 95 % interval."""

    value: float
    low: float
    high: float


def find_lesions(label: Mask, pixel_area: float = 1.0) -> Lesions:
    """Find the lesions of an image.

    Args:
        label: (height, width) class indices; 0 is the background.
        pixel_area: Area of a pixel, 1 for areas in pixels.

    Returns:
        Its lesions in the order of their first pixels.
    """
    parts, count = ndimage.label(np.asarray(label) > 0, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return Lesions(parts.astype(np.int32), np.multiply(sizes, pixel_area, dtype=np.float64))


def found_lesions(lesions: Lesions, prediction: Mask) -> npt.NDArray[np.bool_]:
    """Tell which lesions a mask finds.

    A lesion is compared with the union of all predicted parts that touch it. It is found if
    their intersection over union is at least 0.1. Any overlap at all would do for a mask that is
    foreground everywhere; a demanding overlap would punish the outline, which Dice measures.

    Args:
        lesions: Lesions of the truth.
        prediction: (height, width) class indices of the same image.

    Returns:
        (lesions,) whether each was found.

    Source: Baumgartner et al., 2021, nnDetection, section 3 (objects matched at an IoU of 0.1, as
        in Jaeger et al., 2020, Retina U-Net: medical use needs coarse localisation).
    """
    count, inside = len(lesions.areas), lesions.parts > 0
    guessed = find_lesions(prediction)
    columns = len(guessed.areas) + 1
    pairs = lesions.parts[inside].astype(np.int64) * columns + guessed.parts[inside]
    keys, shared = np.unique(pairs, return_counts=True)
    lesion, guess = keys // columns - 1, keys % columns
    hit = guess > 0
    size = np.bincount(lesion, shared, minlength=count)
    both = np.bincount(lesion[hit], shared[hit], minlength=count)
    # What touches a lesion counts with all its pixels, also those outside the lesion.
    touching = np.bincount(lesion[hit], guessed.areas[guess[hit] - 1], minlength=count)
    return np.asarray(both >= LEAST_OVERLAP * (size + touching - both))


def parse_edges(text: str) -> tuple[float, ...]:
    """Read the parameter `lesion_bins`: '' or one or two increasing areas such as '20;100'.

    Raises:
        BadInput: It is something else.
    """
    try:
        edges = tuple(float(part) for part in text.split(";")) if text.strip() else ()
    except ValueError:
        edges = (-1.0,)
    rising = all(0 < edge < np.inf for edge in edges) and list(edges) == sorted(set(edges))
    require(
        rising and len(edges) < len(NAMES),
        "lesion_bins must be one or two increasing areas > 0 with ; between them, in mm2 where the "
        "spacing is known and pixels elsewhere, such as 20;100, or empty for the terciles of the "
        "train split",
        lesion_bins=text,
    )
    return edges


def bins_of(areas: Iterable[Floats], unit: str) -> Bins:
    """Cut the lesions of the train split into three bins that hold equally many of them.

    Args:
        areas: The areas of the lesions, image by image.
        unit: Their unit.

    Returns:
        The bins; fewer than three where many lesions are of one size.
    """
    known = [each for each in areas if each.size]
    if not known:
        return Bins(unit, (), "train")
    together = np.concatenate(known)
    edges = np.unique(np.quantile(together, [1 / 3, 2 / 3], method="inverted_cdf"))
    # Above an edge that is the largest lesion lies nothing.
    return Bins(unit, tuple(float(edge) for edge in edges if edge < together.max()), "train")


def proportion(hits: Sequence[float], totals: Sequence[float]) -> Proportion:
    """Return a share of things that come in clusters, with Wilson's interval.

    The number of things is divided by the design effect, their variance between clusters over that
    of independent things, but never by less than 1. Where all or none are hits the effect cannot be
    estimated: then each cluster counts as one thing, so that "all of 5" does not read as certain.

    Args:
        hits: (clusters,) hits of each cluster.
        totals: (clusters,) things in each cluster, >= 0, not all 0.

    Returns:
        The share of hits with a two-sided 95 % interval inside [0, 1].

    Raises:
        BadInput: There is nothing to count.

    Source: Rao and Scott, 1992, "A simple method for the analysis of clustered binary data",
        section 2; Wilson, 1927, "Probable inference, the law of succession".
    """
    pairs = [(hit, total) for hit, total in zip(hits, totals, strict=True) if total > 0]
    if not pairs:
        raise BadInput("a share needs something to count. Received: nothing.")
    counted, size = np.array(pairs, np.float64).T
    clusters, number = len(pairs), size.sum()
    share = counted.sum() / number
    effective = float(clusters)
    if 0 < share < 1 and clusters > 1:
        rest = ((counted - size * share) ** 2).sum()
        between = clusters / (clusters - 1) * rest / number**2
        effect = number * between / (share * (1 - share))
        effective = number / max(effect, 1.0)
    square = NORMAL_95**2 / effective
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    # All of 62 gives 0.9999999999999999: rounding must not put the share outside its interval.
    low, high = min(share, middle - half), max(share, middle + half)
    return Proportion(float(share), max(0.0, float(low)), min(1.0, float(high)))
