"""The search before the run: what was tried on validation, and what kept it out of the budget."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.report.formats import (
    bytes_text,
    count_text,
    dice_text,
    difference_text,
    exact_bytes,
    plain,
    seconds_text,
)
from components.report.tables import Cell, Table
from thimble.stage import BadInput

__all__ = ["Searched", "read_trials", "searched"]

LIMITS = {"max_dice_drop": "Dice drop", "max_bytes": "package", "max_p90_ms": "p90"}
HEAD = (
    "Trial",
    "Network",
    "Sparsity",
    "Codebook",
    "Bit price",
    "Precision",
    "Bytes",
    "Validation Dice",
    "Dice drop",
    "p90",
    "Budget",
)


@dataclass(frozen=True)
class Searched:
    """A search as the page shows it: one sentence and one row per trial."""

    sentence: str
    table: Table


def read_trials(trials: str) -> dict[str, Any]:
    """Read the parameter `trials`.

    Args:
        trials: JSON with `budget`, `best` (a number) and `trials` (number, branch, width, sparsity,
            codebook_size, rate_weight, binds, and, unless it failed, variant, package_bytes, dice,
            dice_drop, p90_ms); empty if there was no search.

    Returns:
        The same, parsed; an empty dict if there was no search.

    Raises:
        BadInput: If it is something else.
    """
    if not trials:
        return {}
    try:
        found: dict[str, Any] = json.loads(trials)
        _section(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"trials must be the JSON that a search writes, or empty. Received: {trials[:60]!r} "
            f"({type(error).__name__}: {error})"
        ) from None
    return found


def searched(found: Mapping[str, Any]) -> Searched | None:
    """Return what the page says about a search, or None if there was none."""
    return _section(found) if found else None


def _section(found: Mapping[str, Any]) -> Searched:
    """Make sentence and table."""
    trials, best = found["trials"], found["best"]
    fit = sum(not trial["binds"] for trial in trials)
    limits = [
        f"{LIMITS[name]} at most {_limit(name, v)}" for name, v in found["budget"].items() if v
    ]
    sentence = (
        f"{len(trials)} trials on the validation split, none of which saw a test image; {fit} met "
        f"the budget ({', '.join(limits)}). Trial {best} is the smallest of them; this report "
        "scores it on the test split."
    )
    rows = tuple(_row(trial, best) for trial in trials)
    return Searched(sentence, Table("Trials of the search", HEAD, rows, sortable=True))


def _limit(name: str, value: float) -> str:
    """A limit with its unit."""
    if name == "max_bytes":
        return bytes_text(value)
    return seconds_text(value / 1e3) if name == "max_p90_ms" else f"{value:g}"


def _row(trial: Mapping[str, Any], best: int) -> tuple[Cell, ...]:
    """One trial."""
    over = [LIMITS.get(name, name) for name in trial["binds"]]
    verdict = Cell("over: " + ", ".join(over), mark="fail") if over else Cell("fits", mark="pass")
    if trial["binds"] == ["failed"]:
        verdict = Cell("failed", mark="fail")
    number = f"{trial['number']}{' (best)' if trial['number'] == best else ''}"
    size, dice, drop, p90 = (
        trial.get(name) for name in ("package_bytes", "dice", "dice_drop", "p90_ms")
    )
    p90 = None if p90 is None else p90 / 1e3
    return (
        Cell(number, float(trial["number"]), number=True),
        Cell(f"{trial['branch']}, width {trial['width']}", mark=f"key-{trial['branch']}"),
        Cell(plain(trial["sparsity"]), float(trial["sparsity"]), number=True),
        Cell(count_text(trial["codebook_size"]), float(trial["codebook_size"]), number=True),
        Cell(plain(trial["rate_weight"]), float(trial["rate_weight"]), number=True),
        Cell(plain(trial.get("variant", ""))),
        Cell(exact_bytes(size), size, number=True),
        Cell(dice_text(dice), dice, number=True),
        Cell(difference_text(drop), drop, number=True),
        Cell(seconds_text(p90), p90, number=True),
        verdict,
    )
