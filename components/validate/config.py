"""What a data set must hold, and how far it may be from that of the last release."""

from dataclasses import dataclass, field

from thimble.stage import require

__all__ = ["ContentConfig", "DriftConfig", "ValidateConfig"]


@dataclass(frozen=True)
class ContentConfig:
    """What a data set must hold by itself.

    Attributes:
        min_foreground_share: Least share of foreground pixels in each split, in [0, 1].
        max_foreground_share: Largest share of foreground pixels in each split, in [0, 1].
        min_split_images: Least number of images in each split, >= 1.
        max_duplicate_share: Largest share of images that repeat one of another patient, in [0, 1].
    """

    min_foreground_share: float = 0.001
    max_foreground_share: float = 0.95
    min_split_images: int = 1
    max_duplicate_share: float = 0.02

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high = self.min_foreground_share, self.max_foreground_share
        require(
            0 <= low < high <= 1,
            "0 <= min_foreground_share < max_foreground_share <= 1 must hold",
            min_foreground_share=low,
            max_foreground_share=high,
        )
        require(
            self.min_split_images >= 1,
            "min_split_images must be >= 1",
            min_split_images=self.min_split_images,
        )
        require(
            0 <= self.max_duplicate_share <= 1,
            "max_duplicate_share must be in [0, 1]",
            max_duplicate_share=self.max_duplicate_share,
        )


@dataclass(frozen=True)
class DriftConfig:
    """How a data set is compared with that of the last release.

    Attributes:
        false_alarm_share: Share of unchanged data sets that may be flagged, in (0, 0.5].
        accepted_features: Features, separated by commas, whose anomalies are told and do not fail.
        fail_on_skew: Whether a split that differs from the training split fails the data set.
        seed: Of the draws that the limits are taken from.
    """

    false_alarm_share: float = 0.002
    accepted_features: str = ""
    fail_on_skew: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            0 < self.false_alarm_share <= 0.5,
            "false_alarm_share must be in (0, 0.5]",
            false_alarm_share=self.false_alarm_share,
        )
        require(self.seed >= 0, "seed must be >= 0", seed=self.seed)

    @property
    def accepted(self) -> set[str]:
        """The features whose anomalies do not fail."""
        return {name.strip() for name in self.accepted_features.split(",") if name.strip()}


@dataclass(frozen=True)
class ValidateConfig:
    """Content and drift."""

    content: ContentConfig = field(default_factory=ContentConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
