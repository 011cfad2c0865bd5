"""DICOM: series in any folders, private data left behind, labels from wherever they lie."""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.datasets.burned_in import find_text_once, must_search, reason
from thimble.datasets.dicom_attributes import attributes
from thimble.datasets.dicom_header import Header, describe, open_dicom, read_header, unpatiented
from thimble.datasets.dicom_intensity import Canonical
from thimble.datasets.dicom_labels import NiftiLabel, PngLabel, Segmentation, open_label
from thimble.datasets.dicom_pixels import Frame, decode_frames, load_dicom
from thimble.datasets.dicom_series import Stack, order_frames
from thimble.datasets.dicom_sources import Listing, list_dicom
from thimble.datasets.intensity import resample
from thimble.datasets.privacy import open_pseudonyms
from thimble.datasets.source import Case, Refusal, Sample, SourceOptions
from thimble.stage import BadInput

__all__ = ["DicomReader"]

Label = Segmentation | NiftiLabel | PngLabel | None


class DicomReader:
    """Series and single files; ids, groups, sites and the names in errors are keyed hashes.

    Source: DICOM PS3.15 Annex E, Basic Application Level Confidentiality Profile.
    """

    classes = ""
    instances = "foreground"
    terms = "not stated"

    def __init__(self, options: SourceOptions) -> None:
        """Bind the folder.

        Raises:
            BadInput: If it is missing, or there is no key for the patients' names.
        """
        open_pseudonyms()
        if not options.source or not os.path.isdir(options.source):
            raise BadInput(
                f"Folder {options.source!r} does not exist. Expected a folder of DICOM files."
            )
        if options.group_column or options.attribute_columns:
            raise BadInput(
                "kind=dicom takes the patient and the scanner from the files. Leave group_column "
                "and attribute_columns empty."
            )
        self.options = options
        self.notes: list[str] = []

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all series, sorted by patient, study and series, and the files of none.

        Raises:
            BadInput: If the folder holds no file that could be DICOM.
        """
        listing = self.listing()
        if not listing.cases and not listing.refused:
            raise BadInput(f"Folder {self.options.source} holds no DICOM files.")
        self.notes = listing.notes
        return listing.cases, listing.refused

    def listing(self) -> Listing:
        """Return cases, refusals and remarks, and the file behind each pseudonym."""
        labelled = self.options.labels == "required"
        return list_dicom(self.options.source, labelled, self.options.volume.included)

    def read(self, case: Case) -> Iterator[Sample | Refusal]:
        """Yield the slices of a series, or the frames of a file, in order.

        Those whose intensities depend on the whole series come last.

        Raises:
            BadInput: If nothing of the case can be read, or the label does not fit.
        """
        files = case.files or (case.image,)
        label = self._open_label(case, files)
        waiting: list[tuple[Sample, Frame]] = []
        # Of one scanner, so said by the first file of a series.
        known: dict[str, str] = {}
        for number, path in enumerate(files):
            try:
                found = self._read_file(case, number, path, (label, known))
            except BadInput as error:
                if len(files) == 1:
                    raise
                yield Refusal(self._name(path), str(error))
                continue
            for sample, frame in found:
                if sample.image.size:
                    yield self._resampled(sample)
                else:
                    waiting.append((sample, frame))
            del found
        if waiting:
            with unpatiented("The pixels"):
                frames = [frame for _, frame in waiting]
                images = Canonical(self.options.volume, "").together(frames)
            for (sample, _), image in zip(waiting, images, strict=True):
                yield self._resampled(replace(sample, image=image))

    def _name(self, path: str) -> str:
        """Return what errors call a file."""
        return open_pseudonyms().name("file", os.path.relpath(path, self.options.source))

    def _open_label(self, case: Case, files: tuple[str, ...]) -> Label:
        """Open the label of a case; one on a grid needs the places of all slices."""
        if not case.label:
            return None
        needs_grid = case.label.lower().endswith((".nii", ".nii.gz"))
        headers = tuple(read_header(path) for path in files) if needs_grid else ()
        return open_label(case.label, Stack(headers))

    def _read_file(
        self, case: Case, number: int, path: str, context: tuple[Label, dict[str, str]]
    ) -> list[tuple[Sample, Frame]]:
        """Return the frames of a file; without pixels if their rule needs the whole series."""
        label, known = context
        with open_dicom(path) as stream, unpatiented("The pixels"):
            data = load_dicom(stream)
            header = describe(data, path)
            frames = list(decode_frames(data))
            known |= {} if known else attributes(data, open_pseudonyms())
            self._refuse_text(frames, header)
            canonical = Canonical(self.options.volume, header.modality)
            order = order_frames(header.positions, header.orientation)
            places = {frame: place for place, frame in enumerate(order)}
            alone = len(case.files) <= 1 and header.frames == 1
            found = []
            for frame in frames:
                place = number + places.get(frame.index, frame.index)
                image = canonical.alone(frame)
                shape = (frame.values.shape[0], frame.values.shape[1])
                sample = Sample(
                    case.id if alone else f"{case.id}/{place:04d}",
                    np.empty(0, np.uint8) if image is None else image,
                    _label_of(label, header, frame.index, place, shape),
                    header.spacing,
                    known,
                )
                found.append((sample, frame))
            return found

    def _refuse_text(self, frames: list[Frame], header: Header) -> None:
        """Refuse a file in whose pixels text is found."""
        included = self.options.volume.included
        if "text" in included or not must_search(header.modality, header.burned_in):
            return
        if find_text_once(header.path, partial(_brightest, frames)):
            raise BadInput(reason("text"))

    def _resampled(self, sample: Sample) -> Sample:
        """Give a sample the pixels' size that is asked for."""
        wanted = self.options.volume.spacing_mm
        image, label, spacing = resample(sample.image, sample.label, sample.spacing, wanted)
        return replace(sample, image=image, label=label, spacing=spacing)


def _label_of(
    label: Label, header: Header, frame: int, place: int, shape: tuple[int, int]
) -> NDArray[Any]:
    """Return the label of one frame."""
    if label is None:
        return np.zeros(shape, np.uint8)
    if isinstance(label, PngLabel):
        return label.read()
    if isinstance(label, NiftiLabel):
        return label.slice(place)
    position = header.positions[frame] if header.positions else ()
    return label.slice(header.sop, frame, position, shape)


def _brightest(frames: list[Frame]) -> NDArray[Any]:
    """Return the largest value of each pixel over all frames, `(height, width, 1 | 3)`."""
    brightest = frames[0].values
    for frame in frames[1:]:
        brightest = np.maximum(brightest, frame.values)
    return brightest if brightest.ndim == 3 else brightest[..., None]
