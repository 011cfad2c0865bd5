"""The one table of figures that reach Prometheus, and their exposition as text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thimble.artifact import read_json, write_atomically

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["METRICS", "VARIANTS", "Metric", "Sample", "expose", "registry_of", "split_figure"]

VARIANTS = ("float32", "float16", "dynamic", "int8")
# What the end of a figure's name may say, from the last word on: `dice_teacher_int8`.
SUFFIXES = {
    "variant": VARIANTS,
    "branch": ("baseline", "teacher", "student", "control"),
    "split": ("train", "validation", "test"),
}

# A row of the table, labels, a value.
Sample = tuple[str, Mapping[str, str], float]


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        name: Prometheus' name, `thimble_<what>_<unit>`.
        unit: seconds, bytes, ratio, pixels, millimetres, count, or info for a 1 whose labels tell
            something.
        better: higher, lower, or neither.
        help: What it means.
    """

    name: str
    unit: str
    better: str
    help: str


def _row(what: str, unit: str, better: str, text: str) -> Metric:
    """Return a row whose name follows from what it is and its unit."""
    return Metric(f"thimble_{what}_{unit}", unit, better, text)


METRICS = {
    "dice": _row("dice", "ratio", "higher", "Pooled foreground Dice on the test split"),
    "dice_validation": _row(
        "dice_validation", "ratio", "higher", "Pooled foreground Dice on the validation split"
    ),
    "difference": _row(
        "dice_difference", "ratio", "higher", "Mean per-image Dice difference to the baseline"
    ),
    "worst_decile": _row(
        "dice_worst_decile", "ratio", "higher", "Mean Dice of the worst tenth of the images"
    ),
    "worst_slice": _row(
        "dice_worst_slice", "ratio", "higher", "Lowest pooled Dice of a site, manufacturer, ..."
    ),
    "small_lesion_recall": _row(
        "small_lesion_recall", "ratio", "higher", "Share of the smallest lesions that is found"
    ),
    "hd95": _row("hd95", "pixels", "lower", "Mean 95th percentile Hausdorff distance"),
    "hd95_mm": _row("hd95", "millimetres", "lower", "The same where the spacing is known"),
    "package_bytes": _row("package", "bytes", "lower", "Bytes of the package on the wire"),
    "float32_bytes": _row("float32", "bytes", "lower", "Bytes of the float32 tensors"),
    "parameters": _row("parameters", "count", "lower", "Numbers in the network"),
    "sparsity": _row("sparsity", "ratio", "higher", "Share of zeros among the kernels"),
    "ratio": _row("compression", "ratio", "higher", "float32 bytes over package bytes"),
    "bits_per_weight": _row("bits_per_weight", "ratio", "lower", "Package bits per number"),
    "p50_seconds": _row("latency_p50", "seconds", "lower", "Median time of one tile"),
    "p90_seconds": _row("latency_p90", "seconds", "lower", "90th percentile of one tile"),
    "cold_start_seconds": _row("cold_start", "seconds", "lower", "Load and first tile"),
    "peak_memory_bytes": _row("peak_memory", "bytes", "lower", "Peak resident memory"),
    "images": _row("images", "count", "higher", "Scans in the data set, or in one split of it"),
    "cases": _row("cases", "count", "higher", "Cases that ingest looked at"),
    "copies": _row("copies", "count", "neither", "Deformed copies of training scans"),
    "rejected": _row("rejected", "count", "lower", "Files that ingest could not use"),
    "record_bytes": _row("records", "bytes", "neither", "Bytes of the records of all scans"),
    "foreground": _row("foreground", "ratio", "neither", "Foreground share of a split's pixels"),
    "intensity_mean": _row(
        "intensity_mean", "ratio", "neither", "Mean intensity of a split; 1 is the largest value"
    ),
    "anomalies": _row(
        "anomalies", "count", "lower", "Features that are not as at the last release"
    ),
    "drift": _row(
        "drift", "ratio", "lower", "Largest distance of a feature from the last release; 1: limit"
    ),
    "steps": _row("steps", "count", "lower", "Optimiser steps taken"),
    "passed": _row("gate_passed", "ratio", "higher", "1 when every gate holds"),
    # What thimble.push adds. The stage `run` is a run as a whole.
    "duration": _row("duration", "seconds", "lower", "Time of the stage when it last ended well"),
    "last_success": _row("last_success_timestamp", "seconds", "neither", "When it last ended well"),
    "last_failure": _row("last_failure_timestamp", "seconds", "neither", "When it last failed"),
    "run_info": _row("run", "info", "neither", "1; labels: run, commit, package_digest"),
}


def split_figure(figure: str) -> tuple[str, dict[str, str]]:
    """Split a figure such as `dice_teacher_int8` into its row and its labels.

    Args:
        figure: A name as `thimble.artifact.finish` takes it.

    Returns:
        The key of the row, which need not be in the table, and variant, branch and split if the
        name ends with them.
    """
    labels = {}
    for label, known in SUFFIXES.items():
        stem, _, word = figure.rpartition("_")
        # `dice_validation` is a row of its own.
        if word in known and figure not in METRICS:
            figure, labels[label] = stem, word
    return figure, labels


def registry_of(samples: Iterable[Sample]) -> "CollectorRegistry":
    """Return a registry of gauges; samples whose row is not in the table are left out."""
    from prometheus_client import CollectorRegistry, Gauge

    rows: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for key, labels, value in samples:
        if key in METRICS:
            rows.setdefault(key, []).append((labels, value))
    registry = CollectorRegistry()
    for key, found in rows.items():
        names = sorted({name for labels, _ in found for name in labels})
        gauge = Gauge(METRICS[key].name, METRICS[key].help, names, registry=registry)
        for labels, value in found:
            # To Prometheus an empty label is none.
            words = [labels.get(name, "") for name in names]
            (gauge.labels(*words) if names else gauge).set(value)
    return registry


def expose(folder: str | Path, path: str | Path, labels: Mapping[str, str]) -> None:
    """Write one Prometheus text file from the figures of a run's tasks.

    Args:
        folder: Where the runner left one JSON file per task: stage, branch, figures.
        path: The text file, replaced atomically.
        labels: Labels that all share, such as pipeline and dataset.
    """
    from prometheus_client import generate_latest

    samples: list[Sample] = []
    for file in sorted(Path(folder).glob("*.json")):
        record = read_json(file)
        task = {"stage": record["stage"], "branch": record["branch"]}
        for figure, value in record["figures"].items():
            key, said = split_figure(figure)
            own = {name: word for name, word in {**labels, **task, **said}.items() if word}
            samples.append((key, own, value))
    with write_atomically(path) as partial:
        partial.write_bytes(generate_latest(registry_of(samples)))
