"""Charts of what each stage did: bytes (a waterfall on a logarithmic axis) and validation Dice."""

import math
from collections.abc import Sequence

from components.report.axes import Figure, byte_axis, row_axis
from components.report.formats import bytes_text, dice_text, percent_text, ratio_text
from components.report.steps import Step

__all__ = ["quality_chart", "size_chart"]

MARGIN = {"l": 8, "r": 8, "t": 8, "b": 46}
ROW, FRAME = 38, 62


def _note(factor: float) -> str:
    """Say what a stage did to the bytes, unless it is within 5 %."""
    if factor >= 1.05:
        return f"÷{ratio_text(factor)[:-1]}"
    return f"×{ratio_text(1 / factor)[:-1]}" if factor <= 0.95 else "same"


def size_chart(chain: Sequence[Step], colour: str) -> Figure | None:
    """Bytes after each stage: every bar spans what its stage took off, on a logarithmic axis."""
    shown = [step for step in chain if step.size]
    if len(shown) < 2:
        return None
    sizes = [float(step.size or 0) for step in shown]
    before = [float(step.before or step.size or 0) for step in shown]
    floor = min(sizes) / 1.6
    # The first bar starts at the axis: it is an amount, the others are changes.
    base = [floor, *(min(pair) for pair in zip(sizes[1:], before[1:], strict=True))]
    top = [max(pair) for pair in zip(sizes, before, strict=True)]
    notes = ["", *(_note(step.factor or 1.0) for step in shown[1:])]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [step.name for step in shown],
        "base": base,
        "x": [high - low for high, low in zip(top, base, strict=True)],
        "marker": {"color": ["@baseline", *(_colour(note, colour) for note in notes[1:])]},
        "text": [f"{bytes_text(size)}  {note}" for size, note in zip(sizes, notes, strict=True)],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [f"{size:,.0f} B" for size in sizes],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
        "width": 0.56,
    }
    return {
        "data": [bars],
        "layout": {
            "height": FRAME + ROW * len(chain),
            "xaxis": _room(byte_axis([floor, max(top)], most_ticks=5), floor, 0.4),
            "yaxis": row_axis([step.name for step in chain]),
            "margin": MARGIN,
        },
        "narrow": {"xaxis": _room(byte_axis([floor, max(top)], most_ticks=3), floor, 0.9)},
    }


def _colour(note: str, kept: str) -> str:
    """The colour of a change: the branch's, or red where the model grew."""
    return "@fail" if note.startswith("×") else f"@{kept}"


def _room(axis: Figure, floor: float, share: float) -> Figure:
    """Start an axis at the floor and leave room for text right of the longest bar."""
    low, high = math.log10(floor), axis["range"][1]
    return {
        **axis,
        "range": [low, high + share * (high - low)],
        "title": {"text": "bytes (logarithmic)"},
        "fixedrange": True,
    }


def quality_chart(chain: Sequence[Step], colour: str) -> Figure | None:
    """Validation Dice after each stage, in the same rows as the sizes."""
    shown = [step for step in chain if step.dice is not None]
    if len(shown) < 2:
        return None
    scores = [float(step.dice or 0) for step in shown]
    pad = max(0.25 * (max(scores) - min(scores)), 0.002)
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "y": [step.name for step in shown],
        "x": scores,
        "marker": {"size": 11, "color": f"@{colour}"},
        "text": [f"  {dice_text(score)}" for score in scores],
        "textposition": "middle right",
        "cliponaxis": False,
        "customdata": [percent_text(step.sparsity) for step in shown],
        "hovertemplate": "%{y}: Dice %{x:.4f}, sparsity %{customdata}<extra></extra>",
    }
    return {
        "data": [dots],
        "layout": {
            "height": FRAME + ROW * len(chain),
            "yaxis": row_axis([step.name for step in chain]),
            "xaxis": {
                "title": {"text": "Dice (validation)"},
                "range": [min(scores) - pad, max(scores) + 2.2 * pad],
                "tickformat": ".3f",
                "tickangle": 0,
                "nticks": 5,
                "fixedrange": True,
            },
            "margin": MARGIN,
        },
    }
