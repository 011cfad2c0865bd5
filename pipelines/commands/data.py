"""`thimble data`: make scans to try Thimble with, or check scans before a run."""

import contextlib
import io
import logging
import tempfile
from pathlib import Path

import click

from thimble.stage import BadInput


@click.group(short_help="Make phantom scans, or check scans.")
def data() -> None:
    """Make phantom scans, or check scans.

    \b
    Examples:
      thimble data phantom --kind membranes --images 24 --out scans
      thimble data check --kind paired --data scans
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
@click.option("--kind", default="paired", show_default=True, help="Kind of data set.")
@click.option("--data", "source", type=click.Path(path_type=Path), required=True, metavar="FOLDER")
@click.option("--classes", default="", help="Such as `background=0;organ=1-255`.")
def check(kind: str, source: Path, classes: str) -> None:
    """Read every scan and label as a run would, and say what is wrong with them.

    \b
    Example:
      thimble data check --kind isbi2012 --data scans/isbi2012
    """
    if not source.is_dir():
        raise BadInput(f"--data {source} is not a folder. Expected a folder of scans and labels.")
    images, share = _check(kind, source.absolute(), classes)
    click.echo(f"{images} scans can be used; foreground {share:.1%} of all pixels")


def _check(kind: str, source: Path, classes: str) -> tuple[int, float]:
    """Do the first half of ingest: look at everything, write nothing."""
    from components.ingest.ingest import IngestConfig, ingest_source
    from thimble.stage import Run, flat_fields, from_flat

    given = {"kind": kind, "source": str(source), "classes": classes}
    logging.disable(logging.WARNING)  # Beam's complaints about packages that we do not need
    config = from_flat(IngestConfig, {**flat_fields(IngestConfig), **given})
    with tempfile.TemporaryDirectory(prefix="thimble-check-") as scratch:
        run = Run("check", config, "", Path(scratch))
        with contextlib.redirect_stdout(io.StringIO()):  # the lines meant for a stage's log
            _, figures = ingest_source(config, run)
    return int(figures["images"]), figures["foreground_share"]
