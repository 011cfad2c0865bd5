"""What the terms of a data set forbid, as far as their words tell; a person decides the rest."""

import re
from collections.abc import Iterable

from thimble.stage import BadInput

__all__ = ["RESEARCH", "check_terms"]

RESEARCH = "research use only"
NOT_HANDED_ON = re.compile(
    r"\bno[nt]?[ -](be |for )?(release|redistribut|distribut|shar|deriv|publi)|\bnd\b"
    r"|noderiv|internal (use|evaluation)",
    re.IGNORECASE,
)
RESEARCH_ALONE = re.compile(
    r"\bnon-?commercial|\bnc\b|(research|educational?)( use| purposes)? only|only for research",
    re.IGNORECASE,
)


def check_terms(
    name: str, terms: str, intended_use: str, overridden: Iterable[str], public: bool
) -> str:
    """Refuse to hand on a release that the terms of its data forbid.

    Args:
        name: Of the data set.
        terms: Its terms of use, in words.
        intended_use: Of the release.
        overridden: Data sets whose owner has allowed this release in spite of the terms.
        public: Whether it leaves this machine, for an object store.

    Returns:
        A sentence for the model card about what was overridden; empty if nothing was.

    Raises:
        BadInput: If the terms forbid it and the data set is not among `overridden`.
    """
    reason = _reason(terms, intended_use, public)
    if not reason:
        return ""
    if name in set(overridden):
        return f"The terms {reason}. Whoever published this release overrode that for this data."
    raise BadInput(
        f"the terms of the data set {name} {reason}. Received: terms={terms!r}, "
        f"intended_use={intended_use!r}. Nothing was published. Train on other data, or, if its "
        f"owner allows this release, name it: override_terms={name}."
    )


def _reason(terms: str, intended_use: str, public: bool) -> str:
    """Say what the terms forbid."""
    if NOT_HANDED_ON.search(terms):
        return "forbid to hand on what was made from it"
    if intended_use != RESEARCH and RESEARCH_ALONE.search(terms):
        return "allow research only"
    if public and terms.strip().lower() in ("", "not stated"):
        return "are not stated"
    return ""
