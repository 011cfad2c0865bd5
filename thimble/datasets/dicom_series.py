"""DICOM files to stacks: series whatever folder they lie in, slices in the order of the body."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.datasets.dicom_header import Header

__all__ = ["Stack", "order_frames", "stack_files"]

# Of the usual distance of slices: less is the same place, more is a gap.
SAME, GAP = 0.05, 1.5


@dataclass(frozen=True)
class Stack:
    """Files that are read together.

    Attributes:
        files: Headers in the order of the slices; one alone may hold many frames.
        notes: What is odd about the order: gaps, places taken twice.
    """

    files: tuple[Header, ...]
    notes: tuple[str, ...] = ()

    @property
    def positions(self) -> NDArray[np.float64]:
        """Of all slices in order, `(slices, 3)` mm; no rows if unknown."""
        places = [place for header in self.files for place in header.positions]
        if len(self.files) == 1 and places:
            order = order_frames(self.files[0].positions, self.files[0].orientation)
            places = [places[frame] for frame in order]
        return np.array(places, np.float64).reshape(-1, 3)

    def affine(self) -> NDArray[np.float64] | None:
        """Return voxel (column, row, slice) to millimetres right, anterior, superior.

        Returns:
            `(4, 4)`; None if the slices do not lie at equal distances, or their place is unknown.

        Source: DICOM PS3.3 C.7.6.2.1.1, with the axes of NIfTI.
        """
        first, positions = self.files[0], self.positions
        if not len(positions) or first.spacing is None:
            return None
        rows, columns = np.array(first.orientation).reshape(2, 3)
        step = np.cross(rows, columns)
        if len(positions) > 1:
            steps = np.diff(positions, axis=0)
            step = (positions[-1] - positions[0]) / (len(positions) - 1)
            if np.abs(steps - step).max() > 0.1 * np.linalg.norm(step):
                return None
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = rows * first.spacing[1], columns * first.spacing[0]
        affine[:3, 2], affine[:3, 3] = step, positions[0]
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _depths(positions: Any, orientation: Any) -> NDArray[np.float64]:
    """Return how far positions lie along the normal of their slices, in mm."""
    rows, columns = np.array(orientation, np.float64).reshape(2, 3)
    return np.asarray(np.array(positions, np.float64) @ np.cross(rows, columns))


def order_frames(positions: Sequence[Any], orientation: Sequence[float]) -> list[int]:
    """Return the frames of a file from the first slice to the last; as stored if unknown."""
    if not positions or not orientation:
        return []
    if len(positions) == 1:
        return [0]
    depths = np.round(_depths(positions, orientation), 3)
    return [int(frame) for frame in np.argsort(depths, kind="stable")]


def _describe(depths: NDArray[np.float64]) -> tuple[str, ...]:
    """Return what is odd about sorted depths."""
    steps = np.diff(depths)
    if not len(steps) or steps.max() <= 0:
        return ("all slices lie at one place",) if len(steps) else ()
    usual = float(np.median(steps[steps > SAME * steps.max()]))
    notes = []
    twice = int((steps < SAME * usual).sum())
    if twice:
        notes.append(f"{twice} slice(s) lie where another lies")
    for place in np.flatnonzero(steps > GAP * usual)[:3]:
        missing = round(float(steps[place]) / usual) - 1
        notes.append(f"{max(missing, 1)} slice(s) missing after slice {int(place)}")
    return tuple(notes)


def _key(header: Header) -> tuple[Any, ...]:
    """Return what files of one stack have in common beside the series."""
    turned = tuple(round(cosine, 3) + 0.0 for cosine in header.orientation)
    spacing = tuple(round(side, 4) for side in header.spacing or ())
    return header.size, turned, spacing


def stack_files(headers: Iterable[Header]) -> list[Stack]:
    """Group files by series, form and orientation, and sort the slices.

    Files of many frames, files without a position, and files without a series stay alone: nothing
    says that they belong together.

    Args:
        headers: In any order, of any number of series.

    Returns:
        Stacks in the order of patient, series and depth.
    """
    groups: dict[tuple[Any, ...], list[Header]] = defaultdict(list)
    stacks = []
    for header in sorted(headers, key=lambda header: header.path):
        if header.series and header.frames == 1 and header.positions:
            groups[header.patient, header.series, _key(header)].append(header)
        else:
            places = header.positions
            depths = _depths(places, header.orientation) if places else np.empty(0)
            stacks.append(Stack((header,), _describe(np.sort(depths))))
    for members in groups.values():
        depths = _depths([h.positions[0] for h in members], members[0].orientation)
        # Of slices at one place the scanner's own order decides, then the name.
        order = sorted(
            range(len(members)),
            key=lambda m: (round(float(depths[m]), 3), members[m].number, members[m].path),
        )
        notes = _describe(depths[order])
        stacks.append(Stack(tuple(members[member] for member in order), notes))
    return sorted(
        stacks,
        key=lambda stack: (
            stack.files[0].patient,
            stack.files[0].study,
            stack.files[0].series,
            stack.files[0].number if len(stack.files) == 1 else 0,
            stack.files[0].path,
        ),
    )
