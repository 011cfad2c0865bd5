"""Writes the Grafana dashboards of manifests/base/observability/dashboards: `make dashboards`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thimble.metrics import METRICS

FOLDER = Path(__file__).resolve().parent / "base" / "observability" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS, HEIGHT = 24, 8


def of(row: str, *matchers: str) -> str:
    """Return a selector of a row of the metric table, narrowed to what the reader chose."""
    chosen = [*matchers, 'pipeline=~"$pipeline"', 'dataset=~"$dataset"']
    return f"{METRICS[row].name}{{{', '.join(chosen)}}}"


def times(selector: str) -> str:
    """Return how often a timestamp moved in the shown range, its first appearance included."""
    moved, before = f"changes({selector}[$__range])", f"{selector} offset $__range"
    return f"({moved} + 1 unless {before}) or {moved}"


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: What it shows.
        kind: Grafana's name of the panel: stat, timeseries, bargauge, table.
        expr: PromQL.
        unit: Grafana's name of the unit.
        legend: The name of a series.
        width: Of 24 columns.
        about: What a reader should know.
    """

    title: str
    kind: str
    expr: str
    unit: str
    legend: str = "{{dataset}} {{branch}} {{variant}}"
    width: int = 12
    about: str = ""


RELEASED = ('stage="publish"', 'variant!=""')
SCORED = ('stage="evaluate"',)
TIMED = ('stage="benchmark"', 'device=~"$device"')
STAGE = "{{dataset}} {{stage}} {{branch}}"
ENDED, FAILED = of("last_success"), of("last_failure")

HEALTH = (
    Panel("Releases", "stat", f"sum({times(of('last_success', RELEASED[0]))})", "short", "runs", 6,
          "Runs in the shown range that ended with a release: publish is their last stage."),
    Panel("Failures", "stat", f"sum({times(FAILED)}) or vector(0)", "short", "stages", 6,
          "Stages that failed in the shown range; a run as a whole counts as the stage run."),
    Panel("Failing now", "stat", f"count({FAILED} unless {ENDED} > {FAILED}) or vector(0)",
          "short", "stages", 6, "Stages that have not ended well since they failed."),
    Panel("Since the last release", "stat", f"time() - {of('last_success', RELEASED[0])}", "s",
          "{{pipeline}} {{dataset}}", 6),
    Panel("Duration", "timeseries", of("duration"), "s", STAGE),
    Panel("Last duration", "bargauge", f"sort_desc({of('duration')})", "s", STAGE),
    Panel("Since the last success", "table", f"sort_desc(time() - {ENDED})", "s", STAGE, 8),
    Panel("Since the last failure", "table", f"sort(time() - {FAILED})", "s", STAGE, 8),
    Panel("Runs", "table", of("run_info"), "short", STAGE, 8,
          "Run and commit that pushed each figure last."),
)  # fmt: skip

QUALITY = (
    Panel("Dice of the release", "timeseries", of("dice", *RELEASED), "percentunit", width=8),
    Panel("Worst decile of the release", "timeseries", of("worst_decile", *RELEASED),
          "percentunit", width=8, about="Mean Dice of the worst tenth of the test images."),
    Panel("Package of the release", "timeseries", of("package_bytes", *RELEASED), "decbytes",
          width=8),
    Panel("Times smaller than float32", "timeseries", of("ratio", *RELEASED), "suffix:x"),
    Panel("Packages released last", "table", of("run_info", *RELEASED), "short",
          about="SHA-256 of each package, the run and the commit that it is from."),
    Panel("Dice, last evaluation", "bargauge", of("dice", *SCORED), "percentunit"),
    Panel("Difference to the baseline, last evaluation", "bargauge", of("difference", *SCORED),
          "percentunit", about="Mean over the images of the test split."),
    Panel("Worst slice, last evaluation", "bargauge", of("worst_slice", *SCORED), "percentunit",
          about="Lowest Dice of a site, manufacturer, size of lesion, ... of 5 patients or more."),
    Panel("Small lesions found, last evaluation", "bargauge", of("small_lesion_recall", *SCORED),
          "percentunit"),
    Panel("Hausdorff distance, last evaluation", "timeseries", of("hd95", *SCORED), "suffix:px",
          width=8, about="95th percentile, mean over the images."),
    Panel("Packages, last evaluation", "timeseries", of("package_bytes", *SCORED), "decbytes",
          width=8),
    Panel("Gates hold", "stat", of("passed", 'stage="report"'), "bool_yes_no", "{{dataset}}", 8),
)  # fmt: skip

DEVICE = "{{device}} {{dataset}} {{branch}} {{variant}}"
DEVICES = (
    Panel("p90 of a tile", "timeseries", of("p90_seconds", *TIMED), "s", DEVICE),
    Panel("p50 of a tile", "timeseries", of("p50_seconds", *TIMED), "s", DEVICE),
    Panel("p90 by device and variant", "bargauge",
          f"max by (device, variant) ({of('p90_seconds', *TIMED)})", "s",
          "{{device}} {{variant}}", 8, "The slowest branch."),
    Panel("Cold start", "timeseries", of("cold_start_seconds", *TIMED), "s", DEVICE, 8),
    Panel("Peak memory", "timeseries", of("peak_memory_bytes", *TIMED), "decbytes", DEVICE, 8),
    Panel("Since the last measurement", "table",
          f"time() - max by (device) ({of('last_success', *TIMED)})", "s", "{{device}}"),
    Panel("Packages measured last", "table", of("run_info", *TIMED, 'variant!=""'), "short",
          DEVICE),
)  # fmt: skip

CHECKED = ('stage="validate"', 'split!=""')
SPLIT = "{{dataset}} {{split}}"


def gap(row: str) -> str:
    """Return how far the test split is from the training split."""
    here, there = (of(row, 'stage="validate"', f'split="{name}"') for name in ("test", "train"))
    return f"{here} - ignoring (split) {there}"


def moved(row: str) -> str:
    """Return between how far values a figure moved in the shown range."""
    name = of(row, *CHECKED)
    return f"max_over_time({name}[$__range]) - min_over_time({name}[$__range])"


DRIFT = (
    Panel("Scans", "timeseries", of("images", *CHECKED), "short", SPLIT, 8),
    Panel("Foreground", "timeseries", of("foreground", *CHECKED), "percentunit", SPLIT, 8,
          "Share of the pixels that belong to a class."),
    Panel("Mean intensity", "timeseries", of("intensity_mean", *CHECKED), "percentunit", SPLIT, 8,
          "100 % is the largest value that a pixel can have."),
    Panel("Foreground: test less training", "timeseries", gap("foreground"), "percentunit",
          "{{dataset}}"),
    Panel("Mean intensity: test less training", "timeseries", gap("intensity_mean"),
          "percentunit", "{{dataset}}"),
    Panel("Foreground: moved by", "bargauge", moved("foreground"), "percentunit", SPLIT, 12,
          "Largest less smallest value in the shown range."),
    Panel("Mean intensity: moved by", "bargauge", moved("intensity_mean"), "percentunit", SPLIT, 12,
          "Largest less smallest value in the shown range."),
    Panel("Distance from the last release", "timeseries", of("drift", 'stage="validate"'), "short",
          "{{dataset}}", 12, "The feature that moved most over its limit, which is 1."),
    Panel("Features that are not as at the last release", "timeseries",
          of("anomalies", 'stage="validate"'), "short", "{{dataset}}"),
)  # fmt: skip

DASHBOARDS = {
    "pipeline-health": ("Pipeline health", HEALTH, ()),
    "model-quality": ("Model quality and size", QUALITY, ()),
    "device-fleet": ("Device fleet", DEVICES, ("device",)),
    "data-drift": ("Data drift", DRIFT, ()),
}


def variable(label: str) -> dict[str, Any]:
    """Return a variable with the values of a label."""
    query = f"label_values({METRICS['last_success'].name}, {label})"
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": label},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def target(panel: Panel) -> dict[str, Any]:
    """Return the query of a panel: a range where time goes by, else the latest value."""
    instant = panel.kind in {"table", "bargauge", "stat"}
    return {
        "refId": "A",
        "datasource": SOURCE,
        "expr": panel.expr,
        "legendFormat": panel.legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def place(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Return the panels as Grafana has them, row by row."""
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        placed.append(
            {
                "id": number,
                "title": panel.title,
                "type": panel.kind,
                "description": panel.about,
                "datasource": SOURCE,
                "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [target(panel)],
            }
        )
        x += panel.width
    return placed


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    title, panels, variables = DASHBOARDS[name]
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "source"}
    labels = ("pipeline", "dataset", *variables)
    return {
        "uid": f"thimble-{name}",
        "title": f"Thimble: {title}",
        "tags": ["thimble"],
        "schemaVersion": 39,
        "editable": False,
        "time": {"from": "now-30d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [source, *(variable(label) for label in labels)]},
        "panels": place(panels),
    }


def pages() -> dict[Path, str]:
    """Return the text of every file."""
    return {
        FOLDER / f"{name}.json": json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n"
        for name in DASHBOARDS
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
