"""`thimble compile`: the pipeline as YAML for Kubeflow."""

from pathlib import Path

import click

from thimble.stage import BadInput

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "pipelines/golden/compress.yaml"
GOLDEN_CLUSTER = ROOT / "manifests/components/pipeline/compress.yaml"


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
@click.option(
    "--cluster",
    is_flag=True,
    help="With resources, retries, secrets and the other settings of pods.",
)
@click.option(
    "--manifest",
    metavar="VERSION",
    help="For a cluster, as Kubernetes resources: Pipeline and PipelineVersion of this name.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a cluster: images.lock of a release.  [default: images by their tags]",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="cluster.FIELD=VALUE",
    help="For a cluster: gpu_count, gpu_type, gpu_taint.",
)
def compile_(
    out: Path,
    golden: bool,
    cluster: bool,
    manifest: str | None,
    images: Path | None,
    changes: tuple[str, ...],
) -> None:
    """Compile the pipeline to Kubeflow's YAML.

    Images carry the tag `dev` unless THIMBLE_TAG_<STAGE> says otherwise.

    \b
    Examples:
      thimble compile --out compress.yaml
      THIMBLE_TAG_TRAIN=1.4 thimble compile
      thimble compile --cluster --images images/images.lock --set cluster.gpu_count=1
      thimble compile --manifest compress-1.4 --images images/images.lock
    """
    if (images or changes) and not (cluster or manifest):
        raise BadInput("--images and --set are for a cluster. Add --cluster or --manifest NAME.")
    path = GOLDEN if golden else out
    if cluster or manifest:
        compile_for_cluster(path, manifest or "", images, changes)
    else:
        compile_pipeline(path)
    click.echo(f"wrote {path}")
    if golden:
        from pipelines.katib import EXPERIMENT, write_experiment

        compile_for_cluster(GOLDEN_CLUSTER, "compress-dev")
        click.echo(f"wrote {GOLDEN_CLUSTER}")
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


def compile_for_cluster(
    path: Path, manifest: str = "", images: Path | None = None, changes: tuple[str, ...] = ()
) -> None:
    """Write the pipeline with the settings of its pods; equal sources give equal bytes."""
    from pipelines.cluster import PODS, cluster_specs, read_cluster, write_package
    from pipelines.compress import compress
    from pipelines.image_lock import image_references
    from pipelines.parameters import override

    groups = override({}, changes)
    if set(groups) - {"cluster"}:
        raise BadInput(f"--set takes cluster.field=value here. Received: {' '.join(changes)}")
    specs = cluster_specs(
        compress,
        image_references(PODS, images),
        read_cluster(groups.get("cluster", {})),
        {"THIMBLE_PIPELINE": compress.name},
    )
    write_package(path, specs, compress.description, manifest)
