"""Folders images/ + labels/ (or image/ + label/), matched by stem."""

from collections.abc import Iterator

import numpy as np

from thimble.datasets.folders import find_images, find_pair, pair_cases
from thimble.datasets.pixels import read_image, read_label
from thimble.datasets.source import Case, Refusal, Sample, SourceOptions

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

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all cases in natural order, and the images or labels without the other."""
        source, column = self.options.source, self.options.group_column
        if self.options.labels == "none":
            return find_images(source, [images for images, _ in self.layouts], column), []
        images, labels = find_pair(source, self.layouts)
        return pair_cases(source, images, labels, column)

    def read(self, case: Case) -> Iterator[Sample]:
        """Yield the one image of a case."""
        image = read_image(case.image)
        label = read_label(case.label) if case.label else np.zeros(image.shape[:2], np.uint8)
        yield Sample(case.id, image, label)
