"""The dataset card: what ingest would do with a folder, found out without being told anything."""

import os
import secrets
from collections.abc import Iterator
from typing import Any

from components.ingest.check import inspect_source
from components.ingest.config import IngestConfig
from components.ingest.detect import Guess, guess_kinds, suggest_classes
from components.ingest.scan import open_reader
from thimble.datasets.privacy import KEY, KEY_FILE
from thimble.stage import BadInput, flat_fields, from_flat

__all__ = ["describe_folder"]

BUDGET = 2**26
LABELS_LOOKED_AT = 8


def describe_folder(
    source: str, everything: bool = False, **given: Any
) -> Iterator[dict[str, Any]]:
    """Yield a card for each kind of data that a folder holds.

    Args:
        source: The folder.
        everything: Whether to read all of a large set; else 64 MiB of it.
        given: Flat parameters of ingest that the user chose, `kind` among them; the rest is
            guessed.

    Yields:
        What `inspect_source` returns, with `parameters` (what ingest must be told), `remark`, and
        `stops` (why ingest would not take the folder) where it would not.

    Raises:
        BadInput: If the folder holds nothing that ingest reads, or a parameter is wrong.
    """
    _need_key()
    if given.get("kind"):
        grouped = given["kind"] in ("dicom", "nifti")
        guesses = [Guess(given["kind"], {"split_rule": "group"} if grouped else {})]
    else:
        guesses = list(guess_kinds(source))
    for guess in guesses:
        parameters = guess.parameters | {k: v for k, v in given.items() if v and k != "kind"}
        if guess.kind in ("dicom", "nifti"):
            parameters = _complete(guess.kind, source, parameters)
        card = inspect_source(guess.kind, source, None if everything else BUDGET, **parameters)
        yield card | {"parameters": {"kind": guess.kind} | parameters, "remark": guess.remark}


def _need_key() -> None:
    """Use a key that is forgotten where the user has none: a card leaves no pseudonyms."""
    if not (os.environ.get(KEY) or os.environ.get(KEY_FILE)):
        os.environ[KEY] = secrets.token_hex(32)


def _complete(kind: str, source: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Say whether volumes have labels, and which classes these hold."""
    arguments = flat_fields(IngestConfig) | parameters | {"kind": kind, "source": source}
    reader = open_reader(from_flat(IngestConfig, arguments))
    if "labels" not in parameters:
        cases, refused = reader.cases()
        # Labels whose images are missing are labels all the same.
        lonely = any(refusal.reason.startswith("label ") for refusal in refused)
        if not cases and not lonely:
            parameters = parameters | {"labels": "none"}
    if parameters.get("labels") == "none" or parameters.get("classes") or reader.classes:
        return parameters
    values: set[int] = set()
    for case in reader.cases()[0][:LABELS_LOOKED_AT]:
        try:
            for sample in reader.read(case):
                values |= set(sample.label.ravel().tolist()) if hasattr(sample, "label") else set()
        except BadInput:
            continue
    suggested = suggest_classes(sorted(values))
    return parameters | ({"classes": suggested} if suggested else {})
