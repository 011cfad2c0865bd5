"""A cell on disk: the recipe it is of, its scores, and the rule that test is scored once."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thimble.artifact import read_json, write_atomically, write_json
from thimble.stage import BadInput

__all__ = [
    "check_recipe",
    "is_trained",
    "network_digest",
    "read_scores",
    "scores_file",
    "write_scores",
]

# All that makes a network; what its stages did is not part of it.
PARTS = (
    "architecture.json",
    "preprocessing.json",
    "constraints.safetensors",
    "weights.safetensors",
)


def is_trained(cell: Path) -> bool:
    """Return whether a cell holds a whole Model artifact."""
    return (cell / "history.json").exists()


def check_recipe(cell: Path, given: Mapping[str, Any]) -> None:
    """Refuse a trained cell of another recipe, such as one that an earlier version left.

    Args:
        cell: Model artifact.
        given: Parameters of its stage, from `recipes.given_of`.

    Raises:
        BadInput: If it was trained with others.
    """
    made: dict[str, Any] = read_json(cell / "history.json")[-1]["config"]
    other = {name: made.get(name) for name, value in given.items() if made.get(name) != value}
    if other:
        raise BadInput(
            f"{cell} must be trained with {', '.join(f'{name} {given[name]}' for name in other)}. "
            f"Received: {', '.join(f'{name} {value}' for name, value in other.items())}, of "
            "another recipe. Move its folder away, or name an empty one with --out."
        )


def scores_file(cell: Path, split: str) -> Path:
    """Return where the scores are kept: beside the cell, as training again replaces its folder."""
    return cell.parent / f"{cell.name}.scores-{split}.json"


def network_digest(cell: Path) -> str:
    """Return the SHA-256 of the network of a Model artifact."""
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(hashlib.sha256((cell / part).read_bytes()).digest())
    return digest.hexdigest()


def read_scores(cell: Path, split: str) -> dict[str, Any] | None:
    """Return the scores of the network that a cell holds, or None if it was not scored.

    Raises:
        BadInput: If another network of this cell was scored on the test split.
    """
    file = scores_file(cell, split)
    if not file.exists() or not is_trained(cell):
        return None
    scores: dict[str, Any] = read_json(file)
    found = network_digest(cell)
    if scores["network"] == found:
        return scores
    if split == "test":
        raise BadInput(
            f"{cell} must hold the network {scores['network'][:12]} that {file.name} was made of: "
            f"its score on the test split froze the recipe. Received: {found[:12]}, made later. "
            f"Put that network back, or remove {file} and say on the page why it was scored twice."
        )
    return None


def write_scores(cell: Path, split: str, scores: dict[str, Any]) -> None:
    """Write the scores of a cell."""
    with write_atomically(scores_file(cell, split)) as file:
        write_json(file, scores)
