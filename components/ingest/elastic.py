"""Elastic deformation of scans, the augmentation that U-Net owes its few training images."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thimble.stage import BadInput

__all__ = ["ElasticField", "Scan", "deform", "displacements"]

Floats = NDArray[np.float64]
# cv2.remap addresses pixels with 16 bits.
MAX_SIDE = 32766


@dataclass(frozen=True)
class Scan:
    """One image that can be deformed.

    Attributes:
        id: Name of the case.
        group: Patient.
        copy: 0 for the original.
        image: `(height, width, channels)` uint8 or uint16.
        label: `(height, width)` uint8, class index.
        instances: `(height, width)` int32: 0 between objects, k in object k.
    """

    id: str
    group: str
    copy: int
    image: NDArray[Any]
    label: NDArray[np.uint8]
    instances: NDArray[np.int32]


@dataclass(frozen=True)
class ElasticField:
    """How strongly and how finely scans are deformed.

    Attributes:
        sigma: Standard deviation of the displacement of a grid point, in pixels.
        spacing: Distance of the grid points in pixels; an axis has three of them at least.
        seed: Of all displacements.
    """

    sigma: float
    spacing: float
    seed: int


def _cubic_basis(size: int, points: int) -> Floats:
    """Return weights `(size, points)` of cubic convolution; the grid spans the whole axis.

    Source: Keys, 1981, IEEE ASSP 29(6), the kernel with a = -1/2.
    """
    place = np.linspace(0, points - 1, size)[:, None]
    left = np.floor(place).astype(int)
    basis = np.zeros((size, points))
    for offset in (-1, 0, 1, 2):
        away = np.abs(place - (left + offset))
        near = 1.5 * away**3 - 2.5 * away**2 + 1
        far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        weight = np.where(away <= 1, near, np.where(away < 2, far, 0.0))
        column = np.clip(left + offset, 0, points - 1)
        np.add.at(basis, (np.arange(size)[:, None], column), weight)
    return basis


def displacements(shape: tuple[int, int], field: ElasticField, name: str) -> tuple[Floats, Floats]:
    """Draw a smooth displacement of every pixel.

    Random vectors on a coarse grid are interpolated bicubically. On an image of twice the spacing
    the grid is the paper's, 3 by 3.

    Args:
        shape: Height and width in pixels.
        field: Strength, grid and seed.
        name: What the displacement is for; another name gives another one.

    Returns:
        Row and column displacement in pixels, each `(height, width)`.

    Source: Ronneberger et al., 2015, section 3.1.
    """
    digest = hashlib.sha256(f"{field.seed}:{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    points = [max(3, round((side - 1) / field.spacing) + 1) for side in shape]
    rows, columns = (_cubic_basis(side, n) for side, n in zip(shape, points, strict=True))
    grids = rng.normal(0.0, field.sigma, (2, *points))
    return rows @ grids[0] @ columns.T, rows @ grids[1] @ columns.T


def _mirror(place: Floats, size: int) -> Floats:
    """Fold coordinates outside [0, size - 1] back into the image."""
    period = max(2 * (size - 1), 1)
    place = np.mod(place, period)
    return np.minimum(place, period - place) if size > 1 else np.zeros_like(place)


def deform(scan: Scan, copy: int, field: ElasticField) -> Scan:
    """Return the copy with this number; the image cubic, label and instances by nearest pixel.

    Raises:
        BadInput: If a side is too long to deform.
    """
    height, width = scan.label.shape
    if max(height, width) > MAX_SIDE:
        raise BadInput(
            f"Scan {scan.id} has {height}x{width} pixels. Expected sides of at most {MAX_SIDE} "
            "for elastic copies: cut the scan into parts, or set elastic_copies=0."
        )
    down, right = displacements((height, width), field, f"{scan.id}:{copy}")
    rows = _mirror(np.arange(height)[:, None] + down, height)
    columns = _mirror(np.arange(width)[None, :] + right, width)
    image = cv2.remap(
        scan.image,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    ).reshape(scan.image.shape)
    nearest = np.rint(rows).astype(np.intp), np.rint(columns).astype(np.intp)
    return replace(
        scan,
        copy=copy,
        image=image,
        label=scan.label[nearest],
        instances=scan.instances[nearest],
    )
