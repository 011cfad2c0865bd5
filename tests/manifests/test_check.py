"""manifests/check.py finds what it is there to find. It itself runs in `make check`."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, MANIFESTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def check() -> Any:
    return load("check")


@pytest.fixture
def pushgateway() -> Any:
    text = (MANIFESTS / "base/pushgateway.yaml").read_text(encoding="utf-8")
    return next(each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment")


def test_a_good_pod_has_no_problem(check: Any, pushgateway: Any) -> None:
    assert list(check.schema_problems(pushgateway)) == []
    assert list(check.pod_problems("x", pushgateway["spec"]["template"]["spec"])) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("securityContext.runAsNonRoot", False, "not root"),
        ("securityContext.runAsUser", 0, "not root"),
        ("securityContext.seccompProfile", {}, "seccomp"),
        ("automountServiceAccountToken", True, "token"),
        ("hostNetwork", True, "hostNetwork"),
        ("volumes", [{"name": "x", "hostPath": {"path": "/"}}], "of the host"),
        ("containers.0.image", "quay.io/prometheus/pushgateway", "a version of its image"),
        ("containers.0.image", "localhost:5000/pushgateway", "a version of its image"),
        ("containers.0.image", "quay.io/prometheus/pushgateway:latest", "a version of its image"),
        ("containers.0.resources.limits", {"cpu": "1"}, "limits of cpu and memory"),
        ("containers.0.securityContext.allowPrivilegeEscalation", True, "gain privileges"),
        ("containers.0.securityContext.privileged", True, "gain privileges"),
        ("containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}, "capabilities"),
        ("containers.0.securityContext.readOnlyRootFilesystem", False, "read-only"),
    ],
)
def test_rules(check: Any, pushgateway: Any, path: str, value: Any, said: str) -> None:
    pod = copy.deepcopy(pushgateway["spec"]["template"]["spec"])
    node = pod
    *way, last = path.split(".")
    for step in way:
        node = node[int(step)] if step.isdigit() else node[step]
    node[last] = value
    problems = list(check.pod_problems("x", pod))
    assert any(said in problem for problem in problems), problems


def test_a_mistyped_field_is_found(check: Any, pushgateway: Any) -> None:
    pushgateway["spec"]["replica"] = 1
    assert any("replica" in problem for problem in check.schema_problems(pushgateway))
    monitor = yaml.safe_load(
        (MANIFESTS / "components/monitoring/service-monitor.yaml").read_text(encoding="utf-8")
    )
    assert list(check.schema_problems(monitor)) == []
    monitor["spec"]["endpoints"][0]["honourLabels"] = True
    assert any("honourLabels" in problem for problem in check.schema_problems(monitor))


def test_names_that_lead_nowhere_are_found(check: Any, pushgateway: Any) -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "other"},
        "spec": {"selector": {"app.kubernetes.io/name": "other"}},
    }
    pushgateway["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "thimble-store-rot", "key": "k"}}}
    ]
    problems = "\n".join(check.reference_problems([pushgateway, service]))
    assert "there is no Secret thimble-store-rot" in problems
    assert "there is no PersistentVolumeClaim pushgateway" in problems
    assert "Service other: no pod has its labels" in problems


def test_open_networks_are_found(check: Any) -> None:
    assert list(check.network_problems([])) == ["no NetworkPolicy denies everything by default"]
    spec = {"podSelector": {"a": "b"}, "policyTypes": ["Egress"], "egress": [{"ports": []}]}
    problems = list(check.network_problems([{"kind": "NetworkPolicy", "spec": spec}]))
    assert "a NetworkPolicy allows a flow from or to anywhere" in problems


def test_prometheus_rule_is_made_from_the_rules() -> None:
    """`make golden` writes it again."""
    module = load("prometheus_rule")
    rules = module.RULES.read_text(encoding="utf-8")
    text = module.RESOURCE.read_text(encoding="utf-8")
    assert text == module.prometheus_rule(rules)
    assert yaml.safe_load(text)["spec"]["groups"] == yaml.safe_load(rules)["groups"]


def test_images_are_those_of_the_laptops_services() -> None:
    """compose.yaml and the manifests run the same versions."""
    root = MANIFESTS.parent
    texts = [path.read_text(encoding="utf-8") for path in MANIFESTS.glob("**/*.yaml")]
    images = {
        line.partition("image:")[2].strip() for text in texts for line in text.splitlines()
        if "image:" in line
    }  # fmt: skip
    services = yaml.safe_load((root / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service in services.values():
        name = service["image"].partition(":-")[2].rstrip("}")
        same = [image for image in images if image.rpartition(":")[0] == name.rpartition(":")[0]]
        assert same in ([], [name])
