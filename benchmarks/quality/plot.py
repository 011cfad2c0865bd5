"""The plot of the curve: Dice by bytes on a logarithmic axis, as SVG by hand.

390 units wide, so that it is read at the width of a phone without scaling.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["ARMS", "Mark", "draw"]

WIDTH, HEIGHT = 390, 388
LEFT, RIGHT, TOP, BOTTOM = 44, 24, 160, 36
# Of the legend, which TOP has room for with all arms.
LINE = 14
# By arm: what the legend says, colour and shape. Arms differ in shape, not in colour alone.
ARMS = {
    "cut": ("teacher, channels cut, shared by rate, .thimble", "#0b3d91", "right"),
    "taught": ("teacher, pruned, taught by the baseline, .thimble", "#1f5fbf", "circle"),
    "teacher": ("teacher, pruned, taught by itself, .thimble", "#8fb8e8", "circle"),
    "student": ("student, distilled, compressed, .thimble", "#1f9e89", "square"),
    "narrow int8": ("narrow net alone, int8 + zstd", "#c51b3a", "triangle"),
    "narrow float32": ("narrow net alone, float32 + zstd", "#e08214", "diamond"),
    "NNCodec": ("NNCodec on the baseline or on the pruned teacher", "#666666", "cross"),
    "baseline": ("baseline, uncompressed", "#000000", "ring"),
}
POWERS = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7)


@dataclass(frozen=True)
class Mark:
    """A file on the plot.

    Attributes:
        arm: A key of `ARMS`.
        size: Bytes, the mean over seeds.
        dice: In [0, 1], the mean over seeds.
        label: Written beside it; may be empty.
    """

    arm: str
    size: float
    dice: float
    label: str = ""


def draw(marks: Sequence[Mark], title: str, low: float) -> str:
    """Return the SVG.

    Args:
        marks: What was measured; what is below `low` is counted, not drawn.
        title: Above the plot.
        low: Lowest Dice on the axis.
    """
    shown = [mark for mark in marks if mark.dice >= low]
    sizes = [math.log10(mark.size) for mark in shown]
    left, right = min(sizes) - 0.15, max(sizes) + 0.25
    high = max(mark.dice for mark in shown) + 0.003

    def place(size: float, dice: float) -> tuple[float, float]:
        x = LEFT + (math.log10(size) - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (dice - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return x, y

    arms = [arm for arm in ARMS if any(mark.arm == arm for mark in shown)]
    unused = LINE * (len(ARMS) - len(arms))
    height = HEIGHT - unused
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="16" font-weight="bold">{title}</text>',
        *_legend(arms),
        f'<g transform="translate(0 {-unused})">',
        *_axes(place, (left, right), (low, high)),
    ]
    if len(shown) < len(marks):
        lacking = f"{len(marks) - len(shown)} of lower Dice not drawn"
        # Below on the right: no large network is that bad.
        parts.append(
            f'<text x="{WIDTH - RIGHT - 4}" y="{HEIGHT - BOTTOM - 5}" font-size="9" '
            f'text-anchor="end">{lacking}</text>'
        )
    for arm in arms:
        parts += _arm(arm, [mark for mark in shown if mark.arm == arm], place)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _arm(
    arm: str, marks: Iterable[Mark], place: Callable[[float, float], tuple[float, float]]
) -> Iterator[str]:
    """Yield an arm's line, marks and labels."""
    _, colour, shape = ARMS[arm]
    line = sorted(marks, key=lambda mark: mark.size)
    places = [place(mark.size, mark.dice) for mark in line]
    if arm != "NNCodec" and len(places) > 1:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
    for mark, (x, y) in zip(line, places, strict=True):
        yield _shape(shape, colour, x, y)
        yield f'<text x="{x + 6:.1f}" y="{y + 12:.1f}" font-size="9">{mark.label}</text>'


def _legend(arms: Iterable[str]) -> Iterator[str]:
    """Yield a line for each arm."""
    for number, arm in enumerate(arms):
        text, colour, shape = ARMS[arm]
        y = 32 + LINE * number
        yield _shape(shape, colour, 14, y - 4)
        yield f'<text x="26" y="{y}">{text}</text>'


def _axes(
    place: Callable[[float, float], tuple[float, float]],
    across: tuple[float, float],
    dices: tuple[float, float],
) -> list[str]:
    """Return frame, grid and ticks."""
    bottom = HEIGHT - BOTTOM
    parts = [f'<path d="M{LEFT} {TOP - 8}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>']
    for size in POWERS:
        if across[0] <= math.log10(size) <= across[1]:
            x, _ = place(size, dices[0])
            text = f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:g} kB"
            parts.append(f'<path d="M{x:.1f} {TOP - 8}V{bottom}" stroke="#ddd"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{text}</text>')
    step = 0.01 if dices[1] - dices[0] <= 0.08 else 0.02  # noqa: PLR2004
    for number in range(math.ceil(dices[0] / step), math.floor(dices[1] / step) + 1):
        _, y = place(10 ** across[0], number * step)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{number * step:.2f}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">'
        "bytes of the file that ships (logarithmic); up: Dice</text>"
    )
    return parts


def _shape(shape: str, colour: str, x: float, y: float) -> str:
    """Return a mark of radius 4."""
    paths = {
        "square": f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        "triangle": f"M{x:.1f} {y - 5:.1f}l5 9h-10z",
        "right": f"M{x - 4:.1f} {y + 4:.1f}v-8l8 4z",
        "diamond": f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
    }
    if shape in paths:
        return f'<path d="{paths[shape]}" fill="{colour}"/>'
    if shape == "cross":
        cross = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
        return f'<path d="{cross}" stroke="{colour}" stroke-width="2"/>'
    inside = colour if shape == "circle" else "#fff"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{inside}" stroke="{colour}"/>'
