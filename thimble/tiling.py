"""Prediction of an image of any size from a network of one fixed tile."""

from collections.abc import Callable

import numpy as np

from thimble.stage import require

__all__ = ["predict_tiled", "tile_starts"]


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles start along one axis; the last one ends at the image's end.

    Args:
        length: Pixels along the axis, at least `tile`.
        tile: Pixels of a tile.
        overlap: Pixels that neighbours share at least, in [0, tile).
    """
    step = tile - overlap
    count = -(-(length - tile) // step) + 1
    return [round(index * (length - tile) / max(count - 1, 1)) for index in range(count)]


def _window(tile: int, overlap: int) -> np.ndarray:
    """Return blending weights `(tile, tile, 1)`: a linear ramp over the overlap, never 0."""
    ramp = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)).astype(np.float32)
    ramp = np.minimum(ramp / max(overlap, 1), 1.0)
    return (ramp[:, None] * ramp[None, :])[..., None]


def predict_tiled(
    image: np.ndarray,
    predict: Callable[[np.ndarray], np.ndarray],
    tile: int,
    overlap: int = 32,
    batch: int = 1,
) -> np.ndarray:
    """Predict a whole image by overlapping tiles whose logits are blended.

    Args:
        image: `(height, width, channels)` float32, normalised; reflected where it is smaller than
            a tile.
        predict: From `(n, tile, tile, channels)` to logits `(n, tile, tile, classes)`.
        tile: Pixels of a tile's side.
        overlap: Pixels that neighbouring tiles share at least, in [0, tile).
        batch: Tiles a call, at most.

    Returns:
        Logits `(height, width, classes)` float32.

    Raises:
        BadInput: If the overlap does not fit the tile.

    Source: Ronneberger et al., 2015, figure 2 (overlap-tile strategy); blending instead of
    cropping, as the network pads.
    """
    require(0 <= overlap < tile, "overlap must be in [0, tile)", overlap=overlap, tile=tile)
    height, width, _ = image.shape
    pad = [(0, max(tile - height, 0)), (0, max(tile - width, 0)), (0, 0)]
    padded = np.pad(image, pad, mode="symmetric")
    corners = [
        (top, left)
        for top in tile_starts(padded.shape[0], tile, overlap)
        for left in tile_starts(padded.shape[1], tile, overlap)
    ]
    window = _window(tile, overlap)
    total, weight = None, np.zeros((*padded.shape[:2], 1), np.float32)
    for first in range(0, len(corners), batch):
        group = corners[first : first + batch]
        tiles = np.stack([padded[y : y + tile, x : x + tile] for y, x in group])
        logits = predict(tiles)
        if total is None:
            total = np.zeros((*padded.shape[:2], logits.shape[-1]), np.float32)
        for (y, x), values in zip(group, logits, strict=True):
            total[y : y + tile, x : x + tile] += window * values
            weight[y : y + tile, x : x + tile] += window
    result: np.ndarray = (total / weight)[:height, :width]
    return result
