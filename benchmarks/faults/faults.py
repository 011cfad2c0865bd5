"""Twenty-four ways in which data arrives broken, each with a magnitude.

A fault takes images with what is said of them and gives them back changed. `stated` is the
magnitude at which validate has to find it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from thimble.records import Entry, Record

__all__ = ["FAULTS", "Fault", "Pair"]

Pair = tuple[Record, Entry]
Change = Callable[[list[Pair], float, np.random.Generator], list[Pair]]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: What a reader calls it.
        unit: What the magnitude is.
        magnitudes: From hardly there to plain, ascending in harm.
        stated: The one at which it has to be found.
        features: What an anomaly or a check that names it is called at the beginning.
        change: Brings it about.
        needs: What a set must have: labels, attributes, spacing, orientation, patients; with
            spaces between.
    """

    name: str
    unit: str
    magnitudes: tuple[float, ...]
    stated: float
    features: tuple[str, ...]
    change: Change
    needs: str = ""


def _pixels(function: Callable[..., np.ndarray]) -> Change:
    """Change the image of every case; `function` takes it in [0, 1], the magnitude and an rng."""

    def change(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
        return [(_with_image(record, function(_unit(record), much, rng)), entry)
                for record, entry in pairs]  # fmt: skip

    return change


def _masks(function: Callable[[np.ndarray, float], np.ndarray]) -> Change:
    """Change the label of every case."""

    def change(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
        return [(replace(record, label=function(record.label, much).astype(np.uint8)), entry)
                for record, entry in pairs]  # fmt: skip

    return change


def _some(function: Callable[[Pair], Pair]) -> Change:
    """Change a share of the cases, which is the magnitude."""

    def change(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
        count = max(1, round(much * len(pairs)))
        chosen = set(rng.choice(len(pairs), count, replace=False).tolist())
        return [function(pair) if i in chosen else pair for i, pair in enumerate(pairs)]

    return change


def _unit(record: Record) -> np.ndarray:
    """Return the image in [0, 1]."""
    return record.image.astype(np.float64) / np.iinfo(record.image.dtype).max


def _with_image(record: Record, image: np.ndarray) -> Record:
    """Return a record with another image, given in [0, 1]."""
    largest = np.iinfo(record.image.dtype).max
    pixels = np.clip(np.rint(image * largest), 0, largest).astype(record.image.dtype)
    return replace(record, image=pixels)


def _blur(image: np.ndarray, much: float, _: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(image, (much, much, 0))


def _quantize(image: np.ndarray, much: float, _: np.random.Generator) -> np.ndarray:
    steps = 2**much - 1
    return np.rint(image * steps) / steps


def _swap(label: np.ndarray) -> np.ndarray:
    return np.where(label == 0, 1, np.where(label == 1, 0, label))


def _morphed(label: np.ndarray, much: float, grow: bool) -> np.ndarray:
    """Grow or shrink the foreground by so many pixels."""
    mask = label > 0
    done = (
        ndimage.binary_dilation(mask, iterations=int(much))
        if grow
        else ndimage.binary_erosion(mask, iterations=int(much), border_value=1)
    )
    return np.where(done, np.where(mask, label, 1), 0)


def _attribute(name: str, value: str) -> Callable[[Pair], Pair]:
    def change(pair: Pair) -> Pair:
        record, entry = pair
        kept = {k: v for k, v in entry.attributes.items() if k != name}
        return record, replace(entry, attributes=kept | ({name: value} if value else {}))

    return change


def _rescaled(pair: Pair) -> Pair:
    record, entry = pair
    rows, columns = entry.spacing or (1.0, 1.0)
    return record, replace(entry, spacing=(rows * 2, columns * 2))


def _turned(turn: Callable[[np.ndarray], np.ndarray], masks: bool = True) -> Callable[[Pair], Pair]:
    def change(pair: Pair) -> Pair:
        record, entry = pair
        image = np.ascontiguousarray(turn(record.image))
        label = np.ascontiguousarray(turn(record.label)) if masks else record.label
        made = replace(record, image=image, label=label)
        return made, replace(entry, shape=image.shape[:2])

    return change


def _crop(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
    """Keep so large a part of either side, from the middle."""
    found = []
    for record, entry in pairs:
        height, width = (max(16, round(side * much)) for side in entry.shape)
        top, left = (entry.shape[0] - height) // 2, (entry.shape[1] - width) // 2
        window = (slice(top, top + height), slice(left, left + width))
        made = replace(record, image=record.image[window], label=record.label[window])
        found.append((made, replace(entry, shape=(height, width))))
    return found


def _double(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
    """Let a share of the images come again, saved with slight loss under another patient."""
    count = max(1, round(much * len(pairs)))
    chosen = rng.choice(len(pairs), count, replace=False)
    again = []
    for place in chosen:
        record, entry = pairs[place]
        noise = rng.normal(0, 0.004, record.image.shape)
        name, group = f"{record.id}-again", f"{record.group}-again"
        made = replace(_with_image(record, _unit(record) + noise), id=name, group=group)
        again.append((made, replace(entry, id=name, group=group, digest=f"{entry.digest}-again")))
    return [*pairs, *again]


def _straddle(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
    """Copy so many training images into the test split."""
    training = [pair for pair in pairs if pair[1].split == "train"][: int(much)]
    copies = [
        (replace(r, id=f"{r.id}-copy"), replace(e, id=f"{e.id}-copy", split="test"))
        for r, e in training
    ]
    return [*pairs, *copies]


def _constant(pair: Pair) -> Pair:
    record, entry = pair
    return replace(record, image=np.full_like(record.image, record.image.mean())), entry


def _without_class(pairs: list[Pair], much: float, rng: np.random.Generator) -> list[Pair]:
    """Empty all masks of a split, 1: of the test split."""
    return [
        (replace(r, label=np.zeros_like(r.label)), e) if e.split == "test" else (r, e)
        for r, e in pairs
    ]


def _only(function: Callable[[Record], Record]) -> Callable[[Pair], Pair]:
    return lambda pair: (function(pair[0]), pair[1])


def _gain(image: np.ndarray, much: float, rng: np.random.Generator) -> np.ndarray:
    """Vary the brightness from image to image, as under automatic exposure."""
    return image * np.exp(rng.normal(0, much))


SHARES = (0.02, 0.05, 0.1, 0.25, 0.5)
GREY = ("intensity", "brightness", "contrast", "black", "saturated", "grey_levels")
SHAPE = ("height", "width", "aspect")
MASK = ("foreground", "object", "edge", "step", "label")


def _of_images() -> Sequence[Fault]:
    """Return the faults of pixels."""
    shift = _pixels(lambda x, much, _: x + much)
    scale = _pixels(lambda x, much, _: 0.5 + (x - 0.5) * much)
    gamma = _pixels(lambda x, much, _: x**much)
    noise = _pixels(lambda x, much, rng: x + rng.normal(0, much, x.shape))
    inverted = _some(_only(lambda r: _with_image(r, 1 - _unit(r))))
    return (
        Fault("shifted intensities", "of the range", (0.01, 0.02, 0.05, 0.1, 0.2), 0.1, GREY,
              shift),
        Fault("scaled contrast", "of the contrast", (0.95, 0.9, 0.8, 0.7, 0.5), 0.7, GREY, scale),
        Fault("inverted intensities", "of the images", SHARES, 0.25, (*GREY, "step"), inverted),
        Fault("another gamma", "exponent", (1.1, 1.2, 1.35, 1.5, 2.0), 1.5, GREY, gamma),
        Fault("varying exposure", "log deviation", (0.1, 0.2, 0.4, 0.6, 0.8), 0.6, GREY,
              _pixels(_gain)),
        Fault("blur", "pixels, sigma", (0.3, 0.5, 0.7, 1.0, 2.0), 1.0,
              ("sharpness", "noise", "edge"), _pixels(_blur)),
        Fault("noise", "of the range, sigma", (0.005, 0.01, 0.02, 0.04, 0.08), 0.04,
              ("noise", "sharpness"), noise),
        Fault("fewer bits", "bits", (7, 6, 5, 4, 3), 5, ("grey_levels",), _pixels(_quantize)),
        Fault("constant images", "of the images", (0.005, 0.01, 0.02, 0.05, 0.1), 0.01,
              ("contrast",), _some(_constant)),
        Fault("cropped images", "of the side", (0.97, 0.95, 0.9, 0.75, 0.5), 0.75, SHAPE, _crop),
    )  # fmt: skip


def _of_labels() -> Sequence[Fault]:
    """Return the faults of masks."""
    swapped = _some(_only(lambda r: replace(r, label=_swap(r.label).astype(np.uint8))))
    emptied = _some(_only(lambda r: replace(r, label=np.zeros_like(r.label))))
    return (
        Fault("swapped labels", "of the images", SHARES, 0.25, ("step", "foreground", "edge"),
              swapped, "labels"),
        Fault("empty masks", "of the images", SHARES, 0.1, ("label_empty", *MASK), emptied,
              "labels"),
        Fault("a class missing in a split", "splits", (1.0,), 1.0, ("classes",), _without_class,
              "labels"),
        Fault("dilated masks", "pixels", (1, 2, 3, 4), 2, MASK,
              _masks(lambda x, much: _morphed(x, much, True)), "labels"),
        Fault("eroded masks", "pixels", (1, 2, 3, 4), 2, MASK,
              _masks(lambda x, much: _morphed(x, much, False)), "labels"),
        Fault("shifted masks", "pixels", (1, 2, 4, 8), 4, ("edge", "step"),
              _masks(lambda x, much: np.roll(x, int(much), axis=1)), "labels"),
        Fault("flipped images under their masks", "of the images", SHARES, 0.5, ("edge", "step"),
              _some(_turned(np.flipud, masks=False)), "labels"),
    )  # fmt: skip


def _of_studies() -> Sequence[Fault]:
    """Return the faults of how images lie, where they come from and whose they are."""
    return (
        Fault("flipped up-down", "of the images", SHARES, 0.5, ("intensity_row", "label_row"),
              _some(_turned(np.flipud)), "orientation"),
        Fault("flipped left-right", "of the images", SHARES, 0.5,
              ("intensity_column", "label_column"), _some(_turned(np.fliplr)), "orientation"),
        Fault("turned by 90 degrees", "of the images", SHARES, 0.5,
              ("direction", "aspect", "intensity_row", "intensity_column", "label"),
              _some(_turned(np.rot90)), "orientation"),
        Fault("wrong spacing", "of the images", SHARES, 0.1, ("spacing",), _some(_rescaled),
              "spacing"),
        Fault("a new scanner", "of the images", SHARES, 0.05, ("manufacturer",),
              _some(_attribute("manufacturer", "never seen")), "attributes"),
        Fault("missing site", "of the images", SHARES, 0.1, ("site",),
              _some(_attribute("site", "")), "attributes"),
        Fault("duplicated patients", "of the images", SHARES, 0.05, ("patients", "repeats"),
              _double, "patients"),
        Fault("images in two splits", "images", (1, 2, 5), 1, ("duplicates", "groups"), _straddle),
    )  # fmt: skip


FAULTS = (*_of_images(), *_of_labels(), *_of_studies())
