"""Rules, scrape configuration and routes: whole, documented, and doing what they say."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.queries import FOLDER
from thimble.metrics import METRICS

HERE = Path(__file__).parent
RULES = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
EVERY_RULE = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in EVERY_RULE if "alert" in rule]
CASES = yaml.safe_load((HERE / "cases.yaml").read_text(encoding="utf-8"))["tests"]


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should(promtool: str) -> None:
    run(promtool, "test", "rules", "cases.yaml")


def test_prometheus_takes_the_configuration(promtool: str) -> None:
    run(promtool, "check", "config", str(FOLDER / "scrape.yaml"))


def test_alertmanager_takes_the_routes(amtool: str) -> None:
    run(amtool, "check-config", str(FOLDER / "alertmanager.yaml"))


@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_routes_lead_by_severity(amtool: str, severity: str) -> None:
    receiver = {"page": "pager", "ticket": "queue"}[severity]
    routes = ("config", "routes", "test", f"--config.file={FOLDER / 'alertmanager.yaml'}")
    run(amtool, *routes, f"--verify.receivers={receiver}", f"severity={severity}")


def test_pushed_labels_are_kept() -> None:
    config = yaml.safe_load((FOLDER / "scrape.yaml").read_text(encoding="utf-8"))
    assert [job["honor_labels"] for job in config["scrape_configs"]] == [True]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_cases_and_a_runbook(alert: dict[str, Any], repository: Path) -> None:
    cases = [
        bool(each["exp_alerts"])
        for case in CASES
        for each in case["alert_rule_test"]
        if each["alertname"] == alert["alert"]
    ]
    assert set(cases) == {True, False}
    assert alert["labels"]["severity"] in {"page", "ticket"}
    page = repository / alert["annotations"]["runbook_url"]
    text = page.read_text(encoding="utf-8")
    assert alert["alert"] in text.splitlines()[0]
    for heading in ("## What it means", "## Look", "## Mend"):
        assert heading in text


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.get("alert", rule.get("record")))
def test_rules_name_metrics_that_exist(rule: dict[str, Any]) -> None:
    recorded = {each["record"] for each in EVERY_RULE if "record" in each}
    names = set(re.findall(r"\bthimble[:_][\w:]+", rule["expr"]))
    assert names <= {row.name for row in METRICS.values()} | recorded
