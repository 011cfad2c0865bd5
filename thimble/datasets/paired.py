"""Folders images/ + labels/ (or image/ + label/), matched by stem."""

from thimble.datasets.folders import find_pair, pair_cases
from thimble.datasets.pixels import read_image, read_label
from thimble.datasets.source import Case, Sample, SourceOptions

__all__ = ["PairedReader"]


class PairedReader:
    """Images and class labels in two folders; the user says which value is which class."""

    classes = ""
    instances = "foreground"
    terms = "not stated"
    layouts: tuple[tuple[str, str], ...] = (("images", "labels"), ("image", "label"))

    def __init__(self, options: SourceOptions) -> None:
        """Bind the folder."""
        self.options = options

    def cases(self) -> list[Case]:
        """Return all cases in natural order."""
        images, labels = find_pair(self.options.source, self.layouts)
        return pair_cases(self.options.source, images, labels, self.options.group_column)

    def read(self, case: Case) -> Sample:
        """Return the pixels of a case."""
        return Sample(read_image(case.image), read_label(case.label))
