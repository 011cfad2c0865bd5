"""The pipelines as a cluster gets them: their copies in manifests/, and what tasks are given."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from thimble.stage import BadInput

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "manifests/components/pipeline"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@pytest.fixture(scope="module")
def version() -> Any:
    """The committed PipelineVersion of retrain, which has every stage."""
    text = (GOLDEN / "retrain.yaml").read_text(encoding="utf-8")
    return list(yaml.load_all(text, LOADER))[1]


@pytest.fixture(scope="module")
def compress() -> Any:
    from pipelines.compress import compress

    return compress


def stage_of(label: str) -> str:
    name = label.removeprefix("exec-").rstrip("0123456789").rstrip("-")
    return "validate" if name == "refuse" else name


@pytest.mark.parametrize("name", ["compress", "retrain"])
def test_golden(tmp_path: Path, name: str) -> None:
    """`make golden` writes the copy again after a wanted change."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("THIMBLE_")}
    path = tmp_path / f"{name}.yaml"
    command = [sys.executable, "-m", "pipelines.cli", "compile", "--manifest", f"{name}-dev"]
    command += ["--pipeline", name, "--out", str(path)]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    golden = (GOLDEN / path.name).read_bytes()
    assert path.read_bytes() == golden, "the pipeline changed: run `make golden`"


def test_every_executor_has_a_row_and_no_row_is_spare(version: Any) -> None:
    from pipelines.cluster import PODS

    executors = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]
    assert {stage_of(label) for label in executors} == set(PODS)
    for executor in executors.values():
        resources = executor["container"]["resources"]
        assert len([k for k in resources if k.startswith("resource")]) == 4
        assert "accelerator" not in resources


def test_every_pod_is_an_ordinary_user_with_a_time_limit(version: Any) -> None:
    platform = version["spec"]["platformSpec"]["platforms"]["kubernetes"]
    executors = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]
    pods = platform["deploymentSpec"]["executors"]
    assert set(pods) == set(executors)
    for label, pod in pods.items():
        user = {"runAsUser": "10001", "runAsGroup": "0", "runAsNonRoot": True}
        assert pod["securityContext"] == user
        assert int(pod["activeDeadlineSeconds"]) >= 1800
        assert pod["podMetadata"]["labels"]["app.kubernetes.io/name"] == stage_of(label)


def test_only_ingest_restore_and_publish_see_the_store(version: Any) -> None:
    platform = version["spec"]["platformSpec"]["platforms"]["kubernetes"]
    seen = {}
    for label, pod in platform["deploymentSpec"]["executors"].items():
        assert all(secret["optional"] for secret in pod["secretAsEnv"])
        seen[label] = {secret["secretName"] for secret in pod["secretAsEnv"]}
    pushed = {"thimble-pushgateway"}
    assert seen.pop("exec-ingest") == pushed | {"thimble-store-ingest", "thimble-patients"}
    assert seen.pop("exec-restore") == pushed | {"thimble-store-pipeline"}
    publishing = {"thimble-store-pipeline", "thimble-signing", "thimble-automatic-approval"}
    assert seen.pop("exec-publish") == pushed | publishing
    assert all(secrets == pushed for secrets in seen.values())


def test_retries_and_caching(version: Any) -> None:
    spec = version["spec"]["pipelineSpec"]
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    retried, uncached = set(), set()
    for dag in dags:
        for task in dag["tasks"].values():
            label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
            if label and task.get("retryPolicy"):
                retried.add(stage_of(label))
            if label and not task["cachingOptions"].get("enableCache"):
                uncached.add(stage_of(label))
    assert retried == {"ingest", "publish", "restore"}
    assert uncached == {"benchmark", "publish"}


def test_an_accelerator_is_for_train_and_distill(compress: Any) -> None:
    from pipelines.cluster import PODS, cluster_specs, read_cluster

    cluster = read_cluster({"gpu_count": 2, "gpu_type": "amd.com/gpu", "gpu_taint": "gpu"})
    spec, platform = cluster_specs(compress, dict.fromkeys(PODS, "image:1"), cluster)
    given = {
        stage_of(label)
        for label, each in spec["deploymentSpec"]["executors"].items()
        if each["container"]["resources"].get("accelerator")
        == {"resourceType": "amd.com/gpu", "resourceCount": "2"}
    }
    assert given == {"train", "distill"}
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    tolerating = {stage_of(k) for k, pod in pods.items() if pod.get("tolerations") == [toleration]}
    assert tolerating == {"train", "distill"}


def test_the_local_pipeline_knows_nothing_of_it(compress: Any) -> None:
    before = compress.pipeline_spec.SerializeToString(deterministic=True)
    from pipelines.cluster import PODS, cluster_specs

    cluster_specs(compress, dict.fromkeys(PODS, "image:1"))
    assert compress.pipeline_spec.SerializeToString(deterministic=True) == before
    assert not compress.platform_spec.platforms


@pytest.mark.parametrize("group", [{"gpu_type": "gpu"}, {"gpu_count": 1.5}, {"gpu": 1}])
def test_bad_settings(group: dict[str, Any]) -> None:
    from pipelines.cluster import read_cluster

    with pytest.raises(BadInput, match="cluster"):
        read_cluster(group)


def test_a_release_is_pinned_by_digest(tmp_path: Path, compress: Any) -> None:
    from pipelines.commands.compile import compile_for_cluster

    lock = tmp_path / "images.lock"
    from pipelines.cluster import PODS

    lines = [f"{stage} r.example.org:5000/t/{stage}@sha256:{'a' * 64}\n" for stage in PODS]
    lock.write_text("# comment\n" + "".join(lines), "utf-8")
    compile_for_cluster(tmp_path / "c.yaml", images=lock, changes=("cluster.gpu_count=1",))
    spec = next(yaml.load_all((tmp_path / "c.yaml").read_text("utf-8"), LOADER))
    for label, executor in spec["deploymentSpec"]["executors"].items():
        wanted = f"r.example.org:5000/t/{stage_of(label)}@sha256:{'a' * 64}"
        assert executor["container"]["image"] == wanted
