"""The same search on a cluster: a Katib experiment, and the command that each of its trials runs.

`python -m pipelines.katib --width 8 --sparsity 0.9 --codebook-size 16 --rate-weight 0.001
--max-dice-drop 0.005` makes one trial in a run folder and prints its figures as `name=value`, which
Katib's collector reads.
"""

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.budget import Budget, best_variant
from pipelines.space import Choice, SearchSpace, read_space
from thimble.artifact import write_atomically

__all__ = ["EXPERIMENT", "experiment", "write_experiment"]

EXPERIMENT = Path(__file__).resolve().parents[1] / "manifests/components/search/experiment.yaml"
OBJECTIVE = "score"
FIGURES = ("package_bytes", "dice", "dice_drop", "p90_ms")
# The teacher of the parameter files that come with Thimble.
TEACHER_WIDTH = 16
HEAD = """\
# The search of `thimble run --max-dice-drop`, by Katib. Made by `thimble compile --golden`; do not
# edit. All trials share a run folder, and with it teacher and baseline, so one runs at a time.
"""


# Option of this module by parameter of a Katib trial.
OPTIONS = {
    "width": "--width",
    "sparsity": "--sparsity",
    "codebookSize": "--codebook-size",
    "rateWeight": "--rate-weight",
}


def experiment(space: SearchSpace, budget: Budget, trials: int, seed: int) -> dict[str, Any]:
    """Return the Katib experiment of a search.

    Args:
        space: What may be chosen; a trial measures all precisions of it.
        budget: The limits.
        trials: How many choices to try.
        seed: Of Katib's sampler.
    """
    command = _command(budget)
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": "thimble-search"},
        "spec": {
            "objective": {
                "type": "minimize",
                "objectiveMetricName": OBJECTIVE,
                "additionalMetricNames": list(FIGURES),
            },
            "algorithm": {
                "algorithmName": "tpe",
                "algorithmSettings": [{"name": "random_state", "value": str(seed)}],
            },
            "parallelTrialCount": 1,
            "maxTrialCount": trials,
            "maxFailedTrialCount": max(1, trials // 4),
            "parameters": _parameters(space),
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "trialTemplate": {
                "primaryContainerName": "trial",
                "trialParameters": [
                    {"name": name, "description": option[2:], "reference": option[2:]}
                    for name, option in OPTIONS.items()
                ],
                "trialSpec": _job(command),
            },
        },
    }


def _command(budget: Budget) -> list[str]:
    """Return what a trial's job runs."""
    command = ["python", "-m", "pipelines.katib", "--params=isbi2012", "--data=/scans"]
    command += ["--out=/runs/search"]
    command += [f"{option}=${{trialParameters.{name}}}" for name, option in OPTIONS.items()]
    command += [f"--max-dice-drop={budget.max_dice_drop:g}"]
    command += [f"--max-bytes={budget.max_bytes}"] if budget.max_bytes else []
    command += [f"--max-p90-ms={budget.max_p90_ms:g}"] if budget.max_p90_ms else []
    return command


def _parameters(space: SearchSpace) -> list[dict[str, Any]]:
    """Return the space as Katib has it; its values are text."""
    return [
        {
            "name": "width",
            "parameterType": "discrete",
            "feasibleSpace": {"list": [str(value) for value in space.widths]},
        },
        {
            "name": "sparsity",
            "parameterType": "double",
            "feasibleSpace": {
                "min": str(space.sparsities[0]),
                "max": str(space.sparsities[-1]),
                "step": str(space.sparsity_step),
            },
        },
        {
            "name": "codebook-size",
            "parameterType": "discrete",
            "feasibleSpace": {"list": [str(value) for value in space.codebook_sizes]},
        },
        {
            "name": "rate-weight",
            "parameterType": "discrete",
            "feasibleSpace": {"list": [str(value) for value in space.rate_weights]},
        },
    ]


def _job(command: list[str]) -> dict[str, Any]:
    """Return the job of a trial."""
    mounts = [
        {"name": "runs", "mountPath": "/runs"},
        {"name": "scans", "mountPath": "/scans", "readOnly": True},
    ]
    container = {
        "name": "trial",
        "image": "thimble/development:dev",
        "command": command,
        "resources": {
            "requests": {"cpu": "2", "memory": "6Gi"},
            "limits": {"cpu": "4", "memory": "12Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    claims = [
        {"name": name, "persistentVolumeClaim": {"claimName": f"thimble-{name}"}}
        for name in ("runs", "scans")
    ]
    pod = {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": claims,
    }
    labels = {"metadata": {"labels": {"app.kubernetes.io/name": "thimble-search"}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"backoffLimit": 0, "template": {**labels, "spec": pod}},
    }


def write_experiment(path: Path) -> None:
    """Write the experiment of the defaults of the command line."""
    import yaml

    class Indented(yaml.SafeDumper):
        """Indents lists, as yamllint asks for."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            """Never leave a list without indentation."""
            super().increase_indent(flow, indentless=False)

    space, trials, seed = read_space({}, TEACHER_WIDTH)
    content = experiment(space, Budget(max_dice_drop=0.005), trials, seed)
    text = yaml.dump(content, Dumper=Indented, sort_keys=False, width=96)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path.absolute()) as partial:
        partial.write_text(HEAD + text, encoding="utf-8")


@click.command()
@click.option("--width", type=int, required=True)
@click.option("--sparsity", type=float, required=True)
@click.option("--codebook-size", type=int, required=True)
@click.option("--rate-weight", type=float, required=True)
@click.option("--params", default="demo", show_default=True)
@click.option("--data")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--max-dice-drop", type=float, required=True)
@click.option("--max-bytes", type=int, default=0)
@click.option("--max-p90-ms", type=float, default=0.0)
@click.option("--set", "changes", multiple=True, metavar="TASK.FIELD=VALUE")
@click.pass_context
def trial(
    context: click.Context,
    width: int,
    sparsity: float,
    codebook_size: int,
    rate_weight: float,
    params: str,
    data: str | None,
    out: Path,
    changes: tuple[str, ...],
    **limits: Any,
) -> None:
    """Make one trial and print its figures."""
    from pipelines.closure import apply_tags
    from pipelines.commands.run import parameter_file, prepare
    from pipelines.parameters import load_parameters, override

    budget, choice = Budget(**limits), Choice(width, sparsity, codebook_size, rate_weight)
    parameters = override(load_parameters(parameter_file(params)), changes)
    for elsewhere in ("search", "cluster"):
        parameters.pop(elsewhere, None)
    apply_tags()  # before the components are imported
    arguments, compress = prepare(parameters, data, out)
    context.exit(_measure(choice, budget, arguments, compress, out))


def _measure(
    choice: Choice, budget: Budget, arguments: dict[str, Any], compress: Any, out: Path
) -> int:
    """Run the trial, print its figures and return the exit code."""
    from rich.console import Console

    from pipelines.local import describe, run_in
    from pipelines.progress import PlainProgress
    from pipelines.run_folder import open_run
    from pipelines.trial import read_trial, trial_run

    with open_run(out, describe(compress, arguments)) as folder:
        pipeline, given = trial_run(choice, arguments)
        outcome = run_in(folder, pipeline, given, PlainProgress(Console(file=sys.stderr)))
    if outcome.exit_code:
        click.echo(f"error: {outcome.message}", err=True)
        return int(outcome.exit_code)
    measured, raw = read_trial(outcome.outputs, choice.branch(arguments["train_base_width"]))
    best, score = best_variant(measured, budget, raw)
    click.echo(f"variant: {best.variant}")
    for name, value in {OBJECTIVE: score, **best.record()}.items():
        if name in (OBJECTIVE, *FIGURES):
            click.echo(f"{name}={value:.10g}")
    return 0


def main() -> None:
    """Run the command and end with its exit code; an error is one sentence on stderr."""
    from pipelines.cli import explain

    try:
        code = trial.main(prog_name="pipelines.katib", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except Exception as error:
        message, code = explain(error)
        click.echo(f"error: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
