"""The text of classes, and raw values to class indices."""

import numpy as np
import pytest

from thimble.datasets.classes import describe_values, parse_classes
from thimble.stage import BadInput


def test_ranges() -> None:
    classes = parse_classes("ground = 0; organ=1,3-5 ;vessel=65535")
    assert classes.names == ("ground", "organ", "vessel")
    raw = np.array([[0, 1, 3], [4, 5, 65535]], np.uint16)
    assert classes.index(raw, "x").tolist() == [[0, 1, 1], [1, 1, 2]]
    assert classes.spec()[1] == {"name": "organ", "raw": "1,3-5"}


def test_outside() -> None:
    classes = parse_classes("ground=0;organ=1")
    with pytest.raises(BadInput, match=r"Label a.png holds .* outside the classes: 2-3, 7\."):
        classes.index(np.array([[0, 1, 2, 3, 7]], np.uint8), "a.png")


@pytest.mark.parametrize(
    "text",
    ["", "a=0", "a=0;a=1", "a=0;b=0", "a=0;b=3-1", "a=0;b=70000", "a;b=1", "=0;b=1", "a=x;b=1"],
)
def test_malformed(text: str) -> None:
    with pytest.raises(BadInput, match="classes must"):
        parse_classes(text)


def test_describe_values() -> None:
    assert describe_values(np.array([0, 3, 4, 5, 255])) == "0, 3-5, 255"
    assert describe_values(np.arange(0, 40, 2), most=2) == "0, 2, ... (18 more)"


def test_labels_that_are_indices() -> None:
    classes = parse_classes("a=0;b=1;c=3")
    for label in (np.array([[0, 1]], np.uint8), np.array([[1, 0]], np.uint16)):
        indices = classes.index(label, "x")
        assert indices.dtype == np.uint8
        assert indices.tolist() == label.tolist()
    assert classes.index(np.array([[3, 1]], np.uint8), "x").tolist() == [[2, 1]]
    with pytest.raises(BadInput, match="outside the classes: 2"):
        classes.index(np.array([[2, 1]], np.uint8), "x")
