"""The border map against the definition, on cases worked by hand and on random ones."""

import math

import numpy as np
import pytest
from scipy import ndimage

from components.ingest.border import border_map, find_instances


def test_gap_of_one_pixel() -> None:
    instances = np.array([[1, 0, 2]], np.int32)
    # d1 = d2 = 1, so exp(-4 / 50).
    assert border_map(instances, 5.0).tolist() == [[0, round(255 * math.exp(-4 / 50)), 0]]


def test_one_object_has_no_border() -> None:
    assert not border_map(np.array([[1, 0, 0]], np.int32), 5.0).any()
    assert not border_map(np.zeros((3, 3), np.int32), 5.0).any()


@pytest.mark.parametrize("sigma", [1.0, 5.0])
def test_windows_lose_nothing(sigma: float) -> None:
    rng = np.random.default_rng(1)
    instances = np.zeros((60, 70), np.int32)
    for number in range(1, 12):
        row, column = rng.integers(0, 55), rng.integers(0, 65)
        instances[row : row + rng.integers(1, 9), column : column + rng.integers(1, 9)] = number
    present = [n for n in range(1, 12) if (instances == n).any()]
    distances = np.sort([ndimage.distance_transform_edt(instances != n) for n in present], axis=0)
    whole = np.rint(255 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2)))
    assert np.array_equal(border_map(instances, sigma), np.where(instances == 0, whole, 0))


def test_find_instances() -> None:
    raw = np.array([[7, 7, 0, 3], [0, 0, 0, 3], [9, 0, 3, 0]], np.uint16)
    classes = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 2, 0]], np.uint8)
    assert np.array_equal(find_instances(raw, classes, "values"), raw)
    assert find_instances(raw, classes, "foreground").tolist() == [
        [1, 1, 0, 3],
        [0, 0, 0, 3],
        [2, 0, 4, 0],
    ]
    cells = find_instances(raw, classes, "background")
    assert cells[0, 2] == cells[1, 0] == 1
    assert cells[2, 3] == 2
    assert cells[0, 0] == 0
