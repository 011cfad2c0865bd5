"""Classes by name: which raw label values each of them has."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.stage import BadInput

__all__ = ["ClassMap", "describe_values", "parse_classes"]

MAX_RAW = 65535
MAX_CLASSES = 255
FORM = 'such as "background=0;nucleus=1-65535" (the first is the background)'


@dataclass(frozen=True)
class ClassMap:
    """Names of the classes and the raw label values of each.

    Attributes:
        names: One per class; class 0 is the background.
        raw: The values of each class as text: `0`, `1-65535` or `3,7-9`.
    """

    names: tuple[str, ...]
    raw: tuple[str, ...]

    @cached_property
    def table(self) -> NDArray[np.uint8]:
        """The class index of each raw value `(65536,)`; 255 where a value has no class."""
        table = np.full(MAX_RAW + 1, MAX_CLASSES, np.uint8)
        for index, text in enumerate(self.raw):
            for first, last in _intervals(text):
                table[first : last + 1] = index
        return table

    @cached_property
    def _own(self) -> int:
        """Up to before this, a raw value is the index of its class."""
        return int(np.flatnonzero(self.table[: MAX_CLASSES + 1] != np.arange(MAX_CLASSES + 1))[0])

    def index(self, label: NDArray[Any], name: str) -> NDArray[np.uint8]:
        """Turn raw label values into class indices.

        Args:
            label: `(height, width)` uint8 or uint16.
            name: The label's file, for the message.

        Returns:
            `(height, width)`; the label itself if its values are the indices.

        Raises:
            BadInput: If a value has no class.
        """
        top = int(label.max(initial=0))
        if top < self._own:
            return label.astype(np.uint8, copy=False)
        indices = np.take(self.table, label)
        if indices.max(initial=0) == MAX_CLASSES:
            outside = describe_values(np.unique(label[indices == MAX_CLASSES]))
            raise BadInput(
                f"Label {name} holds raw values outside the classes: {outside}. Expected "
                f"{self}. Correct the label (JPEG changes values: use PNG) or the parameter "
                "classes."
            )
        return indices

    def spec(self) -> list[dict[str, str]]:
        """Return the classes as `dataset.json` lists them."""
        return [{"name": n, "raw": r} for n, r in zip(self.names, self.raw, strict=True)]

    def __str__(self) -> str:
        return ";".join(f"{n}={r}" for n, r in zip(self.names, self.raw, strict=True))


def _intervals(text: str) -> list[tuple[int, int]]:
    """Return `3,7-9` as [(3, 3), (7, 9)]."""
    intervals = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        intervals.append((int(first), int(last or first)))
    return intervals


def parse_classes(text: str) -> ClassMap:
    """Read the parameter `classes`.

    Raises:
        BadInput: If the text is malformed, names or values repeat, or there are fewer than two.
    """
    names, raw, taken = [], [], np.zeros(MAX_RAW + 1, bool)
    for part in filter(None, (part.strip() for part in text.split(";"))):
        found = re.fullmatch(r"([^=]+)=\s*(\d+(?:-\d+)?(?:\s*,\s*\d+(?:-\d+)?)*)", part)
        if not found:
            raise BadInput(f"classes must be {FORM}. Received: {part!r} in {text!r}")
        name, values = found[1].strip(), re.sub(r"\s", "", found[2])
        for first, last in _intervals(values):
            if not first <= last <= MAX_RAW or taken[first : last + 1].any():
                raise BadInput(
                    f"classes must give each raw value 0..{MAX_RAW} to one class. "
                    f"Received: {part!r} in {text!r}"
                )
            taken[first : last + 1] = True
        names.append(name)
        raw.append(values)
    if not 2 <= len(names) < MAX_CLASSES or len(set(names)) < len(names):
        raise BadInput(
            f"classes must be 2 to {MAX_CLASSES - 1} different names, {FORM}. Received: {text!r}"
        )
    return ClassMap(tuple(names), tuple(raw))


def describe_values(values: NDArray[Any], most: int = 12) -> str:
    """Return sorted raw values as text, runs joined: `0, 3-7, 255`."""
    runs: list[list[int]] = []
    for value in (int(value) for value in values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in runs[:most]]
    return ", ".join(shown) + (f", ... ({len(runs) - most} more)" if len(runs) > most else "")
