"""The frozen test set of a release: kept as it is, and kept out of what is trained on after it."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.ingest.config import SplitConfig
from components.ingest.index import Index
from components.ingest.split import find_units, order_units
from thimble.records import SPLITS, Entry, load_dataset
from thimble.stage import BadInput

__all__ = ["Frozen"]

# A case is the same if it has the name, the patient or the pixels of one that was there before:
# fields of an entry, and the columns of the index that hold them.
KEYS = {"id": "id", "group": "patient", "digest": "digest"}
HELD = "test"
# Of a unit that was in two splits the later of these counts.
NEW, TRAIN, VALIDATION, TEST = range(4)
SIDES = {"train": TRAIN, "validation": VALIDATION, HELD: TEST}

Integers = NDArray[np.int64]


class Frozen:
    """The test split of an earlier data set, and who was in which split of it.

    Attributes:
        dataset: The earlier data set; of its shards those of the test split are there.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open it.

        Raises:
            BadInput: If it is no data set or has no test split.
        """
        self.dataset = load_dataset(folder)
        if not any(True for _ in self.entries()):
            raise BadInput(f"{folder} has no image in its test split. Publish again.")

    def entries(self) -> Iterator[Entry]:
        """Yield what is known of the images of the test split, sorted by id."""
        return (entry for entry in self.dataset.entries() if entry.split == HELD)

    def split(self, index: Index, config: SplitConfig) -> dict[str, int]:
        """Assign every image to train or validation, or take it out of the index.

        A unit (images of one patient, or with identical pixels) of which anything was in the test
        split is taken out. One that was seen before stays on its side. The others are split by the
        rule.

        Args:
            index: Arranged; its column `split` is filled.
            config: The rule; `test_share` is not used.

        Returns:
            How many images are `known`, `new` and `excluded`.

        Raises:
            BadInput: If no image is left for one of the two.
        """
        units = find_units(index)
        before = self._sides(index, units)
        known, fresh = (int((before[units] != NEW).sum()), int((before[units] == NEW).sum()))
        excluded = int((before[units] == TEST).sum())
        after = _deal(index, units, before, config, int(config.validation_share * fresh + 0.5))
        told = {"known": known - excluded, "new": fresh, "excluded": excluded}
        names = dict(zip(SIDES.values(), SPLITS, strict=True))
        index.database.execute("BEGIN")
        index.database.executemany(
            "UPDATE images SET split = ? WHERE place = ?",
            ((names[side], place) for place, side in enumerate(after[units].tolist())),
        )
        index.database.execute("DELETE FROM images WHERE split = ?", (HELD,))
        index.database.execute("COMMIT")
        counts = index.counts()
        if not (counts["train"] and counts["validation"]):
            raise BadInput(
                f"after {excluded} images of the frozen test set were left out, {counts['train']} "
                f"images remain for train and {counts['validation']} for validation. Expected at "
                "least one in each: add images of other patients."
            )
        return told

    def _sides(self, index: Index, units: Integers) -> Integers:
        """Return for each unit the side on which something of it was."""
        database = index.database
        database.execute(
            "CREATE TEMP TABLE known (key TEXT, value TEXT, side INTEGER, PRIMARY KEY (key, value))"
        )
        rows = (
            (key, getattr(entry, key), SIDES[entry.split])
            for entry in self.dataset.entries()
            for key in KEYS
        )
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO known VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET side = MAX(side, excluded.side)",
            rows,
        )
        database.execute("COMMIT")
        sides = np.full(len(units), NEW)
        for key, column in KEYS.items():
            found = database.execute(
                f"SELECT place, side FROM images JOIN known ON key = ? AND value = {column}",  # noqa: S608
                (key,),
            )
            for place, side in found:
                sides[units[place]] = max(sides[units[place]], side)
        database.execute("DROP TABLE known")
        return sides

    def merge(self, spec: Mapping[str, Any], told: Mapping[str, int]) -> dict[str, Any]:
        """Return `dataset.json` of new data with the test split of the old, but for its shards.

        Args:
            spec: Of the new data, without a test split.
            told: What `split` counted.

        Raises:
            BadInput: If classes, channels, bit depth or border maps do not fit.
        """
        old = self.dataset.spec
        pairs = {
            "classes": ([each["name"] for each in s["classes"]] for s in (old, spec)),
            "channels": (s["channels"] for s in (old, spec)),
            "labelled": (s["labelled"] for s in (old, spec)),
            "border maps": (bool(s["border_sigma"]) for s in (old, spec)),
        }
        for name, (before, after) in pairs.items():
            if before != after:
                raise BadInput(
                    f"the new data must fit the frozen test set. Received: {name} {after}. "
                    f"Expected: {before}. Ingest with the parameters of the release, or start a "
                    "new series of releases with `thimble run`."
                )
        if spec["bit_depth"] > old["bit_depth"]:
            raise BadInput(
                f"the new images have {spec['bit_depth']} bits, the frozen test set has "
                f"{old['bit_depth']}. Expected no more. Start a new series with `thimble run`."
            )
        held = list(self.entries())
        return {
            **spec,
            "bit_depth": old["bit_depth"],
            "smallest_side": min(spec["smallest_side"], *(min(entry.shape) for entry in held)),
            "counts": {**spec["counts"], HELD: old["counts"][HELD]},
            "pixels": {**spec["pixels"], HELD: old["pixels"][HELD]},
            "attributes": sorted({*spec["attributes"], *old["attributes"]}),
            "frozen": {"images": len(held), **told},
        }

    def place(self, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Copy the shards of the test split; those in a store stay there.

        Args:
            spec: `dataset.json` of the new data with the places of its own shards.
            folder: Of the new data set.

        Returns:
            The same places with those of the test split.
        """
        old = self.dataset.spec
        places = old["shards"][HELD]
        for name in places:
            if "://" not in name:
                shutil.copyfile(self.dataset.folder / name, folder / name)
        kept = {name: old["objects"][name] for name in places if name in old.get("objects", {})}
        objects = {**spec.get("objects", {}), **kept}
        shards = {"shards": {**spec["shards"], HELD: places}}
        return shards | ({"objects": objects} if objects else {})


def _deal(
    index: Index, units: Integers, before: Integers, config: SplitConfig, wanted: int
) -> Integers:
    """Give new units to validation until it has as many images as are wanted, then to train."""
    sides, taken = before.copy(), 0
    roots, sizes = np.unique(units, return_counts=True)
    ordered = zip(roots[::-1].tolist(), sizes[::-1].tolist(), strict=True)
    if config.split_rule != "block":
        ordered = order_units(index, units, config)  # type: ignore[assignment]
    some = bool((before == VALIDATION).any())
    for unit, size in ordered:
        if before[unit] == NEW:
            held = taken + size <= wanted or not (some or taken)
            taken += size * held
            sides[unit] = VALIDATION if held else TRAIN
    return sides
