"""`thimble submit` and `thimble schedule` over HTTP: see kubeflow_server.py for what answers them.

The pipeline that is sent is the real one; that a real Kubeflow accepts it is not shown here.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner


@pytest.fixture(scope="module")
def protocol() -> Any:
    path = Path(__file__).with_name("kubeflow_server.py")
    spec = importlib.util.spec_from_file_location("kubeflow_server", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["kubeflow_server"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kubeflow(protocol: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    from pipelines.commands import run

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("THIMBLE_KFP_TOKEN", "secret-token")
    # The stages' own rules are tested elsewhere; loading TensorFlow takes seconds.
    monkeypatch.setattr(run, "check_arguments", lambda *_: None)
    with protocol.serve(protocol.Kubeflow()) as server:
        yield server


def thimble(kubeflow: Any, *arguments: str) -> tuple[int, str]:
    """Run a command as `thimble` does; return its exit code and what it prints."""
    from pipelines import cli

    def run() -> None:
        raise SystemExit(cli.run_command([*arguments, "--host", kubeflow.address]))

    import click

    done = CliRunner().invoke(click.command(context_settings={})(run), [])
    return done.exit_code, done.output


def state(name: str, **tasks: str) -> dict[str, Any]:
    details = [
        {"run_id": "runs-1", "task_id": str(n), "display_name": task, "state": value}
        for n, (task, value) in enumerate(tasks.items())
    ]
    return {"run_id": "runs-1", "state": name, "run_details": {"task_details": details}}


def test_submit_follows_a_run_to_its_end(kubeflow: Any) -> None:
    kubeflow.script = [
        state("PENDING"),
        state("RUNNING", ingest="RUNNING", executor="RUNNING"),
        (503, {"message": "restarting"}),
        state("RUNNING", ingest="SUCCEEDED", train="RUNNING"),
        state("RUNNING", ingest="SUCCEEDED", train="RUNNING"),
        state("SUCCEEDED", ingest="SUCCEEDED", train="SUCCEEDED"),
    ]
    code, printed = thimble(
        kubeflow, "submit", "--every-seconds", "0.01", "--namespace", "thimble", "--name", "first",
        "--params", "nuclei", "--data", "s3://datasets/nuclei", "--set", "cluster.gpu_count=1",
        "--set", "publish.release_url=s3://releases/nuclei",
    )  # fmt: skip
    said = [line for line in printed.splitlines() if "details:" not in line]
    assert said == [
        "started run runs-1",
        "ingest: running",
        "ingest: succeeded",
        "train: running",
        "train: succeeded",
        "run runs-1: succeeded",
    ]
    assert code == 0
    sent = kubeflow.stored["runs"][0]
    assert sent["display_name"] == "first"
    assert sent["service_account"] == "thimble-pipeline"
    assert kubeflow.stored["experiments"][0]["namespace"] == "thimble"
    given = sent["runtime_config"]["parameters"]
    assert given["ingest_source"] == "s3://datasets/nuclei"
    assert given["ingest_kind"] == "instances"
    assert given["publish_run_name"] == "first" and given["publish_run_started"]
    assert "train=thimble-train-python:" in given["publish_images"]
    spec = sent["pipeline_spec"]["pipeline_spec"]
    executors = spec["deploymentSpec"]["executors"]
    assert "accelerator" in executors["exec-train"]["container"]["resources"]
    env = {e["name"]: e["value"] for e in executors["exec-prune"]["container"]["env"]}
    assert env["THIMBLE_RUN"] == "first" and env["THIMBLE_PIPELINE"] == "compress"
    # no digest was given: what is at that address is read again
    assert spec["root"]["dag"]["tasks"]["ingest"]["cachingOptions"] == {}
    assert "kubernetes" in sent["pipeline_spec"]["platform_spec"]["platforms"]


@pytest.mark.parametrize("end", ["FAILED", "CANCELED"])
def test_a_run_that_fails_is_exit_code_1(kubeflow: Any, end: str) -> None:
    failed = state(end, train="FAILED")
    failed["error"] = {"message": "train ended with 1"}
    kubeflow.script = [failed]
    code, printed = thimble(kubeflow, "submit", "--every-seconds", "0.01")
    assert code == 1
    assert "train: failed" in printed
    assert f"run runs-1: {end.lower()} (train ended with 1)" in printed


def test_no_wait_asks_nothing_more(kubeflow: Any) -> None:
    code, _ = thimble(kubeflow, "submit", "--no-wait")
    assert code == 0
    assert kubeflow.asked[-1] == "POST /runs"
    # A server with one user runs it in its own namespace, where our account is not.
    assert "service_account" not in kubeflow.stored["runs"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--params", "absent"], "does not exist"),
        (["--data", "s3://datasets/x"], "generates scans"),
        (["--params", "nuclei"], "Expected --data s3://bucket/prefix"),
        (["--params", "nuclei", "--data", "/scans"], "Expected --data s3://bucket/prefix"),
        (["--set", "cluster.gpus=1"], "cluster has no parameter 'gpus'"),
        (["--set", "cluster.gpu_count=-1"], "gpu_count must be >= 0"),
        (["--set", "cluster.gpu_count=many"], "must be a whole number"),
        (["--set", "train.colour=1"], "train has no parameter 'colour'"),
        (["--images", "absent.lock"], "absent.lock does not exist"),
        (["--release", "runs/demo"], "from an object store"),
        (["--release", "s3://releases/nuclei"], "publish.basis_url"),
    ],
)
def test_bad_usage_is_exit_code_2_and_sends_nothing(
    kubeflow: Any, arguments: list[str], said: str
) -> None:
    code, printed = thimble(kubeflow, "submit", *arguments)
    assert (code, kubeflow.asked) == (2, [])
    assert said in printed


def test_a_wrong_token_is_named_but_not_shown(
    kubeflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_KFP_TOKEN", "not-the-token")
    code, printed = thimble(kubeflow, "submit", "--namespace", "thimble")
    assert code == 2
    assert "THIMBLE_KFP_TOKEN" in printed and "not-the-token" not in printed


def test_no_server_is_one_sentence(kubeflow: Any) -> None:
    kubeflow.address = "http://127.0.0.1:9"
    code, printed = thimble(kubeflow, "submit", "--namespace", "thimble")
    assert code == 1
    assert "does not answer" in printed and len(printed.strip().splitlines()) == 1


def test_schedule_replaces_by_name(kubeflow: Any) -> None:
    weekly = ("schedule", "weekly", "--cron", "0 0 3 * * 0")
    # More of the name than a page holds, and one that is not meant.
    for name in ("weekly", "weekly", "daily"):
        kubeflow.add("recurringruns", "recurring_run_id", {"display_name": name})
    assert thimble(kubeflow, *weekly)[0] == 0
    code, printed = thimble(kubeflow, *weekly, "--paused")
    assert code == 0 and "paused" in printed
    daily, made = kubeflow.stored["recurringruns"]
    assert (daily["display_name"], made["display_name"]) == ("daily", "weekly")
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 0"
    assert made["no_catchup"] is True and made["max_concurrency"] == 1
    assert made["mode"] == "DISABLE"
    reference = made["pipeline_version_reference"]
    assert reference == {"pipeline_id": "pipelines-1", "pipeline_version_id": "versions-1"}
    # The second time the same version was found.
    assert len(kubeflow.stored["versions"]) == 1
    package = list(yaml.safe_load_all(kubeflow.stored["versions"][0]["package"]))
    assert package[0]["pipelineInfo"]["name"] == "compress" and "platforms" in package[1]


def test_a_schedule_that_is_refused_leaves_the_old_one(kubeflow: Any) -> None:
    kubeflow.add("recurringruns", "recurring_run_id", {"display_name": "weekly"})
    before = list(kubeflow.stored["recurringruns"])

    answer = kubeflow.answer

    def refuse(method: str, path: str, query: Any, body: Any) -> Any:
        if (method, path) == ("POST", "/recurringruns"):
            return 400, {"message": "the cron expression is not valid"}
        return answer(method, path, query, body)

    kubeflow.answer = refuse
    code, printed = thimble(kubeflow, "schedule", "weekly", "--cron", "0 0 99 * * 0")
    assert code == 1 and "the cron expression is not valid" in printed
    assert kubeflow.stored["recurringruns"] == before


def test_five_fields_are_refused(kubeflow: Any) -> None:
    code, printed = thimble(kubeflow, "schedule", "weekly", "--cron", "0 3 * * 0")
    assert code == 2 and "six fields" in printed
    assert kubeflow.asked == []


def test_a_schedule_with_a_release_retrains(kubeflow: Any) -> None:
    """The latest release is looked up by each run: nothing about it is in the parameters."""
    code, _ = thimble(
        kubeflow, "schedule", "retrain", "--cron", "0 0 3 * * 0", "--params", "nuclei",
        "--data", "s3://datasets/nuclei", "--release", "s3://releases/nuclei",
        "--set", "publish.basis_url=s3://artifacts/basis",
    )  # fmt: skip
    assert code == 0
    (made,) = kubeflow.stored["recurringruns"]
    given = made["runtime_config"]["parameters"]
    assert given["restore_release"] == "s3://releases/nuclei"
    assert given["restore_basis_url"] == given["publish_basis_url"] == "s3://artifacts/basis"
    assert given["restore_version"] == given["publish_run_started"] == ""
    assert given["publish_release_url"] == "s3://releases"
    assert given["publish_release_name"] == "nuclei"
    assert given["report_pipeline"] == "retrain"
    package = list(yaml.safe_load_all(kubeflow.stored["versions"][0]["package"]))
    assert package[0]["pipelineInfo"]["name"] == "retrain"
    tasks = package[0]["root"]["dag"]["tasks"]
    assert tasks["restore"]["cachingOptions"] == tasks["ingest"]["cachingOptions"] == {}
