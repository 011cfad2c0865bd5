"""Small folders of scans, and ingest from flat parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.ingest.ingest import IngestConfig, ingest_source
from thimble.artifact import finish
from thimble.records import Dataset, load_dataset
from thimble.stage import flat_fields, start

Ingest = Callable[..., Dataset]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    """Runs ingest with flat parameters: `ingest(kind="paired", source=folder)`."""
    numbers = iter(range(1000))

    def run_ingest(frozen: Path | None = None, **parameters: Any) -> Dataset:
        out = tmp_path / f"data set {next(numbers)}"
        with start("ingest", IngestConfig, flat_fields(IngestConfig) | parameters) as run:
            write, figures = ingest_source(run.config, run, frozen)
            finish(run, write, out, figures)
        return load_dataset(out)

    return run_ingest


def save_pair(folder: Path, stem: str, image: Any, label: Any, suffix: str = ".png") -> None:
    """Write images/<stem> and labels/<stem>."""
    for part, pixels in (("images", image), ("labels", label)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        ending = suffix if part == "images" else ".png"
        Image.fromarray(np.asarray(pixels)).save(folder / part / f"{stem}{ending}")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Ten scans `scan 0` ... `scan 9` of 24x20 pixels with labels 0 and 1."""
    folder = tmp_path / "Aufnahmen größer 1"
    for index in range(10):
        rng = np.random.default_rng(index)
        label = np.zeros((20, 24), np.uint8)
        label[4:12, 3 + index : 10 + index] = 1
        image = (rng.integers(0, 90, label.shape) + 100 * label).astype(np.uint8)
        save_pair(folder, f"scan {index}", image, label)
    return folder
