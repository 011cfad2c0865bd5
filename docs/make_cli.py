"""Writes docs/reference/cli.md from the commands' own help: `make reference`."""

from collections.abc import Iterator
from pathlib import Path

import click

from pipelines.cli import cli

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "cli.md"
WIDTH = 100
HEAD = """# The command line

Made from the commands' own help by `make reference`; do not edit.
"""


def helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of all below it."""
    settings = {**command.context_settings, "terminal_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from helps(found, child, context)


def page() -> str:
    """Return the whole page."""
    parts = [f"## {path}\n\n```\n{text}\n```\n" for path, text in helps(cli, "thimble")]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
