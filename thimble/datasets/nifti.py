"""NIfTI and what else nibabel reads: volumes as 2-D slices in one plane."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.datasets.folders import read_groups
from thimble.datasets.index_table import read_attributes
from thimble.datasets.intensity import apply_window, find_range, resample, scale_range
from thimble.datasets.nifti_pairs import find_volumes
from thimble.datasets.nifti_slices import Slices, same_grid
from thimble.datasets.nifti_volume import Volume, open_volume, whole_numbers
from thimble.datasets.source import Case, Refusal, Sample, SourceOptions
from thimble.stage import BadInput

__all__ = ["NiftiReader"]

# Labels above this size are not compared with each other, which reads them whole.
LARGEST_COMPARED = 2**24


class NiftiReader:
    """Volumes and their labels; every slice that is not empty is an image."""

    classes = ""
    instances = "foreground"
    terms = "not stated"

    def __init__(self, options: SourceOptions) -> None:
        """Bind the folder, and take the classes that its dataset.json names."""
        self.options = options
        self.notes: list[str] = []
        if not options.source or not Path(options.source).is_dir():
            raise BadInput(
                f"Folder {options.source!r} does not exist. Expected a folder with imagesTr/ and "
                "labelsTr/, or images/ and labels/, of .nii, .nii.gz or .mgz files."
            )
        self.classes = _named_classes(Path(options.source) / "dataset.json")
        self.described = read_attributes(options.source, options.attribute_columns)

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all volumes in natural order, and the files that belong to none."""
        source, column = self.options.source, self.options.group_column
        labelled = self.options.labels == "required"
        cases, refused, self.notes = find_volumes(source, labelled)
        if not cases and not refused:
            raise BadInput(f"Folder {source} holds no volumes that nibabel reads.")
        if column:
            names = [os.path.basename(case.id) for case in cases]
            groups = read_groups(Path(source) / "index.csv", column, names)
            cases = [
                replace(case, group=groups[name]) for case, name in zip(cases, names, strict=True)
            ]
        self.notes += _equal_labels(cases, refused, source)
        return cases, refused

    def read(self, case: Case) -> Iterator[Sample]:
        """Yield the slices of a volume, from inferior, posterior or right.

        Raises:
            BadInput: If a file cannot be read, or files do not lie on one grid.
        """
        plane = self.options.volume.plane
        channels = [Slices(open_volume(path), plane) for path in (case.image, *case.files)]
        label = Slices(open_volume(case.label), plane) if case.label else None
        _check_grids(channels, label)
        first = channels[0]
        for start, chosen in self._choose(channels):
            scales = [self._scale(*channel) for channel in chosen]
            for place in range(first.count):
                planes = [slices.slice(place, number) for slices, number in chosen]
                values = whole_numbers(label.slice(place)) if label else None
                if not any(map(_varies, planes)) and (values is None or not values.any()):
                    continue
                shown = [scale(plane) for scale, plane in zip(scales, planes, strict=True)]
                if len(shown) == 2:  # noqa: PLR2004
                    shown.append(np.zeros_like(shown[0]))
                image = np.stack(shown, axis=-1)
                yield self._sample(case, start + place, (image, values), first)

    def _sample(
        self, case: Case, place: int, pixels: tuple[NDArray[Any], NDArray[Any] | None], of: Slices
    ) -> Sample:
        """Return a slice as an image."""
        image, label = pixels
        label = np.zeros(image.shape[:2], np.uint8) if label is None else label
        image, label, spacing = resample(
            np.ascontiguousarray(image),
            np.ascontiguousarray(label),
            of.spacing,
            self.options.volume.spacing_mm,
        )
        attributes = {"slice_thickness": f"{of.thickness:.4g}"}
        attributes |= self.described.get(os.path.basename(case.id), {})
        return Sample(f"{case.id}/{place:04d}", image, label, spacing, attributes)

    def _choose(self, files: list[Slices]) -> Iterator[tuple[int, list[tuple[Slices, int]]]]:
        """Yield the first place and the channels, (file, volume in it), of what is one image."""
        volumes = int(np.prod(files[0].volume.shape[3:], dtype=int))
        chosen = self.options.volume.chosen
        if len(files) > 1:
            wanted = chosen if self.options.volume.volumes else tuple(range(len(files)))
            _check_chosen(wanted, len(files))
            yield 0, [(files[number], 0) for number in wanted]
        elif chosen:
            _check_chosen(chosen, volumes)
            yield 0, [(files[0], number) for number in chosen]
        else:
            for number in range(volumes):
                yield number * files[0].count, [(files[0], number)]

    def _scale(self, slices: Slices, number: int) -> Callable[[NDArray[Any]], NDArray[np.uint16]]:
        """Return the function from values of a volume to unsigned samples."""
        options = self.options.volume
        if options.window:
            center, width = options.window
            return partial(apply_window, center=center, width=width)
        if options.intensity == "file":
            ends = slices.volume.window
            if ends is None:
                raise BadInput(
                    "intensity=file, but the file says no window (cal_min, cal_max). Choose "
                    "intensity=auto or center/width."
                )
        else:
            every = (slices.slice(place, number) for place in range(slices.count))
            percentiles = (options.low_percentile, options.high_percentile)
            total = int(np.prod(slices.volume.shape[:3], dtype=np.int64))
            ends = find_range(every, *percentiles, total)
        return partial(scale_range, low=ends[0], high=ends[1])


def _varies(plane: NDArray[Any]) -> bool:
    """Return whether a slice holds more than one value."""
    return bool(plane.min() != plane.max())


def _check_chosen(chosen: tuple[int, ...], count: int) -> None:
    """Refuse numbers of volumes that are not there, and more than become channels."""
    if max(chosen) >= count or len(chosen) > 3:  # noqa: PLR2004
        raise BadInput(
            f"volumes chooses {','.join(map(str, chosen))} of {count} volume(s). Expected one to "
            f"three numbers in 0..{count - 1}."
        )


def _check_grids(channels: list[Slices], label: Slices | None) -> None:
    """Refuse volumes that are no grey values, and files that do not lie on one grid."""
    first = channels[0].volume
    for slices in [*channels, *([label] if label else [])]:
        volume: Volume = slices.volume
        if volume.dtype.names or volume.dtype.kind not in "iufb":
            raise BadInput(
                f"The volume holds values of the type {volume.dtype}. Expected one number a voxel."
            )
        if not same_grid(first, volume):
            what = "label" if slices is label else "channel"
            raise BadInput(
                f"The {what} has the shape {volume.shape[:3]}, or another affine, but the image "
                f"{first.shape[:3]}. Expected one grid: resample the {what} to the image."
            )
    if label and int(np.prod(label.volume.shape[3:], dtype=int)) != 1:
        raise BadInput("The label has more than three axes. Expected one class a voxel.")


def _equal_labels(cases: list[Case], refused: list[Refusal], source: str) -> list[str]:
    """Return which label files hold the same bytes."""
    sizes: dict[int, list[str]] = defaultdict(list)
    paths = [case.label for case in cases if case.label]
    paths += [os.path.join(source, r.file) for r in refused if r.reason.startswith("label ")]
    for path in paths:
        if os.path.isfile(path) and os.path.getsize(path) <= LARGEST_COMPARED:
            sizes[os.path.getsize(path)].append(path)
    notes = []
    for same in sizes.values():
        by_content: dict[bytes, list[str]] = defaultdict(list)
        for path in same if len(same) > 1 else []:
            digest = hashlib.sha256(Path(path).read_bytes()).digest()
            by_content[digest].append(os.path.relpath(path, source))
        notes += [
            f"equal labels: {', '.join(sorted(names))}"
            for names in by_content.values()
            if len(names) > 1
        ]
    return notes


def _named_classes(path: Path) -> str:
    """Return the classes in the dataset.json of the Decathlon or of nnU-Net, or nothing."""
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        pairs = [(int(v), k) if str(v).isdigit() else (int(k), v) for k, v in labels.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return ";".join(f"{str(name).replace(';', ' ')}={value}" for value, name in sorted(pairs))
