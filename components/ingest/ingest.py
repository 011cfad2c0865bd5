"""Ingest: scans of any kind in, split and deformed records in one form out."""

import hashlib
import json
import math
import shutil
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from components.ingest.config import ImageConfig, IngestConfig
from components.ingest.elastic import ElasticField
from components.ingest.fetch import fetch_source
from components.ingest.scan import Finding, open_classes, open_reader, refuse_bad
from components.ingest.split import split_cases
from components.ingest.transforms import Canon, Sums, Work, find_out, write_records
from thimble.artifact import write_json
from thimble.datasets.classes import ClassMap
from thimble.datasets.source import Case, Reader, Refusal
from thimble.records import CASES, FORMAT, REJECTED, SPLITS, Entry, encode_entries
from thimble.stage import Run

__all__ = ["IngestConfig", "ingest_source"]


def _assign_shards(splits: dict[str, list[str]], most: int) -> dict[str, tuple[str, str]]:
    """Deal the images of each split in the order of a hash to equally full shards."""
    places = {}
    for split, ids in splits.items():
        count = min(most, len(ids))
        shuffled = sorted(ids, key=lambda image: hashlib.sha256(image.encode()).digest())
        for place, image in enumerate(shuffled):
            places[image] = (split, f"{split}-{place % count:05d}-of-{count:05d}.tfrecord")
    return places


def _work(
    cases: Sequence[Case], findings: Sequence[Finding], places: dict[str, tuple[str, str]]
) -> list[Work]:
    """Return the cases that are used, each with the places of its images."""
    used: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for finding in findings:
        used[finding["case"]][finding["id"]] = places[finding["id"]]
    return [(case, used[case.id]) for case in cases if case.id in used]


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
    places: dict[str, tuple[str, str]],
) -> dict[str, Any]:
    """Return what `dataset.json` says before the pixels are summed."""
    source, image, copies = config.source, config.image, config.deformation.elastic_copies
    counts = Counter(split for split, _ in places.values())
    return {
        "format": FORMAT,
        "name": source.name or source.kind,
        "task": "segmentation",
        "classes": classes.spec(),
        "channels": image.channels,
        "bit_depth": max(finding["bits"] for finding in findings),
        "tile": image.tile,
        "counts": {
            split: {"images": counts[split], "copies": copies * counts[split] * (not place)}
            for place, split in enumerate(SPLITS)
        },
        "split": {
            "rule": config.split.split_rule,
            "validation_share": config.split.validation_share,
            "test_share": config.split.test_share,
            "group_column": config.split.group_column,
            "seed": config.split.split_seed,
        },
        "smallest_side": min(min(finding["shape"]) for finding in findings),
        "labelled": source.labels != "none",
        "attributes": sorted({name for finding in findings for name in finding["attributes"]}),
        "border_sigma": config.deformation.border_sigma,
        "source_digest": source.source_digest or _digest(findings),
        "terms": source.terms or reader.terms,
        "shards": {
            n: sorted({shard for split, shard in places.values() if split == n}) for n in SPLITS
        },
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


def _expected_bytes(spec: dict[str, Any], entries: Sequence[Entry]) -> int:
    """Return about how many bytes the records will take."""
    each = spec["channels"] * spec["bit_depth"] // 8 + 1 + bool(spec["border_sigma"])
    copies = spec["counts"]["train"]["copies"] // spec["counts"]["train"]["images"]
    pixels = (math.prod(e.shape) * (1 + copies * (e.split == "train")) for e in entries)
    return int(sum(pixels) * each)


def _entry(finding: Finding, split: str) -> Entry:
    """Return the line of an image in `cases.jsonl`."""
    return Entry(
        id=finding["id"],
        split=split,
        group=finding["group"],
        digest=finding["digest"],
        shape=(finding["shape"][0], finding["shape"][1]),
        pixels=tuple(finding["pixels"]),
        spacing=(finding["spacing"][0], finding["spacing"][1]) if finding["spacing"] else None,
        attributes=finding["attributes"],
    )


def _write_lines(folder: Path, entries: Sequence[Entry], refused: Sequence[Refusal]) -> None:
    """Write `cases.jsonl` and `rejected.jsonl`."""
    with open(folder / CASES, "w", encoding="utf-8") as file:
        file.writelines(encode_entries(entries))
    with open(folder / REJECTED, "w", encoding="utf-8") as file:
        for refusal in refused:
            file.write(json.dumps(asdict(refusal), ensure_ascii=False) + "\n")


def _look(
    config: IngestConfig, reader: Reader, cases: Sequence[Case], classes: ClassMap, run: Run
) -> tuple[list[Finding], list[Refusal]]:
    """Return what all cases hold, in the order of the cases, and what cannot be used."""
    findings: list[Finding] = []
    refused: list[Refusal] = []
    execution = (config.execution.runner, config.execution.workers)
    with tempfile.TemporaryDirectory(dir=run.checkpoint) as scratch:
        folders = (config.source.source, Path(scratch))
        for found in find_out(cases, reader, classes, folders, execution):
            if isinstance(found, Refusal):
                refused.append(found)
            else:
                findings.append(found)
    order = {case.id: place for place, case in enumerate(cases)}
    findings.sort(key=lambda finding: (order[finding["case"]], finding["id"]))
    return findings, refused


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
        of deformed copies, of rejected files, and the foreground's share of all pixels.

    Raises:
        BadInput: If the source cannot be used; the message names the files and the fix.
    """
    reader = open_reader(config := fetch_source(config, run))
    cases, refused = reader.cases()
    classes = open_classes(config, reader, cases)
    run.progress(0, 2 * len(cases))
    findings, bad = _look(config, reader, cases, classes, run)
    refused = sorted([*refused, *bad], key=lambda refusal: (refusal.file, refusal.reason))
    refuse_bad(findings, refused, config, classes.names)
    groups = {finding["id"]: finding["group"] for finding in findings}
    digests = {finding["id"]: finding["digest"] for finding in findings}
    splits = split_cases([finding["id"] for finding in findings], groups, digests, config.split)
    places = _assign_shards(splits, config.execution.shards)
    work = _work(cases, findings, places)
    findings.sort(key=lambda finding: finding["id"])
    spec = _describe(config, reader, classes, findings, places) | {"rejected": len(refused)}
    entries = [_entry(finding, places[finding["id"]][0]) for finding in findings]
    run.progress(len(cases), 2 * len(cases), images=len(findings))

    def write(folder: Path) -> None:
        canon = _canon(config, spec["bit_depth"])
        scratch = folder / ".parts"
        scratch.mkdir()
        execution = (config.execution.runner, config.execution.workers)
        with _progress_of(scratch, _expected_bytes(spec, entries), run, len(cases)):
            sums = write_records(work, reader, classes, canon, (folder, scratch), execution)
        shutil.rmtree(scratch)
        first = 1 + 2 * canon.channels
        spec["pixels"] = {split: list(sums[split][first:]) for split in SPLITS}
        spec["normalization"] = _normalization(config.image, canon.bits, sums["train"])
        _write_lines(folder, entries, refused)
        write_json(folder / "dataset.json", spec)
        run.progress(2 * len(cases), 2 * len(cases), images=len(findings))

    pixels = np.sum([finding["pixels"] for finding in findings], axis=0)
    copies = sum(count["copies"] for count in spec["counts"].values())
    return write, {
        "images": len(findings),
        "copies": copies,
        "rejected": len(refused),
        "foreground_share": float(pixels[1:].sum() / pixels.sum()),
    }
