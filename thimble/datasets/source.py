"""What every kind of data set offers: a list of cases, and the pixels of one of them."""

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

__all__ = ["Case", "Reader", "Sample", "SourceOptions"]


@dataclass(frozen=True)
class SourceOptions:
    """Where a data set comes from.

    Attributes:
        source: Folder; empty for generated data.
        group_column: Column of index.csv that names the patient; empty for none.
        images: How many images to generate.
        size: Side of a generated image in pixels.
        seed: Of generated images.
    """

    source: str = ""
    group_column: str = ""
    images: int = 24
    size: int = 256
    seed: int = 1


@dataclass(frozen=True)
class Case:
    """One image and its label, by name only: pixels are read where they are worked on.

    Attributes:
        id: Unique in the data set.
        group: The patient; cases of one group never lie in two splits.
        image: Path of the image; empty if it is generated.
        label: Path of the label; empty if it is generated.
    """

    id: str
    group: str
    image: str = ""
    label: str = ""


@dataclass(frozen=True)
class Sample:
    """Pixels as they are in the source.

    Attributes:
        image: `(height, width, 1 | 3)` uint8 or uint16.
        label: `(height, width)` uint8 or uint16, raw values.
    """

    image: NDArray[Any]
    label: NDArray[Any]


class Reader(Protocol):
    """A kind of data set; instances travel to Beam's workers, so they hold no pixels.

    Attributes:
        classes: Default of the parameter `classes`; empty if the user must say.
        instances: What counts as one object for the border map: each raw `values` above 0,
            each connected part of the `foreground` classes, or of the `background` (cells
            that a membrane class divides).
        terms: Default terms of use.
    """

    classes: str
    instances: str
    terms: str

    def cases(self) -> list[Case]:
        """Return all cases in natural order.

        Raises:
            BadInput: If folders or files are missing or do not match.
        """

    def read(self, case: Case) -> Sample:
        """Return the pixels of a case.

        Raises:
            BadInput: If a file cannot be read.
        """
