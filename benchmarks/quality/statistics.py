"""Paired differences of Dice with their bounds, over images and training seeds."""

from collections.abc import Mapping

import numpy as np

from thimble.stage import BadInput

__all__ = ["Scores", "paired_bootstrap", "paired_differences"]

# By seed, by image: Dice in [0, 1].
Scores = Mapping[int, Mapping[str, float]]
RESAMPLES = 10_000
# Bounds the memory of the counts, whatever the number of images.
ROWS_AT_ONCE = 1000


def paired_differences(first: Scores, second: Scores) -> np.ndarray:
    """Return Dice of the first network less that of the second one of the same seed.

    Args:
        first: By seed, by image; only seeds that both have are used.
        second: Likewise, on the same images.

    Returns:
        (seeds, images) float64, both in sorted order.

    Raises:
        BadInput: If there is no common seed, or networks were scored on different images.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise BadInput(
            "two networks are compared on the same seeds. Received: "
            f"{sorted(first)} and {sorted(second)}. Score both on one seed at least."
        )
    names = sorted(first[seeds[0]])
    for seed in seeds:
        if set(first[seed]) != set(names) or set(second[seed]) != set(names) or not names:
            raise BadInput(
                f"all networks must be scored on the same images. Received for seed {seed}: "
                f"{len(first[seed])} and {len(second[seed])}, for seed {seeds[0]}: {len(names)}. "
                "Score them on one Dataset."
            )
    return np.array([[first[s][name] - second[s][name] for name in names] for s in seeds])


def paired_bootstrap(differences: np.ndarray, seed: int = 1) -> dict[str, float]:
    """Bootstrap the mean of paired differences over images and seeds.

    Images are drawn with replacement, and independently of them seeds; a drawn image counts in
    every drawn seed, as all seeds are scored on the same images. Percentile intervals. They cover
    the choice of the images, and that of the seeds only as far as so few can tell: n drawn seeds
    vary by (n - 1) / n of what trainings vary by, one seed not at all.

    Args:
        differences: (seeds, images) from `paired_differences`.
        seed: Of the draws: equal inputs give equal bounds.

    Returns:
        `mean`; `low` and `high`, the two-sided 95 % interval; `lower_one_sided_95`, the 5th
        percentile: "no worse than d" is claimed if it is above -d; `seeds` and `images`.

    Source: Efron and Tibshirani, 1993, section 13.3; two factors drawn independently as in Owen,
        2007, "The pigeonhole bootstrap", section 3.
    """
    seeds, images = differences.shape
    generator = np.random.default_rng(seed)
    means = []
    for start in range(0, RESAMPLES, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, RESAMPLES - start)
        # How often each image and each seed is drawn.
        image_counts = generator.multinomial(images, np.full(images, 1 / images), rows)
        seed_counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), rows)
        means.append(((seed_counts @ differences) * image_counts).sum(axis=1) / (seeds * images))
    low, lower, high = np.percentile(np.concatenate(means), [2.5, 5.0, 97.5])
    return {
        "mean": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "lower_one_sided_95": float(lower),
        "seeds": seeds,
        "images": images,
    }
