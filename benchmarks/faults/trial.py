"""One trial: two samples of a population, a fault in the second, and what validate says of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.faults.faults import Fault, Pair
from components.validate.config import ValidateConfig
from components.validate.content import Check, Seen, account, check_content
from components.validate.drift import judge_rows
from components.validate.features import Floats, Row
from components.validate.judge import likely_faults
from components.validate.table import Table
from components.validate.validate import check_repeats
from thimble.records import SPLITS, Entry

__all__ = ["CLASSES", "Outcome", "Trials", "assign_splits"]

CLASSES = ("background", "object")
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Outcome:
    """What validate said.

    Attributes:
        features: Features whose anomalies fail the sample.
        checks: Checks of the sample by itself that failed.
        likely: What most likely happened, in its words.
        distance: Largest difference of a feature over its limit.
    """

    features: list[str]
    checks: list[str]
    likely: list[str]
    distance: float

    def names(self, fault: Fault) -> bool:
        """Tell whether something that stands for the fault was said."""
        return any(said.startswith(fault.features) for said in (*self.features, *self.checks))


@dataclass
class Trials:
    """Trials on one population; images that are not changed are looked at once.

    Attributes:
        pairs: All images.
        labelled: Whether their labels count.
        folder: For references.
        shares: Of all patients: in the reference, in the sample.
    """

    pairs: Sequence[Pair]
    labelled: bool
    folder: Path
    shares: tuple[float, float] = (0.5, 0.25)
    _known: dict[tuple[object, ...], tuple[Row, Floats]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Remember which arrays belong to the population."""
        arrays = [each for record, _ in self.pairs for each in (record.image, record.label)]
        self._lasting = {id(array) for array in arrays}

    def run(self, seed: int, fault: Fault | None = None, much: float = 0.0) -> Outcome:
        """Draw two samples that share no patient, put a fault into the second and judge it."""
        rng = np.random.default_rng(seed)
        first, second = self._draw(rng)
        reference = self.folder / f"{seed}-{self.shares[0]}-{self.shares[1]}"
        config = ValidateConfig()
        if not reference.exists():
            rows = self._table(first).complete()
            reference.mkdir(parents=True)
            judge_rows(rows, ["train"] * len(rows), None, config.drift).write(reference)
        given = assign_splits(second, rng)
        given = fault.change(given, much, rng) if fault else given
        table = self._table(given)
        rows = table.complete()
        checks = [*self._content(given), check_repeats(rows, table.entries, config.content)]
        drift = judge_rows(rows, ["train"] * len(rows), reference, config.drift)
        failing = [each for each in drift.anomalies if each.fails]
        return Outcome(
            [each.feature for each in failing],
            [each.name for each in checks if each.failures],
            likely_faults(failing),
            drift.distance,
        )

    def _draw(self, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        """Return two samples that share no patient."""
        patients = sorted({entry.group for _, entry in self.pairs})
        order = [patients[n] for n in rng.permutation(len(patients))]
        cut = round(self.shares[0] * len(patients))
        parts = set(order[:cut]), set(order[cut : cut + round(self.shares[1] * len(patients))])
        first, second = ([pair for pair in self.pairs if pair[1].group in part] for part in parts)
        return first, second

    def _table(self, pairs: Sequence[Pair]) -> Table:
        """Describe images, those that no fault touched by what is known of them."""
        table = Table(CLASSES if self.labelled else CLASSES[:1])
        for record, entry in pairs:
            key = (id(record.image), id(record.label), entry.spacing, str(entry.attributes))
            if key in self._known:
                row, thumbnail = self._known[key]
                table.rows.append(row)
                table.thumbnails.append(thumbnail)
                table.entries.append(entry)
                continue
            table.add(record, entry)
            # Arrays of the population live on, so that no other has their id.
            if {key[0], key[1]} <= self._lasting:
                self._known[key] = (table.rows[-1], table.thumbnails[-1])
        return table

    def _content(self, pairs: Sequence[Pair]) -> list[Check]:
        """Ask what is asked of a data set by itself."""
        seen = {split: Seen(np.zeros(len(CLASSES), np.int64)) for split in SPLITS}
        entries: dict[str, dict[str, Entry]] = {split: {} for split in SPLITS}
        for record, entry in pairs:
            account(seen[entry.split], record)
            seen[entry.split].copies[record.id] += 1
            entries[entry.split][entry.id] = entry
        spec = {
            "classes": [{"name": name} for name in CLASSES],
            "labelled": self.labelled,
            "counts": {s: {"images": len(entries[s]), "copies": 0} for s in SPLITS},
            "pixels": {s: seen[s].pixels.tolist() for s in SPLITS},
        }
        return check_content(spec, entries, seen, ValidateConfig().content)


def assign_splits(pairs: Sequence[Pair], rng: np.random.Generator) -> list[Pair]:
    """Split by patient."""
    patients = sorted({entry.group for _, entry in pairs})
    cuts = np.cumsum([round(SHARES[split] * len(patients)) for split in SPLITS[:2]])
    places = dict(zip(rng.permutation(patients).tolist(), range(len(patients)), strict=True))
    numbers = [int(np.searchsorted(cuts, places[entry.group], "right")) for _, entry in pairs]
    return [
        (record, replace(entry, split=SPLITS[number]))
        for (record, entry), number in zip(pairs, numbers, strict=True)
    ]
