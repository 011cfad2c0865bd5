"""What happens to pixels before a network sees them; the same while training and on the phone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.stage import BadInput

__all__ = ["normalize", "to_channels"]

SMALLEST_DEVIATION = np.float32(1e-3)
LUMA_PER_THOUSAND = np.array([299, 587, 114], np.uint32)


def to_channels(image: NDArray[Any], channels: int) -> NDArray[Any]:
    """Give an image the number of channels that a network takes.

    Args:
        image: `(height, width, 1 | 3)` uint8 or uint16, grey or RGB.
        channels: 1 (colour becomes luma) or 3 (grey is repeated).

    Returns:
        `(height, width, channels)` of the same type.

    Raises:
        BadInput: If the image has neither 1 nor 3 channels.

    Source: ITU-R BT.601 (luma).
    """
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise BadInput(
            f"An image has shape {image.shape}. Expected (height, width, channels) with 1 or 3 "
            "channels; drop the alpha channel."
        )
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    # Integers, so that grey stored as RGB comes back as exactly the same grey.
    luma = (image.astype(np.uint32) @ LUMA_PER_THOUSAND + 500) // 1000
    return luma.astype(image.dtype)[..., None]


def normalize(image: NDArray[Any], preprocessing: Mapping[str, Any]) -> NDArray[np.float32]:
    """Standardise an image as `dataset.json` or a package says.

    Args:
        image: `(height, width, channels)` uint8 or uint16. Intensities are fractions of the
            type's maximum, so that an 8-bit image fits a network made for 16 bits.
        preprocessing: `normalization` ({"kind": "dataset", "mean", "std"} of images in [0, 1],
            one number a channel, or {"kind": "image"}: by the image's own statistics) and
            `channels`.

    Returns:
        `(height, width, channels)` float32.

    Raises:
        BadInput: If type, channels or kind do not fit.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise BadInput(f"An image has type {image.dtype}. Expected uint8 or uint16.")
    channels = int(preprocessing["channels"])
    if image.ndim != 3 or image.shape[2] != channels:
        raise BadInput(
            f"An image has shape {image.shape}. Expected (height, width, {channels}); "
            "convert it with to_channels()."
        )
    fraction = image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    normalization = preprocessing["normalization"]
    if normalization["kind"] == "dataset":
        mean = np.asarray(normalization["mean"], np.float32)
        deviation = np.asarray(normalization["std"], np.float32)
    elif normalization["kind"] == "image":
        mean = fraction.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        deviation = fraction.std(axis=(0, 1), dtype=np.float64).astype(np.float32)
    else:
        raise BadInput(f"Unknown normalization {normalization['kind']!r}. Known: dataset, image.")
    return ((fraction - mean) / np.maximum(deviation, SMALLEST_DEVIATION)).astype(np.float32)
