"""A look at a folder of scans before a run: what it holds and what is wrong with it."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from components.ingest.config import IngestConfig
from components.ingest.scan import Finding, open_classes, open_reader, refuse_bad, scan_case
from components.ingest.split import split_cases
from thimble.datasets.classes import ClassMap, describe_values
from thimble.datasets.source import Case, Reader, Refusal
from thimble.stage import BadInput, flat_fields, from_flat

__all__ = ["inspect_source"]


def inspect_source(kind: str, source: str, **parameters: Any) -> dict[str, Any]:
    """Read every case of a source once and describe it; nothing is written.

    Args:
        kind: Key of `thimble.datasets.DATASETS`.
        source: Folder of the data.
        parameters: Other flat parameters of ingest, such as `classes` or `split_rule`.

    Returns:
        `kind`, `images`, `formats` (suffix, channels, bits: number), `sizes` (width x height:
        number), `raw_labels` (text), `classes` (name, raw, share of pixels), `splits`
        (split: images) and `problems` (sentences; empty if ingest will take the folder).

    Raises:
        BadInput: If folders or files are missing or do not match, or a parameter is wrong.
    """
    arguments = flat_fields(IngestConfig) | parameters | {"kind": kind, "source": source}
    config: IngestConfig = from_flat(IngestConfig, arguments)
    reader = open_reader(config)
    cases, refused = reader.cases()
    problems = [refusal.reason for refusal in refused]
    result: dict[str, Any] = {"kind": kind, "images": len(cases), "problems": problems}
    try:
        classes = open_classes(config, reader, cases)
    except BadInput as error:
        problems.append(str(error))
        return result | {"formats": {}, "sizes": {}, "raw_labels": "", "classes": [], "splits": {}}
    findings, values = _look(cases, reader, classes, (source, problems))
    result["images"] = len(findings)
    result["raw_labels"] = describe_values(np.flatnonzero(values))
    result |= _count(cases, findings)
    pixels = np.sum([f["pixels"] for f in findings] or [[0] * len(classes.names)], axis=0)
    shares = pixels / max(pixels.sum(), 1)
    described = zip(classes.spec(), shares.tolist(), strict=True)
    result["classes"] = [{**entry, "share": share} for entry, share in described]
    result["splits"] = {}
    if problems:
        return result
    try:
        refuse_bad(findings, [], config, classes.names)
        groups = {finding["id"]: finding["group"] for finding in findings}
        digests = {finding["id"]: finding["digest"] for finding in findings}
        splits = split_cases(list(groups), groups, digests, config.split)
        result["splits"] = {name: len(ids) for name, ids in splits.items()}
    except BadInput as error:
        problems.append(str(error))
    return result


def _look(
    cases: list[Case], reader: Reader, classes: ClassMap, told: tuple[str, list[str]]
) -> tuple[list[Finding], Any]:
    """Return the findings of good images and which raw values occur; tell of the bad ones."""
    source, problems = told
    findings: list[Finding] = []
    values = np.zeros(65536, bool)
    for case in cases:
        for found in scan_case(reader, classes, case, source, values):
            if isinstance(found, Refusal):
                problems.append(found.reason)
            else:
                findings.append(found)
    return findings, values


def _count(cases: list[Case], findings: list[Finding]) -> dict[str, dict[str, int]]:
    """Return how many images have which format and size."""
    suffix = {case.id: Path(case.image).suffix.lower().lstrip(".") or "made" for case in cases}
    layout = {1: "grey", 3: "RGB"}
    formats = Counter(
        f"{suffix[f['case']]} {layout[f['channels']]} {f['bits']} bit" for f in findings
    )
    sizes = Counter(f"{f['shape'][1]}x{f['shape'][0]}" for f in findings)
    return {"formats": dict(formats.most_common()), "sizes": dict(sizes.most_common())}
