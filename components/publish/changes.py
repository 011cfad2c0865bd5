"""What the model card says image by image: the interval of the Dice, and what compression changed.

Images are counted, not named: a file name may tell who the patient is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["changes_table"]

# An image is found if its Dice is at least this; it flips when compression carries it across.
FOUND = 0.5
LARGE_DROP = 0.05
RESAMPLES = 2_000
HEAD = """\
| Package | Dice per image, 95 % interval | Lost | Won | Down more than {drop:g} | Largest drop |
|---|---:|---:|---:|---:|---:|
"""


def changes_table(
    chosen: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Mapping[str, Any]],
    baseline: Mapping[str, Any] | None,
) -> str:
    """Write one row per package.

    Args:
        chosen: Published candidates of verdict.json.
        evaluations: evaluation.json by branch.
        baseline: evaluation.json of the uncompressed baseline, if it is connected.

    Returns:
        A Markdown table.
    """
    reference = _scores(baseline, "float32")
    rows = []
    for each in chosen:
        scores = _scores(evaluations.get(each["branch"]), each["variant"])
        rows.append(f"| {each['name']} | {' | '.join(_cells(scores, reference))} |")
    return HEAD.format(drop=LARGE_DROP) + "\n".join(rows)


def _scores(evaluation: Mapping[str, Any] | None, variant: str) -> dict[str, float]:
    """Dice by image of a variant; nothing if that was not evaluated."""
    variants = (evaluation or {}).get("variants", {})
    return dict(variants.get(variant, {}).get("dice_per_image", {}))


def _cells(scores: Mapping[str, float], reference: Mapping[str, float]) -> list[str]:
    """The cells of a package."""
    if not scores:
        return ["not known"] * 5
    interval = _interval(list(scores.values()))
    if set(scores) != set(reference):
        return [interval, *["not known"] * 4]
    pairs = [(scores[name], reference[name]) for name in sorted(scores)]
    total = len(pairs)
    lost = sum(now < FOUND <= before for now, before in pairs)
    won = sum(before < FOUND <= now for now, before in pairs)
    large = sum(before - now > LARGE_DROP for now, before in pairs)
    worst = max(before - now for now, before in pairs)
    return [interval, *(f"{count} of {total}" for count in (lost, won, large)), f"{worst:.4f}"]


def _interval(scores: Sequence[float]) -> str:
    """Mean over images with a bootstrap interval (Efron and Tibshirani, 1993, section 13.3)."""
    values = np.asarray(scores, np.float64)
    drawn = np.random.default_rng(1).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return f"{values.mean():.4f} ({low:.4f} to {high:.4f})"
