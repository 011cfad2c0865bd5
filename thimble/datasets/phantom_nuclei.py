"""A phantom of stained nuclei in fluorescence microscopy: touching, dim and bright, with debris."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from thimble.datasets.phantom import Floats, PhantomReader, expose, smooth_field

__all__ = ["PhantomNucleiReader"]

HARMONICS = 5
MAX_OVERLAP = 0.12


def _outline(
    size: int, centre: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice], Floats]:
    """Return a window and the relative radius in it: < 1 inside an uneven ellipse."""
    stretch, angle = rng.uniform(1.0, 1.5), rng.uniform(0, np.pi)
    reach = int(radius * stretch * 1.4) + 3
    top, left = np.clip(np.rint(centre).astype(int) - reach, 0, size)
    bottom, right = np.clip(np.rint(centre).astype(int) + reach + 1, 0, size)
    row, column = np.mgrid[top:bottom, left:right].astype(np.float64)
    row, column = row - centre[0], column - centre[1]
    along = (np.cos(angle) * column + np.sin(angle) * row) / stretch
    across = (np.cos(angle) * row - np.sin(angle) * column) * stretch**0.5
    around = np.arctan2(across, along)
    order = np.arange(2, HARMONICS + 2)[:, None, None]
    waves = rng.normal(0, 0.09, (HARMONICS, 1, 1)) / (order - 1)
    phase = rng.uniform(0, 2 * np.pi, (HARMONICS, 1, 1))
    edge = radius * (1 + (waves * np.cos(order * around + phase)).sum(0))
    return (slice(top, bottom), slice(left, right)), np.hypot(along, across) / edge


def _place(
    size: int, centres: list[NDArray[np.float64]], radius: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Choose where a nucleus lies: often against one that is there."""
    if centres and rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        neighbour = centres[rng.integers(len(centres))]
        return neighbour + radius * rng.uniform(1.7, 2.1) * np.array([np.sin(angle), np.cos(angle)])
    return rng.uniform(0, size, 2)


def _add_nuclei(scene: Floats, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Paint nuclei; return the instance map."""
    size = scene.shape[0]
    instances = np.zeros((size, size), np.uint16)
    texture = smooth_field(size, 2.5, rng)
    wanted = max(2, rng.poisson(size * size / 2300))
    centres: list[NDArray[np.float64]] = []
    for _ in range(4 * wanted):
        if len(centres) == wanted:
            break
        radius = float(np.clip(rng.normal(10.5, 2.0), 6, 16))
        centre = _place(size, centres, radius, rng)
        window, relative = _outline(size, centre, radius, rng)
        inside, taken = relative < 1, instances[window] > 0
        if inside.sum() < 20 or (inside & taken).sum() > MAX_OVERLAP * inside.sum():
            continue
        centres.append(centre)
        fresh = inside & ~taken
        instances[window][fresh] = len(centres)
        # Dim nuclei are no brighter than the haze elsewhere in the same image.
        bright = rng.choice([rng.uniform(0.16, 0.3), rng.uniform(0.3, 0.75)], p=[0.45, 0.55])
        dome = np.sqrt(np.clip(1.15 - relative**2, 0.05, 1))
        scene[window] += np.where(fresh, bright * dome * (1 + 0.16 * texture[window]), 0)
    return instances


def _add_debris(scene: Floats, rng: np.random.Generator) -> None:
    """Paint small bright specks and large nuclei out of focus, neither of which is labelled."""
    size = scene.shape[0]
    for _ in range(rng.poisson(size * size / 9000)):
        window, relative = _outline(size, rng.uniform(0, size, 2), rng.uniform(1.0, 2.2), rng)
        scene[window] += rng.uniform(0.15, 0.5) * np.exp(-(relative**2))
    for _ in range(rng.poisson(size * size / 22000)):
        window, relative = _outline(size, rng.uniform(0, size, 2), rng.uniform(9, 16), rng)
        scene[window] += rng.uniform(0.10, 0.22) * np.exp(-(relative**4))


def draw_nuclei(
    size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Draw a field of nuclei.

    Returns:
        Image `(size, size)`, and instance map `(size, size)`: 0 background, k the nucleus k.
    """
    haze = np.clip(0.09 + 0.045 * smooth_field(size, max(24.0, size / 5), rng), 0.01, 0.25)
    scene = haze
    _add_debris(scene, rng)
    scene = ndimage.gaussian_filter(scene, 2.0)
    instances = _add_nuclei(scene, rng)
    image = expose(scene, rng, blur=1.2, photons=45.0, shading=0.18)
    return image, instances


class PhantomNucleiReader(PhantomReader):
    """Generated nuclei with their instance maps."""

    classes = "background=0;nucleus=1-65535"
    instances = "values"
    prefix = "nuclei"
    draw = staticmethod(draw_nuclei)
