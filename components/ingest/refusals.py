"""The dead letter: files that cannot be used, each with its reason, counted by kind of reason."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from thimble.datasets.source import Refusal
from thimble.records import REJECTED
from thimble.stage import BadInput

__all__ = ["count_reasons", "kind_of_reason", "list_refusals", "refuse_many", "write_refusals"]

SHOWN = 5
LONGEST_KIND = 120


def kind_of_reason(reason: str) -> str:
    """Return a reason without names and numbers, so that files of one fault are counted together.

    Args:
        reason: Sentences, the first of which says what is wrong.
    """
    fault = re.split(r"[.!] (?=[A-Z])", reason, maxsplit=1)[0]
    # A path may hold spaces: it goes up to the first end of a file name.
    fault = re.sub(r"\S*/.*?\.[A-Za-z]\w{1,4}\b|\S*/\S*", "*", fault)
    fault = re.sub(r"(?<![\w-])\d[\d.,x]*", "*", fault)
    return fault.strip(" .")[:LONGEST_KIND]


def count_reasons(refusals: Iterable[Refusal]) -> dict[str, int]:
    """Return how many files were refused for each kind of reason, the most frequent first."""
    return {kind: count for kind, (count, _) in _by_kind(refusals).items()}


def _by_kind(refusals: Iterable[Refusal]) -> dict[str, tuple[int, str]]:
    """Return number and first reason of each kind, the most frequent first."""
    kinds: dict[str, tuple[int, str]] = {}
    for refusal in refusals:
        kind = kind_of_reason(refusal.reason)
        count, first = kinds.get(kind, (0, refusal.reason))
        kinds[kind] = (count + 1, first)
    return dict(sorted(kinds.items(), key=lambda item: (-item[1][0], item[0])))


def write_refusals(path: Path, refusals: Iterable[Refusal]) -> None:
    """Write a JSON line for each refusal."""
    with open(path, "w", encoding="utf-8") as file:
        for refusal in refusals:
            file.write(json.dumps(asdict(refusal), ensure_ascii=False) + "\n")


def refuse_many(images: int, refusals: Iterable[Refusal], share: float, listing: str = "") -> None:
    """Raise if too many files cannot be used.

    Args:
        images: How many images can be.
        refusals: Every file that cannot, sorted.
        share: Largest share of files that may be unusable.
        listing: Where all of them are listed.

    Raises:
        BadInput: With the first reason of each kind, and numbers.
    """
    kinds = _by_kind(refusals)
    refused = sum(count for count, _ in kinds.values())
    total = images + refused
    if images and refused <= share * total:
        return
    shown = [f"{first} ({count} of this kind)" if count > 1 else first
             for count, first in list(kinds.values())[:SHOWN]]  # fmt: skip
    more = f" (and {len(kinds) - SHOWN} more kinds)" if len(kinds) > SHOWN else ""
    where = f" All are listed in {listing}." if listing else ""
    raise BadInput(
        f"{refused} of {total} files or images cannot be used, more than "
        f"max_rejected_share={share} allows: {' | '.join(shown)}{more}{where}"
    )


def list_refusals(refusals: Iterable[Refusal]) -> str:
    """Write the list where it outlives a stage that fails; return where that is.

    It is `rejected.jsonl` in the run's state folder; without one each refusal is a line of the log.
    """
    folder = os.environ.get("THIMBLE_STATE")
    if folder:
        path = Path(folder) / REJECTED
        write_refusals(path, refusals)
        return str(path)
    for refusal in refusals:
        print("rejected:", json.dumps(asdict(refusal), ensure_ascii=False), flush=True)
    return "the log"
