"""DICOM files made by code, and how tests read a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from thimble.datasets import open_source
from thimble.datasets.source import Refusal, Sample, SourceOptions
from thimble.datasets.volume_options import VolumeConfig
from thimble.stage import BadInput

KEY = "a key of the tests, not of a hospital"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
CR = "1.2.840.10008.5.1.4.1.1.1"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
SIDE = 32


def uid(*names: object) -> str:
    """The same UID for the same names."""
    return str(generate_uid(entropy_srcs=[str(name) for name in names]))


def disc(place: int, level: int = 900, side: int = SIDE) -> NDArray[np.uint16]:
    """A bright disc on a slope; another one for each place."""
    rows, columns = np.mgrid[:side, :side]
    inside = np.hypot(rows - side / 2, columns - side / 2 - place % 4) < side / 4
    return (100 + 3 * rows + columns + 7 * place + level * inside).astype(np.uint16)


def make(
    pixels: NDArray[Any] | None,
    series: str = "series",
    place: int = 0,
    patient: str = "patient",
    **elements: Any,
) -> FileDataset:
    """A file of one image, `(rows, columns)` or `(rows, columns, 3)`, or of none.

    Keyword arguments are elements by keyword; None removes one.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.Modality = MR, "MR"
    data.PatientID, data.PatientName = patient, patient
    data.StudyInstanceUID = uid(patient, "study")
    data.SeriesInstanceUID = uid(patient, series)
    data.SOPInstanceUID = uid(patient, series, place)
    data.InstanceNumber = place + 1
    data.ImagePositionPatient = [-10.0, -12.0, 3.0 * place]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [0.5, 0.75]
    data.SliceThickness = 3
    if pixels is not None:
        data.Rows, data.Columns = pixels.shape[:2]
        data.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
        data.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
        if pixels.ndim == 3:
            data.PlanarConfiguration = 0
        bits = 8 * pixels.dtype.itemsize
        data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
        data.PixelRepresentation = int(pixels.dtype.kind == "i")
        data.PixelData = np.ascontiguousarray(pixels).tobytes()
        data["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            del data[keyword]
        else:
            setattr(data, keyword, value)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def save(data: Dataset, path: Path) -> Path:
    """Write a file; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def save_series(
    folder: Path, series: str = "series", slices: int = 6, patient: str = "patient", **elements: Any
) -> list[Path]:
    """Write a series whose file names say nothing of its order."""
    paths = []
    for place in range(slices):
        name = f"{(place * 5 + 3) % slices:03d}-{series}.dcm"
        paths.append(save(make(disc(place), series, place, patient, **elements), folder / name))
    return paths


def segment(
    images: list[Dataset], segments: dict[int, list[NDArray[np.bool_]]], by_place: bool = False
) -> FileDataset:
    """A binary segmentation of images; segments: number to one mask an image."""
    first = images[0]
    data = make(None, "segments", 0, SOPClassUID=SEGMENTATION, Modality="SEG")
    data.SegmentationType = "BINARY"
    data.Rows, data.Columns, data.SamplesPerPixel = first.Rows, first.Columns, 1
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit, data.PixelRepresentation = 0, 0
    data.PhotometricInterpretation = "MONOCHROME2"
    series = Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    data.ReferencedSeriesSequence = Sequence([series])
    frames, masks = [], []
    for number, of in segments.items():
        for image, mask in zip(images, of, strict=True):
            if not mask.any():
                continue
            item, identified, plane = Dataset(), Dataset(), Dataset()
            identified.ReferencedSegmentNumber = number
            item.SegmentIdentificationSequence = Sequence([identified])
            plane.ImagePositionPatient = image.ImagePositionPatient
            item.PlanePositionSequence = Sequence([plane])
            if not by_place:
                source, derived = Dataset(), Dataset()
                source.ReferencedSOPClassUID = image.SOPClassUID
                source.ReferencedSOPInstanceUID = image.SOPInstanceUID
                derived.SourceImageSequence = Sequence([source])
                item.DerivationImageSequence = Sequence([derived])
            frames.append(item)
            masks.append(mask)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.NumberOfFrames = len(frames)
    packed = np.packbits(np.concatenate([mask.ravel() for mask in masks]), bitorder="little")
    data.PixelData = packed.tobytes() + b"\0" * (len(packed) % 2)
    data["PixelData"].VR = "OW"
    return data


def enhanced(stored: list[NDArray[np.uint16]], positions: list[float], slopes: list[float]) -> Any:
    """An enhanced multi-frame image: place and slope of each frame in its functional groups."""
    data = make(stored[0], "enhanced", 0, SOPClassUID=ENHANCED_MR)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
    ):
        del data[keyword]
    frames = []
    for place, slope in zip(positions, slopes, strict=True):
        item, plane, values = Dataset(), Dataset(), Dataset()
        plane.ImagePositionPatient = [0.0, 0.0, place]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 0, "US"
        item.PlanePositionSequence = Sequence([plane])
        item.PixelValueTransformationSequence = Sequence([values])
        frames.append(item)
    shared, turned, measures = Dataset(), Dataset(), Dataset()
    turned.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [1.5, 2.5], 4
    shared.PlaneOrientationSequence = Sequence([turned])
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.NumberOfFrames = len(stored)
    data.PixelData = np.stack(stored).tobytes()
    return data


def read(
    folder: Path, labels: str = "none", kind: str = "dicom", **volume: Any
) -> tuple[list[Sample], list[Refusal]]:
    """Every image of a folder, and everything that was refused."""
    options = SourceOptions(source=str(folder), labels=labels, volume=VolumeConfig(**volume))
    reader = open_source(kind, options)
    cases, refused = reader.cases()
    samples: list[Sample] = []
    for case in cases:
        try:
            for found in reader.read(case):
                if isinstance(found, Refusal):
                    refused.append(found)
                else:
                    samples.append(found)
        except BadInput as error:
            refused.append(Refusal(case.name or case.image, str(error)))
    return samples, refused
