"""Releases in an object store: candidates that never change, and the pointer to the latest.

    <model>/<version>/...             packages, model card, provenance, digests
    <model>/<version>/candidate.json  written last: without it there is no candidate
    <model>/latest.json               what phones follow; only an approval or a revocation moves it
    <model>/audit/<time>-<id>-<action>.json  who submitted, approved, revoked; one per event

The version is the start of the SHA-256 of SHA256SUMS, which holds the digest of every other file.
"""

import getpass
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thimble.envelope import open_statement
from thimble.stage import BadInput, ThimbleError
from thimble.store import Store, Stored
from thimble.store_access import CONNECTIONS

__all__ = [
    "PROVENANCE",
    "SUMS",
    "VERSION_DIGITS",
    "Decision",
    "Refused",
    "approve",
    "now",
    "read_latest",
    "read_release",
    "revoke",
    "submit",
]

SUMS = "SHA256SUMS"
PROVENANCE = "provenance.json"
VERSION_DIGITS = 12
SHA256 = 64
# Files up to this size go to the store while it is asked whether the release is there already.
EARLY_BYTES = 1 << 20
NAME = re.compile(rf"([^/.][^/]*)/([0-9a-f]{{{VERSION_DIGITS}}})")
SUM_LINE = re.compile(r"([0-9a-f]{64})  ([^/.\n][^/\n]*)")
# Each loss means that somebody else moved the pointer, and that is rare.
ATTEMPTS = 10
NOTHING: dict[str, Any] = {
    "format": "thimble-latest/1",
    "generation": 0,
    "release": None,
    "previous": [],
    "revoked": [],
}

Latest = dict[str, Any]


class Refused(ThimbleError):
    """The pointer must not move to this release."""


@dataclass(frozen=True)
class Decision:
    """Who decides, and why.

    Attributes:
        who: Name of the person.
        why: The reason.
    """

    who: str
    why: str

    def __post_init__(self) -> None:
        """A decision without a name or a reason is none."""
        if not self.who.strip() or not self.why.strip():
            raise BadInput("a decision needs --who and --why. Received: an empty text.")


def now() -> str:
    """Return the time in UTC, as events and candidates have it: `2026-01-31T12:00:00+00:00`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def submit(store: Store, model: str, folder: Path, origin: Mapping[str, str]) -> str:
    """Put a release into the store as a candidate, unless it is there already.

    Args:
        store: Where releases are.
        model: Its name.
        folder: Files that SHA256SUMS lists, and that file itself.
        origin: `run_started`, the time that orders candidates (empty: now), and what else tells
            where it comes from.

    Returns:
        Name of the candidate, `<model>/<version>`.

    Raises:
        ThimbleError: If the store refuses or fails. No candidate is visible then; the same call
            again completes it.
    """
    sums = (folder / SUMS).read_bytes()
    digest = hashlib.sha256(sums).hexdigest()
    name = f"{model}/{digest[:VERSION_DIGITS]}"
    # The store refuses what is not as listed.
    files = {SUMS: digest, **_listed(sums)}
    event = {"action": "submit", "who": origin.get("submitted_by") or "not given"}
    with ThreadPoolExecutor(CONNECTIONS) as pool:

        def begin(act: Callable[..., Any], chosen: Iterable[str]) -> dict[str, Future[Any]]:
            places = {file: (folder / file, f"{name}/{file}", files[file]) for file in chosen}
            return {file: pool.submit(act, *place) for file, place in places.items()}

        large = {file for file in files if (folder / file).stat().st_size > EARLY_BYTES}
        created = begin(store.create, [file for file in files if file not in {SUMS, *large}])
        # Where SHA256SUMS was not, there is no candidate.
        is_new = store.create(folder / SUMS, f"{name}/{SUMS}", digest)
        if not is_new and store.read(f"{name}/candidate.json"):
            return name
        left = begin(store.upload, [file for file in files if file in large])
        # A submission took effect if the candidate is there: its event need not wait for files.
        _log(store, name, {**event, "origin": dict(origin)})
        met = [file for file, each in created.items() if not each.result()]
        left |= begin(store.upload, [*met, *([] if is_new else [SUMS])])
        for each in left.values():
            each.result()
    candidate = {
        "format": "thimble-candidate/1",
        "sha256sums": digest,
        "run_started": origin.get("run_started") or now(),
    }
    store.write(f"{name}/candidate.json", _json(candidate))
    return name


def approve(store: Store, name: str, decision: Decision, public_key: Path | None = None) -> Latest:
    """Make a candidate the latest release.

    Args:
        store: Where releases are.
        name: `<model>/<version>`.
        decision: Who and why.
        public_key: PEM file of the key that must have signed its provenance; None: not checked.

    Returns:
        latest.json; unchanged if this is the latest already.

    Raises:
        BadInput: If there is no such candidate, or it is not what was submitted or not signed.
        Refused: If it was revoked, or comes from a run that started before that of the latest.
    """
    candidate = _candidate(store, name)
    digests = _verify(store, name, candidate["sha256sums"])
    _verify_provenance(store, name, digests, public_key)
    version = name.rpartition("/")[2]
    entry = {
        "version": version,
        "sha256sums": candidate["sha256sums"],
        "run_started": candidate["run_started"],
    }

    def decide(latest: Latest) -> Latest | None:
        current = latest["release"]
        if current and current["version"] == version:
            return None
        if version in latest["revoked"]:
            raise Refused(f"{name} was revoked. Make and approve another candidate.")
        if current and _time(entry["run_started"]) < _time(current["run_started"]):
            raise Refused(
                f"{name} comes from a run that started {entry['run_started']}, before that of the "
                f"latest release {current['version']} ({current['run_started']}): an older run "
                "does not replace a newer one. Revoke the latest first if it is to go."
            )
        return {"release": entry, "previous": [current, *latest["previous"]] if current else []}

    return _move(store, name, "approve", decision, decide)


def revoke(store: Store, name: str, decision: Decision) -> Latest:
    """Take a release back; if it is the latest, the one before it is the latest again.

    Returns:
        latest.json; its `release` is None if none is left. Unchanged if it was revoked already.

    Raises:
        BadInput: If there is no such candidate.
    """
    _candidate(store, name)
    version = name.rpartition("/")[2]

    def decide(latest: Latest) -> Latest | None:
        if version in latest["revoked"]:
            return None
        left = [each for each in latest["previous"] if each["version"] != version]
        current = latest["release"]
        if current and current["version"] == version:
            current, left = (left[0], left[1:]) if left else (None, [])
        revoked = sorted([*latest["revoked"], version])
        return {"release": current, "previous": left, "revoked": revoked}

    return _move(store, name, "revoke", decision, decide)


def read_latest(store: Store, model: str) -> str:
    """Return the version of a model that is the latest release.

    Raises:
        BadInput: If none is.
    """
    release = _read_latest(store.read(f"{model}/latest.json"))["release"]
    if not release:
        raise BadInput(
            f"{store.location}/{model} has no release. Expected one that was approved: "
            "`thimble approve`."
        )
    return str(release["version"])


def read_release(store: Store, name: str, file: str) -> bytes:
    """Return a small file of a release.

    Args:
        store: Where releases are.
        name: `<model>/<version>`.
        file: One that SHA256SUMS lists.

    Raises:
        BadInput: If there is no such candidate, or it is not what was submitted.
    """
    sums = _read_sums(store, name, _candidate(store, name)["sha256sums"])
    stored = store.read(f"{name}/{file}")
    if not stored or hashlib.sha256(stored.data).hexdigest() != _listed(sums).get(file):
        raise BadInput(f"{name}/{file} is not what was submitted. Publish again.")
    return stored.data


def _move(
    store: Store,
    name: str,
    action: str,
    decision: Decision,
    decide: Callable[[Latest], Latest | None],
) -> Latest:
    """Move the pointer; whoever lost a race decides again on what is there then."""
    pointer = f"{name.rpartition('/')[0]}/latest.json"
    for _ in range(ATTEMPTS):
        stored = store.read(pointer)
        latest = _read_latest(stored)
        changes = decide(latest)
        if changes is None:
            return latest
        generation = latest["generation"] + 1
        # The event comes first: there is no move without one. An event took effect if a generation
        # of the pointer names it.
        said = {"who": decision.who, "why": decision.why, "generation": generation}
        event = _log(store, name, {"action": action, **said})
        moved = {**latest, **changes, "generation": generation, "event": event}
        if store.write(pointer, _json(moved), replaces=stored.etag if stored else None):
            return moved
    raise ThimbleError(f"{pointer} kept moving. Run the same command again.")


def _read_latest(stored: Stored | None) -> Latest:
    """Return latest.json, or what it says before the first approval."""
    return {**NOTHING, **_object(stored.data)} if stored else dict(NOTHING)


def _object(data: bytes) -> dict[str, Any]:
    """Read JSON that somebody else wrote."""
    try:
        return dict(json.loads(data))
    except (TypeError, ValueError):
        raise BadInput("the store holds something else than JSON. Publish again.") from None


def _candidate(store: Store, name: str) -> dict[str, Any]:
    """Read candidate.json."""
    if not NAME.fullmatch(name):
        raise BadInput(f"a release is named <model>/<version>. Received: {name}")
    stored = store.read(f"{name}/candidate.json")
    if not stored:
        raise BadInput(
            f"{store.location}/{name} is no candidate, or was not published whole. Expected a "
            "name that publish printed; publish again."
        )
    candidate = _object(stored.data)
    try:
        if not _time(candidate["run_started"]).tzinfo or len(candidate["sha256sums"]) != SHA256:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{name}/candidate.json is not what publish writes.") from None
    return candidate


def _verify(store: Store, name: str, sha256sums: str) -> dict[str, str]:
    """Check every file of a release; return the digests by file."""
    digests = _listed(_read_sums(store, name, sha256sums))
    for file, digest in digests.items():
        if store.sha256(f"{name}/{file}") != digest:
            raise BadInput(f"{name}/{file} is not what was submitted. Publish again.")
    return digests


def _read_sums(store: Store, name: str, sha256sums: str) -> bytes:
    """Return the SHA256SUMS of a release."""
    stored = store.read(f"{name}/{SUMS}")
    sums = stored.data if stored else b""
    version = name.rpartition("/")[2]
    if hashlib.sha256(sums).hexdigest() != sha256sums or not sha256sums.startswith(version):
        raise BadInput(f"{name}/{SUMS} is not what was submitted. Publish again.")
    return sums


def _verify_provenance(
    store: Store, name: str, digests: Mapping[str, str], public_key: Path | None
) -> None:
    """Check that the statement is about these files and, with a key, who signed it."""
    stored = store.read(f"{name}/{PROVENANCE}")
    statement = open_statement(_object(stored.data) if stored else {}, public_key)
    try:
        said = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    except (KeyError, TypeError):
        said = {}
    packages = {file: digest for file, digest in digests.items() if file.endswith(".thimble")}
    if not packages.items() <= said.items():
        raise BadInput(f"{name}/{PROVENANCE} is about other packages. Publish again.")


def _log(store: Store, name: str, event: Mapping[str, Any]) -> str:
    """Append an event to the audit log; return its name."""
    model, _, version = name.rpartition("/")
    time = now()
    stamp = re.sub(r"[-:]", "", time.partition("+")[0])
    # The action is in the name, so that a policy can say who may write which events.
    key = f"{model}/audit/{stamp}Z-{uuid.uuid4().hex[:12]}-{event['action']}.json"
    record = {"time": time, "release": version, "by": _account(), **event}
    if not store.write(key, _json(record)):
        raise ThimbleError(f"{key} exists already. Run the same command again.")
    return key


def _account() -> str:
    """Return the account of the operating system; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _listed(sums: bytes) -> dict[str, str]:
    """Return the digests by file of a SHA256SUMS."""
    lines = sums.decode(errors="replace").splitlines()
    found = [SUM_LINE.fullmatch(line) for line in lines]
    if not lines or not all(found):
        raise BadInput(f"{SUMS} must list digests and file names. Publish again.")
    return {each[2]: each[1] for each in found if each}


def _time(text: str) -> datetime:
    """Return a time with its zone."""
    return datetime.fromisoformat(text)


def _json(value: Mapping[str, Any]) -> bytes:
    """Return canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"
