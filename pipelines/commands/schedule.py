"""`thimble schedule`: runs on a cluster, again and again."""

import tempfile
from pathlib import Path

import click

from pipelines.commands.server import read_server, read_submission, submission_options


@click.command(short_help="Repeat a run on a cluster.")
@click.argument("name")
@click.option(
    "--cron",
    required=True,
    metavar="'S M H D M W'",
    help="Six fields: second, minute, hour, day of month, month, day of week; in UTC.",
)
@submission_options
@click.option("--paused", is_flag=True, help="Create it, but do not start it yet.")
def schedule(
    name: str,
    cron: str,
    params: str,
    data: str,
    release: str,
    changes: tuple[str, ...],
    images: Path | None,
    host: str,
    namespace: str,
    paused: bool,
) -> None:
    """Create the schedule NAME on Kubeflow Pipelines, or replace it.

    Runs never overlap, and those that were missed are not made up for. The scans are read anew
    every time. With --release each run retrains: it starts from the release that is the latest
    then. THIMBLE_KFP_TOKEN holds the bearer token.

    \b
    Examples:
      thimble schedule weekly --cron '0 0 3 * * 0' --params nuclei --data s3://datasets/nuclei \\
        --host https://kubeflow.example.org/pipeline --namespace thimble
      thimble schedule retrain --cron '0 0 3 * * 0' --params nuclei --data s3://datasets/nuclei \\
        --release s3://releases/nuclei --set publish.basis_url=s3://artifacts/basis \\
        --host https://kubeflow.example.org/pipeline --namespace thimble
      thimble schedule weekly --cron '0 0 3 * * 0' --paused --host http://127.0.0.1:8888
    """
    from pipelines.submission import Schedule, connect, replace_schedule

    when = Schedule(name, cron, paused)
    server = read_server(host, namespace)
    submission = read_submission(params, data, changes, images, name, True, release)
    with connect(server) as client, tempfile.TemporaryDirectory(prefix="thimble-") as scratch:
        made = replace_schedule(client, server, submission, when, Path(scratch))
        click.echo(f"schedule {name} is {made}{', paused' if paused else ''}")
