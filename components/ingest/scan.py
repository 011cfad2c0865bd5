"""First look at every case: can it be read, what does it hold, is it fit for use."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from components.ingest.config import IngestConfig
from thimble.datasets import open_source
from thimble.datasets.classes import ClassMap, describe_values, parse_classes
from thimble.datasets.pixels import pixel_digest
from thimble.datasets.source import Case, Reader, SourceOptions
from thimble.stage import BadInput

__all__ = ["Finding", "open_classes", "open_reader", "refuse_bad", "scan_case"]

SHOWN = 5
LABELS_LOOKED_AT = 16


class Finding(TypedDict, total=False):
    """What a case holds; `error` alone if it cannot be used.

    Attributes:
        id: Name of the case.
        shape: Height and width.
        channels: 1 or 3.
        bits: 8 or 16.
        digest: SHA-256 of the pixels.
        pixels: Label pixels of each class.
        error: Why the case cannot be used.
    """

    id: str
    shape: list[int]
    channels: int
    bits: int
    digest: str
    pixels: list[int]
    error: str


def scan_case(reader: Reader, classes: ClassMap, case: Case) -> Finding:
    """Read a case and describe it.

    Raises:
        BadInput: If image or label cannot be read, do not match, or hold nothing to learn from.
    """
    sample = reader.read(case)
    height, width, channels = sample.image.shape
    if sample.label.shape != (height, width):
        label_height, label_width = sample.label.shape
        raise BadInput(
            f"Image {case.image} has {width}x{height} pixels but label {case.label} has "
            f"{label_width}x{label_height}. Expected equal sizes: export the label again, or "
            "remove both."
        )
    if sample.image.min() == sample.image.max():
        raise BadInput(
            f"Image {case.image} is constant (every sample is {sample.image.min()}). Expected a "
            "scan: export it again, or remove it and its label."
        )
    indices = classes.index(sample.label, case.label)
    return {
        "id": case.id,
        "shape": [height, width],
        "channels": channels,
        "bits": 8 * sample.image.dtype.itemsize,
        "digest": pixel_digest(sample.image),
        "pixels": np.bincount(indices.ravel(), minlength=len(classes.names)).tolist(),
    }


def open_reader(config: IngestConfig) -> Reader:
    """Return the reader that a config asks for.

    Raises:
        BadInput: If kind and parameters do not fit.
    """
    options = SourceOptions(
        source=config.source.source,
        group_column=config.split.group_column,
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
    looked = cases[:LABELS_LOOKED_AT]
    values = np.unique(np.concatenate([np.unique(reader.read(case).label) for case in looked]))
    raise BadInput(
        f"classes is empty, and kind={config.source.kind} has no default. The first {len(looked)} "
        f"label(s) hold the raw values {describe_values(values)}. Name a class for each, the "
        'background first, such as classes="background=0;organ=1-255".'
    )


def refuse_bad(findings: Sequence[Finding], classes: ClassMap) -> None:
    """Raise if a case cannot be used, or if all labels are of one class.

    Raises:
        BadInput: With the first few errors and their number.
    """
    errors = [finding["error"] for finding in findings if "error" in finding]
    if errors:
        more = f" (and {len(errors) - SHOWN} more)" if len(errors) > SHOWN else ""
        start = f"{len(errors)} of {len(findings)} cases cannot be used: " if errors[1:] else ""
        raise BadInput(start + " | ".join(errors[:SHOWN]) + more)
    pixels = np.sum([finding["pixels"] for finding in findings], axis=0)
    present = [name for name, count in zip(classes.names, pixels, strict=True) if count]
    if len(present) < 2:
        raise BadInput(
            f"All {len(findings)} labels hold one class only: {', '.join(present)}. Expected at "
            f"least two of {classes}: check the labels and the parameter classes."
        )
