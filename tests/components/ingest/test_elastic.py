"""Elastic deformation: smooth, seeded, and the same for image, label and instances."""

import numpy as np
import pytest

from components.ingest.elastic import ElasticField, Scan, deform, displacements
from thimble.stage import BadInput

FIELD = ElasticField(sigma=10.0, spacing=32.0, seed=3)


def make(shape: tuple[int, int], channels: int = 1, kind: type = np.uint8) -> Scan:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    label = ((rows // 8 + columns // 8) % 2).astype(np.uint8)
    image = np.repeat((label * 200)[..., None], channels, 2).astype(kind)
    return Scan("a", "a", 0, image, label, (label * (1 + rows // 8)).astype(np.int32))


def test_grid_points_carry_the_drawn_vectors() -> None:
    """On 65 pixels of spacing 32 the grid is the paper's 3 by 3, and interpolation exact there."""
    down, right = displacements((65, 65), FIELD, "a:1")
    points = np.ix_([0, 32, 64], [0, 32, 64])
    assert 3 < np.std([down[points], right[points]]) < 20
    assert np.abs(np.diff(down, axis=0)).max() < 3, "smooth"
    again = displacements((65, 65), FIELD, "a:1")
    assert np.array_equal(again[0], down)
    assert not np.array_equal(displacements((65, 65), FIELD, "a:2")[0], down)


def test_standard_deviation() -> None:
    fields = [displacements((3, 3), ElasticField(7.0, 4.0, seed), "a")[0] for seed in range(200)]
    assert abs(np.std(fields) - 7.0) < 0.5


def test_no_displacement_changes_nothing() -> None:
    scan = make((40, 50), 3, np.uint16)
    same = deform(scan, 1, ElasticField(0.0, 32.0, 1))
    assert same.copy == 1
    assert np.array_equal(same.image, scan.image)
    assert np.array_equal(same.label, scan.label)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_image_label_and_instances_move_together(channels: int, kind: type) -> None:
    scan = make((64, 80), channels, kind)
    bent = deform(scan, 1, FIELD)
    assert bent.image.shape == scan.image.shape
    assert bent.image.dtype == kind
    assert not np.array_equal(bent.label, scan.label)
    assert set(np.unique(bent.label)) <= {0, 1}
    assert set(np.unique(bent.instances)) <= set(np.unique(scan.instances))
    assert np.array_equal(bent.instances > 0, bent.label > 0)
    assert ((bent.image[..., 0] > 100) == (bent.label > 0)).mean() > 0.97


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 200)])
def test_tiny_images(shape: tuple[int, int]) -> None:
    assert deform(make(shape), 1, FIELD).label.shape == shape


def test_too_large() -> None:
    long = np.zeros((1, 40000), np.uint8)
    scan = Scan("long", "long", 0, long[..., None], long, long.astype(np.int32))
    with pytest.raises(BadInput, match="long has 1x40000 pixels.*elastic_copies=0"):
        deform(scan, 1, FIELD)
