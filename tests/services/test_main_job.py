"""The main job with all services: stages in images, artifacts in MinIO, metrics in Prometheus.

One run for all tests: killed in five stages, continued, published, and once more with a gate that
fails. Beside it the same run in processes.
"""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker as client
import pytest
import yaml

from tests.keys import write_keys
from tests.observability.queries import EVERY_PANEL
from tests.services.minio import OpenAs, StoreServer, opener
from tests.services.prometheus import DEADLINE_SECONDS, Prometheus, free_port
from tests.small_run import SMALL_RUN
from thimble.artifact import digest_file, read_json
from thimble.releases import Decision, approve
from thimble.stage import BadInput

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(3600)]

PARAMETERS: dict[str, dict[str, Any]] = {
    **SMALL_RUN,
    # 16 test images: of three sizes of lesions one has the five images that are judged.
    "ingest": {
        "phantom_images": 40,
        "test_share": 0.4,
        "phantom_size": 64,
        "tile": 64,
        "elastic_copies": 1,
    },  # fmt: skip
    "convert": {"variants": "float32,int8", "calibration_patches": 2, "check_patches": 1},
    "benchmark": {"threads": "1", "iterations": 10, "seconds": 0.05},
}
# One early, one in each kind of image, one late.
KILLED_IN = ("ingest", "train", "huffman (baseline)", "prune (student)", "report")
URLS = {
    "publish.release_url": "s3://releases/main-job",
    "publish.report_url": "s3://reports/main-job",
    "publish.release_name": "membrane",
}
FAILED = 'thimble_last_failure_timestamp_seconds{stage="publish", pipeline="compress"}'
FAILING_GATE = ["--set", "report.max_p90_seconds=1e-9"]


@dataclass(frozen=True)
class Job:
    """The run.

    Attributes:
        in_docker: What runs it with all services.
        environment: Its variables.
        folder: Its run folder.
        processes: The same run in processes, which goes on meanwhile.
        objects: What its first end left in each bucket.
        prometheus: Where its metrics are.
        public_key: The half that tells who signed the release.
    """

    in_docker: list[str]
    environment: dict[str, str]
    folder: Path
    processes: "subprocess.Popen[str]"
    objects: dict[str, dict[str, tuple[Any, ...]]]
    prometheus: Prometheus
    public_key: Path

    def run(self, *options: str, **variables: str) -> tuple[int, str]:
        """Run it again; return the exit code and what it says."""
        return run([*self.in_docker, *options], {**self.environment, **variables})


def run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def kill_in(command: list[str], environment: dict[str, str], stage: str, folder: Path) -> None:
    """Start a run, kill the container of a stage, and expect that the run says so."""
    label = {"label": f"org.thimble.run={folder}"}
    engine = client.from_env()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
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


def contents(server: StoreServer) -> dict[str, dict[str, tuple[Any, ...]]]:
    return {bucket: server.objects(bucket) for bucket in ("artifacts", "releases", "reports")}


@pytest.fixture(scope="module")
def job(
    build_images: Any,
    image_tags: dict[str, str],
    prometheus: Prometheus,
    store_server: StoreServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Job]:
    build_images()
    folder = tmp_path_factory.mktemp("main-job")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(PARAMETERS))
    private, public = write_keys(folder / "key.pem", folder / "key.pub.pem")
    private.chmod(0o640)
    command = [sys.executable, "-m", "pipelines.cli", "run", "--params", str(folder / "tiny.yaml")]
    in_docker = [*command, "--runner", "docker", "--out", str(folder / "tiny")]
    in_docker += ["--artifacts", "s3://artifacts/main-job"]
    for name, url in URLS.items():
        in_docker += ["--set", f"{name}={url}"]
    environment = {**os.environ, **image_tags, **store_server.environment("pipeline")}
    environment |= {
        "THIMBLE_PUSHGATEWAY_URL": prometheus.gateway,
        "THIMBLE_SIGNING_KEY": str(private),
        "THIMBLE_DOCKER_NETWORK": "host",
    }
    command += ["--set", "publish.release_name=membrane", "--out", str(folder / "same" / "tiny")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **image_tags},
    ) as processes:
        try:
            for stage in KILLED_IN:
                kill_in(in_docker, environment, stage, folder / "tiny")
            code, said = run(in_docker, environment)
            assert code == 0, said
            assert "warning" not in said
            made = contents(store_server)
            job = Job(in_docker, environment, folder / "tiny", processes, made, prometheus, public)
            code, said = job.run(*FAILING_GATE)
            assert code == 1, said
            prometheus.wait(FAILED)
            yield job
        finally:
            processes.terminate()


@pytest.fixture
def open_as(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> OpenAs:
    return opener(store_server, monkeypatch)


def test_it_continued_where_it_was_killed(job: Job) -> None:
    tasks = read_json(job.folder / "timings.json")["tasks"]
    assert tasks["train"]["ended"] == "cached"
    assert tasks["train"]["outputs"]


def test_packages_equal_those_of_processes(job: Job) -> None:
    said, _ = job.processes.communicate()
    assert job.processes.returncode == 0, said
    # The failed run has taken the release of the run folder away; the artifact is still there.
    made = max(job.folder.glob("artifacts/*/publish/release"), key=os.path.getmtime)

    def packages(folder: Path) -> dict[str, str]:
        return {path.name: digest_file(path) for path in folder.glob("*.thimble")}

    assert packages(made)
    assert packages(made) == packages(job.folder.parent / "same" / "tiny" / "release")


def test_artifacts_are_in_the_store_and_no_page(job: Job, open_as: OpenAs) -> None:
    store = open_as("pipeline", "s3://artifacts/main-job/tiny")
    stored = store.read("timings.json")
    assert stored
    outputs = [
        place for task in json.loads(stored.data)["tasks"].values() for place in task["outputs"]
    ]
    assert len(outputs) > 28
    files = [
        file
        for place in outputs
        for file in [job.folder / place, *(job.folder / place).rglob("*")]
        if file.is_file()
    ]
    pages = {file for file in files if file.read_bytes()[:9].lower() == b"<!doctype"}
    # The report as Kubeflow shows it, and as publish takes it.
    assert len(pages) >= 2
    listed = {name for name, _ in store._listed()}
    wanted = {file.relative_to(job.folder).as_posix() for file in set(files) - pages}
    assert wanted <= listed
    assert not {page.relative_to(job.folder).as_posix() for page in pages} & listed
    for name in sorted(wanted):
        assert store.sha256(name)
    for page in pages:
        assert store.read(page.relative_to(job.folder).as_posix()) is None


def test_the_report_is_where_phones_cannot_read(job: Job, open_as: OpenAs) -> None:
    buckets = {
        bucket: [name for name in found if ".html" in name] for bucket, found in job.objects.items()
    }
    (report,) = buckets.pop("reports")
    assert not any(buckets.values()), buckets
    name = report.split(" ")[0].removeprefix("main-job/")
    found = open_as("pipeline", "s3://reports/main-job").read(name)
    assert found and found.data.lower().startswith(b"<!doctype html")
    with pytest.raises(BadInput, match="does not allow"):
        open_as("phone", "s3://reports/main-job").read(name)


def test_the_candidate_is_signed_and_reaches_phones(job: Job, open_as: OpenAs) -> None:
    (candidate,) = {name.split(" ")[0] for name in job.objects["releases"] if "candidate" in name}
    name = candidate.removeprefix("main-job/").removesuffix("/candidate.json")
    latest = approve(
        open_as("approver", "s3://releases/main-job"),
        name,
        Decision("A. Name", "report read"),
        job.public_key,
    )
    assert latest["generation"] == 1
    phone = open_as("phone", "s3://releases/main-job")
    pointer = phone.read("membrane/latest.json")
    assert pointer
    version = json.loads(pointer.data)["release"]["version"]
    assert phone.read(f"membrane/{version}/SHA256SUMS")


def test_without_a_pushgateway_it_succeeds_with_a_warning_and_changes_nothing(
    job: Job, store_server: StoreServer
) -> None:
    def releases() -> dict[str, tuple[Any, ...]]:
        found = contents(store_server)
        decided = ("latest.json", "-approve.json")
        return {
            name: what
            for bucket in ("releases", "reports")
            for name, what in found[bucket].items()
            if name.startswith("main-job/") and not name.split(" ")[0].endswith(decided)
        }

    before = releases()
    code, said = job.run(THIMBLE_PUSHGATEWAY_URL=f"http://127.0.0.1:{free_port()}")
    assert code == 0, said
    assert said.count("warning") == 1
    assert releases() == before


def test_a_run_is_counted(job: Job) -> None:
    mine = 'pipeline="compress", dataset="phantom_membranes"'
    query = job.prometheus.query
    stages = query(f"count by (stage) (thimble_last_success_timestamp_seconds{{{mine}}})")
    assert len(stages) == 13  # the twelve, and the run
    failed = query(f"thimble_last_failure_timestamp_seconds{{{mine}}}")
    assert {sample["metric"]["stage"] for sample in failed} == {"publish", "run"}
    released = query(f'thimble_run_info{{stage="publish", variant!="", {mine}}}')
    assert released[0]["metric"]["run"] == "tiny"
    assert len(released[0]["metric"]["package_digest"]) == 64
    assert not query(f'thimble_run_info{{package_digest="", variant!="", {mine}}}')


@pytest.mark.parametrize("expression", EVERY_PANEL)
def test_every_panel_returns_data(job: Job, expression: str) -> None:
    expression = expression.replace('pipeline=~".*"', 'pipeline="compress"')
    job.prometheus.wait(expression)


def test_the_failed_run_pages_somebody(job: Job) -> None:
    while True:
        try:
            message = job.prometheus.notified.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            pytest.fail("no alert arrived")
        if message["commonLabels"].get("dataset") == "phantom_membranes":
            break
    assert message["receiver"] == "pager"
    assert message["commonLabels"]["alertname"] == "ThimbleStageFailing"
    assert "stage-failing.md" in message["commonAnnotations"]["runbook_url"]
