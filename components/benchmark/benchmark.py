"""Latency, cold start and memory of every variant, each cell in a fresh process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from components.benchmark.device import DEVICES
from thimble.artifact import write_json
from thimble.stage import BadInput, Run, ThimbleError, require
from thimble.variants import read_tflite, read_variants

__all__ = ["BenchmarkConfig", "MeasureConfig", "benchmark_tflite", "measure_latency"]

SCRIPT = Path(__file__).with_name("measure.py")
# A cell is bounded by `seconds`, so that only a hung process gets here.
TIMEOUT_SECONDS = 600.0

Write = Callable[[Path], None]


@dataclass(frozen=True)
class MeasureConfig:
    """How a cell is measured.

    Attributes:
        threads: Thread counts, separated by commas.
        iterations: Timed invocations of a cell, at most.
        warmup: Invocations before those, not timed.
        seconds: After this time a cell stops, once it has 10 invocations.
        repeats: Fresh processes per cell; the one with the lowest p50 is reported.
    """

    threads: str = "1,2"
    iterations: int = 50
    warmup: int = 5
    seconds: float = 1.0
    repeats: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.iterations >= 1, "iterations must be >= 1", iterations=self.iterations)
        require(self.warmup >= 0, "warmup must be >= 0", warmup=self.warmup)
        require(self.seconds > 0, "seconds must be > 0", seconds=self.seconds)
        require(self.repeats >= 1, "repeats must be >= 1", repeats=self.repeats)
        require(bool(self.thread_counts), "threads must name a count", threads=self.threads)

    @property
    def thread_counts(self) -> list[int]:
        """The thread counts as numbers."""
        words = [word.strip() for word in self.threads.split(",")]
        good = all(word.isdecimal() and int(word) >= 1 for word in words)
        require(good, "threads must be counts >= 1, such as '1,2'", threads=self.threads)
        return [int(word) for word in words]


@dataclass(frozen=True)
class BenchmarkConfig:
    """Where to measure, and how.

    Attributes:
        branch: Name of the branch in the report.
        device: A name of `components.benchmark.device.DEVICES`.
        device_fingerprint: From `device_fingerprint()`; only a part of the cache key.
        measure: How a cell is measured.
    """

    branch: str = "teacher"
    device: str = "host"
    device_fingerprint: str = ""
    measure: MeasureConfig = field(default_factory=MeasureConfig)

    def __post_init__(self) -> None:
        """Check the device's name."""
        known = ", ".join(sorted(DEVICES))
        require(self.device in DEVICES, f"device must be one of: {known}", device=self.device)


def measure_latency(
    converted_path: str | Path, config: BenchmarkConfig, run: Run
) -> tuple[Write, dict[str, float]]:
    """Measure every variant at every thread count, with and without XNNPACK.

    Args:
        converted_path: The artifact of convert.
        config: Where to measure, and how.
        run: The run handle.

    Returns:
        A function that writes `benchmark.json` into a folder, and the figures
        `<what>_<variant>` at the lowest thread count with XNNPACK.

    Raises:
        BadInput: A package is corrupt or not a static float32 network.
        ThimbleError: A measuring process crashed or hung.
    """
    folder = Path(converted_path)
    with tempfile.TemporaryDirectory(prefix="thimble-benchmark-") as scratch:
        files: dict[str, Path] = {}
        for index, row in enumerate(read_variants(folder)):
            files[row["variant"]] = Path(scratch) / f"{index}.tflite"
            files[row["variant"]].write_bytes(read_tflite(folder / row["file"]).data)
        runs = _run_cells(files, config.measure, run.progress)
    result = {
        "branch": config.branch,
        "device": DEVICES[config.device](),
        "runs": runs,
        "phone": "not verified on a phone",
    }
    least = min(config.measure.thread_counts)
    headline = {row["variant"]: row for row in runs if row["xnnpack"] and row["threads"] == least}
    kinds = ("p50_seconds", "p90_seconds", "cold_start_seconds", "peak_memory_bytes")
    figures = {f"{kind}_{name}": float(headline[name][kind]) for name in files for kind in kinds}
    return lambda target: write_json(target / "benchmark.json", result), figures


def benchmark_tflite(
    path: str | Path,
    config: MeasureConfig | None = None,
    progress: Callable[..., None] | None = None,
) -> list[dict[str, Any]]:
    """Measure one network: a `.thimble` package of a TFLite variant, or a `.tflite` file.

    Args:
        path: The file.
        config: How a cell is measured.
        progress: Called as `progress(step, total, p90_seconds=...)` after each cell.

    Returns:
        One row per thread count and XNNPACK on or off, as in `benchmark.json`.

    Raises:
        BadInput: The file is missing, corrupt or not a static float32 network.
        ThimbleError: A measuring process crashed or hung.
    """
    content = read_tflite(path)
    with tempfile.TemporaryDirectory(prefix="thimble-benchmark-") as scratch:
        file = Path(scratch) / "0.tflite"
        file.write_bytes(content.data)
        report = progress or (lambda step, total, **figures: None)
        return _run_cells({content.name: file}, config or MeasureConfig(), report)


def _cells(names: Sequence[str], threads: Sequence[int]) -> Iterator[dict[str, Any]]:
    """All cells; the variants that are compared with each other run one after another."""
    for count, xnnpack, name in product(sorted(set(threads)), (True, False), names):
        yield {"variant": name, "threads": count, "xnnpack": xnnpack}


def _run_cells(
    files: dict[str, Path], config: MeasureConfig, progress: Callable[..., None]
) -> list[dict[str, Any]]:
    """Measure all cells `repeats` times over and keep the better row of each.

    The repeats are whole passes, so that a slow phase of the machine does not hit all repeats of
    one cell. A row is kept as it is: cold start and memory are those of the process with that p50.
    """
    cells = list(_cells(list(files), config.thread_counts))
    best: dict[int, dict[str, Any]] = {}
    for step in range(len(cells) * config.repeats):
        index = step % len(cells)
        cell = cells[index]
        row = cell | _measure_alone(files[cell["variant"]], cell, config)
        best[index] = min(best.get(index, row), row, key=lambda row: float(row["p50_seconds"]))
        progress(step + 1, len(cells) * config.repeats, p90_seconds=row["p90_seconds"])
    return [best[index] for index in range(len(cells))]


def _measure_alone(file: Path, cell: dict[str, Any], config: MeasureConfig) -> dict[str, Any]:
    """Measure one cell in a fresh process, which ends with this one."""
    task = {
        "model": str(file),
        "threads": cell["threads"],
        "xnnpack": cell["xnnpack"],
        "warmup": config.warmup,
        "iterations": config.iterations,
        "seconds": config.seconds,
        "parent": os.getpid(),
    }
    # -P: the script's folder must not come before the installed packages.
    command = [sys.executable, "-P", str(SCRIPT), json.dumps(task)]
    name = f"variant {cell['variant']}, {cell['threads']} threads, xnnpack={cell['xnnpack']}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ThimbleError(f"Measuring {name} took over {TIMEOUT_SECONDS:g} s.") from None
    if done.returncode not in (0, 2) or not done.stdout.strip():
        raise ThimbleError(
            f"Measuring {name} ended with status {done.returncode}: {done.stderr[-500:].strip()}"
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in result:
        raise BadInput(f"LiteRT refuses {name}: {result['error']} Convert the model again.")
    return result
