"""The table of features of a data set: a row an image, with what only the whole set can tell."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from components.validate.features import Floats, Row, describe_image, thumbnail
from thimble.records import Entry, Record

__all__ = ["ALIKE", "Table", "count_groups"]

# Correlation of two thumbnails from which on two images are taken for the same one.
ALIKE = 0.998
BLOCK = 512


@dataclass
class Table:
    """What is known of the images of a data set, in the order in which they were read.

    Attributes:
        classes: Names of the classes; one name if there are no labels.
        rows: Features of each image.
        entries: What the description says of each image.
        thumbnails: `(256,)` of each image.
    """

    classes: Sequence[str]
    rows: list[Row] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    thumbnails: list[Floats] = field(default_factory=list)

    def add(self, record: Record, entry: Entry) -> None:
        """Describe one more image."""
        self.rows.append(describe_image(record, entry, self.classes))
        self.entries.append(entry)
        self.thumbnails.append(thumbnail(record.image))

    def complete(self) -> list[Row]:
        """Return the rows with what only the whole set can tell.

        `patient_share` is one over the number of images of the patient, so that its sum counts
        patients. `repeats` tells whether another patient has the same image.
        """
        images = Counter(entry.group for entry in self.entries)
        repeats = self._repeats()
        return [
            {**row, "patient_share": 1 / images[entry.group], "repeats": repeat}
            for row, entry, repeat in zip(self.rows, self.entries, repeats, strict=True)
        ]

    def _repeats(self) -> list[str]:
        """Return for each image whether another patient has the same pixels or nearly so."""
        owners = defaultdict(set)
        for entry in self.entries:
            owners[entry.digest].add(entry.group)
        found = ["same pixels" if len(owners[e.digest]) > 1 else "none" for e in self.entries]
        if len(self.entries) < 2:
            return found
        numbers = {group: number for number, group in enumerate(dict.fromkeys(self._groups()))}
        groups = np.array([numbers[group] for group in self._groups()])
        thumbnails = np.stack(self.thumbnails)
        for start in range(0, len(groups), BLOCK):
            rows = slice(start, start + BLOCK)
            close = thumbnails[rows] @ thumbnails.T > ALIKE
            alike = (close & (groups[rows, None] != groups)).any(axis=1)
            for place in np.flatnonzero(alike) + start:
                if found[place] == "none":
                    found[place] = "nearly the same"
        return found

    def _groups(self) -> list[str]:
        """Return the patient of each image."""
        return [entry.group for entry in self.entries]


def count_groups(rows: Sequence[Row]) -> float:
    """Return how many patients a completed table holds."""
    return sum(float(row["patient_share"] or 0) for row in rows)
