"""What every kind of data set offers: a list of cases, and the images of one of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from thimble.datasets.volume_options import VolumeConfig

__all__ = ["ATTRIBUTES", "Case", "Reader", "Refusal", "Sample", "SourceOptions"]

# All that may leave the source beside pixels: what the scanner did, never whom it looked at.
ATTRIBUTES = {
    "site": "where it was made: a keyed hash, or a column of index.csv",
    "manufacturer": "of the scanner",
    "model": "of the scanner",
    "modality": "CR, CT, MR, US, ...",
    "body_part": "what was looked at",
    "slice_thickness": "mm",
    "field_strength": "tesla",
    "tube_voltage": "kV",
    "photometric": "how the file stored brightness",
    "transfer_syntax": "how the file was compressed",
}


@dataclass(frozen=True)
class SourceOptions:
    """Where a data set comes from.

    Attributes:
        source: Folder; empty for generated data.
        group_column: Column of index.csv that names the patient; empty for none.
        labels: `required`, or `none` for images alone.
        volume: How DICOM and NIfTI become images.
        images: How many images to generate.
        size: Side of a generated image in pixels.
        seed: Of generated images.
        attribute_columns: Columns of index.csv that tell attributes, `site=hospital;model=scanner`.
    """

    source: str = ""
    group_column: str = ""
    labels: str = "required"
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    images: int = 24
    size: int = 256
    seed: int = 1
    attribute_columns: str = ""


@dataclass(frozen=True)
class Case:
    """What is read at once, by name only: an image, a series of slices or a volume.

    Attributes:
        id: Unique in the data set; it goes into artifacts, so it names no patient.
        group: The patient; cases of one group never lie in two splits.
        image: Path of the image; empty if it is generated.
        label: Path of the label; empty if it is generated, or if there is none.
        files: All files of a series, in the order of its slices; empty if `image` is all.
        name: What errors call it where paths may name a patient; empty: the path of the image.
    """

    id: str
    group: str
    image: str = ""
    label: str = ""
    files: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Sample:
    """One image as it is in the source.

    Attributes:
        id: That of the case, or `<case>/<place>` for a slice or a frame.
        image: `(height, width, 1 | 3)` uint8 or uint16.
        label: `(height, width)` uint8 or uint16, raw values; all 0 if there are no labels.
        spacing: Millimetres from row to row and from column to column; None if unknown.
        attributes: Keys of `ATTRIBUTES` and what the source says.
    """

    id: str
    image: NDArray[Any]
    label: NDArray[Any]
    spacing: tuple[float, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """One file that cannot be used: a line of `rejected.jsonl`.

    Attributes:
        file: Its name below the source.
        reason: What was found, what was expected, how to mend it; it names no patient.
    """

    file: str
    reason: str


class Reader(Protocol):
    """A kind of data set; instances travel to Beam's workers, so they hold no pixels.

    Attributes:
        classes: Default of the parameter `classes`; empty if the user must say.
        instances: What counts as one object for the border map: each raw `values` above 0,
            each connected part of the `foreground` classes, or of the `background` (cells
            that a membrane class divides).
        terms: Default terms of use.
        notes: What `cases` found odd but usable, one sentence each.
    """

    classes: str
    instances: str
    terms: str
    notes: list[str]

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all cases in natural order, and the files that belong to none.

        Raises:
            BadInput: If the source is no data set of this kind.
        """

    def read(self, case: Case) -> Iterator[Sample | Refusal]:
        """Yield the images of a case, and a refusal for each file of it that cannot be used.

        Raises:
            BadInput: If nothing of the case can be read.
        """
