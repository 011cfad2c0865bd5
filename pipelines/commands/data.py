"""`thimble data`: make scans to try Thimble with, or check scans before a run."""

import logging
from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput

SHOWN = 6


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


@data.command(short_help="Say what a run would do with a folder of scans.")
@click.argument("source", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--kind", default="", help="Kind of data set; found out if it is not given.")
@click.option("--classes", default="", help="Such as `background=0;organ=1-255`.")
@click.option("--labels", type=click.Choice(["required", "none"]), help="Whether there are masks.")
@click.option("--include-burned-in", default="", help="As the parameter of ingest.")
@click.option("--all", "everything", is_flag=True, help="Read all of a large set, not 64 MiB.")
@click.option("--names", is_flag=True, help="Show which file each hidden name stands for (DICOM).")
def check(source: Path, everything: bool, names: bool, **given: str | None) -> None:
    """Say what a folder of scans holds and what a run would do with it: a dataset card.

    File names of DICOM may name patients: they are shown with --names only.

    \b
    Examples:
      thimble data check scans
      thimble data check --kind isbi2012 scans/isbi2012
    """
    if not source.is_dir():
        raise BadInput(f"{source} is not a folder. Expected a folder of scans and labels.")
    from components.ingest.card import describe_folder

    logging.disable(logging.WARNING)  # Beam's complaints about packages that we do not need
    stops = []
    chosen = {name: value for name, value in given.items() if value}
    for number, card in enumerate(describe_folder(str(source.absolute()), everything, **chosen)):
        click.echo("\n" * bool(number) + "\n".join(card_lines(card)))
        stops += [card["stops"]] if "stops" in card else []
        if names and card["kind"] == "dicom":
            _show_names(source, card["parameters"])
    if stops:
        raise BadInput("A run would stop: " + " | ".join(stops))


def card_lines(card: dict[str, Any]) -> list[str]:
    """Return a card as lines of text."""
    parameters = {name: value for name, value in card["parameters"].items() if value}
    lines = [f"kind: {card['kind']}"]
    lines += [f"remark: {card['remark']}"] if card["remark"] else []
    partly = f", {card['read']} of them read" if card["read"] < card["cases"] else ""
    labels = ", without labels" if parameters.get("labels") == "none" else ""
    lines.append(
        f"holds: {card['cases']} cases of {card['patients']} patients{partly}, "
        f"{card['images']} images{labels}"
    )
    counts = {name: card[name] for name in ("formats", "sizes", "spacing")} | card["attributes"]
    lines += [f"{name.replace('_', ' ')}: {_counted(v)}" for name, v in counts.items() if v]
    if card["raw_labels"]:
        lines.append(f"raw labels: {card['raw_labels']}")
        lines += [f"class {c['name']} ({c['raw']}): {c['share']:.4g}" for c in card["classes"]]
    if card["splits"]:
        lines.append(f"splits ({card['parameters'].get('split_rule', 'block')}): "
                     f"{_counted(card['splits'])}")  # fmt: skip
    lines += [f"note: {note}" for note in card["notes"][:SHOWN]]
    hidden = len(card["notes"]) - SHOWN
    lines += [f"note: ... {hidden} more"] if hidden > 0 else []
    for kind, count in card["refused"].items():
        first = card["examples"][kind]
        lines.append(f"refused, {count}: {first.reason} ({'first: ' * (count > 1)}{first.file})")
    told = " ".join(f"{name}={value!r}" for name, value in parameters.items())
    return [*lines, f"parameters: {told}"]


def _counted(counts: dict[str, int]) -> str:
    """Return the most frequent values in one line."""
    shown = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:SHOWN])
    return shown + (f", ... {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _show_names(source: Path, parameters: dict[str, Any]) -> None:
    """Show the operator which file each hidden name stands for."""
    from thimble.datasets.dicom_sources import list_dicom

    included = str(parameters.get("include_burned_in", "")).split(",")
    labelled = parameters.get("labels", "required") == "required"
    listing = list_dicom(str(source.absolute()), labelled, included)
    reasons = {refusal.file: refusal.reason for refusal in listing.refused}
    for hidden, name in sorted(listing.names.items(), key=lambda item: item[1]):
        shown = name.encode(errors="backslashreplace").decode()
        click.echo(f"{hidden} = {shown}: {reasons.get(hidden, 'taken')}")
