"""Time and peak memory of ingest against the number of images.

Each size runs in a fresh process, whose peak resident memory is what the kernel reports at its
end. Prints a Markdown table: `python benchmarks/ingest/run.py [images ...]`.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (100, 1_000, 10_000)
PHANTOM_SIZE = 64
COPIES = 1
ROOT = Path(__file__).resolve().parents[2]


def measure(images: int, folder: str) -> None:
    """Ingest so many images in this process and print its figures as JSON."""
    from components.ingest.ingest import IngestConfig, ingest_source
    from thimble.artifact import finish
    from thimble.stage import flat_fields, start

    parameters = {
        "phantom_images": images, "phantom_size": PHANTOM_SIZE, "elastic_copies": COPIES,
    }  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    out = Path(folder) / "dataset"
    with start("ingest", IngestConfig, flat_fields(IngestConfig) | parameters) as run:
        write, figures = ingest_source(run.config, run)
        finish(run, write, out, figures)
    figures["seconds"] = time.perf_counter() - wall
    figures["cpu_seconds"] = time.process_time() - cpu
    figures["imported_megabytes"] = before / 1024
    figures["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["megabytes"] = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    print(json.dumps(figures))


def main(sizes: list[int]) -> None:
    """Measure every size and print the table."""
    print(
        f"Phantom membranes of {PHANTOM_SIZE}x{PHANTOM_SIZE} pixels, {COPIES} elastic copy of each "
        "training image, DirectRunner, one worker.\n"
    )
    print("| images | records | artifact, MB | wall, s | CPU, s | CPU, ms/image | peak RSS, MiB |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for images in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--measure", str(images), folder]
            done = subprocess.run(
                command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        row = json.loads(done.stdout.splitlines()[-1])
        each = 1000 * row["cpu_seconds"] / images
        print(
            f"| {images:,} | {row['images'] + row['copies']:,.0f} | {row['megabytes']:.1f} | "
            f"{row['seconds']:.1f} | {row['cpu_seconds']:.1f} | {each:.1f} | "
            f"{row['peak_megabytes']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(int(sys.argv[2]), sys.argv[3])
    else:
        main([int(text) for text in sys.argv[1:]] or list(SIZES))
