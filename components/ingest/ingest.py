"""Ingest: scans of any kind in, split and deformed records in one form out."""

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.ingest.config import (
    DeformationConfig,
    ExecutionConfig,
    ImageConfig,
    PhantomConfig,
    SourceConfig,
    SplitConfig,
)
from components.ingest.elastic import ElasticField
from components.ingest.scan import Finding
from components.ingest.split import split_cases
from components.ingest.transforms import Canon, Sums, find_out, write_records
from thimble.artifact import write_json
from thimble.datasets import open_source
from thimble.datasets.classes import ClassMap, describe_values, parse_classes
from thimble.datasets.source import Case, Reader, SourceOptions
from thimble.records import FORMAT, SPLITS
from thimble.stage import BadInput, Run, require

__all__ = ["IngestConfig", "ingest_source", "open_classes", "open_reader", "refuse_bad"]

SHOWN = 5
LABELS_LOOKED_AT = 16


@dataclass(frozen=True)
class IngestConfig:
    """Everything that ingest needs.

    Attributes:
        source: What is read.
        image: Form of the images.
        split: Who goes to train, validation and test.
        deformation: Elastic copies and the border map.
        phantom: Generated data.
        execution: Where the work is done.
        seed: Of the phantom and of the deformations, >= 0.
    """

    source: SourceConfig = field(default_factory=SourceConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    deformation: DeformationConfig = field(default_factory=DeformationConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the seed."""
        require(self.seed >= 0, "seed must be >= 0", seed=self.seed)


def open_reader(config: IngestConfig) -> Reader:
    """Return the reader that a config asks for.

    Raises:
        BadInput: If kind and parameters do not fit.
    """
    options = SourceOptions(
        source=config.source.source,
        group_column=config.split.group_column,
        images=config.phantom.phantom_images,
        size=config.phantom.phantom_size,
        seed=config.seed,
    )
    return open_source(config.source.kind, options)


def open_classes(config: IngestConfig, reader: Reader, cases: Sequence[Case]) -> ClassMap:
    """Return the classes that the user or the kind names.

    Raises:
        BadInput: If neither does; the message lists the values that the labels hold.
    """
    text = config.source.classes or reader.classes
    if text:
        return parse_classes(text)
    looked = cases[:LABELS_LOOKED_AT]
    values = np.unique(np.concatenate([np.unique(reader.read(case).label) for case in looked]))
    raise BadInput(
        f"classes is empty, and kind={config.source.kind} has no default. The first {len(looked)} "
        f"label(s) hold the raw values {describe_values(values)}. Name a class for each, the "
        'background first, such as classes="background=0;organ=1-255".'
    )


def refuse_bad(findings: Sequence[Finding], classes: ClassMap) -> None:
    """Raise if a case cannot be used, or if all labels are of one class.

    Raises:
        BadInput: With the first few errors and their number.
    """
    errors = [finding["error"] for finding in findings if "error" in finding]
    if errors:
        more = f" (and {len(errors) - SHOWN} more)" if len(errors) > SHOWN else ""
        start = f"{len(errors)} of {len(findings)} cases cannot be used: " if errors[1:] else ""
        raise BadInput(start + " | ".join(errors[:SHOWN]) + more)
    pixels = np.sum([finding["pixels"] for finding in findings], axis=0)
    present = [name for name, count in zip(classes.names, pixels, strict=True) if count]
    if len(present) < 2:
        raise BadInput(
            f"All {len(findings)} labels hold one class only: {', '.join(present)}. Expected at "
            f"least two of {classes}: check the labels and the parameter classes."
        )


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
    reader = open_reader(config)
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
    canon = Canon(
        config.image.channels,
        spec["bit_depth"],
        config.deformation.border_sigma,
        config.deformation.elastic_copies,
        ElasticField(
            config.deformation.elastic_sigma_pixels,
            config.deformation.elastic_grid_pixels,
            config.seed,
        ),
    )

    def write(folder: Path) -> None:
        scratch = folder / ".parts"
        scratch.mkdir()
        with _progress_of(scratch, _expected_bytes(spec), run, len(cases)):
            sums = write_records(work, reader, classes, canon, (folder, scratch), execution)
        shutil.rmtree(scratch)
        first = 1 + 2 * config.image.channels
        spec["pixels"] = {split: list(sums[split][first:]) for split in SPLITS}
        spec["normalization"] = _normalization(config.image, canon.bits, sums["train"])
        write_json(folder / "dataset.json", spec)
        run.progress(2 * len(cases), 2 * len(cases), images=len(cases))

    pixels = np.sum([finding["pixels"] for finding in findings], axis=0)
    copies = sum(count["copies"] for count in spec["counts"].values())
    share = float(pixels[1:].sum() / pixels.sum())
    return write, {"images": len(cases), "copies": copies, "foreground_share": share}
