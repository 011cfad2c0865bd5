"""Ingest: scans of any kind in, split and deformed records in one form out."""

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from components.ingest.config import ImageConfig, IngestConfig
from components.ingest.elastic import ElasticField
from components.ingest.fetch import fetch_source
from components.ingest.scan import Finding, open_classes, open_reader, refuse_bad
from components.ingest.split import split_cases
from components.ingest.transforms import Canon, Sums, find_out, write_records
from thimble.artifact import write_json
from thimble.datasets.classes import ClassMap
from thimble.datasets.source import Case, Reader
from thimble.records import FORMAT, SPLITS
from thimble.stage import Run

__all__ = ["IngestConfig", "ingest_source"]


def _assign_shards(
    splits: dict[str, list[str]], cases: dict[str, Case], most: int
) -> list[tuple[str, str, Case]]:
    """Deal the cases of each split in the order of a hash to equally full shards."""
    work = []
    for split, ids in splits.items():
        count = min(most, len(ids))
        shuffled = sorted(ids, key=lambda case: hashlib.sha256(case.encode()).digest())
        for place, case in enumerate(shuffled):
            shard = f"{split}-{place % count:05d}-of-{count:05d}.tfrecord"
            work.append((split, shard, cases[case]))
    return work


def _normalization(config: ImageConfig, bits: int, sums: Sums) -> dict[str, Any]:
    """Return mean and deviation of the training images in [0, 1]."""
    if config.normalization == "image":
        return {"kind": "image"}
    count, channels, top = sums[0], config.channels, 2**bits - 1
    mean = [total / count / top for total in sums[1 : 1 + channels]]
    squares = [total / count / top**2 for total in sums[1 + channels : 1 + 2 * channels]]
    deviation = [max(s - m * m, 0.0) ** 0.5 for s, m in zip(squares, mean, strict=True)]
    return {"kind": "dataset", "mean": mean, "std": deviation}


def _digest(findings: Sequence[Finding]) -> str:
    """Return a digest of all pixels of a data set."""
    lines = sorted(f"{finding['id']}\0{finding['digest']}\n" for finding in findings)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _describe(
    config: IngestConfig,
    reader: Reader,
    classes: ClassMap,
    findings: Sequence[Finding],
    work: Sequence[tuple[str, str, Case]],
) -> dict[str, Any]:
    """Return what `dataset.json` says before the pixels are summed."""
    source, image, copies = config.source, config.image, config.deformation.elastic_copies
    ids = {name: sorted(case.id for split, _, case in work if split == name) for name in SPLITS}
    return {
        "format": FORMAT,
        "name": source.name or source.kind,
        "task": "segmentation",
        "classes": classes.spec(),
        "channels": image.channels,
        "bit_depth": max(finding["bits"] for finding in findings),
        "tile": image.tile,
        "counts": {
            split: {"images": len(ids[split]), "copies": copies * len(ids[split]) * (not place)}
            for place, split in enumerate(SPLITS)
        },
        "split": {
            "rule": config.split.split_rule,
            "validation_share": config.split.validation_share,
            "test_share": config.split.test_share,
            "group_column": config.split.group_column,
            "seed": config.split.split_seed,
        },
        "cases": ids,
        "groups": {case.id: case.group for _, _, case in work},
        "digests": {finding["id"]: finding["digest"] for finding in findings},
        "shapes": {finding["id"]: finding["shape"] for finding in findings},
        "border_sigma": config.deformation.border_sigma,
        "source_digest": source.source_digest or _digest(findings),
        "terms": source.terms or reader.terms,
        "shards": {n: sorted({shard for split, shard, _ in work if split == n}) for n in SPLITS},
    }


def _canon(config: IngestConfig, bits: int) -> Canon:
    """Return the form of all records."""
    deformation = config.deformation
    field = ElasticField(
        deformation.elastic_sigma_pixels, deformation.elastic_grid_pixels, config.seed
    )
    return Canon(
        channels=config.image.channels,
        bits=bits,
        border_sigma=deformation.border_sigma,
        elastic_copies=deformation.elastic_copies,
        elastic=field,
    )


def _expected_bytes(spec: dict[str, Any]) -> int:
    """Return about how many bytes the records will take."""
    each = spec["channels"] * spec["bit_depth"] // 8 + 1 + bool(spec["border_sigma"])
    copies = spec["counts"]["train"]["copies"] // spec["counts"]["train"]["images"]
    train = set(spec["cases"]["train"])
    pixels = (h * w * (1 + copies * (c in train)) for c, (h, w) in spec["shapes"].items())
    return int(sum(pixels) * each)


@contextmanager
def _progress_of(folder: Path, expected: int, run: Run, images: int) -> Iterator[None]:
    """Report progress by the size of the part files: workers are other processes, or machines."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            written = sum(part.stat().st_size for part in folder.glob("*.part"))
            step = min(int(images * written / expected), images - 1)
            run.progress(images + step, 2 * images, images=images)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def ingest_source(
    config: IngestConfig, run: Run
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Look at every case of a source, split it, and prepare the writing of its records.

    Args:
        config: What to read and how.
        run: Progress.

    Returns:
        A function that writes the Dataset artifact into a folder, and figures: number of images,
        of deformed copies, and the foreground's share of all pixels.

    Raises:
        BadInput: If the source cannot be used; the message names the files and the fix.
    """
    reader = open_reader(config := fetch_source(config, run))
    cases = reader.cases()
    classes = open_classes(config, reader, cases)
    execution = (config.execution.runner, config.execution.workers)
    run.progress(0, 2 * len(cases))
    with tempfile.TemporaryDirectory(dir=run.checkpoint) as scratch:
        findings = list(find_out(cases, reader, classes, Path(scratch), execution))
    refuse_bad(findings, classes)
    findings.sort(key=lambda finding: finding["id"])
    digests = {finding["id"]: finding["digest"] for finding in findings}
    groups = {case.id: case.group for case in cases}
    splits = split_cases([case.id for case in cases], groups, digests, config.split)
    work = _assign_shards(splits, {case.id: case for case in cases}, config.execution.shards)
    spec = _describe(config, reader, classes, findings, work)
    run.progress(len(cases), 2 * len(cases), images=len(cases))

    def write(folder: Path) -> None:
        canon = _canon(config, spec["bit_depth"])
        scratch = folder / ".parts"
        scratch.mkdir()
        with _progress_of(scratch, _expected_bytes(spec), run, len(cases)):
            sums = write_records(work, reader, classes, canon, (folder, scratch), execution)
        shutil.rmtree(scratch)
        first = 1 + 2 * canon.channels
        spec["pixels"] = {split: list(sums[split][first:]) for split in SPLITS}
        spec["normalization"] = _normalization(config.image, canon.bits, sums["train"])
        write_json(folder / "dataset.json", spec)
        run.progress(2 * len(cases), 2 * len(cases), images=len(cases))

    pixels = np.sum([finding["pixels"] for finding in findings], axis=0)
    copies = sum(count["copies"] for count in spec["counts"].values())
    share = float(pixels[1:].sum() / pixels.sum())
    return write, {"images": len(cases), "copies": copies, "foreground_share": share}
