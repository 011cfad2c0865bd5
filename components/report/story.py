"""The report's prose that depends on the run: student against control, provenance, limits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.report.branches import Branch, Branches
from components.report.formats import (
    bytes_text,
    count_text,
    dice_text,
    difference_text,
    exists,
    plain,
    ratio_text,
)
from components.report.gates import FEW_IMAGES, PHONE, RESEARCH, Candidate
from components.report.tables import Cell, Table

__all__ = ["comparison", "differences", "facts", "limits", "speed"]


def differences(branches: Branches, gated: Candidate) -> list[tuple[str, str, dict[str, float]]]:
    """Per-image Dice minus the baseline's: all packages of the gated branch, one of each other.

    Returns:
        Package name, branch, and difference by image id, sorted from worst to best.
    """
    reference = branches["baseline"].variants.get("float32", {}).get("dice_per_image") or {}
    rows = []
    for branch in branches.values():
        for variant, figures in branch.variants.items():
            wanted = branch.name == gated.branch or variant == gated.variant
            if branch.name == "baseline" or not wanted:
                continue
            scores = figures.get("dice_per_image") or {}
            found = {key: scores[key] - reference[key] for key in scores if key in reference}
            if found:
                ordered = dict(sorted(found.items(), key=lambda item: (item[1], item[0])))
                rows.append((f"{branch.name}-{variant}", branch.name, ordered))
    return rows


def speed(branch: Branch) -> str:
    """Return how much faster int8 is than float32 in the reference setting, in words."""
    runs = [branch.reference_run(variant) for variant in ("float32", "int8")]
    if None in runs:
        return ""
    slow, fast = (run["p50_seconds"] for run in runs if run)
    return ratio_text(slow / fast) if fast else ""


def _trained(branch: Branch) -> float | None:
    """Validation Dice when training ended, before any compression."""
    scores = [
        entry.get("metrics", {}).get("dice_validation")
        for entry in branch.history
        if entry.get("stage") in ("train", "distill")
    ]
    return scores[-1] if scores else None


def _budget(branch: Branch) -> float | None:
    """Optimiser steps of the stages that made a small network, its teacher's left out."""
    history = branch.history
    taught = [index for index, entry in enumerate(history) if entry.get("stage") == "distill"]
    found = [
        (entry.get("config") or {}).get("steps") for entry in history[taught[-1] if taught else 0 :]
    ]
    steps = [float(value) for value in found if value is not None and exists(value)]
    return sum(steps) if steps else None


def comparison(branches: Branches, variant: str) -> dict[str, Any] | None:
    """Compare the distilled student with the same network trained alone.

    Returns:
        A table and a sentence; None unless both branches were run.
    """
    student, control = branches.get("student"), branches.get("control")
    if student is None or control is None:
        return None
    rows = []
    for branch, how in ((student, "taught, then compressed"), (control, "alone, not compressed")):
        figures = branch.variants.get(variant) or next(iter(branch.variants.values()))
        rows.append(
            (
                Cell(branch.name, mark=f"key-{branch.name}"),
                Cell(how),
                Cell(count_text(branch.evaluation.get("parameters"))),
                Cell(count_text(_budget(branch))),
                Cell(bytes_text(figures.get("package_bytes"))),
                Cell(dice_text(_trained(branch))),
                Cell(dice_text(figures.get("dice"))),
            )
        )
    head = (
        "Network",
        "Trained",
        "Parameters",
        "Steps",
        "Package",
        "Dice after training",
        "Dice (test)",
    )
    table = Table("The student and its control", head, tuple(rows))
    return {"table": table, "sentence": _who_wins(student, control, variant)}


def _who_wins(student: Branch, control: Branch, variant: str) -> str:
    """Say on how many images the student is better, and by how much on average."""
    scores = [
        (branch.variants.get(variant) or {}).get("dice_per_image") or {}
        for branch in (student, control)
    ]
    shared = sorted(scores[0].keys() & scores[1].keys())
    if not shared:
        return "The two were not scored on the same images."
    gaps = np.array([scores[0][key] - scores[1][key] for key in shared])
    return (
        f"As {variant}, the student is better than its control on {int((gaps > 0).sum())} of "
        f"{len(gaps)} test images; the mean difference per image is "
        f"{difference_text(float(gaps.mean()))}."
    )


def facts(branches: Branches, provenance: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where the numbers come from, as name and value."""
    evaluation = branches["baseline"].evaluation
    data, split = evaluation["dataset"], evaluation["dataset"].get("split") or {}
    splits = data.get("counts") or {}
    counts = "; ".join(
        f"{name} {count_text(splits[name].get('images'))}" + _copies(splits[name])
        for name in ("train", "validation", "test")
        if name in splits
    )
    device: dict[str, Any] = next(
        (b.benchmark["device"] for b in branches.values() if b.benchmark), {}
    )
    host = [
        plain(device.get("cpu")),
        f"{device.get('cores')} cores",
        f"{bytes_text(device.get('memory_bytes'))} memory",
        plain(device.get("os")),
        f"LiteRT {plain(device.get('litert'))}",
    ]
    return [
        ("Data set", plain(data.get("name"))),
        ("Images", counts),
        ("Split", plain(split)),
        ("Terms of use", plain(data.get("terms"))),
        ("Data digest", plain(data.get("source_digest"))),
        ("Classes", plain(evaluation.get("classes"))),
        ("Preprocessing", plain(evaluation.get("preprocessing") or {})),
        ("Pipeline", plain(provenance["pipeline"])),
        ("Run", plain(provenance["run_name"])),
        ("Commit", plain(provenance["commit"])),
        ("Device", ", ".join(host) if device else "not benchmarked"),
        ("Device fingerprint", plain(device.get("fingerprint"))),
    ]


def _copies(count: Mapping[str, Any]) -> str:
    """Deformed copies of a split, in words."""
    copies = count.get("copies") or 0
    return f" (+ {count_text(copies)} deformed copies)" if copies else ""


def limits(branches: Branches, gated: Candidate) -> list[str]:
    """What the numbers do not show."""
    images = gated.figures["images"]
    found = [
        f"{RESEARCH}. This is no medical device; nobody may be diagnosed or treated by it.",
        f"Times and memory are those of the host above: {PHONE}.",
        "Dice pools the pixels of all test images; intervals resample images, from one training. "
        "Another training seed gives another model, whose spread is not in the interval.",
        "The test split is for scoring a configuration once. Whoever chooses among many reports by "
        "their test Dice gets an optimistic one.",
    ]
    if images < FEW_IMAGES:
        found.insert(
            0,
            f"Only {images} test images: a demonstration, not evidence. Such an interval is too "
            "narrow, and says nothing about other specimens, scanners or patients.",
        )
    worst = gated.figures["worst_decile"]
    if worst is not None and worst < 0.5:
        found.append(
            f"The worst tenth of the test images has a mean Dice of {dice_text(worst)}: look at "
            "them before trusting the average."
        )
    if "student" in branches and "control" not in branches:
        found.append("The student has no control: what teaching added is not known.")
    return found
