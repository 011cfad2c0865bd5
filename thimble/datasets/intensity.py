"""Values of a scan to the unsigned samples of a record: windows, percentiles, pixels in mm."""

import math
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thimble.datasets.pixels import MAX_PIXELS
from thimble.stage import BadInput

__all__ = ["TOP", "apply_window", "find_range", "resample", "scale_range"]

TOP = 65535
MOST_VALUES = 2**22


def scale_range(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Map [low, high] to [0, 65535]; what lies outside is clipped.

    Args:
        values: Of any shape and type, finite.
        low: What becomes 0.
        high: What becomes 65535, >= low.
    """
    # Subtracted first: float32 keeps 16 bits of what is left, however far from 0 the range lies.
    wide = values.dtype.itemsize > 4 or values.dtype.kind in "iu" and values.dtype.itemsize > 2
    scaled: NDArray[Any] = values.astype(np.float64 if wide else np.float32)
    scaled -= low
    scaled *= TOP / (high - low) if high > low else 0.0
    return np.rint(np.clip(scaled, 0, TOP, out=scaled), out=scaled).astype(np.uint16)


def apply_window(values: NDArray[Any], center: float, width: float) -> NDArray[np.uint16]:
    """Show a window of values as a monitor would, black 0 and white 65535.

    Args:
        values: Of any shape, in units of the scan, such as HU.
        center: Middle of the window.
        width: Of the window, > 0.

    Source: DICOM PS3.3 C.11.2.1.2.1 (the linear function), at 16 bits.
    """
    # The standard's function reaches its ends half a unit inside the window; a window one unit
    # wide or narrower is a threshold.
    half = max((width - 1) / 2, 1e-6)
    return scale_range(values, center - 0.5 - half, center - 0.5 + half)


def find_range(
    slices: Iterable[NDArray[Any]], low: float, high: float, total: int
) -> tuple[float, float]:
    """Return two percentiles of a volume, from about four million of its values.

    Args:
        slices: All slices in order, each `(height, width)`.
        low: The lower percentile, in [0, 50).
        high: The upper percentile, in (50, 100].
        total: Values of all slices together; large volumes are sampled at equal steps.

    Returns:
        The percentiles; the smallest and the largest value looked at if they are equal, as in a
        volume that is nearly all air.

    Raises:
        BadInput: If a value is not finite.
    """
    step = math.ceil(math.sqrt(-(-total // MOST_VALUES)))
    parts = []
    for values in slices:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int(np.count_nonzero(~np.isfinite(values)))
            raise BadInput(
                f"A slice holds {count} values that are NaN or infinite. Expected numbers: set "
                "what lies outside of the scan to 0 and save it again."
            )
        parts.append(values[::step, ::step].ravel())
    everything = np.concatenate(parts)
    found_low, found_high = np.percentile(everything, (low, high)).tolist()
    if found_high <= found_low:
        return float(everything.min()), float(everything.max())
    return found_low, found_high


def resample(
    image: NDArray[Any],
    label: NDArray[Any],
    spacing: tuple[float, float] | None,
    wanted: float,
) -> tuple[NDArray[Any], NDArray[Any], tuple[float, float] | None]:
    """Give an image and its label square pixels of a size.

    Args:
        image: `(height, width, channels)`; smaller by area, larger by bilinear interpolation.
        label: `(height, width)`, by the nearest value.
        spacing: Millimetres from row to row and from column to column.
        wanted: Millimetres; 0 to leave everything as it is.

    Raises:
        BadInput: If the spacing is unknown.
    """
    if not wanted or spacing == (wanted, wanted):
        return image, label, spacing
    if spacing is None:
        raise BadInput(
            "The file does not say how far its pixels are apart, so it cannot be resampled. "
            "Expected a spacing in the file, or spacing_mm=0."
        )
    size = (
        max(1, round(image.shape[1] * spacing[1] / wanted)),
        max(1, round(image.shape[0] * spacing[0] / wanted)),
    )
    if size[0] * size[1] > MAX_PIXELS:
        raise BadInput(
            f"spacing_mm={wanted} would make an image of {size[0]}x{size[1]} pixels. Expected at "
            f"most {MAX_PIXELS:,}: choose a larger spacing."
        )
    shrinks = size[0] < image.shape[1] and size[1] < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, size, interpolation=how).reshape(size[1], size[0], -1)
    nearest = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized, nearest, (wanted, wanted)
