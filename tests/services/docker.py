"""A Docker engine for the tests, the machine's own or one that is started, and the images."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker as client
import pytest
from docker.errors import DockerException, ImageNotFound

from pipelines.closure import source_tags

ROOT = Path(__file__).resolve().parents[2]
LOCAL_BASE = "thimble-base:bookworm"
DEADLINE_SECONDS = 120.0


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Docker's client for an engine that answers."""
    subprocess.run([str(ROOT / "tests/services/install/docker.sh")], check=True)
    started = None
    if not _answers():
        log = open(tmp_path_factory.mktemp("docker") / "dockerd.log", "wb")  # noqa: SIM115
        started = subprocess.Popen(["dockerd"], stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not _answers():
            assert started.poll() is None and time.monotonic() < deadline, log.name
    try:
        yield client.from_env()
    finally:
        if started:
            started.terminate()
            started.wait(timeout=60)


@pytest.fixture(scope="session")
def base_image(docker: Any) -> str:
    """The base image: the one that BASE_IMAGE names, else Debian by images/base.sh."""
    if given := os.environ.get("BASE_IMAGE"):
        return given
    try:
        docker.images.get(LOCAL_BASE)
    except ImageNotFound:
        subprocess.run([str(ROOT / "images/base.sh"), LOCAL_BASE], check=True)
    return LOCAL_BASE


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


def _answers() -> bool:
    """Tell whether an engine answers."""
    try:
        return bool(client.from_env(timeout=5).ping())
    except DockerException:
        return False
