"""Numbers as people read them: SI units (1 kB = 1000 bytes), no more digits than they mean."""

import math
from collections.abc import Callable
from typing import Any

__all__ = [
    "bytes_text",
    "count_text",
    "dice_text",
    "difference_text",
    "distance_text",
    "exact_bytes",
    "exists",
    "interval_text",
    "percent_text",
    "plain",
    "range_text",
    "ratio_text",
    "seconds_text",
    "significant",
]

MISSING = "–"
MINUS = "−"
GAP = "\N{NO-BREAK SPACE}"


def exists(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and no exponent: 61234 -> '61,200'."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    # 9.996 rounds up to 10.0: its digits are counted again after rounding.
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace("-", MINUS)


def _scaled(value: float | None, units: list[tuple[float, str]]) -> str:
    """Return a number in the largest unit that it reaches."""
    if value is None or not exists(value):
        return MISSING
    for scale, unit in units:
        # 999.6 kB would round to "1,000 kB".
        if abs(value) >= scale * 0.9995:
            return f"{significant(value / scale)}{GAP}{unit}"
    scale, unit = units[-1]
    return f"{significant(value / scale)}{GAP}{unit}"


def bytes_text(value: float | None) -> str:
    """Return bytes in decimal units: 61234 -> '61.2 kB', 999 -> '999 B'."""
    if value is not None and exists(value) and abs(value) < 1000:
        return f"{value:.0f}{GAP}B"
    return _scaled(value, [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")])


def exact_bytes(value: float | None) -> str:
    """Return bytes to the last one: 61234 -> '61,234'."""
    return f"{value:,.0f}" if value is not None and exists(value) else MISSING


def seconds_text(value: float | None) -> str:
    """Return a time: 0.00213 -> '2.13 ms', 1.5 -> '1.50 s'."""
    return _scaled(value, [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")])


def ratio_text(value: float | None) -> str:
    """Return a factor: 128.61 -> '129×', 3.44 -> '3.4×'."""
    if value is None or not exists(value):
        return MISSING
    return significant(value, 3 if value >= 10 else 2) + "×"


def percent_text(value: float | None) -> str:
    """Return a share: 0.9012 -> '90.1 %'."""
    return f"{100 * value:.1f}{GAP}%" if value is not None and exists(value) else MISSING


def dice_text(value: float | None) -> str:
    """Return a Dice coefficient with four decimals."""
    return f"{value:.4f}" if value is not None and exists(value) else MISSING


def difference_text(value: float | None) -> str:
    """Return a Dice difference with its sign: -0.0013 -> '−0.0013'."""
    if value is None or not exists(value):
        return MISSING
    shown = f"{value:+.4f}".replace("-", MINUS)
    return "0.0000" if shown.strip("+" + MINUS) == "0.0000" else shown


def distance_text(value: float | None, unit: str) -> str:
    """Return a distance in mm or pixels: 4.12 -> '4.1 px'."""
    if value is None or not exists(value):
        return MISSING
    return f"{value:.1f}{GAP}px" if unit == "pixels" else f"{value:.2f}{GAP}{unit}"


def range_text(low: float | None, high: float | None, written: Callable[[float], str]) -> str:
    """Return an interval: '0.71 to 0.84'; a dash if it is not known."""
    if low is None or high is None or not (exists(low) and exists(high)):
        return MISSING
    return f"{written(low)} to {written(high)}"


def interval_text(difference: dict[str, Any] | None) -> str:
    """Return the two-sided interval of a difference: '−0.0040 to +0.0011'."""
    gap = difference or {}
    return range_text(gap.get("low"), gap.get("high"), difference_text)


def count_text(value: float | None) -> str:
    """Return a whole number with thousands separated."""
    return f"{value:,.0f}" if value is not None and exists(value) else MISSING


def plain(value: Any) -> str:
    """Return a parameter's value for a table: True -> 'yes', 0.1 -> '0.1', '' -> '–'."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    return str(value) if value not in ("", None) else MISSING
