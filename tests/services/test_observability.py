"""Metrics all the way: stages push, Prometheus scrapes, panels show, alerts arrive."""

import dataclasses
import queue
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.services.prometheus import DEADLINE_SECONDS, Prometheus, fetch, serve_gateway
from thimble.artifact import finish
from thimble.push import Ending, push_ending
from thimble.stage import BadInput, start

pytestmark = pytest.mark.services

# bcrypt of "not a secret".
PASSWORD_HASH = "$2b$05$abcdefghijklmnopqrstuuiitcSTbmWtinjxTMhPy6Z4ocreVFuRu"


def pushed(gateway: str, name: str) -> dict[frozenset[tuple[str, str]], float]:
    """Return the samples of a metric by their labels, without the empty ones."""
    return {
        frozenset((key, value) for key, value in sample.labels.items() if value): sample.value
        for family in text_string_to_metric_families(fetch(f"{gateway}/metrics"))
        for sample in family.samples
        if sample.name == name
    }


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    """The parameters of a stage."""

    branch: str = "teacher"
    fault: str = ""


@pytest.fixture
def run_toy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prometheus: Prometheus
) -> Callable[..., None]:
    """Runs a stage that fails if told to."""

    def run_stage(run_name: str, fault: str = "", **figures: float) -> None:
        variables = {
            "PUSHGATEWAY_URL": prometheus.gateway,
            "PIPELINE": "toys",
            "DATASET": "bears/brown ones",
            "RUN": run_name,
            "COMMIT": "3f9c1e2",
        }
        for name, value in variables.items():
            monkeypatch.setenv(f"THIMBLE_{name}", value)
        with start("toy", ToyConfig, {"branch": "teacher", "fault": fault}) as run:
            if fault:
                raise BadInput(fault)
            finish(run, lambda path: (path / "int8.thimble").touch(), tmp_path / "toy", figures)

    return run_stage


def test_a_failure_leaves_success_and_figures(
    run_toy: Callable[..., None], prometheus: Prometheus
) -> None:
    stage = {
        "job": "thimble",
        "pipeline": "toys",
        "dataset": "bears/brown ones",
        "stage": "toy",
        "branch": "teacher",
    }
    whole = frozenset(stage.items())
    int8 = whole | {("variant", "int8")}

    def told(metric: str) -> dict[frozenset[tuple[str, str]], float]:
        """What the toy pushed; other runs push to the same gateway."""
        found = pushed(prometheus.gateway, metric)
        return {labels: value for labels, value in found.items() if whole <= labels}

    run_toy("one", dice_int8=0.75, images_test=3.0, images=9.0, loss=1.0)
    first = pushed(prometheus.gateway, "thimble_last_success_timestamp_seconds")[whole]
    assert told("thimble_dice_ratio") == {int8: 0.75}
    images = told("thimble_images_count")
    assert images == {whole: 9.0, whole | {("split", "test")}: 3.0}

    with pytest.raises(BadInput):
        run_toy("two", fault="a bear is missing")
    after = pushed(prometheus.gateway, "thimble_last_success_timestamp_seconds")
    assert after[whole] == first
    assert pushed(prometheus.gateway, "thimble_last_failure_timestamp_seconds")[whole] > first
    assert told("thimble_dice_ratio") == {int8: 0.75}

    run_toy("three", dice_int8=0.5)
    assert pushed(prometheus.gateway, "thimble_last_success_timestamp_seconds")[whole] > first
    assert told("thimble_dice_ratio") == {int8: 0.5}
    # One series for each group: that of the run before is gone.
    runs = [dict(labels) for labels in pushed(prometheus.gateway, "thimble_run_info")]
    mine = [labels for labels in runs if labels.get("stage") == "toy"]
    assert sorted(labels["run"] for labels in mine) == ["three", "three"]
    # SHA-256 of nothing.
    digests = {labels.get("variant"): labels.get("package_digest", "")[:8] for labels in mine}
    assert digests == {None: "", "int8": "e3b0c442"}

    # honor_labels: Prometheus keeps the job that was pushed.
    found = prometheus.wait('thimble_dice_ratio{stage="toy"} == 0.5')
    assert found[0]["metric"]["job"] == "thimble"


def test_a_gateway_with_a_password(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "web.yaml"
    config.write_text(yaml.safe_dump({"basic_auth_users": {"stage": PASSWORD_HASH}}))
    with serve_gateway(tmp_path, f"--web.config.file={config}") as gateway:
        environment = {
            "THIMBLE_PUSHGATEWAY_URL": gateway,
            "THIMBLE_PUSHGATEWAY_USERNAME": "stage",
            "THIMBLE_PUSHGATEWAY_PASSWORD": "not a secret",
        }
        push_ending(Ending("toy", 1.0), environment)
        assert capfd.readouterr().err == ""
        environment["THIMBLE_PUSHGATEWAY_PASSWORD"] = "a wrong secret"
        push_ending(Ending("toy", 1.0), environment)
    warning = capfd.readouterr().err
    assert warning.count("\n") == 1
    assert "401" in warning
    assert "secret" not in warning


def test_many_stages_push_at_once(
    prometheus: Prometheus, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost when far more stages end than do in a second of the largest cluster."""
    count = 500
    environment = {"THIMBLE_PUSHGATEWAY_URL": prometheus.gateway, "THIMBLE_PIPELINE": "load"}
    endings = [
        Ending(
            "toy",
            float(number),
            labels={"branch": f"branch {number % 100}"},
            figures={"images": number},
        )
        for number in range(count)
    ]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda ending: push_ending(ending, environment), endings))
    assert capfd.readouterr().err == ""
    groups = Counter(
        dict(labels)["branch"]
        for labels in pushed(prometheus.gateway, "thimble_images_count")
        if ("pipeline", "load") in labels
    )
    assert len(groups) == 100
    assert set(groups.values()) == {1}


def test_an_alert_reaches_its_receiver(prometheus: Prometheus) -> None:
    environment = {"THIMBLE_PUSHGATEWAY_URL": prometheus.gateway, "THIMBLE_DATASET": "alerts"}
    figures = {"package_bytes_teacher_int8": 2e6, "package_bytes_teacher_float32": 1e5}
    push_ending(Ending("publish", 1.0, figures=figures), environment)
    while True:
        try:
            message = prometheus.notified.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            pytest.fail("no alert arrived")
        if message["commonLabels"].get("dataset") == "alerts":
            break
    assert message["receiver"] == "queue"
    alerts = [
        (alert["labels"]["alertname"], alert["labels"]["variant"]) for alert in message["alerts"]
    ]
    assert alerts == [("ThimblePackageTooBig", "int8")]
    assert "package-too-big.md" in message["alerts"][0]["annotations"]["runbook_url"]
