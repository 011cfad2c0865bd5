"""Slices of made-up scores, as evaluate cuts and scores them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.evaluate.lesions import Bins
from components.evaluate.scores import CompareConfig, ImageScore, Scores
from components.evaluate.slices import Scanned, cut_slices, recall_by_size, score_slice

__all__ = ["slice_scores"]

SITES = ("north", "north", "north", "east", "south")
MAKERS = {"north": "Acme", "east": "Acme", "south": "Imaging & Co"}
SIZES = ("small", "medium", "large")
BINS = Bins("mm2", (12.5, 40.0), "train")
LESIONS = (4, 2, 1)


def _scores(dice: Mapping[str, float]) -> Scores:
    """Counts with the Dice of each image, on 1,000 pixels; small lesions are lost with it."""
    scores = {}
    for name, value in dice.items():
        hit = round(1000 * value)
        counts = np.array([[0, 0, 0], [hit, 1000 - hit, 1000 - hit]])
        found = (int(4 * min(value, 0.99) + 0.5), 2, 1)
        scores[name] = ImageScore(counts, value, 40 * (1 - value), 20 * (1 - value), found)
    return scores


def slice_scores(
    variants: Mapping[str, Mapping[str, float]], baseline: Mapping[str, float] | None
) -> dict[str, Any]:
    """Return what evaluation.json says about slices.

    Args:
        variants: Dice of each image of each variant; images of five belong to sites by turns.
        baseline: Dice of each image of the baseline, if there is one.
    """
    images = []
    for place, name in enumerate(next(iter(variants.values()))):
        site = SITES[place % len(SITES)]
        kinds = {"site": site, "manufacturer": MAKERS[site], "lesion_size": SIZES[place % 3]}
        images.append(Scanned(name, f"patient {place // 2}", LESIONS, kinds))
    scores = {variant: _scores(dice) for variant, dice in variants.items()}
    other = _scores(baseline) if baseline else None
    config = CompareConfig(bootstrap_resamples=500)
    slices, left = cut_slices(images, BINS)
    return {
        "slices": [score_slice(part, scores, other, BINS, config) for part in slices],
        "not_sliced": left,
        "small_lesion_recall": recall_by_size(images, scores, other, BINS, config),
    }
