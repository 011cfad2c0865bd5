"""What each role may do in a real MinIO, and what it may not."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from minio import Minio
from minio.error import S3Error

from tests.services.minio import StoreServer

pytestmark = pytest.mark.services
ALLOWED = {
    "ingest": {"get datasets/d", "list datasets"},
    "pipeline": {
        *("get artifacts/a", "put artifacts/a", "list artifacts"),
        *("get reports/r", "put reports/r", "list reports"),
        *("get releases/u/m/v/p.thimble", "put releases/u/m/v/p.thimble", "list releases"),
        *("get releases/u/m/latest.json", "get releases/u/m/audit/e-approve.json"),
        *("get releases/u/m/audit/e-submit.json", "put releases/u/m/audit/e-submit.json"),
    },
    "approver": {
        *("get releases/u/m/v/p.thimble", "list releases"),
        *("get releases/u/m/latest.json", "put releases/u/m/latest.json"),
        *("get releases/u/m/audit/e-approve.json", "put releases/u/m/audit/e-approve.json"),
        *("get releases/u/m/audit/e-submit.json", "put releases/u/m/audit/e-submit.json"),
    },
    "phone": {"get releases/u/m/v/p.thimble", "get releases/u/m/latest.json"},
}
PLACES = (
    "datasets/d",
    "artifacts/a",
    "reports/r",
    "releases/u/m/v/p.thimble",
    "releases/u/m/latest.json",
    "releases/u/m/audit/e-approve.json",
    "releases/u/m/audit/e-submit.json",
)


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_roles(store_server: StoreServer, role: str) -> None:
    """Everything that a role may do, and nothing else, on every place of the buckets."""
    owner = store_server.client()
    for place in PLACES:
        bucket, _, key = place.partition("/")
        owner.put_object(bucket, key, io.BytesIO(b"x"), 1)
    secret = store_server.users[role]
    # Without a region the client asks for the bucket's, which a phone may not know.
    client = Minio(store_server.address, role, secret, secure=False, region="us-east-1")

    def may(act: Callable[[], Any]) -> bool:
        try:
            act()
        except S3Error as error:
            assert error.code == "AccessDenied", error.code
            return False
        return True

    found = set()
    for place in PLACES:
        bucket, _, key = place.partition("/")
        version = owner.stat_object(bucket, key).version_id
        acts = {
            f"get {place}": lambda b=bucket, k=key: client.get_object(b, k),
            f"put {place}": lambda b=bucket, k=key: client.put_object(b, k, io.BytesIO(b"x"), 1),
            f"list {bucket}": lambda b=bucket: list(client.list_objects(b)),
            f"remove {place}": lambda b=bucket, k=key: client.remove_object(b, k),
            f"remove version {place}": lambda b=bucket, k=key, v=version: client.remove_object(
                b, k, version_id=v
            ),
        }
        found |= {name for name, act in acts.items() if may(act)}
    assert found == ALLOWED[role]
