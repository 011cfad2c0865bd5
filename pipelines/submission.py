"""A run on a cluster: what Kubeflow Pipelines is sent, how it is followed, when it is repeated."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.cluster import PODS, cluster_specs, read_cluster, write_package
from pipelines.identity import identify
from pipelines.image_lock import image_references
from thimble.stage import BadInput, ThimbleError

__all__ = [
    "Schedule",
    "Server",
    "Submission",
    "connect",
    "follow",
    "prepare_submission",
    "replace_schedule",
    "start_run",
]

PAGE = 100
# How often in a row the server may fail to say how a run is.
FAILURES = 30
FINAL = {"SUCCEEDED": 0, "SKIPPED": 0, "FAILED": 1, "CANCELED": 1}
CRON_FIELDS = 6
# kfp's own words for what is in a run besides the tasks of the pipeline.
DRIVERS = ("-driver", "executor")
SERVICE_ACCOUNT = "thimble-pipeline"


@dataclass(frozen=True)
class Server:
    """Where Kubeflow Pipelines is and who asks.

    Attributes:
        host: Address of its API, such as https://kubeflow.example.org/pipeline.
        namespace: Of the run; empty for a server with one user.
        token: Bearer token; empty for a port that is forwarded from inside the cluster.
        ca_file: PEM file of the authority that signed its certificate; empty: the system's.
    """

    host: str
    namespace: str = ""
    token: str = ""
    ca_file: str = ""


@dataclass(frozen=True)
class Submission:
    """What is sent.

    Attributes:
        name: Of the run or the schedule.
        arguments: Every parameter of the pipeline.
        specs: The compiled pipeline and its Kubernetes part.
        description: Of the pipeline.
    """

    name: str
    arguments: Mapping[str, Any]
    specs: tuple[dict[str, Any], dict[str, Any]]
    description: str

    @property
    def version(self) -> str:
        """Return a name for this version of the pipeline: equal pipelines have equal names."""
        text = json.dumps(self.specs, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Schedule:
    """When a run is repeated.

    Attributes:
        name: One schedule of this name exists afterwards.
        cron: Seconds, minutes, hours, day of month, month, day of week.
        paused: Whether it waits to be enabled.
    """

    name: str
    cron: str
    paused: bool = False

    def __post_init__(self) -> None:
        """Check the number of fields; the server reads the rest."""
        if len(self.cron.split()) != CRON_FIELDS:
            raise BadInput(
                "--cron takes six fields: second, minute, hour, day of month, month, day of week, "
                f"as in '0 0 3 * * 0'. Received: {self.cron!r}"
            )


def prepare_submission(
    parameters: dict[str, dict[str, Any]],
    data: str,
    name: str,
    lock: Path | None = None,
    scheduled: bool = False,
    release: str = "",
) -> Submission:
    """Check the parameters and compile the pipeline for a cluster.

    `apply_tags` comes before: this imports the components.

    Args:
        parameters: Values by task and field; `cluster` is the accelerator, `search` is ignored.
        data: `s3://bucket/prefix`; empty for generated scans.
        name: Of the run.
        lock: images.lock of a release; None for images by their source tags.
        scheduled: Whether it starts later, again and again.
        release: `s3://bucket/prefix/<model>` to retrain; empty for a run that starts anew.

    Raises:
        BadInput: If a parameter is wrong.
    """
    from pipelines.commands.run import add_defaults, check_arguments, provenance
    from pipelines.parameters import equal_budgets, flat_arguments
    from pipelines.release_origin import release_origin

    cluster = read_cluster(parameters.pop("cluster", {}))
    parameters.pop("search", None)
    pipeline = _choose(release, parameters)
    groups, origin = pipeline.pipeline_func.groups, provenance(Path(name), pipeline.name)
    published = {**origin, **release_origin(parameters, groups, lock)}
    if scheduled:
        published.pop("run_started", None)  # known when it starts; publish then takes its own time
    source = _source(parameters, data, groups)
    add_defaults(parameters, {"ingest": source, "report": origin, "publish": published})
    arguments = flat_arguments(equal_budgets(parameters, groups), groups)
    check_arguments(arguments, groups, Path(name))
    specs = cluster_specs(
        pipeline,
        image_references(PODS, lock),
        cluster,
        identify(pipeline.name, arguments, name),
        uncached=_changing(arguments),
    )
    return Submission(name, arguments, specs, pipeline.description)


def _choose(release: str, parameters: dict[str, dict[str, Any]]) -> Any:
    """Return the pipeline; for a retraining say in the parameters what it starts from."""
    if not release:
        from pipelines.compress import compress

        return compress
    from pipelines.last_release import release_arguments
    from pipelines.retrain import retrain

    if not release.startswith("s3://"):
        raise BadInput(
            "a cluster reads releases from an object store. Expected --release "
            f"s3://bucket/prefix/<model>. Received: {release}"
        )
    for task, fields in release_arguments(release, parameters, later=True).items():
        parameters[task] = {**parameters.get(task, {}), **fields}
    return retrain


def _changing(arguments: Mapping[str, Any]) -> list[str]:
    """Return the stages whose parameters may be the same while what they read is not."""
    stages = []
    # The same address may hold other scans tomorrow; without their digest nobody would notice.
    if arguments["ingest_source"] and not arguments["ingest_source_digest"]:
        stages.append("ingest")
    if "restore_release" in arguments and not arguments["restore_version"]:
        stages.append("restore")
    return stages


def _source(parameters: Mapping[str, Mapping[str, Any]], data: str, groups: Any) -> dict[str, str]:
    """Return the arguments of ingest that say where the scans are."""
    kind = str(parameters.get("ingest", {}).get("kind", groups["ingest"].defaults["kind"]))
    if kind.startswith("phantom"):
        if data:
            raise BadInput(f"--data {data} is not used: {kind} generates scans. Leave it out.")
        return {"source": "", "source_digest": ""}
    if not data.startswith("s3://"):
        raise BadInput(
            f"a cluster reads {kind} scans from an object store. Expected --data s3://bucket/prefix."
            f" Received: {data or 'none'}"
        )
    return {"source": data, "source_digest": ""}


@contextmanager
def connect(server: Server) -> Iterator[Any]:
    """Yield kfp's client; what goes wrong with the server is one clear sentence."""
    import kfp_server_api
    import urllib3

    try:
        yield _client(server)
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            raise BadInput(
                f"{server.host} does not allow this ({error.status}). Check THIMBLE_KFP_TOKEN and "
                f"--namespace {server.namespace or '(none)'}."
            ) from None
        raise ThimbleError(
            f"{server.host} answers {error.status} {error.reason}: {_message(error.body)}"
        ) from None
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise ThimbleError(
            f"{server.host} does not answer ({type(error).__name__}). Check --host; a run that was "
            "started goes on."
        ) from None


def _client(server: Server) -> Any:
    """Return kfp's client; without a namespace it asks the server at once whether it needs one."""
    from kfp import Client

    with warnings.catch_warnings():
        # "This client only works with ... v2.0.0-beta.2 and later versions."
        warnings.simplefilter("ignore", FutureWarning)
        return Client(
            host=server.host,
            namespace=server.namespace or "kubeflow",
            existing_token=server.token or None,
            ssl_ca_cert=server.ca_file or None,
        )


def _message(body: Any) -> str:
    """Return what the server says in the body of an error."""
    try:
        return str(json.loads(body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(body)[:200]


def start_run(client: Any, server: Server, submission: Submission, folder: Path) -> str:
    """Send the run and return its id.

    Args:
        client: From `connect`.
        server: Its server.
        submission: What is sent.
        folder: Where the package is written on its way.
    """
    package = folder / "compress.yaml"
    write_package(package, submission.specs, submission.description)
    experiment = client.create_experiment("thimble", namespace=server.namespace or None)
    run = client.run_pipeline(
        experiment.experiment_id,
        submission.name,
        str(package),
        dict(submission.arguments),
        service_account=_account(server),
    )
    return str(run.run_id)


def _account(server: Server) -> str | None:
    """Return who a run's pods are: our account in our namespace, else the server's default."""
    return SERVICE_ACCOUNT if server.namespace else None


def follow(client: Any, run: str, tell: Callable[[str], None], every_seconds: float) -> int:
    """Say what changes in a run until it ends.

    Args:
        client: From `connect`.
        run: Its id.
        tell: Receives one line per change.
        every_seconds: How long to wait before asking again.

    Returns:
        0 if it succeeded, else 1.
    """
    import kfp_server_api
    import urllib3

    known: dict[str, str] = {}
    failures = 0
    while True:
        try:
            found, failures = client.get_run(run), 0
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
            failures += 1
            # A run of hours outlives restarts of the server.
            if getattr(error, "status", 503) < 500 or failures > FAILURES:
                raise
            time.sleep(every_seconds)
            continue
        details = (found.run_details and found.run_details.task_details) or []
        for task in sorted(details, key=lambda each: (str(each.start_time), each.task_id)):
            named = task.display_name and not task.display_name.endswith(DRIVERS)
            if named and task.state and known.get(task.task_id) != task.state:
                known[task.task_id] = task.state
                tell(f"{task.display_name}: {task.state.lower()}{_cause(task.error)}")
        if found.state in FINAL:
            tell(f"run {run}: {found.state.lower()}{_cause(found.error)}")
            return FINAL[found.state]
        time.sleep(every_seconds)


def _cause(error: Any) -> str:
    """Return what an error of the server says, to stand behind a state."""
    return f" ({error.message})" if error and error.message else ""


def replace_schedule(
    client: Any, server: Server, submission: Submission, schedule: Schedule, folder: Path
) -> str:
    """Create a schedule, then remove those of the same name, and return its id.

    The server cannot change one. The new one comes first: if it is refused, the old one stays.
    """
    package = folder / "compress.yaml"
    write_package(package, submission.specs, submission.description)
    pipeline, version = _upload(client, server, submission, package)
    experiment = client.create_experiment("thimble", namespace=server.namespace or None)
    old = _scheduled(client, experiment.experiment_id, schedule.name)
    made = client.create_recurring_run(
        experiment.experiment_id,
        schedule.name,
        cron_expression=schedule.cron,
        no_catchup=True,
        max_concurrency=1,
        params=dict(submission.arguments),
        # With the pipeline alone the server would take whichever version is the newest then.
        pipeline_id=pipeline,
        version_id=version,
        enabled=not schedule.paused,
        service_account=_account(server),
    )
    for each in old:
        client.delete_recurring_run(each)
    return str(made.recurring_run_id)


def _upload(client: Any, server: Server, submission: Submission, package: Path) -> tuple[str, str]:
    """Return the ids of the pipeline and of this version of it, uploading what is not there."""
    name = submission.specs[0]["pipelineInfo"]["name"]
    found = client.list_pipelines(
        namespace=server.namespace or None, filter=_filter("display_name", name)
    ).pipelines
    if found:
        pipeline = found[0].pipeline_id
    else:
        pipeline = client.upload_pipeline(
            str(package), name, submission.description, server.namespace or None
        ).pipeline_id
    version = f"{name}-{submission.version}"
    versions = client.list_pipeline_versions(pipeline, filter=_filter("display_name", version))
    if versions.pipeline_versions:
        return pipeline, versions.pipeline_versions[0].pipeline_version_id
    made = client.upload_pipeline_version(str(package), version, pipeline_id=pipeline)
    return pipeline, made.pipeline_version_id


def _scheduled(client: Any, experiment: str, name: str) -> list[str]:
    """Return the ids of the schedules of a name, all pages of them."""
    found, page = [], ""
    while True:
        answer = client.list_recurring_runs(
            page, PAGE, experiment_id=experiment, filter=_filter("display_name", name)
        )
        found += [each.recurring_run_id for each in answer.recurring_runs or []]
        page = answer.next_page_token or ""
        if not page:
            return found


def _filter(key: str, value: str) -> str:
    """Return kfp's filter for an exact value."""
    predicate = {"operation": "EQUALS", "key": key, "stringValue": value}
    return json.dumps({"predicates": [predicate]})
