"""Publish packages that passed their gates: a folder with a model card, digests and provenance."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.publish.approval import approve_automatically
from components.publish.basis import fill_basis, upload_basis
from components.publish.config import OriginConfig, PublishConfig, ReleaseConfig, UseConfig
from components.publish.content import Content, fill_release
from components.publish.terms import check_terms
from thimble.artifact import digest_file, digest_folder, read_json, write_atomically
from thimble.codec import inspect
from thimble.releases import SUMS, VERSION_DIGITS, submit
from thimble.stage import BadInput, GateFailed, Run, require
from thimble.store import open_store

__all__ = ["OriginConfig", "PublishConfig", "ReleaseConfig", "UseConfig", "publish_release"]

MEANINGS = {
    "dice_drop": "Dice drop",
    "package_bytes": "package bytes",
    "p90_seconds": "p90 seconds",
    "memory_bytes": "peak memory bytes",
    "worst_slice_drop": "Dice drop of the worst slice",
    "loss_to_release": "loss of Dice to the release (95 % bound)",
}
# A place that cannot be written: the reader can choose another.
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EEXIST}


def publish_release(
    inputs: Mapping[str, str | Path | None],
    config: PublishConfig,
    run: Run,
    basis: str | Path | None = None,
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Release packages as a candidate, unless a gate failed.

    A release is a folder that never changes, named by the digest of its contents:
    `<release_folder>/<release_name>/<digest>/`, with the file `candidate` beside it naming the
    newest, and the same below `release_url` (`thimble.releases`). Publishing the same again changes
    nothing. Scans are in the report and in the basis (`components.publish.basis`) only.

    Args:
        inputs: Folders by name: `verdict`; `teacher`, `student` (converted) with `_evaluation`;
            `baseline_evaluation`; for a basis `baseline`, `dataset`, `validation`. None if absent.
        config: Release, use and origin.
        run: Progress.
        basis: Where the basis goes; None for nowhere.

    Returns:
        A function that fills a folder with the release (and puts it where it is published), and
        the figures: package_bytes of all packages, and those of each as
        `<what>_<branch>_<variant>`.

    Raises:
        GateFailed: If the verdict, or that of any package asked for, is a failure.
        BadInput: If a package is not in the run, the terms of the data forbid to hand it on, the
            release folder cannot be written, or the store refuses.
    """
    verdict = read_json(Path(inputs["verdict"] or "") / "verdict.json")
    chosen = _choose(verdict, config.release.packages)
    files = {each["name"]: _file(inputs, each) for each in chosen}
    content = Content(files, chosen, _evaluations(inputs, chosen), _baseline(inputs), verdict)
    overridden = _check_terms(content, config)
    run.progress(1, 2)

    def write(folder: Path) -> None:
        kept = _keep_basis(basis, inputs, chosen, config)
        fill_release(folder, content, config, overridden, digest_folder(kept) if kept else "")
        if config.release.release_folder:
            _place(folder, Path(config.release.release_folder) / config.release.release_name)
        _store(folder, Path(inputs["verdict"] or "") / "report.html", kept, config, verdict)
        run.progress(2, 2)

    total = float(sum(file.stat().st_size for file in files.values()))
    return write, {"package_bytes": total, **_figures(chosen)}


def _figures(chosen: list[dict[str, Any]]) -> dict[str, float]:
    """What the released packages were measured to be."""
    kinds = (
        "dice",
        "package_bytes",
        "p90_seconds",
        "peak_memory_bytes",
        "ratio",
        "small_lesion_recall",
        "worst_decile",
        "worst_slice",
    )
    return {
        f"{kind}_{each['branch']}_{each['variant']}": float(value)
        for each in chosen
        for kind in kinds
        if (value := each["figures"].get(kind)) is not None
    }


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
        f"{name}: {MEANINGS.get(gate['name'], gate['name'])} {_received(gate['value'])}"
        + (f" in {gate['detail']}" if gate.get("detail") else "")
        + f", limit {gate['limit']:g}"
        for name in dict.fromkeys([gated, *names])
        for gate in candidates[name]["gates"]
        if not gate["passed"]
    ]
    if failures or not verdict["passed"]:
        before = verdict.get("retraining", {}).get("release", {}).get("name")
        raise GateFailed(
            f"{f'the release {before} stays: ' if before else ''}"
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


def _evaluations(
    inputs: Mapping[str, str | Path | None], chosen: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The evaluations of the branches that are published, one at least."""
    evaluations = {
        each["branch"]: read_json(Path(folder) / "evaluation.json")
        for each in chosen
        if (folder := inputs.get(f"{each['branch']}_evaluation"))
    }
    if not evaluations:
        raise BadInput(
            "a model card needs the evaluation of a published branch. Received: none for "
            f"{', '.join(each['name'] for each in chosen)}. Connect <branch>_evaluation to publish."
        )
    return evaluations


def _baseline(inputs: Mapping[str, str | Path | None]) -> dict[str, Any] | None:
    """The evaluation of the uncompressed baseline, if it is connected."""
    folder = inputs.get("baseline_evaluation")
    return dict(read_json(Path(folder) / "evaluation.json")) if folder else None


def _check_terms(content: Content, config: PublishConfig) -> str:
    """Refuse what the terms forbid; what stays inside the run is not handed on."""
    release, use = config.release, config.use
    if not (release.release_folder or release.release_url):
        return ""
    overridden = [name.strip() for name in use.override_terms.split(",")]
    name, terms = str(content.dataset.get("name")), str(content.dataset.get("terms") or "")
    return check_terms(name, terms, use.intended_use, overridden, bool(release.release_url))


def _keep_basis(
    basis: str | Path | None,
    inputs: Mapping[str, str | Path | None],
    chosen: list[dict[str, Any]],
    config: PublishConfig,
) -> Path | None:
    """Write the basis, if it is wanted and all that it takes is connected."""
    if basis and fill_basis(Path(basis), inputs, chosen, config.release.release_name):
        return Path(basis)
    require(
        not config.release.basis_url,
        "basis_url needs baseline, dataset and validation connected to publish",
        basis_url=config.release.basis_url,
    )
    return None


def _store(
    made: Path,
    report: Path,
    basis: Path | None,
    config: PublishConfig,
    verdict: Mapping[str, Any],
) -> None:
    """Put report, basis and release into their buckets; the candidate appears last."""
    release = config.release
    place = f"{release.release_name}/{digest_file(made / SUMS)[:VERSION_DIGITS]}"
    if release.report_url:
        open_store(release.report_url).upload(report, f"{place}/report.html")
    if release.basis_url and basis:
        upload_basis(basis, open_store(release.basis_url), f"{place}/basis")
    if release.release_url:
        store = open_store(release.release_url)
        name = submit(store, release.release_name, made, vars(config.origin))
        print(f"[publish] candidate {name} in {store.location}", flush=True)
        if done := approve_automatically(release.release_url, name, verdict):
            print(f"[publish] {done}", flush=True)


def _place(made: Path, home: Path) -> None:
    """Copy a release to its immutable folder and point `candidate` at it, each in one step."""
    # SHA256SUMS holds the digest of every other file: its own names the release.
    target = home / digest_file(made / SUMS)[:VERSION_DIGITS]
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
