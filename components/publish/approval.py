"""Approval without a person: of a retraining only, and only where the operator has set it.

THIMBLE_AUTOMATIC_APPROVAL holds the name of whoever answers for it. It is in the environment of the
stage, on a cluster in a secret: no parameter of a run can turn it on.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from thimble.releases import Decision, approve
from thimble.store import Store
from thimble.store_access import Location, StoreSettings

__all__ = ["approve_automatically"]

SETTING = "THIMBLE_AUTOMATIC_APPROVAL"


def approve_automatically(url: str, name: str, verdict: Mapping[str, Any]) -> str:
    """Make a candidate the latest release, if the operator wants that without a person.

    Args:
        url: Folder of releases in an object store.
        name: The candidate.
        verdict: verdict.json, passed.

    Returns:
        What was done, in words; empty if the operator did not set it.

    Raises:
        BadInput: If the credentials may not approve, or the candidate is not what was submitted.
        ThimbleError: If it comes from an older run than the latest release, or was revoked.
    """
    who = os.environ.get(SETTING, "").strip()
    if not who:
        return ""
    told = verdict.get("retraining")
    if not told:
        return f"{name} waits for an approval: {SETTING} is for retrainings, a person looks first"
    key = os.environ.get("THIMBLE_SIGNING_PUBLIC_KEY", "")
    decision = Decision(f"automatic by {SETTING} of {who}", str(told["why"]))
    approve(_open_as_approver(url), name, decision, Path(key) if key else None)
    return f"{name} is the latest release, {decision.who}"


def _open_as_approver(url: str) -> Store:
    """Open the store with the approver's credentials; without, with those of the stage."""
    settings = StoreSettings.from_environment()
    access = os.environ.get("THIMBLE_APPROVER_ACCESS_KEY", "")
    if access:
        secret = os.environ.get("THIMBLE_APPROVER_SECRET_KEY", "")
        settings = replace(settings, access_key=access, secret_key=secret, session_token="")
    return Store(settings.client(), Location.parse(url))
