"""Folders images/ + labels/ (or image/ + label/), matched by stem."""

import os
from collections.abc import Iterator

import numpy as np

from thimble.datasets.folders import find_images, find_pair, pair_cases
from thimble.datasets.index_table import read_attributes
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
        # Read where it is needed, so that a worker that was sent this reader reads it once.
        self._attributes: dict[str, dict[str, str]] | None = None
        self.notes: list[str] = []

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all cases in natural order, and the images or labels without the other."""
        source, column = self.options.source, self.options.group_column
        self._attributes = read_attributes(source, self.options.attribute_columns)
        if self.options.labels == "none":
            return find_images(source, [images for images, _ in self.layouts], column), []
        images, labels = find_pair(source, self.layouts)
        return pair_cases(source, images, labels, column)

    def read(self, case: Case) -> Iterator[Sample]:
        """Yield the one image of a case."""
        image = read_image(case.image)
        label = read_label(case.label) if case.label else np.zeros(image.shape[:2], np.uint8)
        yield Sample(case.id, image, label, None, self._described(case))

    def _described(self, case: Case) -> dict[str, str]:
        """The attributes of an image from columns of index.csv."""
        if self._attributes is None:
            options = self.options
            self._attributes = read_attributes(options.source, options.attribute_columns)
        return self._attributes.get(os.path.basename(case.id), {})
