"""`--runner docker`: who the stages are, what they see, and what is left when something dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from thimble.artifact import read_json

pytestmark = pytest.mark.services

TOY = Path(__file__).with_name("docker_toy.py")
DEADLINE_SECONDS = 180.0

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def huffman_image(build_images: Any) -> None:
    """All toy stages run in the image of huffman, which is small."""
    build_images("huffman")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Läufe hier" / "toy"


@pytest.fixture
def start(huffman_image: None, folder: Path, image_tags: dict[str, str]) -> Start:
    """Starts the toy pipeline as a program of its own."""

    def run(at: Path = folder, **arguments: Any) -> subprocess.Popen[str]:
        # -P: docker.py beside it is not Docker's client.
        command = [sys.executable, "-P", str(TOY), str(at), json.dumps(arguments)]
        environment = {**image_tags, **os.environ}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )

    return run


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=600)
    return process.returncode, said


def wait_for(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline
    return found


def containers(docker: Any, folder: Path) -> list[Any]:
    return list(docker.containers.list(all=True, filters={"label": f"org.thimble.run={folder}"}))


def wait_until_half_done(process: subprocess.Popen[str], folder: Path) -> None:
    while not list(folder.glob("checkpoints/docker/first-*/half")):
        assert process.poll() is None, finish(process)


def said(folder: Path) -> dict[str, Any]:
    return dict(read_json(next(folder.rglob("said.json"))))


def test_a_stage_is_nobody_with_a_limit_and_sees_its_run_only(
    start: Start, docker: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_S3_SECRET_KEY", "not-for-this-stage")
    code, text = finish(start())
    assert code == 0, text
    found = said(folder)
    assert found["user"] == [10001, 0]
    assert int(found["capabilities"], 16) == 0
    assert int(found["memory"]) == 4 << 30
    assert "THIMBLE_S3_SECRET_KEY" not in found["environment"]
    assert sorted(found["seen"]) == ["artifacts", "checkpoints", "state"]
    assert not containers(docker, folder)
    tasks = read_json(folder / "timings.json")["tasks"]
    assert {name: task["ended"] for name, task in tasks.items()} == {
        "first": "done",
        "second": "done",
    }
    again, text = finish(start())
    tasks = read_json(folder / "timings.json")["tasks"]
    assert again == 0, text
    assert {task["ended"] for task in tasks.values()} == {"cached"}


def test_a_killed_container_continues_with_the_same_command(
    start: Start, docker: Any, folder: Path
) -> None:
    process = start(wait=True)
    wait_until_half_done(process, folder)
    (running,) = containers(docker, folder)
    running.kill("SIGKILL")
    code, text = finish(process)
    assert code == 1, text
    assert "was ended by signal 9" in text
    code, text = finish(start(wait=True))
    assert code == 0, text
    task = read_json(folder / "timings.json")["tasks"]["first"]
    assert task["figures"] == {"resumed": 1.0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_container_outlives_the_run(
    start: Start, docker: Any, folder: Path, number: signal.Signals
) -> None:
    process = start(wait=True)
    wait_until_half_done(process, folder)
    os.kill(process.pid, number)
    finish(process)
    wait_for(lambda: not containers(docker, folder))


def test_a_container_that_was_left_is_removed_at_the_start(
    start: Start, docker: Any, folder: Path
) -> None:
    image = next(
        tag for image in docker.images.list("thimble-huffman-python") for tag in image.tags
    )
    left = docker.containers.create(image, ["true"], labels={"org.thimble.run": str(folder)})
    code, text = finish(start())
    assert code == 0, text
    assert left.id not in {each.id for each in docker.containers.list(all=True)}


def test_bad_input_ends_with_2_and_its_sentence(start: Start) -> None:
    code, text = finish(start(fault="input"))
    assert code == 2
    assert "second: scan.png is cut off. Expected a whole PNG." in text


def test_a_stage_over_its_memory_says_so(start: Start) -> None:
    code, text = finish(start(fault="memory"))
    assert code == 1
    assert "second: needed more than the 4g of memory that it may use" in text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 150 MB."""
    if os.geteuid():
        pytest.skip("mounts a file system: needs root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_says_so_and_the_same_command_continues(start: Start, small_disk: Path) -> None:
    folder = small_disk / "run"
    code, text = finish(start(folder, megabytes=200))
    assert code == 2, text
    assert "No space left on device" in text
    assert "Free space" in text
    subprocess.run(["mount", "-o", "remount,size=800m", str(small_disk)], check=True)
    code, text = finish(start(folder, megabytes=200))
    assert code == 0, text
    assert read_json(folder / "timings.json")["tasks"]["first"]["ended"] == "cached"


def test_an_image_that_is_not_built_is_refused_before_anything_runs(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_TAG_HUFFMAN", "never-built")
    code, text = finish(start())
    assert code != 0
    assert "thimble-huffman-python:never-built" in text
    assert "make images" in text


def test_no_engine_is_a_clear_error(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    code, text = finish(start())
    assert code != 0
    assert "no Docker engine answers" in text


def test_scans_are_mounted_read_only(start: Start, docker: Any, folder: Path) -> None:
    scans = folder.parent / "scans"
    scans.mkdir(parents=True)
    process = start(wait=True, ingest_source=str(scans))
    wait_until_half_done(process, folder)
    (running,) = containers(docker, folder)
    mounts = {mount["Destination"]: mount["RW"] for mount in running.attrs["Mounts"]}
    assert mounts[str(scans)] is False
    process.terminate()
    finish(process)
