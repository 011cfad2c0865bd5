"""First look at every case: can it be read, what does it hold, is it fit for use."""

from typing import TypedDict

import numpy as np

from thimble.datasets.classes import ClassMap
from thimble.datasets.pixels import pixel_digest
from thimble.datasets.source import Case, Reader
from thimble.stage import BadInput

__all__ = ["Finding", "scan_case"]


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
