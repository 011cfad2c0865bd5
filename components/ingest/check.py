"""A look at a folder of scans before a run: what it holds and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.ingest.config import IngestConfig
from components.ingest.refusals import count_reasons, kind_of_reason, refuse_many
from components.ingest.scan import Finding, open_classes, open_reader, refuse_one_class, scan_case
from components.ingest.split import split_cases
from thimble.datasets.classes import ClassMap, describe_values
from thimble.datasets.source import Case, Reader, Refusal
from thimble.stage import BadInput, flat_fields, from_flat

__all__ = ["inspect_source"]

# Of a folder whose images cannot be read.
NOTHING: dict[str, Any] = {
    **{name: {} for name in ("formats", "sizes", "spacing", "attributes", "splits")},
    "raw_labels": "",
    "classes": [],
}
# Of these attributes a card says how many images have which value.
SHOWN_ATTRIBUTES = ("modality", "manufacturer", "body_part", "slice_thickness", "transfer_syntax")


def inspect_source(
    kind: str, source: str, budget: int | None = None, **parameters: Any
) -> dict[str, Any]:
    """Read the cases of a source once and describe them; nothing is written.

    Args:
        kind: Key of `thimble.datasets.DATASETS`.
        source: Folder of the data.
        budget: Bytes of files to read; of a larger source cases are drawn at equal steps. None:
            all of it.
        parameters: Other flat parameters of ingest, such as `classes` or `split_rule`.

    Returns:
        `kind`, `cases` and `read` (how many of them were), `images`, `patients`, `formats`
        (suffix, channels, bits: number), `sizes` (width x height: number), `spacing` (mm: number),
        `attributes` (name: value: number), `raw_labels` (text), `classes` (name, raw, share of
        pixels), `splits` (split: images), `notes`, `refused` (kind of reason: number),
        `examples` (the first refusal of each kind), `problems` (sentences; empty if ingest will
        take all of the folder) and, where it would take nothing, `stops` (why).

    Raises:
        BadInput: If folders or files are missing or do not match, or a parameter is wrong.
    """
    arguments = flat_fields(IngestConfig) | parameters | {"kind": kind, "source": source}
    config: IngestConfig = from_flat(IngestConfig, arguments)
    reader = open_reader(config)
    cases, refused = reader.cases()
    looked = _draw(cases, budget)
    problems = [refusal.reason for refusal in refused]
    result: dict[str, Any] = {"kind": kind, "read": len(looked), "problems": problems}
    result |= _count_names(cases, reader) | _count_refused(refused)
    try:
        classes = open_classes(config, reader, cases)
    except BadInput as error:
        problems.append(str(error))
        return result | NOTHING | {"stops": str(error)}
    findings, bad, values = _look(looked, reader, classes, source)
    problems += [refusal.reason for refusal in bad]
    result |= {"images": len(findings), "splits": {}} | _count_refused([*refused, *bad])
    result |= _count(cases, findings)
    result |= _describe_labels(values, findings, classes, config)
    try:
        refuse_many(len(findings), [*refused, *bad], config.execution.max_rejected_share)
        _refuse_one_class(findings, classes, config)
        result["splits"] = _split(cases, findings, config)
    except BadInput as error:
        result["stops"] = str(error)
        problems += [] if refused or bad else [str(error)]
    return result


def _count_names(cases: Sequence[Case], reader: Reader) -> dict[str, Any]:
    """Return what is known before anything is read."""
    patients = len({case.group for case in cases})
    known = {"cases": len(cases), "images": len(cases), "patients": patients}
    return known | {"notes": reader.notes}


def _count_refused(refused: Sequence[Refusal]) -> dict[str, Any]:
    """Return how many files were refused for what, and the first of each kind."""
    examples: dict[str, Refusal] = {}
    for refusal in refused:
        examples.setdefault(kind_of_reason(refusal.reason), refusal)
    return {"refused": count_reasons(refused), "examples": examples}


def _draw(cases: Sequence[Case], budget: int | None) -> list[Case]:
    """Return all cases, or some at equal steps that fit into a number of bytes."""
    if budget is None:
        return list(cases)
    total = 0
    for case in cases:
        for path in filter(None, {case.image, case.label, *case.files}):
            total += os.path.getsize(path)
    return list(cases[:: max(1, -(-total // budget))])


def _describe_labels(
    values: Any, findings: list[Finding], classes: ClassMap, config: IngestConfig
) -> dict[str, Any]:
    """Return raw values and classes of the labels; nothing if there are none."""
    if config.source.labels == "none":
        return {"raw_labels": "", "classes": []}
    pixels = np.sum([f["pixels"] for f in findings] or [[0] * len(classes.names)], axis=0)
    shares = pixels / max(pixels.sum(), 1)
    described = zip(classes.spec(), shares.tolist(), strict=True)
    shown = [{**entry, "share": share} for entry, share in described]
    return {"raw_labels": describe_values(np.flatnonzero(values)), "classes": shown}


def _refuse_one_class(findings: list[Finding], classes: ClassMap, config: IngestConfig) -> None:
    """Raise if there are labels, and all are of one class."""
    if config.source.labels != "none":
        pixels = np.sum([finding["pixels"] for finding in findings], axis=0)
        refuse_one_class(pixels.tolist(), classes.names, len(findings))


def _split(cases: list[Case], findings: list[Finding], config: IngestConfig) -> dict[str, int]:
    """Return how many images each split would get."""
    groups = {finding["id"]: finding["group"] for finding in findings}
    digests = {finding["id"]: finding["digest"] for finding in findings}
    splits = split_cases(list(groups), groups, digests, config.split)
    return {name: len(ids) for name, ids in splits.items()}


def _look(
    cases: Sequence[Case], reader: Reader, classes: ClassMap, source: str
) -> tuple[list[Finding], list[Refusal], Any]:
    """Return the findings of good images, the bad ones, and which raw values occur."""
    findings: list[Finding] = []
    refused: list[Refusal] = []
    values = np.zeros(65536, bool)
    for case in cases:
        for found in scan_case(reader, classes, case, source, values):
            if isinstance(found, Refusal):
                refused.append(found)
            else:
                findings.append(found)
    return findings, refused, values


def _suffix(case: Case) -> str:
    """Return the ending of a case's file; that of DICOM is often none."""
    name = Path(case.image).name.lower()
    if case.name:
        return "dicom"
    return "nii.gz" if name.endswith(".nii.gz") else Path(name).suffix.lstrip(".") or "made"


def _count(cases: list[Case], findings: list[Finding]) -> dict[str, Any]:
    """Return how many images have which format, size, spacing and attributes."""
    suffix = {case.id: _suffix(case) for case in cases}
    layout = {1: "grey", 3: "RGB"}
    formats = Counter(
        f"{suffix[f['case']]} {layout[f['channels']]} {f['bits']} bit" for f in findings
    )
    sizes = Counter(f"{f['shape'][1]}x{f['shape'][0]}" for f in findings)
    spacing = Counter("x".join(f"{mm:.4g}" for mm in f["spacing"] or ()) for f in findings)
    unknown = spacing.pop("", 0)
    known = {f"{mm} mm": count for mm, count in spacing.most_common()}
    attributes = {
        name: dict(Counter(f["attributes"].get(name, "unknown") for f in findings).most_common())
        for name in SHOWN_ATTRIBUTES
        if any(name in f["attributes"] for f in findings)
    }
    return {
        "formats": dict(formats.most_common()),
        "sizes": dict(sizes.most_common()),
        "spacing": known | ({"unknown": unknown} if unknown else {}),
        "attributes": attributes,
    }
