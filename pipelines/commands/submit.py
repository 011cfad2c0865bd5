"""`thimble submit`: a run on a cluster."""

import tempfile
from pathlib import Path

import click

from pipelines.commands.server import read_server, read_submission, submission_options


@click.command(short_help="Run the pipeline on a cluster.")
@submission_options
@click.option("--name", default="", metavar="TEXT", help="Of the run.  [default: the parameters']")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Follow the run to its end, or not."
)
@click.option(
    "--every-seconds",
    type=click.FloatRange(min=0.01),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How often to ask how it is.",
)
@click.pass_context
def submit(
    context: click.Context,
    params: str,
    data: str,
    release: str,
    changes: tuple[str, ...],
    images: Path | None,
    host: str,
    namespace: str,
    name: str,
    wait: bool,
    every_seconds: float,
) -> None:
    """Run the pipeline on Kubeflow Pipelines and follow it: exit code 0 if it succeeded, else 1.

    THIMBLE_KFP_TOKEN holds the bearer token, THIMBLE_KFP_CA_FILE the authority of the server's
    certificate. An interrupted command leaves the run going.

    \b
    Examples:
      thimble submit --host http://127.0.0.1:8888
      thimble submit --params nuclei --data s3://datasets/nuclei --namespace thimble \\
        --host https://kubeflow.example.org/pipeline --images images/images.lock \\
        --set cluster.gpu_count=1
      thimble submit --params nuclei --data s3://datasets/nuclei --namespace thimble \\
        --host https://kubeflow.example.org/pipeline --release s3://releases/nuclei \\
        --set publish.basis_url=s3://artifacts/basis
    """
    server = read_server(host, namespace)
    submission = read_submission(params, data, changes, images, name, release=release)
    from pipelines.submission import connect, follow, start_run

    with connect(server) as client, tempfile.TemporaryDirectory(prefix="thimble-") as scratch:
        run = start_run(client, server, submission, Path(scratch))
        click.echo(f"started run {run}")
        context.exit(follow(client, run, click.echo, every_seconds) if wait else 0)
