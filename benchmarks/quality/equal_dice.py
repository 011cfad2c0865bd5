"""Bytes that our packages need for the Dice of another network."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Point", "frontier", "interpolated_bytes", "smallest_at"]


@dataclass(frozen=True)
class Point:
    """A file, the mean over seeds.

    Attributes:
        name: What it is.
        size: Bytes.
        dice: In [0, 1].
    """

    name: str
    size: float
    dice: float


def frontier(points: Iterable[Point]) -> list[Point]:
    """Return the points with a higher Dice than every smaller one, by rising bytes."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.size, -point.dice)):
        if not kept or point.dice > kept[-1].dice:
            kept.append(point)
    return kept


def smallest_at(points: Iterable[Point], dice: float) -> Point | None:
    """Return the smallest measured point whose Dice is not lower; None if there is none."""
    return next((point for point in frontier(points) if point.dice >= dice), None)


def interpolated_bytes(points: Iterable[Point], dice: float) -> float | None:
    """Return the bytes at a Dice between two measured points.

    The logarithm of the bytes is linear in Dice between neighbours on the frontier.

    Args:
        points: Measured.
        dice: To reach.

    Returns:
        Bytes; None outside of what was measured, above or below.
    """
    line = frontier(points)
    for lower, upper in zip(line, line[1:], strict=False):
        if lower.dice <= dice <= upper.dice:
            share = (dice - lower.dice) / (upper.dice - lower.dice)
            low, high = math.log(lower.size), math.log(upper.size)
            return math.exp(low + share * (high - low))
    return line[0].size if line and line[0].dice == dice else None
