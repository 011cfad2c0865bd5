"""The files of a release: packages, model card, manifest, provenance and digests."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.publish.card import model_card
from components.publish.config import PublishConfig
from components.publish.provenance import make_statement
from thimble.artifact import digest_file, load_history, write_json
from thimble.envelope import seal_statement
from thimble.releases import PROVENANCE, SUMS

__all__ = ["Content", "fill_release"]


@dataclass(frozen=True)
class Content:
    """What a release is made from.

    Attributes:
        files: Package file by name.
        chosen: Their candidates of verdict.json.
        evaluations: evaluation.json by branch.
        baseline: That of the uncompressed baseline, if it is connected.
        verdict: verdict.json.
    """

    files: Mapping[str, Path]
    chosen: list[dict[str, Any]]
    evaluations: Mapping[str, dict[str, Any]]
    baseline: dict[str, Any] | None
    verdict: Mapping[str, Any]

    @property
    def dataset(self) -> dict[str, Any]:
        """The data set of all branches."""
        return dict(next(iter(self.evaluations.values()))["dataset"])

    def history(self, candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the stages before wrote about a package."""
        written = self.evaluations.get(candidate["branch"], {}).get("history")
        return written or load_history(self.files[candidate["name"]].parent)


def fill_release(
    folder: Path, content: Content, config: PublishConfig, overridden: str, basis: str = ""
) -> None:
    """Write all files; equal content, config and key give equal bytes.

    Args:
        folder: An empty folder.
        content: What the release is made from.
        config: Its name, use and origin.
        overridden: What the card says about terms that were overridden; may be empty.
        basis: Digest of the basis that belongs to it; empty if there is none.

    Raises:
        BadInput: If THIMBLE_SIGNING_KEY names no Ed25519 private key.
    """
    for name, file in content.files.items():
        shutil.copyfile(file, folder / f"{name}.thimble")
    key = os.environ.get("THIMBLE_SIGNING_KEY", "")
    origin = {name: getattr(config.origin, name) for name in ("pipeline", "commit", "run_name")}
    signed = "signed" if key else "not signed"
    said = {**origin, **vars(config.use), "signed": signed, "overridden": overridden}
    card = model_card(
        config.release.release_name,
        content.chosen,
        content.evaluations,
        content.verdict,
        said,
        content.baseline,
    )
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    manifest = {**_manifest(folder, content, config, origin), "basis": basis}
    write_json(folder / "manifest.json", manifest)
    digests = {file.name: digest_file(file) for file in folder.iterdir()}
    history = [entry for each in content.chosen for entry in content.history(each)]
    origin["images"] = config.origin.images
    statement = make_statement(digests, content.dataset, history, origin)
    write_json(folder / PROVENANCE, seal_statement(statement, Path(key) if key else None))
    names = sorted(file.name for file in folder.iterdir())
    lines = [f"{digest_file(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _manifest(
    folder: Path, content: Content, config: PublishConfig, origin: Mapping[str, str]
) -> dict[str, Any]:
    """Return manifest.json."""
    evaluation, verdict = next(iter(content.evaluations.values())), content.verdict
    return {
        "format": "thimble-release/1",
        "name": config.release.release_name,
        "origin": dict(origin),
        "dataset": content.dataset,
        "preprocessing": evaluation.get("preprocessing"),
        "intended_use": config.use.intended_use,
        "verdict": {key: verdict[key] for key in ("passed", "branch", "variant", "sentence")},
        "packages": [
            {
                "file": f"{each['name']}.thimble",
                "sha256": digest_file(folder / f"{each['name']}.thimble"),
                "gates": each["gates"],
                "figures": each["figures"],
                "history": content.history(each),
            }
            for each in content.chosen
        ],
    }
