"""Pictures of the report: scans and masks as small palette PNG in data URIs.

A scan is stored once and lies under every mask of its case; masks have a few colours on a
transparent ground, so that they cost a few kB each.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.report.branches import Branch
from components.report.formats import dice_text, difference_text
from thimble.stage import BadInput

__all__ = ["AGREE", "BOTH", "EXTRA", "MISSED", "Case", "Panel", "cases", "compare"]

Mask = npt.NDArray[np.uint8]

# Okabe and Ito's orange and blue differ for every kind of colour vision, and in lightness too.
CLEAR, AGREE, EXTRA, MISSED, BOTH = range(5)
PALETTE = {
    CLEAR: (0, 0, 0),
    AGREE: (242, 242, 242),
    EXTRA: (240, 150, 0),
    MISSED: (45, 150, 240),
    BOTH: (204, 96, 190),
}
LARGEST_SIDE, SMALLEST_SIDE = 512, 64
# Six bits of grey: the eye sees no step in a scan, and noise codes into a third fewer bytes.
GREYS = 64
BUDGET = 6_500_000


@dataclass(frozen=True)
class Panel:
    """One picture: a title, what a screen reader says, and a mask over the scan or nothing."""

    title: str
    label: str
    mask: str


@dataclass(frozen=True)
class Case:
    """One test image with its panels."""

    name: str
    role: str
    scan: str
    height: int
    width: int
    dice: str
    change: str
    panels: tuple[Panel, ...]


def compare(truth: Mask, prediction: Mask) -> Mask:
    """Mark where a prediction agrees with the truth.

    Args:
        truth: (height, width) class indices, 0 = background.
        prediction: (height, width) class indices.

    Returns:
        (height, width) of CLEAR (both background), AGREE (same class), EXTRA (foreground only in
        the prediction), MISSED (foreground only in the truth), BOTH (two different classes).
    """
    marks = np.full(truth.shape, CLEAR, np.uint8)
    marks[(truth == prediction) & (truth > 0)] = AGREE
    marks[(truth == 0) & (prediction > 0)] = EXTRA
    marks[(truth > 0) & (prediction == 0)] = MISSED
    marks[(truth > 0) & (prediction > 0) & (truth != prediction)] = BOTH
    return marks


def _uri(image: Image.Image, **options: Any) -> str:
    """An image as a PNG data URI."""
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _scan_uri(path: Path, side: int) -> tuple[str, tuple[int, int]]:
    """A scan at most `side` pixels long, as a palette PNG, and its size (width, height)."""
    with Image.open(path) as opened:
        image = opened.convert("RGB" if opened.mode in ("RGB", "RGBA", "P") else "L")
    full = image.size
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if image.mode == "RGB":
        return _uri(image.quantize(128, dither=Image.Dither.NONE)), full
    levels = (np.asarray(image, np.uint16) * GREYS // 256).astype(np.uint8)
    grey = Image.frombytes("P", image.size, levels.tobytes())
    shades = np.linspace(0, 255, GREYS).round().astype(int)
    grey.putpalette([int(shade) for shade in shades for _ in range(3)])
    return _uri(grey), full


def _mask_uri(marks: Mask, side: int) -> str:
    """Marks at most `side` pixels long, as a palette PNG with a transparent ground."""
    image = Image.frombytes("P", marks.shape[::-1], np.ascontiguousarray(marks).tobytes())
    image.putpalette([part for colour in PALETTE.values() for part in colour])
    # Nearest: a mixed index would be another class.
    image.thumbnail((side, side), Image.Resampling.NEAREST)
    return _uri(image, bits=4, transparency=CLEAR)


def _read_mask(folder: Path, name: str) -> Mask:
    """A PNG of class indices."""
    with Image.open(folder / name) as image:
        return np.asarray(image if image.mode in ("L", "P") else image.convert("L"), np.uint8)


def _case(record: dict[str, Any], folder: Path, side: int, compressed: str) -> Case:
    """Draw one case."""
    name = record["id"]
    try:
        scan, (width, height) = _scan_uri(folder / record["scan"], side)
        masks = {
            kind: _read_mask(folder, record[kind])
            for kind in ("truth", "baseline", "prediction")
            if record.get(kind)
        }
    except (OSError, KeyError, ValueError) as error:
        raise BadInput(
            f"a picture of image {name} cannot be read ({error}). "
            f"Expected the PNG files that evaluate wrote in {folder}; run evaluate again."
        ) from None
    shapes = {kind: mask.shape for kind, mask in masks.items()}
    if len(set(shapes.values())) != 1 or not {"truth", "prediction"} <= set(shapes):
        raise BadInput(
            f"image {name} must have a truth and a prediction of one shape. Received: {shapes}. "
            "Run evaluate again."
        )
    dice, baseline_dice = record.get("dice"), record.get("baseline_dice")
    change = None if dice is None or baseline_dice is None else dice - baseline_dice
    return Case(
        name,
        record.get("role", ""),
        scan,
        height,
        width,
        dice_text(dice),
        difference_text(change) if change is not None else "",
        _panels(masks, record, side, compressed),
    )


def _panels(
    masks: dict[str, Mask], record: dict[str, Any], side: int, compressed: str
) -> tuple[Panel, ...]:
    """The pictures of a case, left to right."""
    name, truth, after = record["id"], masks["truth"], masks["prediction"]
    scores = {key: f", Dice {dice_text(record.get(key))}" for key in ("dice", "baseline_dice")}
    drawn = [("Truth", f"True foreground of {name}", compare(truth, truth))]
    if "baseline" in masks:
        label = f"Baseline against truth in {name}{scores['baseline_dice']}"
        drawn.append(("Baseline", label, compare(truth, masks["baseline"])))
    label = f"{compressed} against truth in {name}{scores['dice']}"
    drawn.append(("Compressed", label, compare(truth, after)))
    if "baseline" in masks:
        before = masks["baseline"]
        changed = np.where(before == after, np.uint8(CLEAR), compare(before, after))
        drawn.append(
            ("Changed", f"Where {compressed} differs from the baseline in {name}", changed)
        )
    panels = [Panel(title, label, _mask_uri(marks, side)) for title, label, marks in drawn]
    return (Panel("Scan", f"Scan {name}", ""), *panels)


def cases(branch: Branch) -> list[Case]:
    """Draw the cases that evaluate chose.

    Args:
        branch: The compressed branch.

    Returns:
        Cases whose pictures together fit in the report: all get smaller until they do.

    Raises:
        BadInput: If a picture is missing, broken, or of another shape.
    """
    records = branch.evaluation.get("cases") or []
    compressed = f"{branch.name}-{branch.evaluation.get('headline', 'float32')}"
    side = LARGEST_SIDE
    while True:
        drawn = [_case(record, branch.folder, side, compressed) for record in records]
        size = sum(len(case.scan) + sum(len(panel.mask) for panel in case.panels) for case in drawn)
        if size <= BUDGET or side <= SMALLEST_SIDE:
            return drawn
        # Bytes go with the square of the side; small scans do not fill it.
        side = min(side, max(max(case.width, case.height) for case in drawn))
        side = int(side * min(0.9, (BUDGET / size) ** 0.5))
