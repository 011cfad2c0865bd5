"""Masks and scans as PNG files, and which images a report shows."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["choose_cases", "read_mask", "safe_name", "write_mask", "write_scan"]

LONGEST_NAME = 80
# What lies outside is noise that would leave the rest of the scan grey.
SHOWN_PERCENTILES = (0.5, 99.5)


def safe_name(identifier: str) -> str:
    """Return a file name for the id of an image.

    Args:
        identifier: Any text; slashes, spaces and non-ASCII letters are not safe on every system.

    Returns:
        The id itself where it is safe. Else its safe characters and a digest of the whole id, so
        that different ids keep different names.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", identifier)[:LONGEST_NAME].lstrip(".")
    if plain == identifier and plain:
        return plain
    return f"{plain}-{hashlib.sha256(identifier.encode()).hexdigest()[:8]}"


def write_mask(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    """Write a mask as an 8-bit PNG of class indices, in one step.

    Args:
        path: The file; it appears only when whole, so that a restart can trust it.
        mask: (height, width) class indices.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    Image.fromarray(mask).save(partial, "PNG", optimize=True)
    os.replace(partial, path)


def read_mask(path: Path) -> npt.NDArray[np.uint8]:
    """Read a mask that `write_mask` wrote: (height, width) class indices."""
    with Image.open(path) as image:
        return np.asarray(image, np.uint8)


def write_scan(path: Path, scan: npt.NDArray[np.integer]) -> None:
    """Write a scan as an 8-bit PNG for the eye: its 0.5th to 99.5th percentile become 0 to 255.

    Args:
        path: The file.
        scan: (height, width, 1 or 3) uint8 or uint16.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    low, high = np.percentile(scan, SHOWN_PERCENTILES)
    share = (scan.astype(np.float64) - low) / max(high - low, 1.0)
    shown = (255 * share.clip(0, 1)).round().astype(np.uint8)
    Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown).save(path, "PNG")


def choose_cases(
    dice: Mapping[str, float], baseline: Mapping[str, float] | None, count: int
) -> list[tuple[str, str]]:
    """Choose the images that a report shows: never only the good ones.

    Args:
        dice: Dice of each image by id.
        baseline: Dice of the baseline on the same images, if there is one.
        count: Number of images, at most.

    Returns:
        (id, role) by turns: lowest Dice ("worst"), lowest Dice minus the baseline's ("largest
        drop"), nearest to the median, highest Dice; then the next of each. An image is shown once.
    """
    ranked = sorted(dice, key=lambda name: (dice[name], name))
    median = float(np.median(list(dice.values()))) if dice else 0.0
    orders = {"worst": ranked}
    if baseline is not None:
        orders["largest drop"] = sorted(ranked, key=lambda name: dice[name] - baseline[name])
    orders["median"] = sorted(ranked, key=lambda name: abs(dice[name] - median))
    orders["best"] = ranked[::-1]
    chosen: dict[str, str] = {}
    for name, role in _by_turns(orders, chosen):
        if len(chosen) == count:
            break
        chosen[name] = role
    return list(chosen.items())


def _by_turns(orders: dict[str, list[str]], chosen: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the first name of each order that is not chosen yet, then start over."""
    queues = {role: iter(names) for role, names in orders.items()}
    for _ in zip_longest(*orders.values()):
        for role, queue in queues.items():
            name = next((name for name in queue if name not in chosen), None)
            if name is not None:
                yield name, role
