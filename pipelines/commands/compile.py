"""`thimble compile`: the pipeline as YAML for Kubeflow."""

from pathlib import Path

import click

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "compress.yaml"


@click.command("compile", short_help="Write the pipeline as Kubeflow's YAML.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("compress.yaml"),
    show_default=True,
    metavar="FILE",
    help="Where the YAML goes.",
)
@click.option("--golden", is_flag=True, help="Write the copies that the tests compare with.")
def compile_(out: Path, golden: bool) -> None:
    """Compile the pipeline to Kubeflow's YAML.

    Images carry the tag `dev` unless THIMBLE_TAG_<STAGE> says otherwise.

    \b
    Examples:
      thimble compile --out compress.yaml
      THIMBLE_TAG_TRAIN=1.4 thimble compile
    """
    path = GOLDEN if golden else out
    compile_pipeline(path)
    click.echo(f"wrote {path}")
    if golden:
        from pipelines.katib import EXPERIMENT, write_experiment

        write_experiment(EXPERIMENT)
        click.echo(f"wrote {EXPERIMENT}")


def compile_pipeline(path: Path) -> None:
    """Write the compiled pipeline to a file; equal sources give equal bytes."""
    from kfp.compiler import Compiler

    from pipelines.compress import compress
    from thimble.artifact import write_atomically

    with write_atomically(path.absolute()) as partial:
        # kfp chooses the format by the suffix, which the partial file shares.
        Compiler().compile(compress, str(partial))
