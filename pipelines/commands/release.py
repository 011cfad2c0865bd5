"""`thimble approve` and `thimble revoke`: which release of a store phones follow."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

OPTIONS = (
    click.argument("url", metavar="URL"),
    click.argument("name", metavar="MODEL/VERSION"),
    click.option("--who", required=True, metavar="NAME", help="Who decides; goes to the log."),
    click.option("--why", required=True, metavar="TEXT", help="The reason; goes to the log."),
)


def _decision(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments of a decision."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command(short_help="Make a candidate the latest release.")
@_decision
def approve(url: str, name: str, who: str, why: str) -> None:
    """Make a candidate of an object store the latest release, which phones follow.

    Every file is checked by its SHA-256 first. With THIMBLE_SIGNING_PUBLIC_KEY, the PEM file of an
    Ed25519 key, the provenance must be signed by it. A candidate that was revoked, or whose run is
    older than that of the latest, is refused. The store and the credentials are those of
    THIMBLE_S3_ENDPOINT, THIMBLE_S3_ACCESS_KEY and THIMBLE_S3_SECRET_KEY.

    \b
    Examples:
      thimble approve s3://releases/nuclei model/3f9c1e2ab0d4 --who "A. Name" \\
        --why "report read, gates hold"
    """
    from thimble import releases
    from thimble.store import open_store

    key = os.environ.get("THIMBLE_SIGNING_PUBLIC_KEY", "")
    store = open_store(url)
    decision = releases.Decision(who, why)
    latest = releases.approve(store, name, decision, Path(key) if key else None)
    if not key:
        click.echo("signature not checked: THIMBLE_SIGNING_PUBLIC_KEY is not set")
    _show(latest)


@click.command(short_help="Take a release back.")
@_decision
def revoke(url: str, name: str, who: str, why: str) -> None:
    """Take a release of an object store back; the approved one before it is the latest again.

    A release that was revoked cannot be approved again. Its files stay, for those who have to find
    out what happened.

    \b
    Examples:
      thimble revoke s3://releases/nuclei model/3f9c1e2ab0d4 --who "A. Name" \\
        --why "misses small nuclei"
    """
    from thimble import releases
    from thimble.store import open_store

    _show(releases.revoke(open_store(url), name, releases.Decision(who, why)))


def _show(latest: dict[str, Any]) -> None:
    """Say what the latest release is."""
    release = latest["release"]
    version = release["version"] if release else "none"
    click.echo(f"latest {version} (generation {latest['generation']})")
