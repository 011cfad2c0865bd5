"""Labels of DICOM images: DICOM-SEG, NIfTI beside the series, PNG by SOP instance UID."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.datasets.dicom_header import SEGMENTATIONS, frame_item, open_dicom, unpatiented
from thimble.datasets.dicom_pixels import decode_frame, load_dicom
from thimble.datasets.dicom_series import Stack
from thimble.datasets.nifti_volume import open_volume, whole_numbers
from thimble.datasets.pixels import read_label
from thimble.stage import BadInput

__all__ = ["NiftiLabel", "PngLabel", "Segmentation", "fits", "open_label"]

LABELMAP = SEGMENTATIONS[1]
OTHER_GRID = (
    "The label volume has another shape or affine than the series. Expected a label on the grid of "
    "the images: resample it to them and save it again."
)


class Segmentation:
    """A DICOM segmentation: the label value is the segment's number, the higher one wins.

    Source: DICOM PS3.3 A.51 and C.8.20; label maps: A.90.
    """

    def __init__(self, path: str) -> None:
        """Read the file and find which of its frames belongs to which image.

        Raises:
            BadInput: If it cannot be read.
        """
        with open_dicom(path) as stream, unpatiented("The segmentation"):
            self._data = load_dicom(stream)
            self._labelmap = self._data.SOPClassUID == LABELMAP
            fractional = str(self._data.get("SegmentationType") or "") == "FRACTIONAL"
            full = int(self._data.get("MaximumFractionalValue") or 255)
            self._threshold = (full + 1) // 2 if fractional else 1
            self._by_image: dict[tuple[str, int], list[int]] = defaultdict(list)
            self._by_place: dict[tuple[float, ...], list[int]] = defaultdict(list)
            for frame in range(max(1, int(self._data.get("NumberOfFrames") or 1))):
                self._index(frame)

    def _index(self, frame: int) -> None:
        """Note what a frame belongs to: an image, or a place in space."""
        derived = frame_item(self._data, frame, "DerivationImageSequence")
        sources = (derived.get("SourceImageSequence") if derived is not None else None) or ()
        for source in sources:
            numbers = source.get("ReferencedFrameNumber") or 0
            for number in numbers if hasattr(numbers, "__iter__") else (numbers,):
                self._by_image[str(source.ReferencedSOPInstanceUID), int(number)].append(frame)
        plane = frame_item(self._data, frame, "PlanePositionSequence")
        position = plane.get("ImagePositionPatient") if plane is not None else None
        if position is not None and len(position) == 3:
            self._by_place[_rounded(position)].append(frame)

    def slice(self, sop: str, frame: int, position: Any, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the label of one image, 0 where no segment lies.

        Args:
            sop: UID of the image.
            frame: Of the image, from 0.
            position: Of its first pixel in mm; empty if unknown.
            shape: Height and width of the image.

        Raises:
            BadInput: If the segmentation has another size.
        """
        rows, columns = int(self._data.Rows), int(self._data.Columns)
        if (rows, columns) != shape:
            raise BadInput(
                f"The segmentation has {columns}x{rows} pixels, the image {shape[1]}x{shape[0]}. "
                "Expected equal sizes: resample the segmentation to the images."
            )
        found = self._by_image.get((sop, frame + 1)) or self._by_image.get((sop, 0)) or []
        if not self._by_image and len(position):
            found = self._by_place.get(_rounded(position), [])
        label = np.zeros(shape, np.uint16)
        numbered = sorted((self._segment(place), place) for place in set(found))
        for segment, place in numbered:
            pixels = decode_frame(self._data, place)
            if self._labelmap:
                np.maximum(label, pixels, out=label, casting="unsafe")
            else:
                label[pixels >= self._threshold] = segment
        return label

    def _segment(self, frame: int) -> int:
        """Return the number of a frame's segment."""
        item = frame_item(self._data, frame, "SegmentIdentificationSequence")
        return int(item.get("ReferencedSegmentNumber") or 1) if item is not None else 1


def _rounded(position: Any) -> tuple[float, ...]:
    """Return a position to a hundredth of a millimetre."""
    return tuple(round(float(part), 2) + 0.0 for part in position)


def _axes(
    affine: NDArray[np.float64], stack: NDArray[np.float64], slices: int
) -> NDArray[np.float64] | None:
    """Return the matrix from voxels of a stack to those of a volume if it only turns axes."""
    try:
        matrix = np.linalg.inv(affine) @ stack
    except np.linalg.LinAlgError:
        return None
    if slices == 1:  # the distance to the next slice, which is not there, does not matter
        matrix[:3, 2] /= np.abs(matrix[:3, 2]).max()
    turned = np.rint(matrix)
    whole = np.abs(matrix[:3, :3] - turned[:3, :3]).max() < 0.02
    near = np.abs(matrix[:3, 3] - turned[:3, 3]).max() < 0.2
    permutes = (np.abs(turned[:3, :3]).sum(0) == 1).all() and (
        np.abs(turned[:3, :3]).sum(1) == 1
    ).all()
    return turned if whole and near and permutes else None


def fits(path: str, stack: Stack) -> bool:
    """Return whether a NIfTI label lies on the grid of a stack, from both headers.

    Raises:
        BadInput: If the label cannot be opened.
    """
    return _turned(path, stack) is not None


def _turned(path: str, stack: Stack) -> tuple[list[int], list[bool]] | None:
    """Return the axes of a volume along column, row, slice of a stack, and which are reversed."""
    volume, affine = open_volume(path), stack.affine()
    if affine is None or len(volume.shape) != 3:
        return None
    matrix = _axes(volume.affine, affine, len(stack.positions))
    if matrix is None:
        return None
    axes = [int(np.flatnonzero(matrix[:3, axis])[0]) for axis in range(3)]
    reverse = [bool(matrix[axes[axis], axis] < 0) for axis in range(3)]
    size = stack.files[0].size
    wanted = (size[1], size[0], len(stack.positions))
    starts = [
        volume.shape[axis] - 1 if back else 0 for axis, back in zip(axes, reverse, strict=True)
    ]
    same_start = all(matrix[axis, 3] == start for axis, start in zip(axes, starts, strict=True))
    same = tuple(volume.shape[axis] for axis in axes) == wanted
    return (axes, reverse) if same and same_start else None


class NiftiLabel:
    """A NIfTI volume on the grid of a stack, whichever way its axes lie."""

    def __init__(self, path: str, stack: Stack) -> None:
        """Open the volume.

        Raises:
            BadInput: If it cannot be read, or lies on another grid.
        """
        turned = _turned(path, stack)
        if turned is None:
            raise BadInput(OTHER_GRID)
        self._axes, self._reverse = turned
        self._volume = open_volume(path)

    def slice(self, place: int) -> NDArray[Any]:
        """Return the label of the slice at a place, `(height, width)` uint8 or uint16.

        Raises:
            BadInput: If it holds what is no class.
        """
        columns, rows, depth = self._axes
        index = self._volume.shape[depth] - 1 - place if self._reverse[2] else place
        plane = self._volume.slab(depth, index)
        plane = plane if rows < columns else plane.T
        steps = (-1 if self._reverse[1] else 1, -1 if self._reverse[0] else 1)
        return whole_numbers(plane[:: steps[0], :: steps[1]])


class PngLabel:
    """A PNG of the raw values of one image."""

    def __init__(self, path: str) -> None:
        """Bind the file, whose name is a UID."""
        self._path = path

    def read(self) -> NDArray[Any]:
        """Return the label, `(height, width)`.

        Raises:
            BadInput: If it cannot be read; without the name.
        """
        try:
            return read_label(self._path)
        except BadInput:
            raise BadInput(
                "The label PNG cannot be read, is in colour or too large. Expected a whole grey "
                "or palette PNG: save it again."
            ) from None


def open_label(path: str, stack: Stack) -> Segmentation | NiftiLabel | PngLabel:
    """Open the label of a stack by what kind of file it is."""
    lower = path.lower()
    if lower.endswith((".nii", ".nii.gz")):
        return NiftiLabel(path, stack)
    return PngLabel(path) if lower.endswith(".png") else Segmentation(path)
