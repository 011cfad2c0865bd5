"""The header of a DICOM file: what is needed to group, order and judge it before pixels are read.

No value of an element appears in an error: any of them may name a patient.
"""

import gzip
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from thimble.datasets.burned_in import judge_header
from thimble.datasets.pixels import MAX_PIXELS
from thimble.stage import BadInput

__all__ = [
    "SEGMENTATIONS",
    "Header",
    "describe",
    "frame_item",
    "open_dicom",
    "read_header",
    "unpatiented",
]

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
# It quotes values in its messages.
logging.getLogger("pydicom").disabled = True

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
DIRECTORY = "1.2.840.10008.1.3.10"
PIXELS = {b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00"}
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
PER_FRAME, SHARED = BaseTag(0x52009230), BaseTag(0x52009229)
LARGEST_UNPACKED = 2**32
# No codec packs an image into less than a thousandth of a byte.
FRAMES_PER_BYTE = 1024
Vector = tuple[float, ...]


@dataclass(frozen=True)
class Header:
    """What a DICOM file says of itself; UIDs and the patient stay inside the process.

    Attributes:
        path: The file.
        sop_class: What kind of object it is.
        sop: UID of the object.
        study: UID of the study.
        series: UID of the series.
        patient: Patient ID.
        modality: Such as CT.
        number: Order in the series as the scanner counted.
        size: Rows, columns, samples.
        frames: Number of images in the file.
        spacing: Millimetres from row to row and from column to column; None if unknown.
        positions: Of the first pixel of each frame, patient coordinates in mm; empty if unknown.
        orientation: Direction cosines of rows and columns, six numbers; empty if unknown.
        burned_in: Which rule for burned-in text the header meets: a name of
            `thimble.datasets.volume_options.BURNED_IN`, or nothing.
        referenced: Series that a segmentation belongs to.
    """

    path: str
    sop_class: str
    sop: str
    study: str
    series: str
    patient: str
    modality: str
    number: int
    size: tuple[int, int, int]
    frames: int
    spacing: tuple[float, float] | None
    positions: tuple[Vector, ...]
    orientation: Vector
    burned_in: str
    referenced: str


@contextmanager
def unpatiented(what: str) -> Iterator[None]:
    """Turn whatever a reader of hostile files raises into a sentence without values of the file.

    Raises:
        BadInput: In place of any error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadInput:
        raise
    except MemoryError:
        raise BadInput(f"{what} needs more memory than there is. Expected a whole file.") from None
    except Exception as error:
        raise BadInput(
            f"{what} cannot be read ({type(error).__name__}). Expected a whole DICOM file (PS3.10) "
            "with valid elements: export it again or remove it."
        ) from None


@contextmanager
def open_dicom(path: str) -> Iterator[BinaryIO]:
    """Open a DICOM file, gzip unpacked.

    Raises:
        BadInput: If it is empty, an archive, or none.
    """
    with unpatiented("The file"), open(path, "rb") as plain:
        start = plain.read(132)
        plain.seek(0)
        if not start:
            raise BadInput("The file is empty (0 bytes). Copy it again or remove it.")
        if start[:4] == b"PK\x03\x04":
            raise BadInput("The file is a zip archive. Expected DICOM files: unpack it.")
        if start[:2] == b"\x1f\x8b":
            with gzip.open(plain) as unpacked:
                if unpacked.read(132)[128:] != b"DICM":
                    raise BadInput("The file is packed by gzip and holds no DICOM. Unpack it.")
                unpacked.seek(0)
                yield _Bounded(unpacked)  # type: ignore[misc]
            return
        if start[128:] != b"DICM":
            raise BadInput(
                "The file has no DICOM preamble, so that its transfer syntax is unknown. Expected "
                "a DICOM file (PS3.10) that begins with 128 bytes and DICM: export it again."
            )
        yield plain


class _Bounded:
    """An unpacked stream that ends in an error before it fills the memory."""

    def __init__(self, stream: Any) -> None:
        """Bind the stream."""
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Read at most the rest up to the bound."""
        left = LARGEST_UNPACKED - self._stream.tell()
        if left <= 0:
            raise BadInput(f"The file unpacks to more than {LARGEST_UNPACKED:,} bytes.")
        return bytes(self._stream.read(left if size < 0 else min(size, left)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def frame_item(data: Dataset, frame: int, group: str) -> Dataset | None:
    """Return the first item of a functional group: that of the frame, else the shared one.

    Source: DICOM PS3.3 C.7.6.16.
    """
    if PER_FRAME not in data and SHARED not in data:
        return None
    frames = data.get("PerFrameFunctionalGroupsSequence") or ()
    shared = data.get("SharedFunctionalGroupsSequence") or ()
    for groups in (frames[frame : frame + 1], shared[:1]):
        items = groups[0].get(group) if groups else None
        if items:
            return items[0]
    return None


def _numbers(data: Dataset | None, keyword: str, count: int) -> Vector:
    """Return an element as so many finite numbers, or nothing."""
    value = None if data is None else data.get(keyword)
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return ()
    numbers = tuple(float(part) for part in value) if len(value) == count else ()
    return numbers if np.isfinite(numbers).all() else ()


def _integer(data: Dataset, keyword: str, absent: int) -> int:
    """Return an element as a whole number."""
    value = data.get(keyword)
    try:
        return absent if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        raise BadInput(
            f"The element {keyword} holds no whole number. Expected one valid value: export the "
            "file again or remove it."
        ) from None


def _text(data: Dataset, keyword: str) -> str:
    """Return an element as text without blanks at its ends."""
    value = data.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _spacing(data: Dataset) -> tuple[float, float] | None:
    """Return millimetres between rows and between columns."""
    measures = frame_item(data, 0, "PixelMeasuresSequence")
    for place, keyword in (
        (measures, "PixelSpacing"),
        (data, "PixelSpacing"),
        (data, "ImagerPixelSpacing"),
    ):
        found = _numbers(place, keyword, 2)
        if found and min(found) > 0:
            return found[0], found[1]
    return None


def _geometry(data: Dataset, frames: int) -> tuple[tuple[Vector, ...], Vector]:
    """Return position of each frame and the orientation that all share; empty if unknown."""
    if PER_FRAME not in data:
        position = _numbers(data, "ImagePositionPatient", 3)
        orientation = _numbers(data, "ImageOrientationPatient", 6)
        known = position and orientation and frames == 1
        return ((position,) if known else ()), (orientation if known else ())
    planes = [frame_item(data, frame, "PlanePositionSequence") for frame in range(frames)]
    turned = {
        _numbers(frame_item(data, f, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
        for f in range(frames)
    }
    positions = tuple(_numbers(plane, "ImagePositionPatient", 3) for plane in planes)
    (orientation,) = turned if len(turned) == 1 else ((),)
    return (positions, orientation) if all(positions) and orientation else ((), ())


def _check_image(data: Dataset, pixels: bool | None) -> tuple[int, int, int]:
    """Return rows, columns and samples of something that can be an image."""
    if _text(data, "SOPClassUID") == DIRECTORY or "DirectoryRecordSequence" in data:
        raise BadInput("The file is a directory of a medium (DICOMDIR), not an image. Remove it.")
    if pixels is False:
        raise BadInput(
            "The file holds no pixel data (a report, a plan, a curve or a cut file). Expected an "
            "image: remove it, or export it again."
        )
    size = (
        _integer(data, "Rows", 0),
        _integer(data, "Columns", 0),
        _integer(data, "SamplesPerPixel", 1),
    )
    if not (size[0] > 0 and size[1] > 0 and size[2] in (1, 3, 4)) or "BitsAllocated" not in data:
        raise BadInput(
            f"The header describes no image: {size[0]} rows, {size[1]} columns, {size[2]} samples, "
            f"{_integer(data, 'BitsAllocated', 0)} bits. Expected all above 0: export it again."
        )
    if size[0] * size[1] > MAX_PIXELS:
        raise BadInput(
            f"The header declares {size[1]}x{size[0]} pixels. Expected at most {MAX_PIXELS:,}: the "
            "file is damaged or hostile; remove it, or cut the scan into parts."
        )
    return size


def _has_pixels(stream: BinaryIO, syntax: str, path: str) -> bool | None:
    """Return whether pixel data follow where reading stopped; None if that cannot be seen."""
    if syntax == DEFLATED:
        return None
    tag = stream.read(4)
    if syntax == BIG_ENDIAN:
        tag = tag[1::-1] + tag[:1:-1]
    return tag in PIXELS


def read_header(path: str) -> Header:
    """Read what a DICOM file says before its pixels.

    Args:
        path: A local file.

    Raises:
        BadInput: If it is no DICOM file, holds no image, or an element that is needed is damaged;
            the message names neither the file nor a value.
    """
    with open_dicom(path) as stream, unpatiented("The header"):
        # All of it: choosing elements takes pydicom longer than leaving them unread.
        data = pydicom.dcmread(stream, stop_before_pixels=True)
        syntax = str(data.file_meta.get("TransferSyntaxUID", ""))
        if not syntax:
            raise BadInput(
                "The file does not say its transfer syntax (0002,0010), so that its pixels cannot "
                "be decoded. Export it again."
            )
        return describe(data, path, _has_pixels(stream, syntax, path))


def describe(data: Dataset, path: str, pixels: bool | None = None) -> Header:
    """Return what a data set says, which may be read without its pixels.

    Args:
        data: Of the file.
        path: The file.
        pixels: Whether it has pixel data; None if that is not known.

    Raises:
        BadInput: If it describes no image.
        Exception: Whatever pydicom raises where an element is damaged.
    """
    size = _check_image(data, pixels)
    frames = max(1, _integer(data, "NumberOfFrames", 1))
    if frames > os.path.getsize(path) * FRAMES_PER_BYTE:
        raise BadInput(f"The header declares {frames} frames, more than the file can hold.")
    positions, orientation = _geometry(data, frames)
    series = data.get("ReferencedSeriesSequence") or ()
    return Header(
        path=path,
        sop_class=_text(data, "SOPClassUID"),
        sop=_text(data, "SOPInstanceUID"),
        study=_text(data, "StudyInstanceUID"),
        series=_text(data, "SeriesInstanceUID"),
        patient=_text(data, "PatientID"),
        modality=_text(data, "Modality").upper(),
        number=_order(data),
        size=size,
        frames=frames,
        spacing=_spacing(data),
        positions=positions,
        orientation=orientation,
        burned_in=judge_header(data),
        referenced=_text(series[0], "SeriesInstanceUID") if series else "",
    )


def _order(data: Dataset) -> int:
    """Return the instance number, which orders but is not needed."""
    try:
        return _integer(data, "InstanceNumber", 0)
    except BadInput:
        return 0
