"""Axes of the report's charts, as Plotly layouts (plain dicts; report.js draws them).

A colour such as "@teacher" is a CSS custom property that report.js looks up when it draws, so that
charts follow the reader's light or dark theme. "narrow" holds what changes on a phone.
"""

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["Figure", "byte_axis", "row_axis"]

Figure = dict[str, Any]


def byte_axis(values: Sequence[float], most_ticks: int = 8) -> Figure:
    """A logarithmic axis of bytes with round ticks, wide enough for all values."""
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.08 * (high - low), 0.12)
    low, high = low - pad, high + pad
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) <= most_ticks:
            break
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "tickangle": 0,
        "ticktext": [_tick_text(tick) for tick in ticks],
    }


def _tick_text(value: float) -> str:
    """A round number of bytes without decimals: 2e6 -> '2 MB'."""
    for scale, unit in ((1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{value / scale:g} {unit}"
    return f"{value:g} B"


def row_axis(names: Sequence[str]) -> Figure:
    """An axis with one row a stage, first on top."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(names),
        "range": [len(names) - 0.5, -0.5],
        "automargin": True,
        "fixedrange": True,
        "showgrid": False,
    }
