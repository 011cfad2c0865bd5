"""What a mask scores on an image, and what a variant scores on all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.lesions import Bins, Lesions, found_lesions, parse_edges
from components.evaluate.pictures import safe_name
from thimble.artifact import read_json
from thimble.boundaries import hausdorff95
from thimble.scoring import (
    Counts,
    bootstrap_difference,
    confusion,
    dice,
    foreground_dice,
    worst_decile,
)
from thimble.stage import BadInput, require

__all__ = [
    "REFERENCE",
    "Baseline",
    "CompareConfig",
    "ImageScore",
    "Scores",
    "mask_file",
    "read_baseline",
    "score_image",
    "summarise",
]

# The variant of the baseline that all others are compared with.
REFERENCE = "float32"

Mask = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class CompareConfig:
    """How scores are compared.

    Attributes:
        bootstrap_resamples: Samples of the bootstrap.
        seed: Of the bootstrap.
        lesion_bins: One or two areas between small, medium and large lesions, such as 20;100, in
            mm2 where the spacing is known, else in pixels; empty: the terciles of the train split.
    """

    bootstrap_resamples: int = 10_000
    seed: int = 1
    lesion_bins: str = ""

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.seed >= 0, "seed must be >= 0", seed=self.seed)
        resamples = self.bootstrap_resamples
        require(resamples >= 1, "bootstrap_resamples must be >= 1", bootstrap_resamples=resamples)
        parse_edges(self.lesion_bins)


@dataclass(frozen=True)
class ImageScore:
    """What a mask scores on one image.

    Attributes:
        counts: (classes, 3) from `confusion`.
        dice: Mean over the classes >= 1.
        hd95: The same of HD95, in pixels.
        hd95_mm: The same in mm; None if the spacing is not known.
        found: Lesions that were found, by size.
    """

    counts: Counts
    dice: float
    hd95: float
    hd95_mm: float | None
    found: tuple[int, ...]


Scores = dict[str, ImageScore]


@dataclass(frozen=True)
class Baseline:
    """The evaluation that every variant is compared with.

    Attributes:
        folder: Where it lies.
        scores: Those of its reference variant.
        bins: By which it tells sizes of lesions apart.
    """

    folder: Path
    scores: Scores
    bins: Bins

    def mask(self, identifier: str) -> Path:
        """The file of its mask of an image."""
        return self.folder / mask_file(REFERENCE, identifier)


def mask_file(variant: str, identifier: str) -> str:
    """The place of a mask inside an evaluation."""
    return f"masks/{variant}/{safe_name(identifier)}.png"


def read_baseline(path: str | Path) -> Baseline:
    """Read the evaluation to compare with.

    Raises:
        BadInput: It lacks the reference variant, or was written by an older version.
    """
    evaluation = read_json(Path(path) / "evaluation.json")
    variants = evaluation["variants"]
    if REFERENCE not in variants:
        raise BadInput(
            f"{path} must hold the variant {REFERENCE} to compare with. Received: "
            f"{', '.join(variants)}. Convert the baseline to {REFERENCE}, too."
        )
    record = variants[REFERENCE]
    if "lesion_bins" not in evaluation or "counts_per_image" not in record:
        raise BadInput(f"{path} holds no counts of each image. Evaluate the baseline again.")
    scores = {
        name: ImageScore(
            np.array(record["counts_per_image"][name], np.int64),
            score,
            record["hd95_per_image"][name],
            record["hd95_mm_per_image"].get(name),
            tuple(record["lesions_found_per_image"][name]),
        )
        for name, score in record["dice_per_image"].items()
    }
    bins = evaluation["lesion_bins"]
    return Baseline(Path(path), scores, Bins(bins["unit"], tuple(bins["edges"]), bins["origin"]))


def score_image(
    label: Mask,
    mask: Mask,
    classes: int,
    spacing: tuple[float, float] | None,
    lesions: Lesions,
    bins: Bins,
) -> ImageScore:
    """Score a mask.

    Args:
        label: (height, width) the truth.
        mask: (height, width) the prediction.
        classes: Number of classes, background included.
        spacing: Millimetres from row to row and from column to column; None if unknown.
        lesions: Those of the truth, areas in the unit of the bins.
        bins: Sizes of lesions.
    """
    counts = confusion(label, mask, classes)
    pixels = _distance(label, mask, classes, (1.0, 1.0))
    millimetres = None if spacing is None else _distance(label, mask, classes, spacing)
    sizes = bins.place(lesions.areas)[found_lesions(lesions, mask)]
    found = np.bincount(sizes, minlength=len(bins.names))
    return ImageScore(counts, foreground_dice(counts), pixels, millimetres, tuple(found.tolist()))


def _distance(label: Mask, mask: Mask, classes: int, spacing: tuple[float, float]) -> float:
    """Mean HD95 over the classes >= 1, in the unit of the spacing."""
    return float(np.mean([hausdorff95(label, mask, index, spacing) for index in range(1, classes)]))


def summarise(
    scores: Scores, baseline: Baseline | None, groups: Mapping[str, str], config: CompareConfig
) -> dict[str, Any]:
    """Return the record of one variant.

    Args:
        scores: Of all images.
        baseline: What to compare with, if there is something.
        groups: The patient of each image.
        config: How to compare.
    """
    pooled = np.sum([score.counts for score in scores.values()], axis=0)
    per_image = {name: score.dice for name, score in scores.items()}
    known = {name: s.hd95_mm for name, s in scores.items() if s.hd95_mm is not None}
    return {
        "dice": foreground_dice(pooled),
        "dice_per_class": dice(pooled).tolist(),
        "dice_per_image": per_image,
        "worst_decile": worst_decile(per_image.values()),
        "hd95_per_image": {name: score.hd95 for name, score in scores.items()},
        "hd95_mean": float(np.mean([score.hd95 for score in scores.values()])),
        "hd95_mm_per_image": known,
        "hd95_mm_mean": float(np.mean(list(known.values()))) if len(known) == len(scores) else None,
        "counts_per_image": {name: score.counts.tolist() for name, score in scores.items()},
        "lesions_found_per_image": {name: list(score.found) for name, score in scores.items()},
        "difference": _difference(scores, baseline, groups, config) if baseline else None,
    }


def _difference(
    scores: Scores, baseline: Baseline, groups: Mapping[str, str], config: CompareConfig
) -> dict[str, float]:
    """Compare with the baseline, image by image."""
    other = baseline.scores
    if set(scores) != set(other):
        odd = sorted(set(scores) ^ set(other))
        raise BadInput(
            f"{baseline.folder} must be scored on the same images. Received: {len(odd)} "
            f"images in only one of the two, such as {odd[0]!r}. Evaluate it on this dataset."
        )
    names = sorted(scores)
    first, second = ([values[name].dice for name in names] for values in (scores, other))
    patients = [groups[name] for name in names]
    bounds = bootstrap_difference(first, second, config.seed, config.bootstrap_resamples, patients)
    return bounds | {"images": len(names), "groups": len(set(patients))}
