"""Where a retraining starts: what `--release` means, as parameters of restore and publish."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thimble.artifact import digest_file, read_json
from thimble.releases import SUMS, read_latest
from thimble.stage import BadInput
from thimble.store import is_store_url, open_store

__all__ = ["release_arguments", "restored_name"]

Given = dict[str, dict[str, str]]


def release_arguments(
    release: str, parameters: Mapping[str, Mapping[str, Any]], later: bool = False
) -> Given:
    """Return what restore and publish are told about the release to start from.

    A candidate has the name of the release that it is to follow, whatever the parameters say.

    Args:
        release: Folder of a run that ended with a release, or `s3://bucket/prefix/<model>`.
        parameters: Values by task and field.
        later: Whether the latest release is looked up when the run starts, not now.

    Raises:
        BadInput: If there is no such release.
    """
    if is_store_url(release):
        return _in_store(release, parameters, later)
    folder = Path(release).expanduser().absolute()
    if folder.name == "release" and not (folder / "release").exists():
        folder = folder.parent
    sums = folder / "release" / SUMS
    if not sums.is_file() or not (folder / "basis").is_dir():
        raise BadInput(
            f"--release {release} holds no release. Expected the folder of a run that ended with "
            "one, such as runs/demo, or s3://bucket/prefix/<model>."
        )
    name = str(read_json(sums.with_name("manifest.json"))["name"])
    digest = digest_file(sums)
    return {
        "restore": {"release": str(folder), "release_digest": digest},
        "publish": {"release_name": name},
    }


def _in_store(release: str, parameters: Mapping[str, Mapping[str, Any]], later: bool) -> Given:
    """Return what is known of a model in an object store."""
    home, _, model = release.rstrip("/").rpartition("/")
    if "//" not in home:
        raise BadInput(f"--release names a model, s3://bucket/prefix/<model>. Received: {release}")
    own = {task: parameters.get(task, {}).get("basis_url", "") for task in ("restore", "publish")}
    basis = str(own["restore"] or own["publish"])
    if not basis:
        raise BadInput(
            f"a release in a store has its basis in a private bucket. Expected --set "
            f"publish.basis_url=s3://..., as it was published with. Received: none for {release}."
        )
    version = str(parameters.get("restore", {}).get("version") or "")
    if not (later or version):
        version = read_latest(open_store(home), model)
    return {
        "restore": {"release": release, "basis_url": basis, "version": version},
        "publish": {"release_url": home, "release_name": model, "basis_url": basis},
    }


def restored_name(outputs: Mapping[str, Mapping[str, Path]]) -> str:
    """Return the release that a run started from; empty if it did not get that far."""
    released = outputs.get("restore", {}).get("released")
    return str(read_json(released / "release.json")["name"]) if released else ""
