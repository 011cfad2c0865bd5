"""Values of DICOM frames to 8 or 16 unsigned bits, by a rule that keeps their order.

See docs/decisions/0017-canonical-intensity.md: which rule a frame takes, and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.datasets.dicom_pixels import Frame
from thimble.datasets.intensity import TOP, apply_window, find_range, scale_range
from thimble.datasets.volume_options import VolumeConfig
from thimble.stage import BadInput

__all__ = ["AIR", "SIGNED", "Canonical"]

# What is added to Hounsfield units, and to a series that holds negative values.
AIR, SIGNED = 1024, 32768


@dataclass(frozen=True)
class Canonical:
    """The rule of one series.

    Attributes:
        options: Parameter `intensity` and its percentiles.
        modality: Such as CT.
    """

    options: VolumeConfig
    modality: str

    def alone(self, frame: Frame) -> NDArray[Any] | None:
        """Return a frame whose rule needs no look at the rest of its series, else None.

        Returns:
            `(height, width, 1 | 3)` uint8 or uint16.

        Raises:
            BadInput: If the file's window is asked for and it has none.
        """
        if frame.colour:
            return _stretch(frame.values, frame.bits)
        if self.options.intensity == "auto":
            return self._exact(frame) if frame.exact else None
        if self.options.intensity == "percentiles":
            return None
        if self.options.window:
            windowed = apply_window(frame.values, *self.options.window)
            return _grey(TOP - windowed if frame.dark_is_high else windowed)
        return self._by_file(frame)

    def _exact(self, frame: Frame) -> NDArray[Any] | None:
        """Shift whole numbers by what their modality says, not by what a slice happens to hold."""
        low, high = frame.limits
        if low == 0 and high == 2**frame.bits - 1 <= 255:
            return _grey(_stretch(_upright(frame).astype(np.uint8), frame.bits))
        if self.modality == "CT":
            return _grey(_hounsfield(_upright(frame)))
        if low == 0 and high <= TOP and self.modality != "PT":
            return _grey(_upright(frame).astype(np.uint16))
        return None

    def together(self, frames: Sequence[Frame]) -> list[NDArray[Any]]:
        """Return the frames of a series that `alone` left, by one rule for all of them.

        Raises:
            BadInput: If a value is not finite.
        """
        if self.options.intensity == "auto" and all(frame.exact for frame in frames):
            upright = [_upright(frame) for frame in frames]
            low = min(int(values.min()) for values in upright)
            high = max(int(values.max()) for values in upright)
            shift = 0 if low >= 0 else SIGNED
            if low + shift >= 0 and high + shift <= TOP:
                shifted = (values.astype(np.int32) + shift for values in upright)
                return [_grey(values.astype(np.uint16)) for values in shifted]
        total = sum(frame.values.size for frame in frames)
        percentiles = (self.options.low_percentile, self.options.high_percentile)
        ends = find_range((frame.values for frame in frames), *percentiles, total)
        scaled = [scale_range(frame.values, *ends) for frame in frames]
        return [
            _grey(TOP - values if frame.dark_is_high else values)
            for frame, values in zip(frames, scaled, strict=True)
        ]

    def _by_file(self, frame: Frame) -> NDArray[Any]:
        """Apply the window in the file; PS3.3 C.11.2.1.2 and C.11.2.1.3."""
        if frame.window is None:
            raise BadInput(
                "intensity=file, but the file has no window. Expected WindowCenter and "
                "WindowWidth in it: choose intensity=auto, percentiles or center/width."
            )
        center, width, function = frame.window
        if function == "LINEAR_EXACT":
            shown = scale_range(frame.values, center - width / 2, center + width / 2)
        elif function == "SIGMOID":
            # Beyond 50 the curve is flat at 16 bits, and exp would overflow.
            slope = np.clip(-4 * (frame.values.astype(np.float64) - center) / width, -50, 50)
            shown = scale_range(1 / (1 + np.exp(slope)), 0, 1)
        else:
            shown = apply_window(frame.values, center, width)
        return _grey(TOP - shown if frame.dark_is_high else shown)


def _hounsfield(units: NDArray[Any]) -> NDArray[np.uint16]:
    """Return Hounsfield units above air."""
    shifted = np.add(units, AIR, dtype=np.int32)
    return np.clip(shifted, 0, TOP, out=shifted).astype(np.uint16)


def _upright(frame: Frame) -> NDArray[Any]:
    """Return values of which the largest is shown white."""
    if not frame.dark_is_high:
        return frame.values
    return np.int32(sum(frame.limits)) - frame.values.astype(np.int32)


def _stretch(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return samples of some bits as 8 or 16 bits, the largest value as the largest."""
    if bits in (8, 16) and values.dtype.itemsize * 8 == bits:
        return values
    if bits > 16:
        return (values >> np.array(bits - 16, values.dtype)).astype(np.uint16)
    top = 255 if bits <= 8 else TOP
    return (values.astype(np.uint32) * top // (2**bits - 1)).astype(
        np.uint8 if bits <= 8 else np.uint16
    )


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    """Return `(height, width)` as `(height, width, 1)`."""
    return np.ascontiguousarray(values)[..., None]
