"""`thimble run`: scans in, report and packages out."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput

# Exit codes from here on: the run was ended by a signal, and its user waits for the prompt.
INTERRUPTED = 128
PARAMS = Path(__file__).resolve().parents[1] / "params"


def params_option(default: str) -> Any:
    """Return the option that names the parameters."""
    return click.option(
        "--params",
        default=default,
        show_default=True,
        metavar="NAME|FILE",
        help="Parameters: a YAML file, or the name of one that comes with Thimble.",
    )


runner_option = click.option(
    "--runner",
    type=click.Choice(["local", "docker"]),
    default="local",
    show_default=True,
    help="Processes of this machine, or the stages' images.",
)


@click.command(short_help="Run the whole pipeline.")
@params_option("demo")
@click.option(
    "--data",
    metavar="FOLDER|s3://BUCKET/PREFIX",
    help="Folder of scans and labels. Not for generated scans (kind phantom_...).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Run folder.  [default: runs/<name of the parameters>]",
)
@runner_option
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="TASK.FIELD=VALUE",
    help="Change a parameter; `all.FIELD=VALUE` for every task that has it.",
)
@click.option(
    "--artifacts",
    metavar="s3://BUCKET/PREFIX",
    help="Copy what the run made into an object store when it ends, but no pages.",
)
@click.option(
    "--max-dice-drop",
    type=float,
    metavar="DROP",
    help="Search: the smallest package whose validation Dice drops by no more than this, such as"
    " 0.005, from the uncompressed baseline.",
)
@click.option("--max-bytes", type=int, metavar="N", help="Search: no package above N bytes.")
@click.option(
    "--max-p90-ms",
    type=float,
    metavar="T",
    help="Search: no p90 above T milliseconds a tile, on this machine and one thread.",
)
@click.option(
    "--trials", type=int, metavar="N", help="Search: how many choices to try.  [default: 12]"
)
@click.pass_context
def run(
    context: click.Context,
    params: str,
    data: str | None,
    out: Path | None,
    runner: str,
    changes: tuple[str, ...],
    artifacts: str | None,
    **search: Any,
) -> None:
    """Run the whole pipeline: ingest, train, compress, evaluate, report.

    A run that was stopped, killed or changed continues with the same command: only what is not
    done yet, or depends on a change, runs again.

    With --max-dice-drop it first searches width, sparsity, codebook, bit price and precision on the
    validation split, then runs once with the smallest package inside the budget.

    \b
    Examples:
      thimble run
      thimble run --params isbi2012 --data scans/isbi2012 --out runs/first
      thimble run --params my.yaml --data scans --set prune.sparsity=0.95 --set all.seed=2
      thimble run --params my.yaml --data scans --max-dice-drop 0.005 --max-bytes 40000
      thimble run --params my.yaml --data scans --runner docker
      thimble run --params nuclei --data s3://datasets/nuclei --artifacts s3://artifacts/nuclei
    """
    path = parameter_file(params)
    folder = out or Path("runs") / path.stem
    given = {name: value for name, value in search.items() if value is not None}
    if runner == "docker" and given:
        raise BadInput(
            "a search runs its trials as processes of this machine. Received: --runner docker. "
            "Leave it out, then run the parameters that were found with it."
        )
    context.exit(_run(path, data, folder, changes, given, runner, artifacts))


def parameter_file(params: str) -> Path:
    """Return the file that --params means."""
    known = sorted(path.stem for path in PARAMS.glob("*.yaml"))
    if params in known:
        return PARAMS / f"{params}.yaml"
    if not Path(params).is_file():
        raise BadInput(
            f"--params {params} does not exist. Expected a YAML file or one of: {', '.join(known)}."
        )
    return Path(params)


def _run(
    path: Path,
    data: str | None,
    folder: Path,
    changes: tuple[str, ...],
    search: dict[str, Any],
    runner: str,
    artifacts: str | None,
) -> int:
    """Run the pipeline, after a search if there is a budget; show it; return the exit code."""
    from rich.console import Console

    from pipelines.closure import apply_tags
    from pipelines.parameters import load_parameters, override

    parameters = override(load_parameters(path), changes)
    group = parameters.pop("search", {})
    parameters.pop("cluster", None)  # how pods run; there are none here
    console = Console(file=sys.stdout, highlight=False)

    if search:
        budget, group = _budget(search, group)
    with console.status("reading the stages"):
        apply_tags()  # before the components are imported, which happens with the pipeline
    mirror = open_mirror(artifacts, folder)
    if search:
        from pipelines.commands.search import SearchCommand

        ready = functools.partial(prepare, data=data, folder=folder)
        command = SearchCommand(parameters, group, budget, folder, ready)
        arguments, compress = command.run(console)
    else:
        with console.status("checking parameters"):
            arguments, compress = prepare(parameters, data, folder)
    return int(execute(console, compress, arguments, folder, runner, mirror).exit_code)


def execute(
    console: Any,
    pipeline: Any,
    arguments: dict[str, Any],
    folder: Path,
    runner: str,
    mirror: Any = None,
) -> Any:
    """Run a pipeline, put its results to the top of the run folder, and show how it ended."""
    from pipelines.local import run_pipeline
    from pipelines.progress import choose_progress
    from pipelines.summary import show_outcome

    outcome = run_pipeline(pipeline, arguments, folder, choose_progress(console), runner=runner)
    publish_results(outcome.outputs, folder)
    show_outcome(console, outcome, folder)
    if mirror and outcome.exit_code < INTERRUPTED:
        with console.status("copying the artifacts"):
            count = mirror.copy(outcome)
        console.print(f"artifacts: {count} files in {mirror}", markup=False, soft_wrap=True)
    return outcome


def open_mirror(artifacts: str | None, folder: Path) -> Any:
    """Return what copies the artifacts; whether the store takes them is known before the run."""
    if artifacts is None:
        return None
    from pipelines.mirror import Mirror

    return Mirror(artifacts, folder)


def _budget(search: dict[str, Any], group: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the budget that the options name, and the group `search` with its trials."""
    from pipelines.budget import Budget

    if "max_dice_drop" not in search:
        option = f"--{next(iter(search)).replace('_', '-')}"
        raise BadInput(f"{option} belongs to a search. Expected --max-dice-drop beside it.")
    for name in ("max_bytes", "max_p90_ms"):
        value = search.get(name, 1)
        if value <= 0:
            option = name.replace("_", "-")
            raise BadInput(f"--{option} must be > 0. Received: {value:g}. Leave it out: no limit.")
    trials = {"trials": search.pop("trials")} if "trials" in search else {}
    return Budget(**search), {**group, **trials}


def prepare(
    parameters: dict[str, dict[str, Any]],
    data: str | None,
    folder: Path,
    pipeline: Any = None,
    more: dict[str, dict[str, str]] | None = None,
) -> tuple[dict[str, Any], Any]:
    """Check all parameters before anything runs; return the arguments and the pipeline.

    `apply_tags` comes before: this imports the components.

    Args:
        parameters: Values by task and field.
        data: Where the scans are.
        folder: The run folder.
        pipeline: What runs; None: compress.
        more: Values by task and field that win over those of the parameters.
    """
    from pipelines.compress import compress
    from pipelines.parameters import equal_budgets, flat_arguments
    from pipelines.release_origin import release_origin

    pipeline = pipeline or compress
    for task, fields in (more or {}).items():
        parameters[task] = {**parameters.get(task, {}), **fields}
    groups, origin = pipeline.pipeline_func.groups, provenance(folder, pipeline.name)
    given = {
        "ingest": _source(parameters, data, groups),
        "benchmark": {"device_fingerprint": _fingerprint()},
        "report": origin,
        "publish": {**origin, **release_origin(parameters, groups)},
    }
    add_defaults(parameters, given)
    arguments = flat_arguments(equal_budgets(parameters, groups), groups)
    split = arguments["evaluate_split"]
    if split != "test":
        raise BadInput(f"evaluate.split must be test: a report is about test. Received: {split}.")
    check_arguments(arguments, groups, folder)
    return arguments, pipeline


def add_defaults(
    parameters: dict[str, dict[str, Any]], given: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add values that are not there yet."""
    for task, fields in given.items():
        parameters[task] = {**fields, **parameters.get(task, {})}


def check_arguments(arguments: dict[str, Any], groups: Any, folder: Path) -> None:
    """Let the stages check their parameters, except those that they have seen here before."""
    from pipelines.checks import check_configs
    from pipelines.run_folder import RunFolder

    seen = RunFolder(folder).read_description().get("parameters", {})
    tasks = {}
    for task, group in groups.items():
        # A task that takes some parameters of a stage takes the rest from the task named like it.
        names = {f"{group.stage}_{name}": name for name in groups[group.stage].types}
        names |= {f"{task}_{name}": name for name in group.types}
        if any(flat not in seen or seen[flat] != arguments[flat] for flat in names):
            fields = {name: arguments[flat] for flat, name in names.items()}
            tasks[task] = (group.stage, fields)
    if tasks:
        check_configs(tasks)


def _source(parameters: dict[str, dict[str, Any]], data: str | None, groups: Any) -> dict[str, str]:
    """Return the arguments of ingest that say where the scans are and what is in them."""
    from thimble.artifact import digest_folder

    kind = parameters.get("ingest", {}).get("kind", groups["ingest"].defaults["kind"])
    if str(kind).startswith("phantom"):
        if data is not None:
            raise BadInput(f"--data {data} is not used: {kind} generates scans. Leave it out.")
        return {"source": "", "source_digest": ""}
    if data is None:
        raise BadInput(f"no --data given. Expected the folder of the {kind} scans.")
    if data.startswith("s3://"):
        from thimble.store import open_store

        return {"source": data, "source_digest": open_store(data).listing_digest()}
    folder = Path(data).expanduser().absolute()
    if not folder.is_dir():
        raise BadInput(f"--data {data} is not a folder. Expected the folder of the {kind} scans.")
    return {"source": str(folder), "source_digest": digest_folder(folder)}


def _fingerprint() -> str:
    """Return the digest of this machine: latencies of one are not served to another."""
    from components.benchmark.device import device_fingerprint

    return device_fingerprint()


def provenance(folder: Path, pipeline: str = "compress") -> dict[str, str]:
    """Return what the report says about where it comes from."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    commit = ""
    if git and (root / ".git").exists():
        command = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        commit = done.stdout.strip()
    return {"pipeline": pipeline, "commit": commit, "run_name": folder.absolute().name}


def publish_results(outputs: dict[str, dict[str, Path]], folder: Path) -> None:
    """Copy report, release and basis of this run to the top of the run folder."""
    from thimble.artifact import write_atomically

    report = outputs.get("report", {}).get("report")
    published = outputs.get("publish", {})
    if report:
        with write_atomically(folder / "report.html") as partial:
            shutil.copyfile(report, partial)
    for name in ("release", "basis"):
        if report:  # that of an earlier run does not belong to this report
            shutil.rmtree(folder / name, ignore_errors=True)
        if name in published and published[name].exists():
            with write_atomically(folder / name) as partial:
                shutil.copytree(published[name], partial)
