"""Finds float32 weights that are int8 integers times a scale for each channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.codebook import halves_of

__all__ = ["find_scales"]

_LARGEST = 127
# Products of a scale below this one are finite.
_LARGEST_SCALE = np.float32(2.0**120)


def find_scales(patterns: NDArray[Any], channels: int) -> tuple[bytes, NDArray[np.uint8]] | None:
    """Split weights in integers and scales, if that is exact.

    Symmetric quantisation sets the scale of a channel to its largest magnitude / 127.

    Args:
        patterns: float32 bit patterns, shape (elements,).
        channels: Last dimension; element i is of channel i modulo channels.

    Returns:
        The stored scales, and the integers as int8 patterns, shape (elements,); None if some weight
        is not, bit for bit, the float32 product of an integer and its scale.

    Source: Jacob et al., 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 2.1; symmetric and by channel.
    """
    if not len(patterns):
        return None
    weights = patterns.view("<f4").reshape(-1, channels)
    if weights.size < 2 * channels or not (np.abs(weights) < _LARGEST_SCALE).all():
        return None
    peaks = np.abs(weights).max(axis=0)
    exact = np.zeros(channels, bool)
    scales = np.zeros(channels, np.float32)
    first = peaks / np.float32(_LARGEST)
    for scale in (first, np.nextafter(first, np.float32(0)), np.nextafter(first, np.float32(1e38))):
        fits = ~exact & _reproduces(weights, scale)
        scales[fits] = scale[fits]
        exact |= fits
    if not exact.all():
        return None
    integers = _integers(weights, scales)
    halves = halves_of(scales.view("<u4"))
    stored = b"\0" + scales.astype("<f4").tobytes() if halves is None else b"\1" + halves.tobytes()
    return stored, integers.reshape(-1).view(np.uint8)


def _integers(weights: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the nearest integers of weights, 0 where the scale is 0."""
    quotient = np.divide(weights, scales, out=np.zeros_like(weights), where=scales > 0)
    return np.clip(np.rint(quotient), -_LARGEST, _LARGEST).astype(np.int8)


def _reproduces(weights: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for each channel whether integers times scale give its weights bit for bit."""
    # The largest weight may be an infinity away from 127 times a scale rounded up.
    with np.errstate(over="ignore"):
        products = _integers(weights, scales).astype(np.float32) * scales
    same: NDArray[np.bool_] = (products.view("<u4") == weights.view("<u4")).all(axis=0)
    return same
