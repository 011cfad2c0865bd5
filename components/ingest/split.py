"""Who goes to train, validation and test. Patients and identical images never straddle."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from components.ingest.config import SplitConfig
from thimble.stage import BadInput

__all__ = ["split_cases"]


def _count(share: float, images: int) -> int:
    """Return a share of the images, halves up; a split that is wanted gets one at least."""
    return max(1, int(share * images + 0.5))


def _units(ids: Sequence[str], groups: Mapping[str, str], digests: Mapping[str, str]) -> list[
    list[str]
]:  # fmt: skip
    """Join cases that share a group or have identical pixels."""
    parent = {case: case for case in ids}

    def root(case: str) -> str:
        while parent[case] != case:
            parent[case] = parent[parent[case]]
            case = parent[case]
        return case

    for key in (groups, digests):
        first: dict[str, str] = {}
        for case in ids:
            parent[root(case)] = root(first.setdefault(key[case], case))
    units: dict[str, list[str]] = defaultdict(list)
    for case in ids:
        units[root(case)].append(case)
    return list(units.values())


def _hash_order(names: Iterable[str], seed: int) -> str:
    """Return the sort key of a unit: the hash of its smallest name."""
    return hashlib.sha256(f"{seed}:{min(names)}".encode()).hexdigest()


def split_cases(
    ids: Sequence[str],
    groups: Mapping[str, str],
    digests: Mapping[str, str],
    config: SplitConfig,
) -> dict[str, list[str]]:
    """Assign every case to a split.

    Args:
        ids: Cases in natural order.
        groups: Group of every case.
        digests: Digest of the pixels of every case.
        config: The rule.

    Returns:
        Sorted ids of `train`, `validation` and `test`. `block` cuts by position alone and leaves
        duplicates to the validate stage; the other rules keep groups and duplicates together.

    Raises:
        BadInput: If there are too few images (or groups) for three splits.
    """
    test, validation = (
        _count(share, len(ids)) for share in (config.test_share, config.validation_share)
    )
    if config.split_rule == "block":
        train = max(len(ids) - test - validation, 0)
        parts = [
            list(ids[:train]),
            list(ids[train : len(ids) - test]),
            list(ids[len(ids) - test :]),
        ]
    else:
        parts = _split_units(ids, groups, digests, config, (validation, test))
    if not all(parts):
        raise BadInput(
            f"{len(ids)} image(s) are too few for three splits ({len(parts[0])} train, "
            f"{len(parts[1])} validation, {len(parts[2])} test). Expected at least one in each: "
            "add images"
            + ("." if len(ids) < 3 else ", groups, or change validation_share and test_share.")
        )
    names = ("train", "validation", "test")
    return {name: sorted(part) for name, part in zip(names, parts, strict=True)}


def _split_units(
    ids: Sequence[str],
    groups: Mapping[str, str],
    digests: Mapping[str, str],
    config: SplitConfig,
    wanted: tuple[int, int],
) -> list[list[str]]:
    """Fill test, then validation, then train in the order of the hash; units stay whole."""
    by_group = config.split_rule == "group"

    def order(unit: list[str]) -> str:
        return _hash_order((groups[c] for c in unit) if by_group else unit, config.split_seed)

    train: list[str] = []
    validation: list[str] = []
    test: list[str] = []
    for unit in sorted(_units(ids, groups, digests), key=order):
        for part, size in ((test, wanted[1]), (validation, wanted[0])):
            # A unit larger than its split is taken while the split is empty.
            if len(part) < size and (not part or len(part) + len(unit) <= size):
                part.extend(unit)
                break
        else:
            train.extend(unit)
    return [train, validation, test]
