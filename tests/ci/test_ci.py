"""ci/ calls make targets that exist, names every stage, and makes GitLab's schedule over HTTP.

GitLab's answers are a recorded protocol (its API v4), not GitLab.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITLAB = yaml.safe_load((ROOT / "ci/gitlab-ci.yml").read_text(encoding="utf-8"))
JENKINS = (ROOT / "ci/Jenkinsfile").read_text(encoding="utf-8")
STAGES = [path.parent.name for path in (ROOT / "components").glob("*/component.py")]


def gitlab_lines() -> list[str]:
    jobs = [job for job in GITLAB.values() if isinstance(job, dict)]
    return [line for job in jobs for line in job.get("script", [])]


def targets(line: str) -> list[str]:
    words = [w for w in line.removeprefix("make ").split() if "=" not in w]
    return [w for w in words if not w.startswith(("-", '"'))]


@pytest.mark.parametrize("lines", [gitlab_lines(), re.findall(r"sh '([^']*)'", JENKINS)])
def test_every_step_is_a_make_target(lines: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert lines
    for line in lines:
        assert line.startswith("make ")
        assert set(targets(line)) <= known, line


def test_both_run_the_same_targets() -> None:
    jenkins = {t for line in re.findall(r"sh '([^']*)'", JENKINS) for t in targets(line)}
    assert jenkins == {t for line in gitlab_lines() for t in targets(line)}


def test_both_build_every_stage() -> None:
    assert sorted(GITLAB["build"]["parallel"]["matrix"][0]["STAGE"]) == sorted(STAGES)
    axis = JENKINS[JENKINS.index("values") : JENKINS.index("stages {", JENKINS.index("values"))]
    assert sorted(re.findall(r"'([a-z]+)'", axis)) == sorted(STAGES)


def test_a_schedule_retrains_and_nothing_else_does() -> None:
    assert GITLAB["retrain"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]
    assert GITLAB["submit"]["rules"][0] == {**GITLAB["retrain"]["rules"][0], "when": "never"}


@pytest.fixture
def gitlab() -> Iterator[Any]:
    """Serves the schedules of one project."""
    state: dict[str, Any] = {"schedules": [], "variables": {}, "asked": []}

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            form = {k: v[0] for k, v in parse_qs(self.rfile.read(size).decode()).items()}
            status, content = answer(self.command, self.path, form)
            if self.headers.get("PRIVATE-TOKEN") != "glpat":
                status, content = 401, {"message": "401 Unauthorized"}
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    def answer(method: str, path: str, form: dict[str, str]) -> tuple[int, Any]:
        rest = path.removeprefix("/api/v4/projects/group%2Fthimble/pipeline_schedules")
        state["asked"].append(f"{method} {rest}")
        if "/variables" in rest:
            state["variables"][form["key"]] = form["value"]
            return 201, form
        if method == "POST":
            state["schedules"].append({"id": 7, **form})
        if method == "PUT":
            state["schedules"][0].update(form)
        if rest.startswith("?"):
            return 200, state["schedules"]
        variables = [{"key": k, "value": v} for k, v in state["variables"].items()]
        return 200, {**state["schedules"][0], "variables": variables}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state["url"] = f"http://127.0.0.1:{server.server_port}/api/v4"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def schedule(gitlab: Any, *arguments: str, token: str = "glpat") -> tuple[int, str]:
    environment = {
        **os.environ,
        "CI_API_V4_URL": gitlab["url"],
        "CI_PROJECT_ID": "group/thimble",
        "GITLAB_TOKEN": token,
    }
    command = [sys.executable, str(ROOT / "ci/gitlab_schedule.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_schedule_is_created_then_changed(gitlab: Any) -> None:
    assert schedule(gitlab, "0 3 * * 0", "SUBMIT=--params nuclei")[0] == 0
    assert schedule(gitlab, "0 4 * * 0", "SUBMIT=--params isbi2012")[0] == 0
    (made,) = gitlab["schedules"]
    assert (made["id"], made["cron"], made["ref"]) == (7, "0 4 * * 0", "main")
    assert gitlab["variables"] == {"SUBMIT": "--params isbi2012"}
    before = len(gitlab["asked"])
    assert schedule(gitlab, "0 4 * * 0", "SUBMIT=--params isbi2012")[0] == 0
    assert not [a for a in gitlab["asked"][before:] if "/variables" in a]


def test_refusals(gitlab: Any) -> None:
    code, said = schedule(gitlab, "0 0 3 * * 0")
    assert code == 2 and "five fields" in said
    code, said = schedule(gitlab, "0 3 * * 0", token="wrong")
    assert code == 1 and "401" in said and "wrong" not in said
