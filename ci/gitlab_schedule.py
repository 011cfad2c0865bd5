"""Creates the schedule that retrains, or brings it up to date: `make gitlab-schedule`.

GITLAB_TOKEN is a token with the scope `api`; CI_API_V4_URL and CI_PROJECT_ID say which project, as
they do inside a job. GitLab's cron has five fields.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

DESCRIPTION = "Thimble: retrain"
TIMEOUT_SECONDS = 30


def ask(method: str, path: str, fields: dict[str, str] | None = None) -> Any:
    """Calls GitLab's API for the project."""
    project = urllib.parse.quote(os.environ["CI_PROJECT_ID"], safe="")
    request = urllib.request.Request(  # noqa: S310
        f"{os.environ['CI_API_V4_URL']}/projects/{project}/pipeline_schedules{path}",
        data=urllib.parse.urlencode(fields).encode() if fields else None,
        headers={"PRIVATE-TOKEN": os.environ["GITLAB_TOKEN"]},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        return json.loads(answer.read() or b"null")


def put_schedule(cron: str, branch: str, zone: str, variables: dict[str, str]) -> int:
    """Creates or changes the schedule of our description and returns its id."""
    found = [s for s in ask("GET", "?per_page=100") if s["description"] == DESCRIPTION]
    wanted = {"description": DESCRIPTION, "ref": branch, "cron": cron, "cron_timezone": zone}
    made = ask("PUT", f"/{found[0]['id']}", wanted) if found else ask("POST", "", wanted)
    number = int(made["id"])
    known = {v["key"]: v["value"] for v in ask("GET", f"/{number}").get("variables", [])}
    for key, value in variables.items():
        fields = {"key": key, "value": value}
        if key not in known:
            ask("POST", f"/{number}/variables", fields)
        elif known[key] != value:
            ask("PUT", f"/{number}/variables/{key}", fields)
    return number


def main(arguments: list[str]) -> int:
    """Takes the cron expression, then variables of the scheduled pipeline as NAME=value."""
    missing = [
        n for n in ("GITLAB_TOKEN", "CI_API_V4_URL", "CI_PROJECT_ID") if not os.environ.get(n)
    ]
    if missing or not arguments or len(arguments[0].split()) != 5:
        print(
            "usage: gitlab_schedule.py '0 3 * * 0' [NAME=value ...]; needs GITLAB_TOKEN, "
            f"CI_API_V4_URL and CI_PROJECT_ID. Missing: {', '.join(missing) or 'five fields'}",
            file=sys.stderr,
        )
        return 2
    variables = dict(each.split("=", 1) for each in arguments[1:])
    branch = os.environ.get("CI_DEFAULT_BRANCH", "main")
    try:
        number = put_schedule(arguments[0], branch, os.environ.get("TZ", "UTC"), variables)
    except (urllib.error.URLError, TimeoutError) as error:
        print(f"GitLab does not do it: {error}", file=sys.stderr)
        return 1
    print(f"schedule {number}: {arguments[0]} on {branch}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
