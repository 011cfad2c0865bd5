"""Validate: is a data set fit for training, by itself and beside that of the last release?"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.validate.config import ContentConfig, ValidateConfig
from components.validate.content import (
    Check,
    Seen,
    check_content,
    foreground_share,
    read_split,
)
from components.validate.drift import Drift, judge_rows
from components.validate.features import Row
from components.validate.judge import likely_faults
from components.validate.page import render_page
from components.validate.table import Table
from thimble.artifact import read_json, write_atomically, write_json
from thimble.records import SPLITS, Entry, Record, load_dataset
from thimble.stage import Run, require

__all__ = [
    "Examined",
    "ValidateConfig",
    "check_repeats",
    "examine_dataset",
    "hand_out",
    "validate_dataset",
]

READ = ("border_sigma", "pixels")
SHOWN = 3


@dataclass(frozen=True)
class Examined:
    """What one pass over a data set found.

    Attributes:
        name: Of the data set.
        checks: What it holds by itself.
        seen: What the records of each split held.
        rows: Features of each image.
        splits: Where each image lies.
        frozen: Whether the test split is that of the last release.
    """

    name: str
    checks: list[Check]
    seen: Mapping[str, Seen]
    rows: list[Row]
    splits: list[str]
    frozen: bool


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
        A function that fills a folder with `validation.json`, `page.html` and TFDV's
        `schema.pbtxt`, `statistics.binpb` and `anomalies.pbtxt`, and figures: passed, checks,
        anomalies, drift, and images, foreground and intensity_mean of all or of each split.

    Raises:
        BadInput: If the artifact or the reference cannot be read at all.
    """
    examined = examine_dataset(dataset_path, config.content, run)
    drift = None
    if examined.rows:
        drift = judge_rows(examined.rows, examined.splits, reference, config.drift, examined.frozen)
    verdict = _verdict(examined, drift)

    def write(folder: Path) -> None:
        write_json(folder / "validation.json", verdict)
        (folder / "page.html").write_text(render_page(verdict, drift), encoding="utf-8")
        if drift:
            drift.write(folder)

    figures = {
        "passed": float(verdict["passed"]),
        "checks": float(len(examined.checks)),
        "anomalies": float(len(verdict["anomalies"])),
        "drift": drift.distance if drift else 0.0,
        **_figures(examined.seen),
    }
    return write, figures


def examine_dataset(dataset_path: str | Path, config: ContentConfig, run: Run) -> Examined:
    """Read every record of a data set once and judge it by itself.

    Args:
        dataset_path: The artifact.
        config: What it must hold.
        run: Progress.

    Raises:
        BadInput: If the artifact cannot be read at all.
    """
    dataset = load_dataset(dataset_path)
    spec = dataset.spec
    absent = [name for name in READ if name not in spec]
    require(not absent, f"dataset.json must hold {', '.join(READ)}: run ingest again", lacks=absent)
    entries: dict[str, dict[str, Entry]] = {split: {} for split in SPLITS}
    for entry in dataset.entries():
        entries[entry.split][entry.id] = entry
    table = Table(dataset.classes if spec["labelled"] else dataset.classes[:1])
    total = sum(sum(count.values()) for count in spec["counts"].values())
    done = 0

    def visit(record: Record | None, entry: Entry | None) -> None:
        nonlocal done
        done += 1
        run.progress(min(done, total), total)
        if record and entry:
            table.add(record, entry)

    seen = {split: read_split(dataset, split, entries[split], visit) for split in SPLITS}
    rows = table.complete()
    checks = [
        *check_content(spec, entries, seen, config),
        check_repeats(rows, table.entries, config),
    ]
    splits = [entry.split for entry in table.entries]
    frozen = "frozen" in spec
    return Examined(str(spec.get("name")), checks, seen, rows, splits, frozen)


def check_repeats(rows: list[Row], entries: list[Entry], config: ContentConfig) -> Check:
    """Return the check on images that come under several patients."""
    pairs = zip(rows, entries, strict=True)
    found = [f"{entry.id} ({row['repeats']})" for row, entry in pairs if row["repeats"] != "none"]
    few = len(found) <= config.max_duplicate_share * len(rows)
    limit = f"{config.max_duplicate_share:g} of them"
    return Check(
        "patients",
        [] if few else found,
        f"{len(found)} of {len(rows)} images come under several patients; expected at most {limit}",
        "duplicated patients: give them one identifier or remove the copies, or change "
        "max_duplicate_share",
    )


def hand_out(validation: str | Path, page: str | Path, verdict: str | Path) -> None:
    """Write the page and the word that the pipeline's condition reads where KFP wants them."""
    with write_atomically(page) as partial:
        shutil.copyfile(Path(validation) / "page.html", partial)
    passed = read_json(Path(validation) / "validation.json")["passed"]
    Path(verdict).write_text("passed" if passed else "failed", encoding="utf-8")


def _verdict(examined: Examined, drift: Drift | None) -> dict[str, Any]:
    """Return what validation.json holds."""
    anomalies = drift.anomalies if drift else []
    failed = [each for each in examined.checks if each.failures]
    failing = [each for each in anomalies if each.fails]
    faults = likely_faults(failing)
    compared = None
    if drift and drift.reference:
        known = drift.reference
        compared = {"images": known.images, "patients": round(known.patients)}
    reasons = [_content_reason(failed, len(examined.checks))] if failed else []
    if failing:
        failing.sort(key=lambda each: -each.ratio)
        told = "; ".join(f"{each.feature}: {each.likely}" for each in failing[:SHOWN])
        more = f" (and {len(failing) - SHOWN} more)" if len(failing) > SHOWN else ""
        likely = f" Most likely: {', '.join(faults)}." if faults else ""
        reasons.append(
            f"It differs from the data of the last release in {len(failing)} feature(s). "
            f"{told}{more}.{likely} Fix: mend the source, or name what is meant to be so in "
            "accepted_features."
        )
    return {
        "passed": not reasons,
        "reason": f"data set {examined.name} is not fit for training. {' '.join(reasons)}"
        if reasons
        else "",
        "checks": [
            {"name": each.name, "passed": not each.failures, "detail": each.detail}
            for each in examined.checks
        ],
        "anomalies": [each.record() for each in anomalies],
        "faults": faults,
        "compared": compared,
        "images": len(examined.rows),
    }


def _content_reason(failed: list[Check], asked: int) -> str:
    """Return which checks failed and how to mend each."""
    told = " ".join(f"{each.name}: {each.detail}. Fix: {each.fix}." for each in failed)
    return f"It failed {len(failed)} of {asked} checks. {told}"


def _figures(seen: Mapping[str, Seen]) -> dict[str, float]:
    """Return size, foreground and intensity of each split, for the drift dashboard."""
    figures = {"images": sum(float(len(found.copies)) for found in seen.values())}
    for split, found in seen.items():
        figures[f"images_{split}"] = float(len(found.copies))
        figures[f"foreground_{split}"] = foreground_share(found)
        mean = float(np.mean(found.intensities)) if found.intensities else 0.0
        figures[f"intensity_mean_{split}"] = mean
    return figures
