"""A MinIO server of our own, with one user for each role of manifests/base/policies."""

import os
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import GOVERNANCE
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin
from minio.objectlockconfig import DAYS, ObjectLockConfig

from tests.services.prometheus import free_port, wait_for
from thimble.store import Store, open_store

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / ".tools" / "bin" / "minio"
POLICIES = ROOT / "manifests" / "base" / "policies"
BUCKETS = ("artifacts", "datasets", "reports")
LOCKED = "releases"


@dataclass
class StoreServer:
    """The server.

    Attributes:
        folder: Where its objects are.
        users: Secret by access key, the owner's (`root`) among them.
        arguments: More of the command line.
    """

    folder: Path
    users: dict[str, str] = field(default_factory=lambda: {"root": secrets.token_hex(16)})
    arguments: tuple[str, ...] = ()
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def scheme(self) -> str:
        """`https` if it was given certificates."""
        return "https" if self.arguments else "http"

    def start(self) -> None:
        """Start it, and return at once."""
        environment = {
            **os.environ,
            "MINIO_ROOT_USER": "root",
            "MINIO_ROOT_PASSWORD": self.users["root"],
            "MINIO_BROWSER": "off",
            "MINIO_CI_CD": "on",  # objects on the disk of the system are fine for a test
        }
        command = [str(SERVER), "server", "--quiet", "--address", self.address, *self.arguments]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "data")], env=environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def wait(self) -> None:
        """Return when it answers."""
        if self.scheme == "http":
            wait_for(self._answers, f"MinIO does not answer: {self.folder / 'server.log'}")

    def _answers(self) -> bool:
        """Ask it; a server that has ended never will be ready."""
        assert self.process and self.process.poll() is None, (
            self.folder / "server.log"
        ).read_text()
        try:
            url = f"http://{self.address}/minio/health/ready"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def environment(self, user: str = "root") -> dict[str, str]:
        """Return what a process needs to reach it as a user."""
        return {
            "THIMBLE_S3_ENDPOINT": f"{self.scheme}://{self.address}",
            "THIMBLE_S3_ACCESS_KEY": user,
            "THIMBLE_S3_SECRET_KEY": self.users[user],
        }

    def client(self) -> Minio:
        """Return the owner's client."""
        return Minio(self.address, "root", self.users["root"], secure=False)

    def add_roles(self) -> None:
        """Make a user for each role, as an operator does."""
        owner = StaticProvider("root", self.users["root"])
        admin = MinioAdmin(endpoint=self.address, credentials=owner, secure=False)
        for policy in POLICIES.glob("*.json"):
            role = policy.stem
            self.users[role] = secrets.token_hex(16)
            admin.policy_add(f"thimble-{role}", policy_file=str(policy))
            admin.user_add(role, self.users[role])
            admin.attach_policy([f"thimble-{role}"], user=role)

    def objects(self, bucket: str) -> dict[str, tuple[Any, ...]]:
        """Return every version of every object: its ETag and when it was written."""
        found = self.client().list_objects(bucket, recursive=True, include_version=True)
        return {
            f"{each.object_name} {each.version_id}": (each.etag, each.last_modified)
            for each in found
        }


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """The server, with buckets and roles."""
    subprocess.run([str(ROOT / "tests/services/install/minio.sh")], check=True)
    server = StoreServer(tmp_path_factory.mktemp("minio"))
    server.start()
    try:
        server.wait()
        client = server.client()
        for bucket in BUCKETS:
            client.make_bucket(bucket)
        client.make_bucket(LOCKED, object_lock=True)
        client.set_object_lock_config(LOCKED, ObjectLockConfig(GOVERNANCE, 1, DAYS))
        server.add_roles()
        yield server
    finally:
        server.kill()


OpenAs = Callable[[str, str], Store]


def opener(server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> OpenAs:
    """Return what opens an address as a user."""

    def open_as(user: str, url: str) -> Store:
        for name, value in server.environment(user).items():
            monkeypatch.setenv(name, value)
        return open_store(url)

    return open_as
