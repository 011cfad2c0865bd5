"""First look at every case: can it be read, what does it hold, is it fit for use."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from components.ingest.config import IngestConfig
from thimble.datasets import open_source
from thimble.datasets.classes import ClassMap, describe_values, parse_classes
from thimble.datasets.pixels import pixel_digest
from thimble.datasets.source import ATTRIBUTES, Case, Reader, Refusal, Sample, SourceOptions
from thimble.stage import BadInput

__all__ = [
    "Finding",
    "Seen",
    "look_at",
    "open_classes",
    "open_reader",
    "refuse_one_class",
    "scan_case",
]

LABELS_LOOKED_AT = 16
# Up to so many classes it is faster to compare with each.
MOST_COMPARED = 8


class Finding(TypedDict):
    """What an image holds.

    Attributes:
        id: Name of the image.
        case: What it was read with.
        group: Patient.
        shape: Height and width.
        channels: 1 or 3.
        bits: 8 or 16.
        digest: SHA-256 of the pixels.
        pixels: Label pixels of each class.
        spacing: Millimetres from row to row and from column to column; None if unknown.
        attributes: Keys of `thimble.datasets.source.ATTRIBUTES` and what the source says.
    """

    id: str
    case: str
    group: str
    shape: list[int]
    channels: int
    bits: int
    digest: str
    pixels: list[int]
    spacing: list[float] | None
    attributes: dict[str, str]


def _name(case: Case, source: str) -> str:
    """Return the name of a case's file below the source, or what stands for it."""
    if case.name:
        return case.name
    path = case.image or case.id
    return os.path.relpath(path, source) if source and os.path.isabs(path) else path


# What is known of an image, the image itself, and `(height, width)` its class indices.
Seen = tuple[Finding, Sample, NDArray[np.uint8]]


def look_at(
    reader: Reader,
    classes: ClassMap,
    case: Case,
    source: str,
    seen: NDArray[np.bool_] | None = None,
) -> Iterator[Seen | Refusal]:
    """Read a case: each of its images, and each file that cannot be used.

    Args:
        reader: Of the kind of data.
        classes: Raw values of the classes.
        case: What to read.
        source: Folder of the data.
        seen: `(65536,)`: the raw values of the labels are set in it.
    """
    file = _name(case, source)
    try:
        for sample in reader.read(case):
            if isinstance(sample, Refusal):
                yield sample
                continue
            if seen is not None:
                seen[sample.label] = True
            try:
                yield _describe(sample, classes, case)
            except BadInput as error:
                yield Refusal(file + sample.id.removeprefix(case.id), str(error))
    except BadInput as error:
        yield Refusal(file, str(error))
    except (FileNotFoundError, PermissionError) as error:
        yield Refusal(
            file, f"It cannot be opened any more ({error.strerror}). Copy the file again."
        )


def scan_case(
    reader: Reader,
    classes: ClassMap,
    case: Case,
    source: str,
    seen: NDArray[np.bool_] | None = None,
) -> Iterator[Finding | Refusal]:
    """Do as `look_at`, and yield no pixels."""
    for found in look_at(reader, classes, case, source, seen):
        yield found if isinstance(found, Refusal) else found[0]


def _describe(sample: Sample, classes: ClassMap, case: Case) -> Seen:
    """Describe an image.

    Raises:
        BadInput: If image and label do not match, or hold nothing to learn from.
    """
    height, width, channels = sample.image.shape
    place = sample.id.removeprefix(case.id)
    name, label_name = case.name or case.image, case.name or case.label
    if sample.label.shape != (height, width):
        label_height, label_width = sample.label.shape
        raise BadInput(
            f"Image {name}{place} has {width}x{height} pixels but label {label_name} has "
            f"{label_width}x{label_height}. Expected equal sizes: export the label again, or "
            "remove both."
        )
    if sample.image.min() == sample.image.max():
        raise BadInput(
            f"Image {name}{place} is constant (every sample is {sample.image.min()}). "
            "Expected a scan: export it again, or remove it and its label."
        )
    foreign = sorted(set(sample.attributes) - set(ATTRIBUTES))
    if foreign:
        raise ValueError(f"attributes that may not leave the source: {', '.join(foreign)}")
    indices = classes.index(sample.label, label_name)
    finding: Finding = {
        "id": sample.id,
        "case": case.id,
        "group": case.group,
        "shape": [height, width],
        "channels": channels,
        "bits": 8 * sample.image.dtype.itemsize,
        "digest": pixel_digest(sample.image),
        "pixels": _count_classes(indices, len(classes.names)),
        "spacing": list(sample.spacing) if sample.spacing else None,
        "attributes": dict(sample.attributes),
    }
    return finding, sample, indices


def _count_classes(indices: NDArray[np.uint8], classes: int) -> list[int]:
    """Return the pixels of each class; bincount makes an int64 of each pixel first."""
    if classes <= MOST_COMPARED:
        return [int(np.count_nonzero(indices == number)) for number in range(classes)]
    return [int(count) for count in np.bincount(indices.ravel(), minlength=classes)]


def open_reader(config: IngestConfig) -> Reader:
    """Return the reader that a config asks for.

    Raises:
        BadInput: If kind and parameters do not fit.
    """
    options = SourceOptions(
        source=config.source.source,
        group_column=config.split.group_column,
        attribute_columns=config.split.attribute_columns,
        labels=config.source.labels,
        volume=config.image.volume,
        images=config.phantom.phantom_images,
        size=config.phantom.phantom_size,
        seed=config.seed,
    )
    return open_source(config.source.kind, options)


def open_classes(config: IngestConfig, reader: Reader, cases: Sequence[Case]) -> ClassMap:
    """Return the classes that the user or the kind names.

    Raises:
        BadInput: If neither does; the message lists the values that the labels hold.
    """
    text = config.source.classes or reader.classes
    if text:
        return parse_classes(text)
    if config.source.labels == "none" or not cases:  # without cases, why there are none counts
        return ClassMap(("unlabelled", "none"), ("0", "1-65535"))
    looked = cases[:LABELS_LOOKED_AT]
    found: set[int] = set()
    for case in looked:
        with contextlib.suppress(BadInput):
            for sample in reader.read(case):
                found |= set(
                    () if isinstance(sample, Refusal) else np.unique(sample.label).tolist()
                )
    values = describe_values(np.array(sorted(found)))
    raise BadInput(
        f"classes is empty, and kind={config.source.kind} has no default. The first {len(looked)} "
        f"label(s) hold the raw values {values}. Name a class for each, the "
        'background first, such as classes="background=0;organ=1-255".'
    )


def refuse_one_class(pixels: Sequence[int], names: Sequence[str], images: int) -> None:
    """Raise if all labels are of one class.

    Args:
        pixels: Of each class, in all images.
        names: Of the classes.
        images: How many there are.

    Raises:
        BadInput: If so.
    """
    present = [name for name, count in zip(names, pixels, strict=True) if count]
    if len(present) < 2:
        raise BadInput(
            f"All {images} labels hold one class only: {', '.join(present)}. Expected at "
            f"least two of {', '.join(names)}: check the labels and the parameter classes."
        )
