"""One row of numbers and words about an image: what a fault of the source would change."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from thimble.records import Entry, Record

__all__ = ["Row", "describe_image", "thumbnail"]

# A feature that an image does not have is None.
Row = dict[str, float | str | None]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
NUMERIC_ATTRIBUTES = ("slice_thickness", "field_strength", "tube_voltage")
THUMBNAIL = 16
TINY = 1e-4


def describe_image(record: Record, entry: Entry, classes: Sequence[str]) -> Row:
    """Describe one image and its label.

    Args:
        record: The image.
        entry: What the description says of it.
        classes: Names of the classes, background first; one name if there are no labels.

    Returns:
        Features by name. Intensities are in [0, 1], 1 being the largest of the type; lengths in
        pixels, `spacing_...` in millimetres; what spans orders of magnitude is a logarithm.
    """
    largest = np.float32(np.iinfo(record.image.dtype).max)
    colour = record.image.astype(np.float32) / largest
    grey = colour.mean(axis=-1) if colour.shape[-1] > 1 else colour[..., 0]
    row: Row = {"pixels": f"{8 * record.image.dtype.itemsize} bits x {record.image.shape[-1]}"}
    row |= _shape(entry) | _attributes(entry.attributes)
    row |= _intensities(record.image) | _texture(grey) | _place("intensity", grey)
    if colour.shape[-1] > 1:
        row["colour"] = float((colour.max(axis=-1) - colour.min(axis=-1)).mean())
    if len(classes) > 1:
        row |= _label(record.label, grey, classes)
    return row


def thumbnail(image: NDArray[Any]) -> Floats:
    """Return what stays of an image after a change of brightness, contrast, size or compression.

    Returns:
        `(256,)`: means over a grid of 16 x 16 fields, of mean 0 and length 1; all 0 if constant.
    """
    grey = image.mean(axis=-1, dtype=np.float32)
    rows, columns = (np.linspace(0, side, THUMBNAIL + 1).astype(int) for side in grey.shape)
    if min(grey.shape) < THUMBNAIL:
        return np.zeros(THUMBNAIL**2, np.float32)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], 0), columns[:-1], 1)
    fields = (sums / np.outer(np.diff(rows), np.diff(columns))).ravel().astype(np.float32)
    fields -= fields.mean()
    length = float(np.linalg.norm(fields))
    return fields / length if length > 1 else np.zeros_like(fields)


def _shape(entry: Entry) -> Row:
    """Return size and spacing."""
    height, width = entry.shape
    rows, columns = entry.spacing or (None, None)
    return {
        "height": float(height),
        "width": float(width),
        "aspect": float(np.log2(height / width)),
        "spacing_rows": rows,
        "spacing_columns": columns,
    }


def _attributes(attributes: Mapping[str, str]) -> Row:
    """Return technical attributes, numbers as numbers."""
    row: Row = {}
    for name, value in attributes.items():
        if name in NUMERIC_ATTRIBUTES:
            try:
                row[name] = float(value)
            except ValueError:
                row[name] = None
        else:
            row[name] = value or None
    return row


def _intensities(image: NDArray[Any]) -> Row:
    """Return how bright an image is, and how its intensities are distributed."""
    channels, largest = image.shape[-1], int(np.iinfo(image.dtype).max)
    sums = image.sum(axis=-1, dtype=np.int32) if channels > 1 else image[..., 0]
    counts = np.bincount(sums.ravel())
    below = np.cumsum(counts)
    levels = np.arange(len(counts)) / (largest * channels)
    places = np.asarray(PERCENTILES) * (sums.size - 1) // 100
    ordered = levels[np.searchsorted(below, places, side="right")]
    found = dict(zip(PERCENTILES, ordered.tolist(), strict=True))
    mean = float(counts @ levels / sums.size)
    deviation = float(np.sqrt(counts @ (levels - mean) ** 2 / sums.size))
    row: Row = {f"intensity_p{percent}": value for percent, value in found.items()}
    return row | {
        "intensity_mean": mean,
        "intensity_deviation": deviation,
        "brightness": float(np.log2(255 * mean + 1)),
        "contrast": float(np.log2(255 * (found[99] - found[1]) + 1)),
        "intensity_skew": (mean - found[50]) / (deviation + TINY),
        "grey_levels": float(np.log2(np.count_nonzero(counts))),
        "saturated": float(counts[largest * channels :].sum() / sums.size),
        "black": float(counts[0] / sums.size),
    }


def _texture(grey: Floats) -> Row:
    """Return sharpness, noise and direction, and what the border looks like.

    Source: Immerkaer, Fast noise variance estimation, 1996, equation 2.
    """
    deviation = float(grey.std()) + TINY
    inner = grey[1:-1, 1:-1]
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    corners = grey[:-2, :-2] + grey[2:, 2:] + grey[:-2, 2:] + grey[2:, :-2]
    if inner.size == 0:
        return {}
    laplacian = sides - 4 * inner
    noise = np.sqrt(np.pi / 2) * np.abs(corners - 2 * sides + 4 * inner).mean() / 6
    down, across = np.diff(grey, axis=0).std(), np.diff(grey, axis=1).std()
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return {
        "sharpness": float(np.log10(laplacian.std() / deviation + TINY)),
        "noise": float(np.log10(noise + TINY)),
        "noise_share": float(np.log10(noise / deviation + TINY)),
        "direction": float(np.log2((down + TINY) / (across + TINY))),
        "border": float((edge.mean() - grey.mean()) / deviation),
        "border_flat": float(np.mean(np.abs(edge - np.median(edge)) < 0.5 / 255)),
    }


def _place(name: str, weights: NDArray[Any]) -> Row:
    """Return where the middle of something lies, from -1 (top, left) to 1."""
    weights = weights - weights.min()
    total = float(weights.sum())
    if not total:
        return {}
    row: Row = {}
    for axis, word in enumerate(("row", "column")):
        along = weights.sum(axis=1 - axis, dtype=np.float64)
        row[f"{name}_{word}"] = float(np.linspace(-1, 1, len(along)) @ along / total)
    return row


def _label(label: NDArray[np.uint8], grey: Floats, classes: Sequence[str]) -> Row:
    """Return what a label holds and how it lies on the image."""
    shares = np.bincount(label.ravel(), minlength=len(classes)) / label.size
    row: Row = {"label_empty": "yes" if shares[0] == 1 else "no"}
    row |= _place("label", (label > 0).astype(np.float32))
    for number, name in enumerate(classes[1:], start=1):
        row[f"foreground_{name}"] = float(shares[number])
        if 0 < shares[number] < 1:
            row |= {f"{k}_{name}": v for k, v in _objects(label == number, grey)}
    return row


def _objects(inside: Mask, grey: Floats) -> Iterator[tuple[str, float]]:
    """Yield how many parts a class has, how large they are, and how they differ from the rest."""
    parts, count = ndimage.label(inside)
    sizes = np.bincount(parts.ravel())[1:]
    yield "objects", float(np.log2(count + 1))
    yield "object_size", float(np.log2(np.median(sizes)))
    deviation = float(grey.std()) + TINY
    step = float(grey[inside].mean() - grey[~inside].mean())
    yield "step", step / deviation
    # Across the outline of a good label the image changes; beside it, less.
    outer = _grown(inside) & ~inside
    inner = _grown(~inside) & inside
    if outer.any() and inner.any():
        yield "edge", float(grey[inner].mean() - grey[outer].mean()) / deviation
        beyond = _grown(_grown(inside)) & ~_grown(inside)
        within = _grown(_grown(~inside)) & ~_grown(~inside)
        if beyond.any() and within.any():
            yield "edge_outside", float(grey[outer].mean() - grey[beyond].mean()) / deviation
            yield "edge_inside", float(grey[within].mean() - grey[inner].mean()) / deviation


def _grown(mask: Mask) -> Mask:
    """Return a mask and the pixels beside it."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
