"""The `thimble` command: every way to use Thimble from a terminal."""

import errno
import sys
import traceback

import click

from pipelines.commands import (
    bench,
    compile,
    data,
    package,
    predict,
    release,
    retrain,
    run,
    runs,
    schedule,
    submit,
)
from thimble.stage import ThimbleError

__all__ = ["cli", "explain", "main", "run_command"]

FULL = (errno.ENOSPC, errno.EDQUOT)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="thimble")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """From scans to a segmentation network small enough for a phone, with proof of what was lost.

    \b
    Examples:
      thimble run                            the demo, on generated scans
      thimble run --params isbi2012 --data scans/isbi2012
      thimble inspect runs/demo/release/teacher-int8.thimble

    Exit codes: 0 done, 1 the run or a gate failed, 2 bad input or usage.
    """
    context.obj = {"debug": debug}


for command in (
    run.run,
    compile.compile_,
    release.approve,
    release.revoke,
    retrain.retrain,
    submit.submit,
    schedule.schedule,
    package.encode,
    package.decode,
    package.inspect,
    predict.predict,
    bench.bench,
    data.data,
    runs.runs,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run the command line and return its exit code; an error is one sentence on stderr."""
    debug = arguments[:1] == ["--debug"]
    try:
        code = cli.main(arguments, prog_name="thimble", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return 2
    except Exception as error:
        message, code = explain(error)
        if debug:
            traceback.print_exc()
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(message, err=True)
        return code


def explain(error: Exception) -> tuple[str, int]:
    """Return one sentence and the exit code for anything that went wrong."""
    if isinstance(error, ThimbleError):
        return str(error), error.exit_code
    if isinstance(error, click.Abort):
        return "interrupted", 130
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        fix = " Free space and run the same command again." if error.errno in FULL else ""
        return f"{error.strerror or error}{place}.{fix}", 2
    return f"{type(error).__name__}: {error}. This is a bug; `thimble --debug ...` shows where.", 1


if __name__ == "__main__":
    main()
