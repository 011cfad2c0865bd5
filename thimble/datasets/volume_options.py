"""How DICOM and NIfTI become images: intensity, spacing, plane, 4-D files, burned-in text."""

import math
import re
from dataclasses import dataclass

from thimble.stage import require

__all__ = ["BURNED_IN", "PLANES", "VolumeConfig"]

PLANES = ("axial", "coronal", "sagittal")
BURNED_IN = ("annotated", "secondary_capture", "ultrasound", "text")


@dataclass(frozen=True)
class VolumeConfig:
    """Of the kinds `dicom` and `nifti`.

    Attributes:
        intensity: `auto`; `percentiles` (of each series or volume); `file` (the window in the
            file); or a window `center/width` in units of the scan, such as `40/400` (HU).
        low_percentile: What `percentiles` makes 0, in [0, 50).
        high_percentile: What `percentiles` makes the largest value, in (50, 100].
        spacing_mm: Side of a pixel after resampling in the plane, in [0, 100]; 0: as scanned.
        plane: Of the slices of a NIfTI volume: `axial`, `coronal` or `sagittal`.
        volumes: Of a 4-D file: empty for the first; `all`, each on its own; or one to three
            numbers from 0, such as `0,2,3`, that become channels.
        include_burned_in: What is taken although text may be burned into it, by name and
            comma: `annotated`, `secondary_capture`, `ultrasound`, `text` (no search for text).
    """

    intensity: str = "auto"
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    spacing_mm: float = 0.0
    plane: str = "axial"
    volumes: str = ""
    include_burned_in: str = ""

    def __post_init__(self) -> None:
        """Check the ranges."""
        words = self.intensity in ("auto", "percentiles", "file")
        require(
            words or self.window is not None,
            "intensity must be auto, percentiles, file or center/width with width > 0",
            intensity=self.intensity,
        )
        low, high = self.low_percentile, self.high_percentile
        require(0 <= low < 50, "low_percentile must be in [0, 50)", low_percentile=low)
        require(50 < high <= 100, "high_percentile must be in (50, 100]", high_percentile=high)
        spacing = self.spacing_mm
        require(0 <= spacing <= 100, "spacing_mm must be in [0, 100]", spacing_mm=spacing)
        known = f"plane must be one of {', '.join(PLANES)}"
        require(self.plane in PLANES, known, plane=self.plane)
        require(
            self.volumes in ("", "all") or bool(re.fullmatch(r"\d+(,\d+){0,2}", self.volumes)),
            "volumes must be empty, all, or one to three numbers such as 0,2,3",
            volumes=self.volumes,
        )
        known = f"include_burned_in must hold only {', '.join(BURNED_IN)}"
        require(self.included <= set(BURNED_IN), known, include_burned_in=self.include_burned_in)

    @property
    def included(self) -> set[str]:
        """The names in `include_burned_in`."""
        return {name.strip() for name in self.include_burned_in.split(",") if name.strip()}

    @property
    def window(self) -> tuple[float, float] | None:
        """Center and width of the window in `intensity`; None if it is a word."""
        try:
            center, width = map(float, self.intensity.split("/"))
        except ValueError:
            return None
        return (center, width) if math.isfinite(center) and 0 < width < math.inf else None

    @property
    def chosen(self) -> tuple[int, ...]:
        """The numbers in `volumes`; (0,) if it is empty, () for `all`."""
        if self.volumes == "all":
            return ()
        return tuple(int(number) for number in (self.volumes or "0").split(","))
