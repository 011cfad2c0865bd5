"""`thimble retrain`: new scans and the last release in, a candidate that is no worse out."""

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.commands.run import parameter_file, params_option, runner_option


@click.command(short_help="Train the last release on with new scans.")
@click.option(
    "--release",
    required=True,
    metavar="FOLDER|s3://BUCKET/PREFIX/MODEL",
    help="Where to start from: a run that ended with a release, or the latest of a model in a"
    " store.",
)
@params_option("demo-retrain")
@click.option(
    "--data",
    metavar="FOLDER|s3://BUCKET/PREFIX",
    help="All scans that may be trained on, old and new. Not for generated scans.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Run folder, another than that of the release.  [default: runs/<name of the parameters>]",
)
@runner_option
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="TASK.FIELD=VALUE",
    help="Change a parameter; report.non_inferiority_margin=0.005 asks for more.",
)
@click.option(
    "--artifacts",
    metavar="s3://BUCKET/PREFIX",
    help="Copy the artifacts of the run there, too.",
)
@click.pass_context
def retrain(
    context: click.Context,
    release: str,
    params: str,
    data: str | None,
    out: Path | None,
    runner: str,
    changes: tuple[str, ...],
    artifacts: str | None,
) -> None:
    """Train the last release on with new scans; a candidate only if it is no worse.

    New scans are validated against those of the release. Training goes on from its network, then
    the whole pipeline compresses it. Both are scored on the test set of the release, which stays as
    it is and is never trained on. If the new package is no worse by more than the margin and every
    gate holds, it becomes a candidate; else the release stays, and the exit code is 1.

    \b
    Examples:
      thimble run && thimble retrain --release runs/demo
      thimble retrain --release runs/first --params my.yaml --data scans --out runs/second
      thimble retrain --release s3://releases/nuclei --params nuclei \\
        --data s3://datasets/nuclei --set publish.basis_url=s3://artifacts/basis
    """
    path = parameter_file(params)
    folder = out or Path("runs") / path.stem
    context.exit(_retrain(path, release, data, folder, changes, runner, artifacts))


def _retrain(
    path: Path,
    release: str,
    data: str | None,
    folder: Path,
    changes: tuple[str, ...],
    runner: str,
    artifacts: str | None,
) -> int:
    """Run the pipeline; show it; return the exit code."""
    from rich.console import Console

    from pipelines.closure import apply_tags
    from pipelines.commands.run import execute, open_mirror, prepare
    from pipelines.last_release import release_arguments, restored_name
    from pipelines.parameters import load_parameters, override

    parameters = override(load_parameters(path), changes)
    for group in ("search", "cluster"):  # how a first run is chosen, and how pods run
        parameters.pop(group, None)
    console = Console(file=sys.stdout, highlight=False)
    with console.status("reading the stages"):
        apply_tags()  # before the components are imported, which happens with the pipeline
    mirror = open_mirror(artifacts, folder)
    from pipelines.retrain import retrain as pipeline

    with console.status("checking parameters"):
        given = release_arguments(release, parameters)
        arguments, _ = prepare(parameters, data, folder, pipeline, given)
    outcome = execute(console, pipeline, arguments, folder, runner, mirror)
    _show_decision(console, restored_name(outcome.outputs) or release, outcome.exit_code, arguments)
    return int(outcome.exit_code)


def _show_decision(console: Any, name: str, exit_code: int, arguments: dict[str, Any]) -> None:
    """Say in one line what becomes of the release."""
    if exit_code:
        console.print(f"kept: the release {name} stays", style="bold", markup=False)
        return
    how = "`thimble approve` makes it the release" if arguments["publish_release_url"] else ""
    tail = f"; {how}" if how else ""
    console.print(f"candidate: to follow the release {name}{tail}", style="bold", markup=False)
