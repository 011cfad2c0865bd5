"""Validate: is a data set fit for training, by itself and beside that of the last release?"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from components.validate.config import ValidateConfig
from components.validate.content import (
    Check,
    Seen,
    check_content,
    foreground_share,
    read_split,
)
from components.validate.page import render_page
from thimble.artifact import read_json, write_atomically, write_json
from thimble.records import SPLITS, Dataset, Entry, Record, load_dataset
from thimble.stage import Run, require

__all__ = ["ValidateConfig", "hand_out", "validate_dataset"]

READ = ("border_sigma", "pixels")


def validate_dataset(
    dataset_path: str | Path, reference: str | Path | None, config: ValidateConfig, run: Run
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Judge a Dataset artifact, reading every record once.

    Args:
        dataset_path: The artifact.
        reference: What this function wrote of the data set of the last release; None at the first.
        config: What it must hold, and how far it may be from the reference.
        run: Progress.

    Returns:
        A function that writes `validation.json` and `page.html` into a folder, and figures: passed,
        images, checks, and images, foreground and intensity_mean of each split.

    Raises:
        BadInput: If the artifact cannot be read at all.
    """
    dataset = load_dataset(dataset_path)
    entries: dict[str, dict[str, Entry]] = {split: {} for split in SPLITS}
    for entry in dataset.entries():
        entries[entry.split][entry.id] = entry
    seen = _read(dataset, entries, run)
    checks = check_content(dataset.spec, entries, seen, config.content)
    failed = [each for each in checks if each.failures]
    verdict = {
        "passed": not failed,
        "reason": _reason(str(dataset.spec.get("name")), failed, len(checks)),
        "checks": [
            {"name": each.name, "passed": not each.failures, "detail": each.detail}
            for each in checks
        ],
    }

    def write(folder: Path) -> None:
        write_json(folder / "validation.json", verdict)
        (folder / "page.html").write_text(render_page(verdict), encoding="utf-8")

    figures = {"passed": float(not failed), "checks": float(len(checks)), **_figures(seen)}
    return write, figures


def hand_out(validation: str | Path, page: str | Path, verdict: str | Path) -> None:
    """Write the page and the word that the pipeline's condition reads where KFP wants them."""
    with write_atomically(page) as partial:
        shutil.copyfile(Path(validation) / "page.html", partial)
    passed = read_json(Path(validation) / "validation.json")["passed"]
    Path(verdict).write_text("passed" if passed else "failed", encoding="utf-8")


def _read(
    dataset: Dataset, entries: Mapping[str, Mapping[str, Entry]], run: Run
) -> dict[str, Seen]:
    """Read every record once."""
    spec = dataset.spec
    absent = [name for name in READ if name not in spec]
    require(not absent, f"dataset.json must hold {', '.join(READ)}: run ingest again", lacks=absent)
    total = sum(sum(count.values()) for count in spec["counts"].values())
    done = 0

    def visit(record: Record | None, entry: Entry | None) -> None:
        nonlocal done
        done += 1
        run.progress(min(done, total), total)

    return {split: read_split(dataset, split, entries[split], visit) for split in SPLITS}


def _reason(name: str, failed: list[Check], asked: int) -> str:
    """Return in words why a data set is refused; empty if it is not."""
    if not failed:
        return ""
    told = " ".join(f"{each.name}: {each.detail}. Fix: {each.fix}." for each in failed)
    return f"data set {name} failed {len(failed)} of {asked} checks. {told}"


def _figures(seen: Mapping[str, Seen]) -> dict[str, float]:
    """Return size, foreground and intensity of each split, for the drift dashboard."""
    figures = {"images": sum(float(len(found.copies)) for found in seen.values())}
    for split, found in seen.items():
        figures[f"images_{split}"] = float(len(found.copies))
        figures[f"foreground_{split}"] = foreground_share(found)
        mean = float(np.mean(found.intensities)) if found.intensities else 0.0
        figures[f"intensity_mean_{split}"] = mean
    return figures
