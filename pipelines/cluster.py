"""How the pipeline runs on a cluster: resources, retries, secrets and images of every task.

What a laptop ignores is put into the compiled pipeline here, so that the pipeline itself says what
is computed and no more. kfp's own functions work on a task while its pipeline is traced, and nested
pipelines are traced when they are imported; so the compiled form is edited, by executor.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf import json_format
from kfp import kubernetes
from kfp.compiler.compiler_utils import KubernetesManifestOptions
from kfp.compiler.pipeline_spec_builder import write_pipeline_spec_to_file
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from pipelines.parameters import typed
from pipelines.plan import IMAGE_OF
from thimble.artifact import write_atomically
from thimble.stage import BadInput, require

__all__ = ["PODS", "Cluster", "Pod", "cluster_specs", "read_cluster", "write_package"]

# The user and group of the images.
USER, GROUP = 10001, 0
LABEL = "app.kubernetes.io"
# Variables by key, by secret, by the stages that get it. No other stage sees credentials of the
# store: Kubeflow itself moves artifacts. A secret that is not there is no error: its variables stay
# unset, and what needs them says so.
STORE = {
    "endpoint": "THIMBLE_S3_ENDPOINT",
    "accesskey": "THIMBLE_S3_ACCESS_KEY",
    "secretkey": "THIMBLE_S3_SECRET_KEY",
}
PUSHGATEWAY = {
    "url": "THIMBLE_PUSHGATEWAY_URL",
    "username": "THIMBLE_PUSHGATEWAY_USERNAME",
    "password": "THIMBLE_PUSHGATEWAY_PASSWORD",
}
# Only where the operator made this secret is a release approved without a person
# (components.publish.approval).
APPROVAL = {
    "who": "THIMBLE_AUTOMATIC_APPROVAL",
    "accesskey": "THIMBLE_APPROVER_ACCESS_KEY",
    "secretkey": "THIMBLE_APPROVER_SECRET_KEY",
}
SECRETS = {
    "ingest": {
        "thimble-store-ingest": STORE,
        # Under it patients' names are hashed; another key would give them other names.
        "thimble-patients": {"key": "THIMBLE_PATIENT_KEY"},
    },
    "publish": {
        "thimble-store-pipeline": STORE,
        "thimble-automatic-approval": APPROVAL,
        # The variable names a file, so the secret says where its own key is mounted.
        "thimble-signing": {"path": "THIMBLE_SIGNING_KEY"},
    },
    "restore": {"thimble-store-pipeline": STORE},
}
MOUNTS = {"publish": {"thimble-signing": "/etc/thimble-signing"}}
# Times of one node are no times of another, and a release is made by a run, not remembered.
NEVER_CACHED = ("benchmark", "publish")
RETRY = {
    "maxRetryCount": 3,
    "backoffDuration": "60s",
    "backoffFactor": 2.0,
    "backoffMaxDuration": "900s",
}


@dataclass(frozen=True)
class Pod:
    """What a task of a stage may use.

    Attributes:
        cpu: Cores, requested and at most.
        memory: Requested and at most.
        minutes: When the pod is ended; retries count anew.
        retries: Whether a failure is tried again: only where the network is the usual reason.
        gpu: Whether it gets the accelerator, if there is one.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    minutes: int
    retries: bool = False
    gpu: bool = False


PODS = {
    "ingest": Pod(("1", "4"), ("2Gi", "8Gi"), 240, retries=True),
    "validate": Pod(("500m", "2"), ("1Gi", "4Gi"), 60),
    "train": Pod(("2", "8"), ("4Gi", "12Gi"), 1440, gpu=True),
    "distill": Pod(("2", "8"), ("4Gi", "12Gi"), 1440, gpu=True),
    "prune": Pod(("2", "8"), ("4Gi", "12Gi"), 720),
    "quantize": Pod(("2", "8"), ("4Gi", "12Gi"), 720),
    "huffman": Pod(("500m", "1"), ("512Mi", "1Gi"), 30),
    "convert": Pod(("1", "4"), ("2Gi", "6Gi"), 240),
    "evaluate": Pod(("2", "4"), ("2Gi", "6Gi"), 240),
    # Requests equal limits: with the static CPU manager the cores are its own while it measures.
    "benchmark": Pod(("2", "2"), ("1Gi", "1Gi"), 60),
    "report": Pod(("500m", "2"), ("1Gi", "2Gi"), 30),
    "publish": Pod(("500m", "1"), ("512Mi", "1Gi"), 30, retries=True),
    "restore": Pod(("500m", "1"), ("512Mi", "1Gi"), 60, retries=True),
}


@dataclass(frozen=True)
class Cluster:
    """The group `cluster` of a parameter file: the accelerator of train and distill.

    Attributes:
        gpu_type: Its resource name, such as nvidia.com/gpu or amd.com/gpu.
        gpu_count: How many a task gets; 0 trains on processors.
        gpu_taint: Key of the taint of nodes that have one; empty if they are not tainted.
    """

    gpu_type: str = "nvidia.com/gpu"
    gpu_count: int = 0
    gpu_taint: str = "nvidia.com/gpu"

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.gpu_count >= 0, "cluster.gpu_count must be >= 0", gpu_count=self.gpu_count)
        named = re.fullmatch(r"[a-z0-9.-]+/[A-Za-z0-9._-]+", self.gpu_type)
        require(bool(named), "cluster.gpu_type must be like nvidia.com/gpu", gpu_type=self.gpu_type)


def read_cluster(group: Mapping[str, Any]) -> Cluster:
    """Read the group `cluster` of the parameters.

    Raises:
        BadInput: If a name, type or value is wrong.
    """
    types = {field.name: type(field.default) for field in fields(Cluster)}
    unknown = sorted(set(group) - set(types))
    if unknown:
        raise BadInput(f"cluster has no parameter {unknown[0]!r}. Known: {', '.join(types)}")
    return Cluster(**{k: typed(f"cluster.{k}", v, types[k]) for k, v in group.items()})


def cluster_specs(
    pipeline: Any,
    images: Mapping[str, str],
    cluster: Cluster | None = None,
    environment: Mapping[str, str] | None = None,
    uncached: Iterable[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the compiled pipeline for a cluster: kfp's spec and its Kubernetes part.

    Args:
        pipeline: The pipeline as kfp compiled it.
        images: Full image reference by stage.
        cluster: The accelerator; none by default.
        environment: Variables that every task gets, such as THIMBLE_DATASET.
        uncached: Stages that always run, besides those that always do.
    """
    spec = json_format.MessageToDict(pipeline.pipeline_spec)
    variables = [{"name": name, "value": v} for name, v in sorted((environment or {}).items())]
    platform = {}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        stage = _stage(label)
        container = executor["container"]
        container["image"] = images[stage]
        container["resources"] = _resources(PODS[stage], cluster or Cluster())
        if variables:
            container["env"] = variables
        platform[label] = _kubernetes(stage, pipeline.name, cluster or Cluster())
    for task, label in _tasks(spec):
        if PODS[_stage(label)].retries:
            task["retryPolicy"] = dict(RETRY)
        if _stage(label) in {*NEVER_CACHED, *uncached}:
            task["cachingOptions"] = {}
    return spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}


def write_package(
    path: Path,
    specs: tuple[dict[str, Any], dict[str, Any]],
    description: str,
    version: str = "",
) -> None:
    """Write a compiled pipeline.

    Args:
        path: The YAML file, replaced atomically.
        specs: What `cluster_specs` returned.
        description: One line for the UI.
        version: If given, the file holds Kubernetes resources instead: Pipeline and PipelineVersion
            of this name.
    """
    spec, platform = specs
    options = None
    if version:
        name = spec["pipelineInfo"]["name"]
        options = KubernetesManifestOptions(
            pipeline_name=name,
            pipeline_version_name=version,
            pipeline_display_name=name,
            pipeline_version_display_name=version,
            include_pipeline_manifest=True,
        )
    with write_atomically(path.absolute()) as partial:
        write_pipeline_spec_to_file(
            json_format.ParseDict(spec, PipelineSpec()),
            description,
            json_format.ParseDict(platform, PlatformSpec()),
            str(partial),
            kubernetes_manifest_options=options,
            kubernetes_manifest_format=options is not None,
        )


def _stage(label: str) -> str:
    """Return the stage whose image an executor runs: `exec-train-3` is of train."""
    name = re.sub(r"(-\d+)+$", "", label.removeprefix("exec-"))
    return IMAGE_OF.get(name, name)


def _tasks(spec: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every task that runs a container, with its executor's label."""
    components = spec["components"]
    dags = [spec["root"]["dag"], *(c["dag"] for c in components.values() if "dag" in c)]
    for dag in dags:
        for task in dag["tasks"].values():
            component = components[task["componentRef"]["name"]]
            if "executorLabel" in component:
                yield task, component["executorLabel"]


def _resources(pod: Pod, cluster: Cluster) -> dict[str, Any]:
    """Return the resources of a container in kfp's terms."""
    resources: dict[str, Any] = {
        "resourceCpuRequest": pod.cpu[0],
        "resourceCpuLimit": pod.cpu[1],
        "resourceMemoryRequest": pod.memory[0],
        "resourceMemoryLimit": pod.memory[1],
    }
    if pod.gpu and cluster.gpu_count:
        resources["accelerator"] = {
            "resourceType": cluster.gpu_type,
            "resourceCount": str(cluster.gpu_count),
        }
    return resources


def _kubernetes(stage: str, pipeline: str, cluster: Cluster) -> dict[str, Any]:
    """Return what kfp has no words for: secrets, user, time limit, labels, tolerations."""
    pod = PODS[stage]
    # kfp's functions change nothing of a task but this.
    task: Any = SimpleNamespace(platform_config={})
    secrets = {"thimble-pushgateway": PUSHGATEWAY, **SECRETS.get(stage, {})}
    for secret, variables in secrets.items():
        kubernetes.use_secret_as_env(task, secret, variables, optional=True)
    for secret, folder in MOUNTS.get(stage, {}).items():
        kubernetes.use_secret_as_volume(task, secret, folder, optional=True)
    kubernetes.set_security_context(task, USER, GROUP, run_as_non_root=True)
    kubernetes.set_timeout(task, pod.minutes * 60)
    for name, value in {"name": stage, "part-of": "thimble", "component": pipeline}.items():
        kubernetes.add_pod_label(task, f"{LABEL}/{name}", value)
    if pod.gpu and cluster.gpu_count and cluster.gpu_taint:
        kubernetes.add_toleration(task, cluster.gpu_taint, "Exists", effect="NoSchedule")
    return dict(task.platform_config["kubernetes"])
