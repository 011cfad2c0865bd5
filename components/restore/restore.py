"""Restore: the last release with its basis, from which a retraining starts."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thimble.artifact import digest_file, digest_folder, read_json, write_atomically, write_json
from thimble.releases import SUMS, VERSION_DIGITS, read_latest, read_release
from thimble.stage import BadInput, Run, require
from thimble.store import is_store_url, open_store
from thimble.store_access import Location

__all__ = ["RestoreConfig", "restore_release"]

FORMAT = "thimble-basis/1"
# Parts of a basis that become artifacts; `released` is the one with the history.
PARTS = ("released", "model", "validation", "frozen")

Write = Callable[[Path], None]


@dataclass(frozen=True)
class RestoreConfig:
    """Which release, and where its basis is.

    Attributes:
        release: Folder of a run that ended with a release, or `s3://bucket/prefix/<model>`.
        version: Of a release in a store; empty for the one that is the latest when the stage runs.
        basis_url: What publish had as basis_url; for a release in a store.
        release_digest: Of a folder's content, so that a cache sees another release there.
    """

    release: str = ""
    version: str = ""
    basis_url: str = ""
    release_digest: str = ""

    def __post_init__(self) -> None:
        """Check the addresses."""
        if not is_store_url(self.release):
            return
        location = Location.parse(self.release)
        require(
            bool(location.prefix),
            "release must name a model in a store: s3://bucket/prefix/<model>",
            release=self.release,
        )
        require(
            bool(self.basis_url),
            "a release in a store needs basis_url, as publish had it",
            basis_url=self.basis_url,
        )


@dataclass(frozen=True)
class Found:
    """A release on this machine.

    Attributes:
        basis: Folder of its basis.
        manifest: Its manifest.json.
        version: Start of the SHA-256 of its SHA256SUMS.
        place: Where it was found.
    """

    basis: Path
    manifest: dict[str, Any]
    version: str
    place: str


def restore_release(
    config: RestoreConfig, run: Run, others: Mapping[str, str | Path]
) -> tuple[Path, Write, dict[str, float]]:
    """Find a release and its basis, and check that they belong together.

    Args:
        config: Which.
        run: Progress; what comes from a store is kept in its checkpoint.
        others: Where `model`, `validation` and `frozen` go.

    Returns:
        The released packages as they were, a function that writes them with `release.json` into a
        folder (and the others to their places), and the figure package_bytes.

    Raises:
        BadInput: If there is no release or no basis, or one is not what was published.
    """
    require(bool(config.release), "release must say which release to start from", release="")
    run.progress(0, 2)
    found = _fetch(config, run) if is_store_url(config.release) else _open(Path(config.release))
    described = _check(found)
    run.progress(1, 2)

    def write(folder: Path) -> None:
        for part, place in others.items():
            with write_atomically(place) as partial:
                shutil.copytree(found.basis / part, partial)
        shutil.copytree(found.basis / "released", folder, dirs_exist_ok=True)
        write_json(folder / "release.json", described)
        run.progress(2, 2)

    package = found.basis / "released" / f"{described['variant']}.thimble"
    return found.basis / "released", write, {"package_bytes": float(package.stat().st_size)}


def _open(folder: Path) -> Found:
    """Find the release of a run folder."""
    release, basis = folder / "release", folder / "basis"
    if not (release / SUMS).is_file() or not basis.is_dir():
        raise BadInput(
            f"{folder} holds no release to start from. Expected the folder of a run that ended with"
            " a release: `release` and `basis` are in it. Run it to its end first."
        )
    listed = f"{digest_file(release / 'manifest.json')}  manifest.json"
    if listed not in (release / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        raise BadInput(f"{release} is not what was published. Run it again.")
    version = digest_file(release / SUMS)[:VERSION_DIGITS]
    return Found(basis, read_json(release / "manifest.json"), version, str(folder))


def _fetch(config: RestoreConfig, run: Run) -> Found:
    """Copy a release's basis out of a store."""
    home, _, model = config.release.rstrip("/").rpartition("/")
    store = open_store(home)
    version = config.version or read_latest(store, model)
    manifest = json.loads(read_release(store, f"{model}/{version}", "manifest.json"))
    basis = run.checkpoint / "basis"
    shutil.rmtree(basis, ignore_errors=True)  # half of it, if an earlier attempt was ended
    open_store(f"{config.basis_url.rstrip('/')}/{model}/{version}/basis").fetch(basis)
    return Found(basis, manifest, version, str(store.location))


def _check(found: Found) -> dict[str, Any]:
    """Check a basis against the manifest of its release; return what is known about both."""
    manifest = found.manifest
    expected, received = manifest.get("basis"), digest_folder(found.basis)
    if expected != received:
        raise BadInput(
            f"the basis of {manifest.get('name')}/{found.version} is not the one that was "
            f"published with it. Received: SHA-256 {received}. Expected: {expected or 'none'}. "
            "Publish again."
        )
    basis = read_json(found.basis / "basis.json")
    if basis.get("format") != FORMAT:
        raise BadInput(
            f"{found.basis} has the format {basis.get('format')!r}. Expected {FORMAT!r}: run the "
            "pipeline of this version once, then retrain from its release."
        )
    return {
        "name": f"{basis['model']}/{found.version}",
        "place": found.place,
        "package": basis["package"],
        "variant": basis["variant"],
        "origin": manifest["origin"],
        "dataset": manifest["dataset"],
    }
