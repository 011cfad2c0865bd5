"""The chart of latencies: a bar per variant and setting."""

from collections.abc import Sequence
from typing import Any

from components.report.axes import Figure, row_axis
from components.report.branches import Branch, setting_text
from components.report.formats import exists, seconds_text

__all__ = ["latency_chart"]


def latency_chart(branch: Branch) -> Figure | None:
    """Median time of one tile by variant and setting, with whiskers to the 90th percentile."""
    runs = [run for run in branch.runs if exists(run.get("p50_seconds"))]
    if not runs:
        return None
    settings = sorted({(not run["xnnpack"], run["threads"]) for run in runs})
    variants = [name for name in branch.variants if any(run["variant"] == name for run in runs)]
    bars = []
    for index, setting in enumerate(settings):
        alike = [run for run in runs if (not run["xnnpack"], run["threads"]) == setting]
        alike.sort(key=lambda run: variants.index(run["variant"]))
        bars.append(_bars(alike, f"@setting{index % 4}"))
    return {
        "data": bars,
        "layout": {
            "height": 90 + 26 * len(variants) * len(settings),
            "barmode": "group",
            "bargap": 0.28,
            "bargroupgap": 0.08,
            "xaxis": {"title": {"text": "milliseconds a tile, median"}, "rangemode": "tozero"},
            "yaxis": row_axis(variants),
            "margin": {"l": 8, "r": 24, "t": 8, "b": 48},
        },
    }


def _bars(runs: Sequence[dict[str, Any]], colour: str) -> Figure:
    """The bars of one setting."""
    medians = [1e3 * run["p50_seconds"] for run in runs]
    tails = [1e3 * (run.get("p90_seconds") or run["p50_seconds"]) for run in runs]
    return {
        "type": "bar",
        "orientation": "h",
        "name": setting_text(runs[0]),
        "y": [run["variant"] for run in runs],
        "x": medians,
        "marker": {"color": colour},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(tail - median, 0) for tail, median in zip(tails, medians, strict=True)],
            "arrayminus": [0] * len(runs),
            "color": "@ink",
            "thickness": 1.2,
            "width": 4,
        },
        "customdata": [
            [seconds_text(run["p50_seconds"]), seconds_text(run.get("p90_seconds"))] for run in runs
        ],
        "hovertemplate": (
            "<b>%{y}</b>, %{fullData.name}<br>p50 %{customdata[0]}, p90 %{customdata[1]}"
            "<extra></extra>"
        ),
    }
