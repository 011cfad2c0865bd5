"""What `thimble submit` and `thimble schedule` share: the options, and what is sent."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["read_server", "read_submission", "submission_options"]

OPTIONS = (
    click.option(
        "--params",
        default="demo",
        show_default=True,
        metavar="NAME|FILE",
        help="Parameters: a YAML file, or the name of one that comes with Thimble.",
    ),
    click.option(
        "--data",
        default="",
        metavar="s3://BUCKET/PREFIX",
        help="Scans and labels. Not for generated scans (kind phantom_...).",
    ),
    click.option(
        "--release",
        default="",
        metavar="s3://BUCKET/PREFIX/MODEL",
        help="Retrain: start from the latest release of this model when the run starts.",
    ),
    click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="TASK.FIELD=VALUE",
        help="Change a parameter; cluster.gpu_count=1 trains on a GPU.",
    ),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="images.lock of a release.  [default: images by the tags of these sources]",
    ),
    click.option(
        "--host",
        envvar="THIMBLE_KFP_HOST",
        required=True,
        metavar="URL",
        help="Kubeflow Pipelines' address, or THIMBLE_KFP_HOST.",
    ),
    click.option(
        "--namespace",
        envvar="THIMBLE_KFP_NAMESPACE",
        default="",
        metavar="NAME",
        help="Of the run, or THIMBLE_KFP_NAMESPACE; none for a server with one user.",
    ),
)


def submission_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of what is sent where."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def read_server(host: str, namespace: str) -> Any:
    """Return the server of the options and of the environment, which alone holds the token."""
    from pipelines.submission import Server

    token = os.environ.get("THIMBLE_KFP_TOKEN", "")
    return Server(host, namespace, token, os.environ.get("THIMBLE_KFP_CA_FILE", ""))


def read_submission(
    params: str,
    data: str,
    changes: tuple[str, ...],
    images: Path | None,
    name: str,
    scheduled: bool = False,
    release: str = "",
) -> Any:
    """Return what is sent; an empty name is that of the parameters."""
    from pipelines.closure import apply_tags
    from pipelines.commands.run import parameter_file
    from pipelines.parameters import load_parameters, override

    path = parameter_file(params)
    parameters = override(load_parameters(path), changes)
    apply_tags()  # before the components are imported
    from pipelines.submission import prepare_submission

    return prepare_submission(parameters, data, name or path.stem, images, scheduled, release)
