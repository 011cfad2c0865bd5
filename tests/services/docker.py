"""The Docker engine of the tests, and the images."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker as client
import pytest
from docker.errors import DockerException

from pipelines.closure import source_tags

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def docker() -> Any:
    """Docker's client for an engine that answers, `tests/services/with_docker.sh` starts one."""
    found = client.from_env(timeout=60)
    try:
        found.ping()
    except DockerException as error:
        pytest.fail(f"no Docker engine answers ({error}). Run make test-services.")
    return found


@pytest.fixture(scope="session")
def base_image(docker: Any) -> str:
    """The base image, which `tests/services/with_docker.sh` names."""
    return os.environ["BASE_IMAGE"]


@pytest.fixture(scope="session")
def image_tags() -> dict[str, str]:
    """Variables with the tags of the sources as they are now, for builds and runs alike."""
    return {f"THIMBLE_TAG_{stage.upper()}": tag for stage, tag in source_tags().items()}


@pytest.fixture(scope="session")
def build_images(docker: Any, base_image: str, image_tags: dict[str, str]) -> Any:
    """Build the images of the named stages, all if none is named."""

    def build(*stages: str) -> None:
        environment = {**os.environ, **image_tags, "BASE_IMAGE": base_image}
        command = [sys.executable, str(ROOT / "images" / "build.py"), *stages]
        subprocess.run(command, check=True, env=environment)

    return build
