"""Checks what kustomize makes of every overlay: schemas, then rules that no schema has.

`make check` runs it. It needs kubectl (1.27 or newer) or kustomize, and no cluster.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
OVERLAYS = ("laptop", "production", "seaweedfs")
# Applied by themselves.
PIPELINE = HERE / "components/pipeline"
EXPERIMENT = HERE / "components/search/experiment.yaml"
SECRETS = HERE / "secrets.sh"
# The oldest Kubernetes that Kubeflow Pipelines 2.17 is tested with here by schema, and a new one.
VERSIONS = ("1.30", "1.37")
PINNED = re.compile(r"\S+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w.-]+)")
# Katib's trials write their run folder and Python's caches: their root is not read-only.
WRITABLE_ROOT = {"thimble-search"}
# The owner makes these (docs/how-to/cluster.md); without them a release is not signed.
BY_HAND = {"thimble-signing"}
Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """Returns the resources of an overlay, or of what is applied by itself."""
    kustomize = shutil.which(
        "kustomize", path=f"{HERE.parent}/.tools/bin{os.pathsep}{os.environ['PATH']}"
    )
    command = [kustomize, "build"] if kustomize else ["kubectl", "kustomize"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"manifests: {folder.name}: {done.stderr.strip()}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(done.stdout, loader) if each]


def title(resource: Resource) -> str:
    """Returns what to call a resource."""
    return f"{resource['kind']} {resource['metadata']['name']}"


def schema_problems(resource: Resource) -> Iterator[str]:
    """Yields what a resource's schema does not allow."""
    own = HERE / "schemas" / f"{resource['kind']}.json"
    if own.exists():
        validator = jsonschema.Draft7Validator(json.loads(own.read_text(encoding="utf-8")))
        for error in validator.iter_errors(resource):
            yield f"{'.'.join(map(str, error.path))}: {error.message[:200]}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message[:200]}"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"Kubernetes {version} knows no such kind, and schemas/ has none of ours"


def pod_of(resource: Resource) -> Resource | None:
    """Returns the pod that a resource makes, if it makes one."""
    if resource["kind"] == "Experiment":
        resource = resource["spec"]["trialTemplate"]["trialSpec"]
    template = resource["spec"].get("template", {}) if "spec" in resource else {}
    return template if "containers" in template.get("spec", {}) else None


def pod_problems(name: str, pod: Resource) -> Iterator[str]:
    """Yields what a pod of ours must not do or leave out."""
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "must run as a user that is not root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "must have the seccomp profile RuntimeDefault"
    if pod.get("automountServiceAccountToken") is not False and name not in WRITABLE_ROOT:
        yield "must not mount the service account's token"
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(forbidden):
            yield f"must not have {forbidden}"
    yield from (
        f"volume {v['name']} is of the host" for v in pod.get("volumes", []) if "hostPath" in v
    )
    for container in pod["containers"] + pod.get("initContainers", []):
        for problem in container_problems(container, name in WRITABLE_ROOT):
            yield f"{container['name']} {problem}"


def container_problems(container: Resource, writable: bool) -> Iterator[str]:
    """Yields what a container of ours must not do or leave out."""
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "must not gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "must drop all capabilities"
    if context.get("readOnlyRootFilesystem") is not True and not writable:
        yield "must have a read-only root file system"
    for amount in ("requests", "limits"):
        if {"cpu", "memory"} - set(container.get("resources", {}).get(amount, {})):
            yield f"must name {amount} of cpu and memory"
    if not PINNED.fullmatch(container["image"]):
        yield f"must name a version of its image, or a digest. Received: {container['image']}"


def reference_problems(resources: list[Resource]) -> Iterator[str]:
    """Yields names that lead nowhere: config maps, secrets, accounts, pods behind a service."""
    names = {(each["kind"], each["metadata"]["name"]) for each in resources}
    made = SECRETS.read_text(encoding="utf-8")
    roles = re.findall(r"for role in ([\w ]+);", made)[0].split()
    secrets = {f"thimble-store-{role}" for role in roles} | BY_HAND
    secrets |= set(re.findall(r"exists ([\w-]+)", made))
    labels = [t["metadata"]["labels"] for each in resources if (t := pod_of(each))]
    for each in resources:
        pod = pod_of(each)
        for key, name in _references(pod["spec"] if pod else {}):
            known = name in secrets if key == "Secret" else (key, name) in names
            if not known:
                yield f"{title(each)}: there is no {key} {name}"
        if each["kind"] == "Service":
            wanted = each["spec"]["selector"].items()
            if not any(wanted <= found.items() for found in labels):
                yield f"{title(each)}: no pod has its labels"
        if (
            each["kind"] == "StatefulSet"
            and ("PodDisruptionBudget", each["metadata"]["name"]) not in names
        ):
            yield f"{title(each)}: has no PodDisruptionBudget"


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """Yields kind and name of what a pod refers to."""
    if isinstance(node, list):
        for each in node:
            yield from _references(each)
    if isinstance(node, dict):
        for key, kind, named in (
            ("configMap", "ConfigMap", "name"),
            ("configMapKeyRef", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("secretKeyRef", "Secret", "name"),
            ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
        ):
            if isinstance(node.get(key), dict) and named in node[key]:
                yield kind, node[key][named]
        if "serviceAccountName" in node:
            yield "ServiceAccount", node["serviceAccountName"]
        for each in node.values():
            yield from _references(each)


def network_problems(resources: list[Resource]) -> Iterator[str]:
    """Yields whether anything may talk that no policy names."""
    policies = [each["spec"] for each in resources if each["kind"] == "NetworkPolicy"]
    denied = [
        set(spec["policyTypes"]) == {"Ingress", "Egress"}
        for spec in policies
        if not spec["podSelector"] and not spec.get("ingress") and not spec.get("egress")
    ]
    if not any(denied):
        yield "no NetworkPolicy denies everything by default"
    for spec in policies:
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            if not (rule.get("from") or rule.get("to")):
                yield "a NetworkPolicy allows a flow from or to anywhere"


def problems_of(resources: list[Resource]) -> Iterator[str]:
    """Yields everything that is wrong with resources that are applied together."""
    for each in resources:
        pod = pod_of(each)
        name = each["metadata"]["name"]
        found = [*schema_problems(each), *(pod_problems(name, pod["spec"]) if pod else [])]
        yield from (f"{title(each)}: {problem}" for problem in found)
    yield from reference_problems(resources)
    yield from network_problems(resources)
    for each in resources:
        labels = each["metadata"].get("labels", {})
        if (
            each["kind"] == "Namespace"
            and labels.get("pod-security.kubernetes.io/enforce") != "restricted"
        ):
            yield f"{title(each)}: must enforce Pod Security restricted"


def experiment_problems() -> Iterator[str]:
    """Yields what is wrong with Katib's experiment, which is applied by itself."""
    experiment = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))
    trial = {"metadata": {"name": "trial"}, **experiment["spec"]["trialTemplate"]["trialSpec"]}
    found = [*schema_problems(experiment), *schema_problems(trial)]
    found += pod_problems("thimble-search", trial["spec"]["template"]["spec"])
    yield from (f"{title(experiment)}: {problem}" for problem in found)


def main() -> int:
    """Checks everything and prints what is wrong."""
    found = {f"search: {problem}" for problem in experiment_problems()}
    for each in render(PIPELINE):
        found |= {f"pipeline: {title(each)}: {problem}" for problem in schema_problems(each)}
    for overlay in OVERLAYS:
        found |= {
            f"{overlay}: {problem}" for problem in problems_of(render(HERE / "overlays" / overlay))
        }
    print("\n".join(sorted(found)), end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
