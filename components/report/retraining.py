"""A retraining: is the new package no worse than the released one, and what changed?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.report.branches import Branches
from components.report.formats import (
    GAP,
    bytes_text,
    count_text,
    dice_text,
    difference_text,
    interval_text,
    plain,
)
from components.report.gates import Candidate, Gate
from components.report.tables import Cell, Table
from thimble.artifact import read_json
from thimble.scoring import bootstrap_difference
from thimble.stage import BadInput, require

__all__ = ["GATE", "Release", "Retraining", "RetrainingConfig", "compare", "read_release", "retold"]

GATE = "loss_to_release"
# Of the bootstrap, as in evaluate; nothing is chosen by them.
SEED, RESAMPLES = 1, 10_000
# Features that the page names; the page of validate has all.
SHOWN = 3


@dataclass(frozen=True)
class RetrainingConfig:
    """When a package may follow the released one.

    Attributes:
        non_inferiority_margin: In a retraining, the largest loss of Dice per image to the release,
            in [0, 1]: the one-sided 95 % bound of the paired difference must not be below it.
    """

    non_inferiority_margin: float = 0.01

    def __post_init__(self) -> None:
        """Check the range."""
        margin = self.non_inferiority_margin
        require(
            0 <= margin <= 1,
            "non_inferiority_margin must be in [0, 1]",
            non_inferiority_margin=margin,
        )


@dataclass(frozen=True)
class Release:
    """The release that a retraining started from.

    Attributes:
        described: Its release.json, from restore.
        evaluation: Its evaluation.json on the frozen test set, made in this run.
    """

    described: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Model and version."""
        return str(self.described["name"])

    @property
    def figures(self) -> Mapping[str, Any]:
        """What was measured of its package."""
        found: Mapping[str, Any] = self.evaluation["variants"][self.described["variant"]]
        return found


@dataclass(frozen=True)
class Retraining:
    """The section of the page: a sentence and a table of what was and what is."""

    kept: bool
    sentence: str
    table: Table
    notes: tuple[str, ...]


def read_release(inputs: Mapping[str, str | Path | None]) -> Release | None:
    """Read what is known of the release before.

    Args:
        inputs: Folders by name: `released` (restore) and `released_evaluation` (evaluate); None
            where there is none.

    Returns:
        None unless this is a retraining.

    Raises:
        BadInput: If only one of them is there.
    """
    folders = [inputs.get(name) for name in ("released", "released_evaluation")]
    if not any(folders):
        return None
    require(all(folders), "released and released_evaluation belong together", received=folders)
    described = read_json(Path(folders[0] or "") / "release.json")
    return Release(described, read_json(Path(folders[1] or "") / "evaluation.json"))


def compare(
    candidates: Mapping[str, Candidate], branches: Branches, release: Release, margin: float
) -> dict[str, Candidate]:
    """Hold every package against the released one, image by image.

    Args:
        candidates: Packages by name, judged by the other gates.
        branches: Their scores.
        release: Scored on the same images.
        margin: Largest loss that is allowed.

    Returns:
        The candidates with one gate more, and the difference as the figure `release_difference`.

    Raises:
        BadInput: If the images are not the same.

    Source: Piaggio et al., 2012, CONSORT extension for non-inferiority trials.
    """
    judged = {}
    for name, candidate in candidates.items():
        own = branches[candidate.branch].variants[candidate.variant].get("dice_per_image") or {}
        gap = _difference(own, release, name)
        loss = -gap["lower_one_sided_95"]
        judged[name] = replace(
            candidate,
            figures={**candidate.figures, "release_difference": gap},
            gates=(*candidate.gates, Gate(GATE, margin, loss, "Dice")),
        )
    return judged


def _difference(own: Mapping[str, float], release: Release, name: str) -> dict[str, float]:
    """Compare one package with the release."""
    other = release.figures["dice_per_image"]
    if set(own) != set(other):
        raise BadInput(
            f"{name} and the release {release.name} must be scored on the same images. Received: "
            f"{len(set(own) ^ set(other))} images in only one of the two. Run evaluate again."
        )
    ids = sorted(own)
    first, second = ([scores[each] for each in ids] for scores in (own, other))
    patients = release.evaluation.get("groups") or {}
    groups = [patients.get(each, each) for each in ids]
    found = bootstrap_difference(first, second, SEED, RESAMPLES, groups)
    return found | {"images": len(ids), "groups": len(set(groups))}


def retold(
    decision: Mapping[str, Any],
    gated: Candidate,
    release: Release,
    branches: Branches,
    validation: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], Retraining]:
    """Say what a retraining decided: in verdict.json, and on the page.

    Args:
        decision: The verdict.
        gated: The package that decides.
        release: The release before.
        branches: For the data set of this run.
        validation: validation.json, if validate ran.

    Returns:
        The verdict with a new headline and the key `retraining`, and the section.
    """
    data = branches["baseline"].evaluation["dataset"]
    failed = [gate for gate in gated.gates if not gate.passed]
    kept = not decision["passed"]
    what = (
        f"The release {release.name} stays"
        if kept
        else f"A candidate to follow the release {release.name}"
    )
    table = _table(gated, release, data)
    section = Retraining(kept, _sentence(gated, release, failed), table, _notes(data, validation))
    record = {
        "decision": "kept" if kept else "candidate",
        "release": dict(release.described),
        "why": section.sentence,
        "difference": gated.figures["release_difference"],
        "margin": next(gate.limit for gate in gated.gates if gate.name == GATE),
        "release_dice": release.figures["dice"],
        "data": data.get("frozen"),
    }
    headline = f"{what}. {decision['sentence']}"
    return {**decision, "sentence": headline, "retraining": record}, section


def _sentence(gated: Candidate, release: Release, failed: Sequence[Gate]) -> str:
    """Return what was decided and why."""
    gap, images = gated.figures["release_difference"], gated.figures["images"]
    margin = next(gate.limit for gate in gated.gates if gate.name == GATE)
    inferior = any(gate.name == GATE for gate in failed)
    bound = (
        f"On the {images} images ({gap['groups']} patients) of the frozen test set it is "
        f"{'not shown to be ' if inferior else ''}no worse than the release by more than "
        f"{margin:g}: per image {difference_text(gap['mean'])} Dice, 95{GAP}% interval "
        f"{interval_text(gap)}, one-sided 95{GAP}% bound "
        f"{difference_text(gap['lower_one_sided_95'])}."
    )
    others = [gate.name.replace("_", " ") for gate in failed if gate.name != GATE]
    if not failed:
        return f"{gated.name} is a candidate. {bound} Every gate holds."
    also = f" It fails {', '.join(others)}." if others else " Every other gate holds."
    return f"{gated.name} does not replace {release.name}. {bound}{also}"


def _table(gated: Candidate, release: Release, data: Mapping[str, Any]) -> Table:
    """Return what was and what is."""
    old, new = release.figures, gated.figures
    before = (release.described.get("dataset") or {}).get("counts") or {}
    rows = [
        _row("Version", release.name, "this run"),
        _row("Package", release.described["package"], gated.name),
        _row("Bytes", bytes_text(old["package_bytes"]), bytes_text(new["package_bytes"])),
        _row("Dice, frozen test set", dice_text(old["dice"]), dice_text(new["dice"])),
        _row("Worst tenth", dice_text(old["worst_decile"]), dice_text(new["worst_decile"])),
    ]
    now = data.get("counts") or {}
    for split in ("train", "validation", "test"):
        old_count, new_count = ((c.get(split) or {}).get("images") for c in (before, now))
        rows.append(_row(f"Images of {split}", count_text(old_count), count_text(new_count)))
    digests = [plain(d.get("source_digest"))[:12] for d in (release.described["dataset"], data)]
    rows.append(_row("Digest of the data", *digests))
    return Table("Release and retraining", ("", "Release", "New"), tuple(rows))


def _row(name: str, old: str, new: str) -> tuple[Cell, ...]:
    """One line of the table."""
    return (Cell(name), Cell(old), Cell(new))


def _notes(data: Mapping[str, Any], validation: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what is known of the new data."""
    notes = []
    if found := data.get("frozen"):
        notes.append(
            f"New data: {count_text(found['new'])} images that the release had not seen, "
            f"{count_text(found['known'])} that it had (they stay in the split they were in). "
            f"{count_text(found['excluded'])} were left out because they, their pixels or their "
            f"patient are in the frozen test set of {count_text(found['images'])} images."
        )
    if validation:
        notes.append(_validated(validation))
    return tuple(notes)


def _validated(validation: Mapping[str, Any]) -> str:
    """Return the verdict of validate, and what it found otherwise than in the release."""
    verdict = "passed" if validation["passed"] else "failed"
    known = validation.get("compared")
    against = f" against {count_text(known['images'])} images of the release" if known else ""
    said = f"Validation{against}: {verdict}, {len(validation['checks'])} checks"
    found = sorted(validation.get("anomalies") or [], key=lambda each: -each["ratio"])
    if not found:
        return f"{said}, no drift above its limits."
    told = "; ".join(f"{each['feature']}: {each['likely']}" for each in found[:SHOWN])
    more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
    return f"{said}, {len(found)} features above the limits of drift: {told}{more}."
