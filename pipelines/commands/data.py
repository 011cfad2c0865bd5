"""`thimble data`: make scans to try Thimble with, or check scans before a run."""

import logging
from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput


@click.group(short_help="Make phantom scans, or check scans.")
def data() -> None:
    """Make phantom scans, or check scans.

    \b
    Examples:
      thimble data phantom --kind membranes --images 24 --out scans
      thimble data check scans
    """


@data.command(short_help="Write generated scans as PNG files.")
@click.option(
    "--kind", type=click.Choice(["membranes", "nuclei"]), default="membranes", show_default=True
)
@click.option("--images", default=24, show_default=True, help="How many.")
@click.option("--size", default=256, show_default=True, help="Side in pixels.")
@click.option("--seed", default=1, show_default=True, help="Equal seeds give equal scans.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="A new folder; gets images/ and labels/.",
)
def phantom(kind: str, images: int, size: int, seed: int, out: Path) -> None:
    """Write generated scans with their labels, as PNG files.

    \b
    Example:
      thimble data phantom --kind nuclei --images 40 --size 128 --out scans/phantom
    """
    from thimble.datasets.export import write_phantom

    count = write_phantom(out, f"phantom_{kind}", images, size, seed)
    click.echo(f"wrote {count} scans with labels to {out}")


@data.command(short_help="Check scans before a run.")
@click.argument("source", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--kind", default="paired", show_default=True, help="Kind of data set.")
@click.option("--classes", default="", help="Such as `background=0;organ=1-255`.")
def check(source: Path, kind: str, classes: str) -> None:
    """Read every scan and label as a run would, and say what is wrong with them.

    \b
    Example:
      thimble data check --kind isbi2012 scans/isbi2012
    """
    if not source.is_dir():
        raise BadInput(f"{source} is not a folder. Expected a folder of scans and labels.")
    from components.ingest.check import inspect_source

    logging.disable(logging.WARNING)  # Beam's complaints about packages that we do not need
    found = inspect_source(kind, str(source.absolute()), classes=classes)
    problems = found.pop("problems")
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' ')}: {_shown(value)}")
    if problems:
        raise BadInput(" | ".join(problems))


def _shown(value: Any) -> str:
    """Return a description in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(_shown(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
