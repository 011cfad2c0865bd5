"""Charts that compare packages: bytes against Dice, and the differences image by image."""

from collections.abc import Sequence

from components.report.axes import Figure, byte_axis, row_axis
from components.report.branches import Branch, Branches
from components.report.formats import dice_text, difference_text, exists
from components.report.gates import Candidate

__all__ = ["SYMBOLS", "differences_chart", "tradeoff_chart"]

SYMBOLS = {
    "raw weights": "x-thin",
    "float32": "circle",
    "float16": "square",
    "dynamic": "diamond",
    "int8": "triangle-up",
}


def _points(branch: Branch) -> list[tuple[str, float, float, str]]:
    """Variant, bytes, Dice and hover text of every package of a branch."""
    found = []
    for variant, figures in branch.variants.items():
        size, dice = (float(figures.get(key) or "nan") for key in ("package_bytes", "dice"))
        if exists(size) and exists(dice):
            text = (
                f"<b>{branch.name}-{variant}</b><br>{size:,.0f} B<br>Dice {dice_text(dice)}"
                f"<br>difference {difference_text((figures.get('difference') or {}).get('mean'))}"
            )
            found.append((variant, size, dice, text))
    return found


def tradeoff_chart(branches: Branches, gated: Candidate, max_drop: float) -> Figure | None:
    """Test Dice against bytes, a colour per branch and a symbol per variant."""
    reference = gated.figures["baseline_dice"]
    groups = {name: _points(branch) for name, branch in branches.items()}
    if reference is not None:
        raw = float(branches["baseline"].evaluation["float32_bytes"])
        text = f"<b>baseline, raw float32 weights</b><br>{raw:,.0f} B"
        groups["baseline"].append(("raw weights", raw, reference, text))
    sizes = [size for points in groups.values() for _, size, _, _ in points]
    if not sizes:
        return None
    data = [_scatter(name, points) for name, points in groups.items() if points]
    title = {"title": {"text": "package size, bytes (logarithmic)"}}
    layout: Figure = {
        "height": 420,
        "xaxis": {**byte_axis(sizes), **title},
        "yaxis": {"title": {"text": "Dice (test)"}, "tickformat": ".3f", "automargin": True},
        "margin": {"l": 8, "r": 24, "t": 16, "b": 52},
        "hovermode": "closest",
        "shapes": [],
        "annotations": [],
    }
    _mark_gate(layout, reference, max_drop)
    _mark_gated(data, gated)
    narrow = {"height": 340, "xaxis": {**byte_axis(sizes, most_ticks=4), **title}}
    return {"data": data, "layout": layout, "narrow": narrow}


def _scatter(branch: str, points: list[tuple[str, float, float, str]]) -> Figure:
    """The packages of one branch."""
    raw = [variant == "raw weights" for variant, *_ in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": branch,
        "x": [size for _, size, _, _ in points],
        "y": [dice for _, _, dice, _ in points],
        "text": [text for *_, text in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "size": 13,
            "symbol": [SYMBOLS.get(variant, "circle") for variant, *_ in points],
            "color": f"@{branch}",
            # A cross is all line; the others have a thin rim that parts those that overlap.
            "line": {
                "color": [f"@{branch}" if cross else "@surface" for cross in raw],
                "width": [3 if cross else 1 for cross in raw],
            },
        },
        "cliponaxis": False,
    }


def _mark_gate(layout: Figure, reference: float | None, max_drop: float) -> None:
    """Draw the lowest Dice that the gate lets pass."""
    if reference is None:
        return
    limit = reference - max_drop
    layout["shapes"].append(
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": limit,
            "y1": limit,
            "line": {"color": "@fail", "width": 1.5, "dash": "dash"},
        }
    )
    layout["annotations"].append(
        {
            "xref": "paper",
            "x": 1,
            "y": limit,
            "text": f"gate: Dice ≥ {dice_text(limit)}",
            "showarrow": False,
            "xanchor": "right",
            "yanchor": "top",
            "font": {"color": "@fail", "size": 12},
        }
    )


def _mark_gated(data: list[Figure], gated: Candidate) -> None:
    """Ring the package that the verdict is about."""
    size, dice = gated.figures["package_bytes"], gated.figures["dice"]
    if size is None or dice is None:
        return
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "gated",
            "x": [size],
            "y": [dice],
            "hoverinfo": "skip",
            "marker": {
                "size": 24,
                "symbol": "circle-open",
                "color": "@ink",
                "line": {"width": 2, "color": "@ink"},
            },
        }
    )


def differences_chart(rows: Sequence[tuple[str, str, dict[str, float]]], max_drop: float) -> Figure:
    """Per-image Dice minus the baseline's, one row per package, one dot per image.

    Args:
        rows: Package name, branch, and difference by image.
        max_drop: The gate, drawn as a line.
    """
    bounds = [(0.0, "@muted", "solid"), (-max_drop, "@fail", "dash")]
    lines = [
        {
            "type": "line",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "x0": place,
            "x1": place,
            "line": {"color": colour, "width": 1.5, "dash": dash},
        }
        for place, colour, dash in bounds
    ]
    return {
        "data": [_box(name, branch, found) for name, branch, found in rows],
        "layout": {
            "height": 80 + 58 * len(rows),
            "xaxis": {
                "title": {"text": "Dice minus the baseline's, per test image"},
                "tickformat": ".3f",
                "tickangle": 0,
                "zeroline": False,
            },
            "yaxis": row_axis([name for name, _, _ in rows]),
            "shapes": lines,
            "margin": {"l": 8, "r": 16, "t": 12, "b": 48},
        },
        # One line is wider than a phone in some fonts.
        "narrow": {
            "height": 98 + 58 * len(rows),
            "xaxis": {
                "nticks": 4,
                "title": {"text": "Dice minus the baseline's,<br>per test image"},
            },
            "margin": {"l": 8, "r": 16, "t": 12, "b": 66},
        },
    }


def _box(name: str, branch: str, found: dict[str, float]) -> Figure:
    """All images of one package as dots over a box of their quartiles."""
    return {
        "type": "box",
        "name": name,
        "y": [name] * len(found),
        "x": list(found.values()),
        "text": list(found),
        "orientation": "h",
        "boxpoints": "all",
        "jitter": 0.5,
        "pointpos": 0,
        "marker": {"color": f"@{branch}", "size": 7, "opacity": 0.75},
        "line": {"color": f"@{branch}", "width": 1.3},
        "fillcolor": "rgba(0,0,0,0)",
        "hoveron": "points",
        "hovertemplate": "%{text}: %{x:+.4f}<extra></extra>",
    }
