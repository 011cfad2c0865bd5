"""Who goes to train, validation and test. Patients and identical images never straddle."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from components.ingest.config import SplitConfig
from components.ingest.index import Index
from thimble.records import SPLITS
from thimble.stage import BadInput

__all__ = ["find_units", "order_units", "split_cases", "split_index"]

Integers = NDArray[np.int64]


def split_index(index: Index, config: SplitConfig) -> None:
    """Assign every image of an index to a split.

    `block` cuts by position, between patients, and leaves duplicates to the validate stage; the
    other rules keep groups and duplicates together.

    Args:
        index: Arranged; its column `split` is filled.
        config: The rule.

    Raises:
        BadInput: If there are too few images (or groups) for three splits, or a cut goes through
            a patient.
    """
    count = index.count()
    test, validation = (
        max(1, int(share * count + 0.5)) for share in (config.test_share, config.validation_share)
    )
    index.database.execute("BEGIN")
    if config.split_rule == "block":
        _cut(index, max(count - test - validation, 0), count - test)
    else:
        _fill(index, config, {"test": test, "validation": validation})
    index.database.execute("COMMIT")
    found = index.counts()
    if len(found) < len(SPLITS):
        counted = ", ".join(f"{found[name]} {name}" for name in SPLITS)
        raise BadInput(
            f"{count} image(s) are too few for three splits ({counted}). Expected at least one in "
            "each: add images"
            + ("." if count < 3 else ", groups, or change validation_share and test_share.")
        )


def _cut(index: Index, validation: int, test: int) -> None:
    """Cut by position, at the border of two patients that is nearest to each cut."""
    first, last = _patient_at(index, test)
    test = first if test - first <= last - test else last
    first, last = _patient_at(index, validation)
    validation = first if validation - first <= last - validation else last
    if validation >= test:
        validation = _patient_at(index, max(test - 1, 0))[0]
    for name, (start, end) in zip(
        SPLITS, pairwise([0, validation, test, index.count()]), strict=True
    ):
        index.database.execute(
            "UPDATE images SET split = ? WHERE place >= ? AND place < ?", (name, start, end)
        )
    straddling = index.database.execute(
        "SELECT patient FROM images GROUP BY patient HAVING COUNT(DISTINCT split) > 1 LIMIT 1"
    ).fetchone()
    if straddling:
        index.database.execute("ROLLBACK")
        raise BadInput(
            f"split_rule=block cuts through the group {straddling[0]}, whose images are not beside "
            "each other. Expected: a group in one split. Set split_rule=group."
        )


def _patient_at(index: Index, place: int) -> tuple[int, int]:
    """Return the first place of the run of one patient's images here, and that behind it."""
    found = index.database.execute(
        "SELECT patient FROM images WHERE place = ?", (place,)
    ).fetchone()
    if not found:
        return place, place
    other = "SELECT {} FROM images WHERE patient != ? AND place {} ?"
    before = index.database.execute(other.format("MAX(place)", "<"), (*found, place)).fetchone()[0]
    after = index.database.execute(other.format("MIN(place)", ">"), (*found, place)).fetchone()[0]
    return 0 if before is None else before + 1, index.count() if after is None else after


def _fill(index: Index, config: SplitConfig, wanted: Mapping[str, int]) -> None:
    """Fill test, then validation, then train in the order of the hash; units stay whole."""
    units = find_units(index)
    taken = dict.fromkeys(wanted, 0)
    chosen = np.zeros(len(units), np.uint8)
    for unit, size in order_units(index, units, config):
        for number, (name, most) in enumerate(wanted.items(), start=1):
            # A unit larger than its split is taken while the split is empty.
            if taken[name] < most and (not taken[name] or taken[name] + size <= most):
                taken[name] += size
                chosen[unit] = number
                break
    names = ("train", *wanted)
    index.database.executemany(
        "UPDATE images SET split = ? WHERE place = ?",
        ((names[chosen[unit]], place) for place, unit in enumerate(units)),
    )


def find_units(index: Index) -> Integers:
    """Return for each image the first of those that share a patient or pixels with it.

    Args:
        index: Arranged.

    Returns:
        (images,) places: images of one place are a unit, which no split divides.
    """
    parent = np.arange(index.count())

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    for key in ("patient", "digest"):
        pairs = index.database.execute(
            f"SELECT place, MIN(place) OVER (PARTITION BY {key}) FROM images"  # noqa: S608
        )
        for place, first in pairs:
            if place != first:
                one, other = sorted((root(place), root(first)))
                parent[other] = one
    return np.array([root(place) for place in range(len(parent))], np.int64)


def order_units(index: Index, units: Integers, config: SplitConfig) -> Iterator[tuple[int, int]]:
    """Yield (unit, images in it) in the order of the hash of its smallest name.

    Args:
        index: Arranged.
        units: From `find_units`.
        config: The rule and its seed.
    """
    database = index.database
    database.execute("CREATE TEMP TABLE units (place INTEGER PRIMARY KEY, unit INTEGER)")
    database.executemany("INSERT INTO units VALUES (?, ?)", enumerate(units.tolist()))

    def hashed(name: str) -> str:
        return hashlib.sha256(f"{config.split_seed}:{name}".encode()).hexdigest()

    database.create_function("seeded", 1, hashed, deterministic=True)
    name = "patient" if config.split_rule == "group" else "id"
    order = f"seeded(MIN({name})), MIN(images.place)"
    yield from database.execute(
        f"SELECT unit, COUNT(*) FROM units JOIN images USING (place) GROUP BY unit ORDER BY {order}"  # noqa: S608
    )
    database.execute("DROP TABLE units")


def split_cases(
    ids: Sequence[str],
    groups: Mapping[str, str],
    digests: Mapping[str, str],
    config: SplitConfig,
) -> dict[str, list[str]]:
    """Assign images to splits as `split_index` does.

    Args:
        ids: Images in natural order.
        groups: Group of every image.
        digests: Digest of the pixels of every image.
        config: The rule.

    Returns:
        Sorted ids of `train`, `validation` and `test`.

    Raises:
        BadInput: As `split_index`.
    """
    index = Index()
    for place, name in enumerate(ids):
        own = {"id": name, "group": groups[name], "digest": digests[name]}
        index.add_looked(place, [own | {"shape": [0, 0], "bits": 8}], [])
    index.arrange()
    split_index(index, config)
    found: dict[str, list[str]] = {name: [] for name in SPLITS}
    for image in index.images():
        found[image["split"]].append(image["id"])
    index.close()
    return found
