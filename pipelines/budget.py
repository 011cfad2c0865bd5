"""A budget, what a trial measured, and how the two are held against each other."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from thimble.stage import require

__all__ = ["FAILED_SCORE", "Budget", "Measured", "best_variant", "excesses", "score"]

# 0.80 - 0.79 is 0.010000000000000009: a drop at the limit keeps it. The report's gates do the same.
TOLERANCE = 1e-9
# Worse than every budget that is missed by less than a thousand times.
FAILED_SCORE = 1000.0


@dataclass(frozen=True)
class Budget:
    """What a package may cost.

    Attributes:
        max_dice_drop: Largest drop of the pooled validation Dice from the baseline's float32
            variant, in (0, 1].
        max_bytes: Largest package on the wire; 0 is no limit.
        max_p90_ms: Longest 90th percentile of the time of one tile on this machine, fewest
            threads, in milliseconds; 0 is no limit.
    """

    max_dice_drop: float
    max_bytes: int = 0
    max_p90_ms: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        drop, size, time = self.max_dice_drop, self.max_bytes, self.max_p90_ms
        require(0 < drop <= 1, "max_dice_drop must be in (0, 1]", max_dice_drop=drop)
        require(size >= 0, "max_bytes must be >= 0 (0 is no limit)", max_bytes=size)
        finite = 0 <= time < float("inf")
        require(finite, "max_p90_ms must be >= 0 (0 is no limit)", max_p90_ms=time)

    def gates(self) -> dict[str, Any]:
        """Return the same limits as parameters of the report."""
        return {
            "max_dice_drop": self.max_dice_drop,
            "max_package_bytes": self.max_bytes,
            "max_p90_seconds": self.max_p90_ms / 1e3,
        }


@dataclass(frozen=True)
class Measured:
    """One variant of one trial.

    Attributes:
        variant: Its precision: float32, float16, dynamic or int8.
        package_bytes: The package on the wire.
        dice: Pooled over the validation split.
        dice_drop: Dice of the baseline's float32 variant minus this; negative is a gain.
        p90_ms: 90th percentile of the time of one tile, in milliseconds.
    """

    variant: str
    package_bytes: int
    dice: float
    dice_drop: float
    p90_ms: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @staticmethod
    def of(record: Mapping[str, Any]) -> "Measured":
        """Return it from JSON."""
        return Measured(**record)


def excesses(measured: Measured, budget: Budget) -> dict[str, float]:
    """Return by how much each limit that binds is exceeded, as a share of the limit.

    A package of 110 bytes under a limit of 100 gives `{"max_bytes": 0.1}`; one inside the budget
    gives an empty dict.
    """
    held = (
        ("max_dice_drop", measured.dice_drop, budget.max_dice_drop),
        ("max_bytes", measured.package_bytes, budget.max_bytes),
        ("max_p90_ms", measured.p90_ms, budget.max_p90_ms),
    )
    return {
        name: value / limit - 1
        for name, value, limit in held
        if limit and value > limit * (1 + TOLERANCE)
    }


def score(measured: Measured, budget: Budget, float32_bytes: int) -> float:
    """Return one number to minimise: what is inside the budget comes before all that is not.

    Inside, it is the package as a share of the baseline's float32 weights, at most 1; outside, 1
    plus the sum of all excesses.

    Args:
        measured: A variant.
        budget: The limits.
        float32_bytes: Bytes of the baseline's weights as float32, >= 1.
    """
    over = excesses(measured, budget)
    if over:
        return min(1.0 + sum(over.values()), FAILED_SCORE)
    return min(measured.package_bytes / float32_bytes, 1.0)


def best_variant(
    variants: Iterable[Measured], budget: Budget, float32_bytes: int
) -> tuple[Measured, float]:
    """Return the variant with the lowest score, the first of equals, and its score."""
    scored = [(measured, score(measured, budget, float32_bytes)) for measured in variants]
    return min(scored, key=lambda pair: pair[1])
