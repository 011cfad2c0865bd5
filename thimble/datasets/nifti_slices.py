"""Slices of a volume as a radiologist sees them, whichever way its axes lie in the file."""

from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff
from numpy.typing import NDArray

from thimble.datasets.nifti_volume import Volume

__all__ = ["Slices", "same_grid"]

# Axes (0 right, 1 anterior, 2 superior) of rows, columns and slices. Rows run down, from anterior
# or superior; columns from the patient's right, or from anterior: as DICOM stores the same planes.
AXES = {"axial": (1, 0, 2), "coronal": (2, 0, 1), "sagittal": (2, 1, 0)}


class Slices:
    """The slices of a volume in one plane.

    Attributes:
        volume: What they are of.
        count: Number of slices, from the right, posterior or inferior end.
        spacing: Millimetres from row to row and from column to column.
        thickness: Millimetres from slice to slice.
    """

    def __init__(self, volume: Volume, plane: str) -> None:
        """Find which axis of the file is which."""
        turned = nib.io_orientation(volume.affine)
        axes = [int(np.flatnonzero(turned[:, 0] == axis)[0]) for axis in AXES[plane]]
        self.volume = volume
        self._rows, self._columns, self._depth = axes
        # True where the file runs to the right, anterior or superior.
        self._forward = [bool(turned[axis, 1] > 0) for axis in axes]
        self.count = volume.shape[self._depth]
        self.spacing = (volume.spacing[self._rows], volume.spacing[self._columns])
        self.thickness = volume.spacing[self._depth]

    def slice(self, place: int, volume: int = 0) -> NDArray[Any]:
        """Return a slice, `(height, width)`, in the units of the file.

        Args:
            place: From 0.
            volume: Of a 4-D file.

        Raises:
            BadInput: If the file is cut or damaged.
        """
        index = place if self._forward[2] else self.count - 1 - place
        plane = self.volume.slab(self._depth, index, volume)
        plane = plane if self._rows < self._columns else plane.T
        down, across = (-1 if forward else 1 for forward in self._forward[:2])
        return plane[::down, ::across]


def _canonical(volume: Volume) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return shape and affine with the axes turned to right, anterior, superior."""
    turned = nib.io_orientation(volume.affine)
    order = np.argsort(turned[:, 0])
    shape = volume.shape[:3]
    return tuple(shape[axis] for axis in order), volume.affine @ inv_ornt_aff(turned, shape)


def same_grid(one: Volume, other: Volume) -> bool:
    """Return whether the voxels of two volumes lie at the same places, to a tenth of a voxel."""
    (shape, affine), (other_shape, other_affine) = _canonical(one), _canonical(other)
    if shape != other_shape:
        return False
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in shape])).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    apart = np.abs((affine - other_affine) @ corners).max()
    return bool(apart < 0.1 * min(one.spacing))
