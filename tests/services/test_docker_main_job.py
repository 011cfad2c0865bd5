"""The main job in the stages' images: killed in five stages, continued, equal to processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import docker as client
import pytest
import yaml

from tests.small_run import SMALL_RUN
from thimble.artifact import read_json

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(3600)]

SCANS = {"phantom_images": 12, "phantom_size": 64, "tile": 64, "elastic_copies": 1}
PARAMETERS = {**SMALL_RUN, "ingest": SCANS}
# One early, one in each kind of image, one late.
KILLED_IN = ("ingest", "train", "huffman (baseline)", "prune (student)", "report")


@pytest.fixture
def command(
    tmp_path: Path,
    build_images: Any,
    image_tags: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    build_images()
    for name, tag in image_tags.items():
        monkeypatch.setenv(name, tag)
    parameters = tmp_path / "tiny.yaml"
    parameters.write_text(yaml.safe_dump(PARAMETERS))
    return [sys.executable, "-m", "pipelines.cli", "run", "--params", str(parameters)]


def kill_in(command: list[str], stage: str, folder: Path) -> None:
    """Start a run, kill the container of a stage, and expect that the run says so."""
    label = {"label": f"org.thimble.run={folder}"}
    engine = client.from_env()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if f"{stage}: started" in line:
                while not (running := engine.containers.list(filters=label)):
                    assert process.poll() is None, "".join(said)
                running[0].kill("SIGKILL")
    assert process.returncode == 1, "".join(said)
    assert f"{stage}: was ended by signal 9" in "".join(said)
    assert not engine.containers.list(all=True, filters=label)


def test_main_job_in_docker(command: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    in_docker = [*command, "--runner", "docker", "--out", str(folder)]
    for stage in KILLED_IN:
        kill_in(in_docker, stage, folder)
    for arguments in (in_docker, [*command, "--out", str(tmp_path / "local")]):
        done = subprocess.run(arguments, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    tasks = read_json(folder / "timings.json")["tasks"]
    assert tasks["train"]["ended"] == "cached"

    def packages(run: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run.glob("release/*.thimble")}

    assert packages(folder)
    assert packages(folder) == packages(tmp_path / "local")
