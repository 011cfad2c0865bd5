"""The plot of the grid: bytes to NNCodec's by sparsity, one panel per size, as SVG by hand.

390 units wide, so that it is read at the width of a phone without scaling.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.codec.goals import bytes_ratio

__all__ = ["draw"]

WIDTH, PANEL_WIDTH, PANEL_HEIGHT = 390, 186, 138
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 22, 22
LEGEND = 48
# Dark to light by codebook: a sequence, as the sizes are.
COLOURS = ("#30123b", "#4458cb", "#1f9e89", "#7ba32c", "#e08214", "#c51b3a")


def draw(cells: Sequence[dict[str, Any]]) -> str:
    """Return the SVG of the cells that were measured."""
    sizes = sorted({cell["size"] for cell in cells})
    entries = sorted({cell["nominal"] for cell in cells})
    rows = (len(sizes) + 1) // 2
    height = LEGEND + rows * PANEL_HEIGHT + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
        "<title>Bytes of the .thimble coder over NNCodec's, by sparsity</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *_legend(entries),
    ]
    for number, size in enumerate(sizes):
        x = 6 + (number % 2) * (PANEL_WIDTH + 6)
        y = LEGEND + (number // 2) * PANEL_HEIGHT
        parts.append(f'<g transform="translate({x},{y})">')
        parts += _panel([cell for cell in cells if cell["size"] == size], entries)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _legend(entries: list[int]) -> list[str]:
    """Return the title and the colour of each codebook."""
    parts = ['<text x="8" y="16" font-weight="bold">bytes, ours / NNCodec, by sparsity in %</text>']
    parts.append('<text x="8" y="36">entries</text>')
    for number, count in enumerate(entries):
        x = 58 + 54 * number
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<path d="M{x} 32h16" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 20}" y="36">{count}</text>')
    return parts


def _panel(cells: list[dict[str, Any]], entries: list[int]) -> list[str]:
    """Return one panel: axes of its own, the line at 1, and a line for each codebook."""
    ratios = [*map(bytes_ratio, cells), 1.0]
    margin = 0.05 * (max(ratios) - min(ratios)) + 0.002
    low, high = min(ratios) - margin, max(ratios) + margin
    sparsities = sorted({cell["sparsity"] for cell in cells})
    bottom = PANEL_HEIGHT - BOTTOM
    step = (PANEL_WIDTH - LEFT - RIGHT) / max(len(sparsities) - 1, 1)

    def place(cell: dict[str, Any]) -> str:
        share = (bytes_ratio(cell) - low) / (high - low)
        x = LEFT + step * sparsities.index(cell["sparsity"])
        return f"{x:.1f},{bottom - share * (bottom - TOP):.1f}"

    parts = [
        f'<text x="{LEFT}" y="15" font-weight="bold">{cells[0]["size"]:,} weights</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{PANEL_WIDTH - RIGHT}" fill="none" stroke="#888"/>',
    ]
    for tick in _ticks(low, high):
        y = bottom - (tick - low) / (high - low) * (bottom - TOP)
        line = 'stroke="#333" stroke-dasharray="3 2"' if tick == 1 else 'stroke="#ddd"'
        parts.append(f'<path d="M{LEFT} {y:.1f}H{PANEL_WIDTH - RIGHT}" {line}/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for number, sparsity in enumerate(sparsities):
        x = LEFT + step * number
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{100 * sparsity:.0f}</text>'
        )
    for count in entries:
        line_cells = [cell for cell in cells if cell["nominal"] == count]
        points = " ".join(place(cell) for cell in sorted(line_cells, key=lambda c: c["sparsity"]))
        colour = COLOURS[entries.index(count) % len(COLOURS)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        )
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Return the multiples of a step within the limits; 1 is among them."""
    steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    step = next((step for step in steps if (high - low) / step <= 6), 1.0)
    numbers = range(int(low / step) - 1, int(high / step) + 2)
    ticks = sorted({round(number * step, 6) for number in numbers} | {1.0})
    return [tick for tick in ticks if low <= tick <= high]
