"""compose.yaml: valid, pinned, without credentials of its own."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

NAMES = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "GRAFANA_PASSWORD")
CREDENTIALS = {name: "only for this test" for name in NAMES}

Config = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def config(repository: Path, compose: str, tmp_path: Path) -> Config:
    """Lets compose read the file with these variables and an empty .env."""
    (tmp_path / "env").touch()
    files = ("--env-file", str(tmp_path / "env"), "--file", str(repository / "compose.yaml"))

    def read(**variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], **variables}
        command = [compose, *files, "config"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    return read


def test_compose_takes_it_with_credentials(config: Config) -> None:
    done = config(**CREDENTIALS, GRAFANA_IMAGE="mirror.example/grafana:1")
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"minio", "pushgateway", "prometheus", "alertmanager", "grafana"}
    assert services["grafana"]["image"] == "mirror.example/grafana:1"
    assert all(":" in service["image"].rpartition("/")[2] for service in services.values())
    assert not any(service["image"].endswith(":latest") for service in services.values())


@pytest.mark.parametrize("missing", CREDENTIALS)
def test_a_missing_credential_is_named(config: Config, missing: str) -> None:
    done = config(**{name: value for name, value in CREDENTIALS.items() if name != missing})
    assert done.returncode != 0
    assert f"put {missing} into .env" in done.stderr


def test_ports_are_local_and_files_exist(repository: Path) -> None:
    page = yaml.safe_load((repository / "compose.yaml").read_text(encoding="utf-8"))
    for service in page["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in page["volumes"] or (repository / source).exists()
