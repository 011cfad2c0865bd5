"""Distances between the boundaries of masks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["hausdorff95"]

Mask = npt.NDArray[np.integer]


def hausdorff95(
    label: Mask,
    prediction: Mask,
    class_index: int,
    spacing: Sequence[float] = (1.0, 1.0),
) -> float:
    """Symmetric 95th-percentile Hausdorff distance between the boundaries of one class.

    Each directed distance is the 95th percentile, over the boundary pixels of one mask, of the
    distance to the nearest boundary pixel of the other; the larger of the two is returned. A
    boundary pixel has a 4-neighbour outside the mask; outside the image counts as outside.

    Args:
        label: The truth, class indices (height, width).
        prediction: The prediction, of the same shape.
        class_index: The class to compare.
        spacing: Size of a pixel along height and width, in the unit of the result (1 = pixels).

    Returns:
        The distance, >= 0. By definition 0 if the class is in neither mask, and the diagonal of the
        image if it is in only one of them, so that a lost object costs as much as can be.

    Source: Huttenlocher et al., 1993, section II; the percentile as in Taha and Hanbury, 2015,
        section "Hausdorff distance".
    """
    truth, guess = np.asarray(label) == class_index, np.asarray(prediction) == class_index
    if not truth.any() and not guess.any():
        return 0.0
    if not truth.any() or not guess.any():
        return float(np.linalg.norm(np.multiply(truth.shape, spacing)))
    truth_edge, guess_edge = _boundary(truth), _boundary(guess)
    forth = ndimage.distance_transform_edt(~truth_edge, sampling=spacing)[guess_edge]
    back = ndimage.distance_transform_edt(~guess_edge, sampling=spacing)[truth_edge]
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def _boundary(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask with a 4-neighbour outside it."""
    edge: npt.NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask)
    return edge
