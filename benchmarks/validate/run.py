"""Times validate on many image records against bare reading and decoding of the same records.

    .venv-validate/bin/python -m benchmarks.validate.run [--images 10000]

Prints seconds of the wall clock and the ratio. The stage runs as in a pipeline: with a reference.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.population import phantom_studies
from benchmarks.faults.trial import assign_splits
from components.validate.validate import ValidateConfig, validate_dataset
from tests.components.validate.in_environment import write_dataset
from thimble.artifact import finish
from thimble.records import SPLITS, load_dataset, read_records
from thimble.stage import flat_fields, start


def validate(dataset: Path, reference: Path | None, out: Path) -> float:
    """Run the stage's algorithm; return its seconds."""
    began = time.perf_counter()
    with start("validate", ValidateConfig, flat_fields(ValidateConfig)) as run:
        write, figures = validate_dataset(dataset, reference, run.config, run)
        finish(run, write, out, figures)
    return time.perf_counter() - began


def make(folder: Path, seed: int, images: int) -> Path:
    """Write a data set of about as many phantom images, 128x128."""
    pairs: list[Any] = list(phantom_studies(seed, images // 2))[:images]
    return write_dataset(folder, assign_splits(pairs, np.random.default_rng(seed)), True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first, second = make(folder / "a", 1, 500), make(folder / "b", 2, images)
        validate(first, None, folder / "known")
        dataset = load_dataset(second)
        began = time.perf_counter()
        count = sum(1 for split in SPLITS for _ in read_records(dataset, split))
        bare = time.perf_counter() - began
        took = validate(second, folder / "known", folder / "verdict")
    print(f"{count} records: validate {took:.1f} s, bare reading {bare:.2f} s, {took / bare:.0f}x")


if __name__ == "__main__":
    main()
