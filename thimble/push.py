"""Pushes to a Prometheus Pushgateway how a stage, or a run as a whole, ended.

Off unless THIMBLE_PUSHGATEWAY_URL is set. Metrics of a group are replaced name by name (POST): a
failure leaves the figures and the time of the last success where they are. The labels of a group
are the same in every run; what changes from run to run is in `thimble_run_info`.
"""

import functools
import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thimble.metrics import METRICS, Sample, registry_of, split_figure

__all__ = ["ENVIRONMENT", "JOB", "RUN", "Ending", "push_ending"]

JOB = "thimble"
# The stage of a run as a whole.
RUN = "run"
# Whoever starts a stage elsewhere, such as in a container, hands these on.
ENVIRONMENT = (
    "THIMBLE_PUSHGATEWAY_URL",
    "THIMBLE_PUSHGATEWAY_USERNAME",
    "THIMBLE_PUSHGATEWAY_PASSWORD",
    "THIMBLE_PIPELINE",
    "THIMBLE_DATASET",
    "THIMBLE_RUN",
    "THIMBLE_COMMIT",
)
TIMEOUT_SECONDS = 3.0

Group = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ending:
    """How a stage ended.

    Attributes:
        stage: Its name.
        seconds: How long it took.
        failed: Whether it failed.
        labels: branch and device, where they apply; empty ones do not.
        figures: Its numbers, as in its history.
        artifacts: Where its result and its input are; packages in them are named by digest.
    """

    stage: str
    seconds: float
    failed: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()


def push_ending(ending: Ending, environment: Mapping[str, str] | None = None) -> None:
    """Push an ending; a push that fails is one line on stderr.

    Args:
        ending: What happened.
        environment: Where to push, as whom, and what the run is (`ENVIRONMENT`); by default that
            of this process.
    """
    given = os.environ if environment is None else environment
    url = given.get("THIMBLE_PUSHGATEWAY_URL", "")
    if not url:
        return
    if "@" in url:
        _warn("THIMBLE_PUSHGATEWAY_URL must hold no user. Use THIMBLE_PUSHGATEWAY_USERNAME and "
              "THIMBLE_PUSHGATEWAY_PASSWORD")  # fmt: skip
        return
    try:
        # The stage's own group comes last: whoever sees a success finds its figures.
        for group, samples in reversed(_groups(ending, given).items()):
            _post(url, dict(group), samples, given)
    except Exception as error:  # metrics are never worth a training
        _warn(f"metrics of {ending.stage} were not pushed to {url}: {error}")


def _warn(text: str) -> None:
    """Say something on stderr, in one line."""
    print("warning:", " ".join(text.split()), file=sys.stderr, flush=True)


def _post(
    url: str, group: dict[str, str], samples: list[Sample], environment: Mapping[str, str]
) -> None:
    """Push one group."""
    from prometheus_client.exposition import (
        basic_auth_handler,
        default_handler,
        pushadd_to_gateway,
    )

    handler = default_handler
    if user := environment.get("THIMBLE_PUSHGATEWAY_USERNAME"):
        password = environment.get("THIMBLE_PUSHGATEWAY_PASSWORD", "")
        handler = functools.partial(basic_auth_handler, username=user, password=password)
    pushadd_to_gateway(url, JOB, registry_of(samples), group, TIMEOUT_SECONDS, handler)


def _groups(ending: Ending, environment: Mapping[str, str]) -> dict[Group, list[Sample]]:
    """Return samples by group: that of the stage itself, and one per branch and variant."""
    own = {
        "pipeline": environment.get("THIMBLE_PIPELINE") or "unknown",
        "dataset": environment.get("THIMBLE_DATASET") or "unknown",
        "stage": ending.stage,
        **{name: word for name, word in ending.labels.items() if word},
    }
    end: list[Sample] = [("last_success", {}, time.time()), ("duration", {}, ending.seconds)]
    if ending.failed:
        end = [("last_failure", {}, time.time())]
    groups: dict[Group, list[Sample]] = {_group(own): end}
    for figure, value in ending.figures.items():
        key, said = split_figure(figure)
        split = {"split": said.pop("split")} if "split" in said else {}
        if key in METRICS:
            groups.setdefault(_group(own | said), []).append((key, split, value))
    digests = _digests(ending.artifacts)
    run = {name: environment.get(f"THIMBLE_{name.upper()}", "") for name in ("run", "commit")}
    for group, samples in groups.items():
        where = dict(group)
        whole = "-".join(where[name] for name in ("branch", "variant") if name in where)
        names = (whole, where.get("variant", "model"))
        digest = next((digests[name] for name in names if name in digests), "")
        samples.append(("run_info", {**run, "package_digest": digest}, 1.0))
    return groups


def _group(labels: Mapping[str, str]) -> Group:
    """Return labels as a key."""
    return tuple(sorted(labels.items()))


def _digests(artifacts: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of every package by its name, such as `int8` or `teacher-int8`."""
    files = {file.stem: file for folder in artifacts for file in folder.glob("*.thimble")}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
