"""`thimble bench`: latency and memory of one network on this machine."""

import json
from pathlib import Path
from typing import Any

import click


@click.command(short_help="Time a network on this machine.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--threads", default="1,2", show_default=True, help="Thread counts.")
@click.option("--iterations", default=50, show_default=True, help="Timed invocations, at most.")
@click.option("--seconds", default=1.0, show_default=True, help="Time for each row, at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bench(model: Path, threads: str, iterations: int, seconds: float, as_json: bool) -> None:
    """Time a .thimble package of a TFLite variant, or a .tflite file, in fresh processes.

    \b
    Examples:
      thimble bench teacher-int8.thimble
      thimble bench teacher.tflite --threads 1 --json
    """
    from components.benchmark.benchmark import MeasureConfig, benchmark_tflite

    config = MeasureConfig(threads=threads, iterations=iterations, seconds=seconds)
    rows = benchmark_tflite(model, config)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        _show(rows)


def _show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("threads", "XNNPACK", "cold start", "p50", "p90", "p99", "peak memory"):
        table.add_column(name, justify="right")
    for row in rows:
        times = (row[f"{name}_seconds"] for name in ("cold_start", "p50", "p90", "p99"))
        table.add_row(
            str(row["threads"]),
            "on" if row["xnnpack"] else "off",
            *(f"{value * 1e3:.2f} ms" for value in times),
            f"{row['peak_memory_bytes'] / 1e6:.1f} MB",
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("Measured on this machine; not verified on a phone.")
