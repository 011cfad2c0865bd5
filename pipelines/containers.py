"""Stages in containers of this machine's Docker engine: what each may see and use, and its end."""

import contextlib
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.types import Mount
from kfp import local

from pipelines.cluster import GROUP, PODS, PUSHGATEWAY, SECRETS, STORE, USER
from pipelines.processes import POLL_SECONDS, Watcher
from pipelines.run_folder import RunFolder
from thimble.stage import BadInput
from thimble.store_access import ELSEWHERE

__all__ = ["Containers"]

# Whose container it is: the run folder.
LABEL = "org.thimble.run"
# Where the Pushgateway or the object store is `localhost`, set it to host.
NETWORK = "THIMBLE_DOCKER_NETWORK"
# New files belong to the group of the run folder and may be changed by it: whoever started the run
# is not the user of the images.
GROUP_WRITABLE = 0o2770
OPEN_UMASK = "umask 002\n"
# Variables that name a file: the stage gets the file too.
FILES = ("THIMBLE_SIGNING_KEY", "THIMBLE_S3_CA_FILE", "AWS_CA_BUNDLE")
# For stages that the cluster does not know.
DEFAULT_MEMORY = "4Gi"


class Containers:
    """Runs the stages of one run in their images, as the user that the cluster gives them."""

    def __init__(self, folder: RunFolder, arguments: Mapping[str, Any], watcher: Watcher) -> None:
        """Connect to the engine and end what an earlier run in this folder left.

        Args:
            folder: The run folder, locked; its folders become writable for the images' user.
            arguments: Parameters of the pipeline; what they name is mounted.
            watcher: Told of every container, so that it ends even if this process is killed.

        Raises:
            BadInput: If no engine answers.
        """
        self._folder = folder
        self._mounts = [*_mounts(folder, arguments)]
        self._watcher = watcher
        self.reason = ""
        try:
            self._client = docker.from_env(timeout=600)
            left = self._client.containers.list(all=True, filters={"label": self._label})
        except DockerException as error:
            raise BadInput(
                f"no Docker engine answers ({_sentence(error)}). Expected one that this user may "
                "use. Start it, or use --runner local."
            ) from None
        for container in left:
            _remove(container)

    @property
    def _label(self) -> str:
        """Return the label of this run's containers."""
        return f"{LABEL}={self._folder.root}"

    def require_images(self, spec: Any) -> None:
        """Refuse a pipeline whose images are not all here.

        Raises:
            BadInput: If one is missing; Docker would look for it on the internet.
        """
        executors = spec.deployment_spec["executors"].values()
        missing = []
        for image in sorted({executor["container"]["image"] for executor in executors}):
            try:
                self._client.images.get(image)
            except ImageNotFound:
                missing.append(image)
        if missing:
            raise BadInput(
                f"{len(missing)} images of these sources are missing, such as {missing[0]}. "
                "Run `make images`, or use --runner local."
            )

    def runner(self) -> local.DockerRunner:
        """Return kfp's runner; its arguments are those of every container."""
        return local.DockerRunner(
            user=f"{USER}:{GROUP}",
            group_add=[os.getgid()],
            mounts=self._mounts,
            network_mode=os.environ.get(NETWORK) or "bridge",
            labels=dict([self._label.split("=", 1)]),
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )

    def run(
        self,
        handler: Any,
        stage: str,
        log: Path,
        environment: Mapping[str, str],
        poll: Callable[[], None],
    ) -> int:
        """Run one stage; `reason` says afterwards what Docker knows about a failure.

        Args:
            handler: kfp's DockerTaskHandler.
            stage: Name of the stage.
            log: Receives stdout and stderr.
            environment: Variables of the stage, besides those of the image.
            poll: Called a few times a second.

        Returns:
            The exit code; negative for the signal that ended it.
        """
        memory = _memory(stage)
        name = f"thimble-{stage}-{uuid.uuid4().hex[:12]}"
        shell, option, script, *rest = handler.full_command
        Path(environment["THIMBLE_STATE"]).chmod(GROUP_WRITABLE)
        self.reason = ""
        handed_on = _handed_on(stage)
        files = {handed_on[name] for name in FILES if Path(handed_on.get(name, "")).is_file()}
        volumes = {file: {"bind": file, "mode": "ro"} for file in files}
        try:
            with self._watcher.guard_container(name), self._removed(name):
                container = self._client.containers.create(
                    handler.image,
                    [shell, option, OPEN_UMASK + script, *rest],
                    name=name,
                    volumes={**volumes, **handler.get_volumes_to_mount(self._client)},
                    environment={**environment, **handed_on, **handler.env_vars},
                    mem_limit=memory,
                    memswap_limit=memory,
                    **handler.runner.container_run_args,
                )
                container.start()
                self._follow(container, log, poll)
                code = int(container.wait()["StatusCode"])
                container.reload()
                if container.attrs["State"]["OOMKilled"]:
                    self.reason = f"needed more than the {memory} of memory that it may use"
        except (DockerException, requests.RequestException) as error:
            self.reason, code = f"failed in Docker: {_sentence(error)}", 1
        return code if code < 128 else 128 - code

    def _follow(self, container: Any, log: Path, poll: Callable[[], None]) -> None:
        """Copy what a container prints until it ends."""

        def copy() -> None:
            """Write the stream into the log."""
            with open(log, "ab", buffering=0) as output, contextlib.suppress(Exception):
                for chunk in container.logs(stream=True, follow=True):
                    output.write(chunk)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            poll()

    @contextlib.contextmanager
    def _removed(self, name: str) -> Iterator[None]:
        """Remove a container when the block ends, however it ends."""
        try:
            yield
        finally:
            with contextlib.suppress(NotFound):
                _remove(self._client.containers.get(name))


def _mounts(folder: RunFolder, arguments: Mapping[str, Any]) -> Iterator[Mount]:
    """Yield what a stage sees besides the artifacts, each at the path that it has outside."""
    for path in (folder.artifacts, folder.checkpoints, folder.state):
        path.chmod(GROUP_WRITABLE)
    for path in (folder.checkpoints, folder.state):
        yield Mount(str(path), str(path), type="bind")
    for name in ("ingest_source", "restore_release"):
        source = str(arguments.get(name) or "")
        if source and "://" not in source:
            yield Mount(source, source, type="bind", read_only=True)
    if release := arguments.get("publish_release_folder"):
        path = Path(release).absolute()
        path.mkdir(parents=True, exist_ok=True)
        yield Mount(str(path), str(path), type="bind")


def _handed_on(stage: str) -> dict[str, str]:
    """Return the variables of this process that a stage needs: no credentials but its own."""
    secrets = SECRETS.get(stage, {}).values()
    names = {*PUSHGATEWAY.values(), *(name for variables in secrets for name in variables.values())}
    if STORE in secrets:
        names |= {*ELSEWHERE, *ELSEWHERE.values()}
    tags = {name for name in os.environ if name.startswith("THIMBLE_TAG_")}
    found = {name: os.environ[name] for name in names | tags if name in os.environ}
    return found | {name: os.path.abspath(found[name]) for name in FILES if found.get(name)}


def _memory(stage: str) -> str:
    """Return what a stage may use, the same as on the cluster, in Docker's words."""
    memory = PODS[stage].memory[1] if stage in PODS else DEFAULT_MEMORY
    return memory.removesuffix("i").lower()


def _remove(container: Any) -> None:
    """Kill and remove a container that may be gone already."""
    with contextlib.suppress(NotFound):
        container.remove(force=True)


def _sentence(error: Exception) -> str:
    """Return the engine's own words without the layers around them."""
    text = getattr(error, "explanation", None) or str(error)
    return re.sub(r"\s+", " ", str(text)).strip(". ")
