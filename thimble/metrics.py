"""The one table of figures that reach Prometheus, and their exposition as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from thimble.artifact import read_json, write_atomically

__all__ = ["METRICS", "VARIANTS", "Metric", "expose", "split_figure"]

VARIANTS = ("float32", "float16", "dynamic", "int8")


@dataclass(frozen=True)
class Metric:
    """A row of the table: Prometheus name, which way is better, what it means."""

    name: str
    better: str
    help: str


METRICS = {
    "dice": Metric("thimble_dice_ratio", "higher", "Pooled foreground Dice on the test split"),
    "dice_validation": Metric(
        "thimble_dice_validation_ratio", "higher", "Pooled foreground Dice on the validation split"
    ),
    "difference": Metric(
        "thimble_dice_difference_ratio", "higher", "Mean per-image Dice difference to the baseline"
    ),
    "hd95": Metric("thimble_hd95_pixels", "lower", "Mean 95th percentile Hausdorff distance"),
    "package_bytes": Metric("thimble_package_bytes", "lower", "Bytes of the package on the wire"),
    "float32_bytes": Metric("thimble_float32_bytes", "lower", "Bytes of the float32 tensors"),
    "parameters": Metric("thimble_parameters_count", "lower", "Numbers in the network"),
    "sparsity": Metric("thimble_sparsity_ratio", "higher", "Share of zeros among the kernels"),
    "ratio": Metric("thimble_compression_ratio", "higher", "float32 bytes over package bytes"),
    "bits_per_weight": Metric("thimble_bits_per_weight_ratio", "lower", "Package bits per number"),
    "p50_seconds": Metric("thimble_latency_p50_seconds", "lower", "Median time of one tile"),
    "p90_seconds": Metric("thimble_latency_p90_seconds", "lower", "90th percentile of one tile"),
    "cold_start_seconds": Metric("thimble_cold_start_seconds", "lower", "Load and first tile"),
    "peak_memory_bytes": Metric("thimble_peak_memory_bytes", "lower", "Peak resident memory"),
    "images": Metric("thimble_images_count", "higher", "Scans in the data set"),
    "steps": Metric("thimble_steps_count", "lower", "Optimiser steps taken"),
    "passed": Metric("thimble_gate_passed_ratio", "higher", "1 when every gate holds"),
}


def split_figure(figure: str) -> tuple[str, str]:
    """Split a figure such as `dice_int8` into its row and its variant (empty for none)."""
    for variant in VARIANTS:
        if figure.endswith(f"_{variant}"):
            return figure.removesuffix(f"_{variant}"), variant
    return figure, ""


def expose(folder: str | Path, path: str | Path, labels: Mapping[str, str]) -> None:
    """Write one Prometheus text file from the figures of a run's tasks.

    Args:
        folder: Where the runner left one JSON file per task: stage, branch, figures.
        path: The text file, replaced atomically.
        labels: Labels that all share, such as pipeline and dataset.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry, gauges = CollectorRegistry(), {}
    names = [*labels, "stage", "branch", "variant"]
    for file in sorted(Path(folder).glob("*.json")):
        record = read_json(file)
        for figure, value in record["figures"].items():
            key, variant = split_figure(figure)
            if key not in METRICS:
                continue
            if key not in gauges:
                row = METRICS[key]
                gauges[key] = Gauge(row.name, row.help, names, registry=registry)
            values = [*labels.values(), record["stage"], record["branch"], variant]
            gauges[key].labels(*values).set(value)
    with write_atomically(path) as partial:
        partial.write_bytes(generate_latest(registry))
