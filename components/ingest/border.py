"""The border map of U-Net: where the gap between two objects is narrow, the loss weighs more."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["border_map", "find_instances"]

Integers = NDArray[np.int32]


def find_instances(label: NDArray[Any], classes: NDArray[np.uint8], rule: str) -> Integers:
    """Tell objects apart.

    Args:
        label: `(height, width)` raw values.
        classes: `(height, width)` class indices of the same label.
        rule: `values` (each raw value of the foreground is an object), `foreground` (each
            connected part of a class >= 1 is one) or `background` (each connected part of class
            0: cells that a membrane class divides). Parts touch by edges, not by corners.

    Returns:
        `(height, width)` int32: 0 between the objects, k in object k.
    """
    if rule == "values":
        return np.where(classes > 0, label, 0).astype(np.int32)
    if rule == "background":
        return ndimage.label(classes == 0)[0].astype(np.int32)
    instances = np.zeros(classes.shape, np.int32)
    for index in range(1, int(classes.max(initial=0)) + 1):
        parts, count = ndimage.label(classes == index)
        instances += np.where(parts > 0, parts + instances.max(initial=0), 0).astype(np.int32)
    return instances


def border_map(instances: Integers, sigma: float) -> NDArray[np.uint8]:
    """Weigh the pixels between objects by how close the two nearest objects are.

    Args:
        instances: `(height, width)`: 0 between the objects, k in object k.
        sigma: Width in pixels.

    Returns:
        `(height, width)` uint8: 255 * exp(-(d1 + d2)^2 / (2 sigma^2)) between the objects, where
        d1 and d2 are the distances to the nearest and the second nearest; 0 inside objects.

    Source: Ronneberger et al., 2015, equation (2).
    """
    # Beyond this d2 the map rounds to 0, so that each object is looked at through a small window.
    reach = math.ceil(sigma * math.sqrt(2 * math.log(2 * 255)))
    first = np.full(instances.shape, np.inf, np.float32)
    second = first.copy()
    height, width = instances.shape
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        rows, columns = box
        window = (
            slice(max(rows.start - reach, 0), min(rows.stop + reach, height)),
            slice(max(columns.start - reach, 0), min(columns.stop + reach, width)),
        )
        distance = ndimage.distance_transform_edt(instances[window] != number).astype(np.float32)
        nearest, next_nearest = first[window], second[window]
        np.minimum(next_nearest, np.maximum(distance, nearest), out=next_nearest)
        np.minimum(nearest, distance, out=nearest)
    gap = np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return np.where(instances == 0, np.rint(255 * gap), 0).astype(np.uint8)
