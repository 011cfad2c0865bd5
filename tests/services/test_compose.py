"""compose.yaml as `make services` starts it, with real servers in images that are made here.

The images that it names cannot be pulled everywhere: Debian's programs and the MinIO of the tests
take their places, by the variables that compose.yaml has for that. There is no Grafana among them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.minio import SERVER
from tests.services.prometheus import fetch, wait_for

pytestmark = [pytest.mark.services, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "MINIO_IMAGE": str(SERVER),
    "PUSHGATEWAY_IMAGE": "prometheus-pushgateway",
    "PROMETHEUS_IMAGE": "prometheus",
    "ALERTMANAGER_IMAGE": "prometheus-alertmanager",
}
# Debian's Alertmanager reads its templates from a folder, others hold them.
TEMPLATES = "/usr/share/prometheus/alertmanager"
DOCKERFILE = f"""
FROM {{base}}
COPY templates {TEMPLATES}
COPY program /program
ENTRYPOINT ["/program"]
"""
SERVICES = ("minio", "pushgateway", "prometheus", "alertmanager")
SECRETS = {
    "MINIO_ROOT_USER": "root",
    "MINIO_ROOT_PASSWORD": "not a secret",
    "GRAFANA_PASSWORD": "x",
}


@pytest.fixture(scope="module")
def composed(
    docker: Any, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """All services but Grafana, until the tests end."""
    for script in ("minio.sh", "prometheus.sh"):
        subprocess.run([str(ROOT / "tests/services/install" / script)], check=True)
    environment = {**os.environ, **SECRETS}
    for variable, program in PROGRAMS.items():
        environment[variable] = f"thimble-test-{variable.partition('_')[0].lower()}"
        folder = tmp_path_factory.mktemp("image")
        shutil.copy(shutil.which(program) or program, folder / "program")
        shutil.copytree(TEMPLATES, folder / "templates")
        (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base_image))
        command = ["docker", "build", "--quiet", "--tag", environment[variable], str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    compose = ["docker-compose", "--project-name", "thimble-test", "--file", "compose.yaml"]
    up = [*compose, "up", "--detach", *SERVICES]
    try:
        subprocess.run(up, cwd=ROOT, env=environment, check=True)
        yield
    finally:
        subprocess.run([*compose, "down", "--volumes"], cwd=ROOT, env=environment, check=True)
    for variable in PROGRAMS:
        docker.images.remove(environment[variable])


def ask(url: str) -> Any:
    """Return what a server answers, once it does."""

    def answer() -> Any:
        try:
            return json.loads(fetch(url) or "{}") or {"answered": True}
        except (OSError, ValueError):
            return None

    return wait_for(answer, f"{url} does not answer")


def test_prometheus_scrapes_the_gateway_and_knows_the_rules(composed: None) -> None:
    def up() -> bool:
        targets = ask("http://127.0.0.1:9090/api/v1/targets")["data"]["activeTargets"]
        return [each["health"] for each in targets] == ["up"]

    wait_for(up, "the Pushgateway is not scraped")
    groups = ask("http://127.0.0.1:9090/api/v1/rules")["data"]["groups"]
    assert {group["name"] for group in groups} == {"thimble-releases", "thimble-alerts"}


def test_alerts_have_somewhere_to_go(composed: None) -> None:
    def connected() -> bool:
        found = ask("http://127.0.0.1:9090/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        return [each["url"] for each in found] == ["http://alertmanager:9093/api/v2/alerts"]

    wait_for(connected, "Prometheus has no Alertmanager")
    assert ask("http://127.0.0.1:9093/api/v2/status")["config"]["original"]


def test_the_store_answers(composed: None) -> None:
    ask("http://127.0.0.1:9000/minio/health/ready")
