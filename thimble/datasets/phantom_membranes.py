"""A phantom of neuronal tissue in electron microscopy: cells, membranes, organelles."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from thimble.datasets.phantom import Floats, PhantomReader, expose, smooth_field

__all__ = ["PhantomMembranesReader"]

CELL_PIXELS = 30.0


def _cells(size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Return the cell of every pixel and its distance to the cell's border in pixels.

    Cells are a Voronoi diagram of jittered seeds, seen through a smooth warp that curves borders.
    """
    around = 2 * CELL_PIXELS
    count = int(((size + 2 * around) / CELL_PIXELS) ** 2)
    seeds = rng.uniform(-around, size + around, (count, 2))
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    places = np.stack([rows, columns], -1).astype(np.float64)
    for scale, reach in ((24.0, 9.0), (7.0, 2.0)):
        for axis in range(2):
            places[..., axis] += reach * smooth_field(size, scale, rng)
    distance, nearest = spatial.KDTree(seeds).query(places.reshape(-1, 2), k=2)
    first, second = nearest[:, 0], nearest[:, 1]
    apart = np.linalg.norm(seeds[first] - seeds[second], axis=1)
    # Distance of a point to the line half-way between its two nearest seeds.
    border = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / np.maximum(2 * apart, 1e-6)
    return first.reshape(size, size), border.reshape(size, size)


def _ellipse(
    size: int, centre: NDArray[np.int64], axes: tuple[float, float], angle: float
) -> tuple[tuple[slice, slice], Floats, Floats]:
    """Return a window, the normalised radius in it (1 on the outline), and the long coordinate."""
    reach = int(max(axes) * 1.5) + 2
    top, left = np.maximum(centre - reach, 0)
    bottom, right = np.minimum(centre + reach + 1, size)
    row, column = np.mgrid[top:bottom, left:right].astype(np.float64)
    row, column = row - centre[0], column - centre[1]
    along = np.cos(angle) * column + np.sin(angle) * row
    across = np.cos(angle) * row - np.sin(angle) * column
    radius = np.hypot(along / axes[0], across / axes[1])
    return (slice(top, bottom), slice(left, right)), radius, along


def _add_mitochondria(scene: Floats, border: Floats, rng: np.random.Generator) -> None:
    """Paint dark double-walled bodies with stripes into large cells: they look like membrane."""
    size = scene.shape[0]
    room = np.argwhere(border > 7)
    if not len(room):
        return
    for _ in range(rng.poisson(size * size / 4500)):
        centre = room[rng.integers(len(room))]
        width = min(float(border[tuple(centre)]) * 0.7, rng.uniform(3.5, 8.0))
        axes, angle = (width * rng.uniform(1.0, 1.8), width), rng.uniform(0, np.pi)
        window, radius, along = _ellipse(size, centre, axes, angle)
        inside = np.clip((1.08 - radius) * width, 0, 1) * (border[window] > 3)
        wall = np.exp(-(((radius - 0.95) * width / 1.2) ** 2))
        stripes = 0.5 + 0.5 * np.sin(along * rng.uniform(1.2, 1.8) + rng.uniform(0, 6))
        body = 0.48 - 0.12 * stripes - 0.18 * wall
        scene[window] += inside * (body - scene[window])


def _add_vesicles(scene: Floats, border: Floats, rng: np.random.Generator) -> None:
    """Paint clusters of small dark rings and dots."""
    size = scene.shape[0]
    room = np.argwhere(border > 4)
    if not len(room):
        return
    for _ in range(rng.poisson(size * size / 5000)):
        cluster = room[rng.integers(len(room))]
        for _ in range(rng.integers(2, 10)):
            centre = cluster + np.rint(rng.normal(0, 4.5, 2)).astype(np.int64)
            if (centre < 0).any() or (centre >= size).any() or border[tuple(centre)] < 3:
                continue
            width = rng.uniform(1.4, 2.4)
            window, radius, _ = _ellipse(size, centre, (width, width), 0.0)
            ring = np.exp(-(((radius - 0.8) * width / 0.8) ** 2)) * (border[window] > 2)
            scene[window] -= 0.3 * rng.uniform(0.5, 1.0) * ring


def draw_membranes(size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Draw a slice.

    Returns:
        Image `(size, size)`, and label `(size, size)`: 0 membrane, 255 cell, as in ISBI 2012.
    """
    cells, border = _cells(size, rng)
    width = np.clip(2.3 + 0.4 * smooth_field(size, 12.0, rng), 1.5, 3.5)
    tone = rng.normal(0.66, 0.05, cells.max() + 1)[cells]
    scene = tone + 0.045 * smooth_field(size, 1.5, rng) + 0.03 * smooth_field(size, 6.0, rng)
    _add_mitochondria(scene, border, rng)
    _add_vesicles(scene, border, rng)
    # Membranes that run obliquely through the slice are faint.
    strength = np.clip(0.92 + 0.18 * smooth_field(size, 14.0, rng), 0.45, 1.0)
    dark = np.exp(-((border / width) ** 4) * np.log(2)) * strength
    scene += dark * (0.27 + 0.03 * smooth_field(size, 2.0, rng) - scene)
    image = expose(scene, rng, blur=0.8, photons=100.0, shading=0.10)
    label = ndimage.binary_opening(border > width, iterations=1, border_value=0)
    return image, np.where(label, 255, 0).astype(np.uint8)


class PhantomMembranesReader(PhantomReader):
    """Generated membranes; the membrane is the foreground, as in ISBI 2012."""

    classes = "cell=255;membrane=0"
    instances = "background"
    prefix = "membranes"
    draw = staticmethod(draw_membranes)
