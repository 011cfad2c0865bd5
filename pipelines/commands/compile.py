"""`thimble compile`: the pipeline as YAML for Kubeflow."""

import importlib
from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "pipelines/golden"
GOLDEN_CLUSTER = ROOT / "manifests/components/pipeline"
PIPELINES = ("compress", "retrain")


@click.command("compile", short_help="Write the pipeline as Kubeflow's YAML.")
@click.option(
    "--pipeline",
    "name",
    type=click.Choice(PIPELINES),
    default="compress",
    show_default=True,
    help="The whole pipeline, or the same from the last release on.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the YAML goes.  [default: <pipeline>.yaml]",
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
    name: str,
    out: Path | None,
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
      THIMBLE_TAG_TRAIN=1.4 thimble compile --pipeline retrain
      thimble compile --cluster --images images/images.lock --set cluster.gpu_count=1
      thimble compile --manifest compress-1.4 --images images/images.lock
    """
    if (images or changes) and not (cluster or manifest):
        raise BadInput("--images and --set are for a cluster. Add --cluster or --manifest NAME.")
    if golden:
        _write_golden()
        return
    path = out or Path(f"{name}.yaml")
    if cluster or manifest:
        compile_for_cluster(path, name, manifest or "", images, changes)
    else:
        compile_pipeline(path, name)
    click.echo(f"wrote {path}")


def _write_golden() -> None:
    """Write the copies that the tests compare with."""
    from pipelines.katib import EXPERIMENT, write_experiment

    for name in PIPELINES:
        path = GOLDEN / f"{name}.yaml"
        compile_pipeline(path, name)
        click.echo(f"wrote {path}")
        path = GOLDEN_CLUSTER / f"{name}.yaml"
        compile_for_cluster(path, name, f"{name}-dev")
        click.echo(f"wrote {path}")
    write_experiment(EXPERIMENT)
    click.echo(f"wrote {EXPERIMENT}")


def load_pipeline(name: str) -> Any:
    """Return one of `PIPELINES`; this imports the components."""
    return getattr(importlib.import_module(f"pipelines.{name}"), name)


def compile_pipeline(path: Path, name: str = "compress") -> None:
    """Write a compiled pipeline to a file; equal sources give equal bytes."""
    from kfp.compiler import Compiler

    from thimble.artifact import write_atomically

    with write_atomically(path.absolute()) as partial:
        # kfp chooses the format by the suffix, which the partial file shares.
        Compiler().compile(load_pipeline(name), str(partial))


def compile_for_cluster(
    path: Path,
    name: str = "compress",
    manifest: str = "",
    images: Path | None = None,
    changes: tuple[str, ...] = (),
) -> None:
    """Write a pipeline with the settings of its pods; equal sources give equal bytes."""
    from pipelines.cluster import PODS, cluster_specs, read_cluster, write_package
    from pipelines.image_lock import image_references
    from pipelines.parameters import override

    groups = override({}, changes)
    if set(groups) - {"cluster"}:
        raise BadInput(f"--set takes cluster.field=value here. Received: {' '.join(changes)}")
    pipeline = load_pipeline(name)
    specs = cluster_specs(
        pipeline,
        image_references(PODS, images),
        read_cluster(groups.get("cluster", {})),
        {"THIMBLE_PIPELINE": pipeline.name},
    )
    write_package(path, specs, pipeline.description, manifest)
