"""Publish packages that passed their gates: a folder with a model card, digests and provenance."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.publish.card import model_card
from thimble.artifact import load_history, read_json, write_atomically, write_json
from thimble.codec import inspect
from thimble.stage import BadInput, GateFailed, Run, require

__all__ = ["OriginConfig", "PublishConfig", "ReleaseConfig", "publish_release"]

MEANINGS = {
    "dice_drop": "Dice drop",
    "package_bytes": "package bytes",
    "p90_seconds": "p90 seconds",
    "memory_bytes": "peak memory bytes",
}
# A place that cannot be written: the reader can choose another.
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EEXIST}


@dataclass(frozen=True)
class ReleaseConfig:
    """What is released, and where to.

    Attributes:
        release_folder: A local folder; empty for none but the artifact.
        release_name: Folder of this model inside it.
        release_packages: Packages by name (`teacher-int8`), separated by commas; empty for the one
            that the gates judged.
    """

    release_folder: str = ""
    release_name: str = "model"
    release_packages: str = ""

    def __post_init__(self) -> None:
        """Check names."""
        plain = bool(self.release_name) and Path(self.release_name).name == self.release_name
        require(
            plain and not self.release_name.startswith("."),
            "release_name must be one folder name that does not start with a dot",
            release_name=self.release_name,
        )

    @property
    def packages(self) -> list[str]:
        """The packages asked for."""
        return [name.strip() for name in self.release_packages.split(",") if name.strip()]


@dataclass(frozen=True)
class OriginConfig:
    """Which run it comes from.

    Attributes:
        pipeline: Name of the pipeline.
        commit: Commit of the code that ran.
        run_name: Name of the run.
    """

    pipeline: str = ""
    commit: str = ""
    run_name: str = ""


@dataclass(frozen=True)
class PublishConfig:
    """Release and origin."""

    release: ReleaseConfig = field(default_factory=ReleaseConfig)
    origin: OriginConfig = field(default_factory=OriginConfig)


def publish_release(
    inputs: Mapping[str, str | Path | None], config: PublishConfig, run: Run
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Release packages as a candidate, unless a gate failed.

    A release is a folder that never changes, named by the digest of its contents:
    `<release_folder>/<release_name>/<digest>/`, with the file `candidate` beside it naming the
    newest. Publishing the same again changes nothing. It holds no scans.

    Args:
        inputs: Folders by name: `verdict`, and for each branch its converted packages (`teacher`,
            `student`) and evaluation (`teacher_evaluation`, `student_evaluation`); None if absent.
        config: Release and origin.
        run: Progress.

    Returns:
        A function that fills a folder with the release (and puts it into `release_folder`), and
        the figures: package_bytes of all packages.

    Raises:
        GateFailed: If the verdict, or that of any package asked for, is a failure.
        BadInput: If a package is not in the run, or the release folder cannot be written.
    """
    verdict = read_json(Path(inputs["verdict"] or "") / "verdict.json")
    chosen = _choose(verdict, config.release.packages)
    files = {each["name"]: _file(inputs, each) for each in chosen}
    evaluations = {
        each["branch"]: read_json(Path(folder) / "evaluation.json")
        for each in chosen
        if (folder := inputs.get(f"{each['branch']}_evaluation"))
    }
    if not evaluations:
        raise BadInput(
            "a model card needs the evaluation of a published branch. Received: none for "
            f"{', '.join(files)}. Connect <branch>_evaluation to publish."
        )
    run.progress(1, 2)

    def write(folder: Path) -> None:
        _fill(folder, files, chosen, evaluations, verdict, config)
        if config.release.release_folder:
            _place(folder, Path(config.release.release_folder) / config.release.release_name)
        run.progress(2, 2)

    return write, {"package_bytes": float(sum(file.stat().st_size for file in files.values()))}


def _choose(verdict: Mapping[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """The candidates to publish, all of which passed."""
    candidates = {each["name"]: each for each in verdict["candidates"]}
    gated = f"{verdict['branch']}-{verdict['variant']}"
    names = list(dict.fromkeys(names)) or [gated]
    unknown = [name for name in names if name not in candidates]
    if unknown:
        raise BadInput(
            f"release_packages must name packages of this run. Received: {', '.join(unknown)}. "
            f"Expected some of: {', '.join(candidates)}."
        )
    failures = [
        f"{name}: {MEANINGS.get(gate['name'], gate['name'])} {_received(gate['value'])}, "
        f"limit {gate['limit']:g}"
        for name in dict.fromkeys([gated, *names])
        for gate in candidates[name]["gates"]
        if not gate["passed"]
    ]
    if failures or not verdict["passed"]:
        raise GateFailed(
            f"nothing was published, a gate failed. {'; '.join(failures)}. "
            "Read the report; compress less, or change the gate if the loss is acceptable."
        )
    return [candidates[name] for name in names]


def _received(value: float | None) -> str:
    """A gate's value."""
    return "not measured" if value is None else f"{value:g}"


def _file(inputs: Mapping[str, str | Path | None], candidate: Mapping[str, Any]) -> Path:
    """The package of a candidate, checked to be whole and of the size that was judged."""
    folder = inputs.get(candidate["branch"])
    if not folder:
        raise BadInput(
            f"{candidate['name']} cannot be published: the packages of {candidate['branch']} are "
            "not connected to publish. Expected the output of convert."
        )
    file = Path(folder) / f"{candidate['variant']}.thimble"
    if not file.is_file():
        raise BadInput(f"{file} is missing. Expected a package of convert; run convert again.")
    package = file.read_bytes()
    inspect(package)
    if len(package) != candidate["figures"]["package_bytes"]:
        raise BadInput(
            f"{file} is not the package that was judged. Received: {len(package)} bytes. "
            f"Expected: {candidate['figures']['package_bytes']}. Run the pipeline again."
        )
    return file


def _fill(
    folder: Path,
    files: Mapping[str, Path],
    chosen: list[dict[str, Any]],
    evaluations: Mapping[str, dict[str, Any]],
    verdict: Mapping[str, Any],
    config: PublishConfig,
) -> None:
    """Write packages, card, manifest and digests."""
    for name, file in files.items():
        shutil.copyfile(file, folder / f"{name}.thimble")
    origin = vars(config.origin)
    card = model_card(config.release.release_name, chosen, evaluations, verdict, origin)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    evaluation = next(iter(evaluations.values()))
    manifest = {
        "format": "thimble-release/1",
        "name": config.release.release_name,
        "origin": origin,
        "dataset": evaluation["dataset"],
        "preprocessing": evaluation.get("preprocessing"),
        "intended_use": "research use only",
        "verdict": {key: verdict[key] for key in ("passed", "branch", "variant", "sentence")},
        "packages": [
            {
                "file": f"{each['name']}.thimble",
                "sha256": _digest(folder / f"{each['name']}.thimble"),
                "gates": each["gates"],
                "figures": each["figures"],
                "history": evaluations.get(each["branch"], {}).get("history")
                or load_history(files[each["name"]].parent),
            }
            for each in chosen
        ],
    }
    write_json(folder / "manifest.json", manifest)
    names = sorted(file.name for file in folder.iterdir())
    lines = [f"{_digest(folder / name)}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _digest(file: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _place(made: Path, home: Path) -> None:
    """Copy a release to its immutable folder and point `candidate` at it, each in one step."""
    # SHA256SUMS holds the digest of every other file: its own names the release.
    target = home / _digest(made / "SHA256SUMS")[:12]
    try:
        if not target.is_dir():
            with write_atomically(target) as partial:
                shutil.copytree(made, partial)
        pointer = home / "candidate"
        if not pointer.is_file() or pointer.read_text(encoding="utf-8").strip() != target.name:
            with write_atomically(pointer) as partial:
                partial.write_text(target.name + "\n", encoding="utf-8")
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise BadInput(
            f"release_folder must be writable. Received: {home.parent} "
            f"({os.strerror(error.errno or 0)}). Give another release_folder, free space there, "
            "or leave it empty to keep the release inside the run only."
        ) from None
