"""What a retraining takes from a real MinIO, and who may release what it made."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.publish.publish import PublishConfig, publish_release
from components.restore.restore import RestoreConfig, restore_release
from tests.components.publish.making import (
    add_basis_inputs,
    make_inputs,
    write_package,
    write_verdict,
)
from tests.services.minio import OpenAs, StoreServer, opener
from thimble.artifact import finish, read_json, write_json
from thimble.releases import Decision, approve, revoke
from thimble.stage import BadInput, flat_fields, start

pytestmark = pytest.mark.services
DECISION = Decision("A. Name", "report read")
WHY = "teacher-float32 is a candidate. Every gate holds."


@pytest.fixture
def open_as(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> OpenAs:
    return opener(store_server, monkeypatch)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A folder of this test alone, the same in every bucket."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


Publish = Callable[..., str]
Restore = Callable[..., dict[str, Any]]


@pytest.fixture
def publish(open_as: OpenAs, place: str, tmp_path: Path) -> Publish:
    """Publishes as the pipeline does; another seed is another release."""

    def run_stage(seed: int, retrained: bool = False) -> str:
        open_as("pipeline", "s3://releases/x")
        folder = tmp_path / f"inputs-{seed}"
        folder.mkdir()
        inputs = make_inputs(folder)
        write_package(Path(inputs["teacher"] or "") / "float32.thimble", seed)
        write_verdict(inputs, folder / "verdict")
        add_basis_inputs(folder, inputs)
        if retrained:
            verdict = read_json(folder / "verdict" / "verdict.json")
            told = {"why": WHY, "release": {"name": "model/0"}}
            write_json(folder / "verdict" / "verdict.json", verdict | {"retraining": told})
        flat = flat_fields(PublishConfig) | {
            "release_url": f"s3://releases/{place}",
            "basis_url": f"s3://artifacts/{place}",
            "run_started": f"2026-01-31T{seed:02d}:00:00+00:00",
        }
        with start("publish", PublishConfig, flat) as run:
            basis = tmp_path / f"basis-{seed}"
            write, figures = publish_release(inputs, run.config, run, basis)
            finish(run, write, tmp_path / f"release-{seed}", figures)
        sums = (tmp_path / f"release-{seed}" / "SHA256SUMS").read_bytes()
        return f"model/{hashlib.sha256(sums).hexdigest()[:12]}"

    return run_stage


@pytest.fixture
def restore(open_as: OpenAs, place: str, tmp_path: Path) -> Restore:
    """Restores as the pipeline does; returns release.json."""
    numbers = iter(range(100))

    def run_stage(**arguments: Any) -> dict[str, Any]:
        open_as("pipeline", "s3://releases/x")
        made = tmp_path / f"made-{next(numbers)}"
        others = {part: made / part for part in ("model", "validation", "frozen")}
        flat = flat_fields(RestoreConfig) | {
            "release": f"s3://releases/{place}/model",
            "basis_url": f"s3://artifacts/{place}",
        }
        with start("restore", RestoreConfig, flat | arguments) as run:
            found, write, figures = restore_release(run.config, run, others)
            finish(run, write, made / "released", figures, previous=found)
        assert (made / "frozen" / "test.tfrecord").read_bytes() == b"test"
        return dict(read_json(made / "released" / "release.json"))

    return run_stage


def test_a_retraining_starts_from_what_was_approved(
    publish: Publish, restore: Restore, open_as: OpenAs, place: str
) -> None:
    first = publish(1)
    with pytest.raises(BadInput, match="has no release"):
        restore()
    releases = f"s3://releases/{place}"
    approve(open_as("approver", releases), first, DECISION)
    assert restore()["name"] == first
    second = publish(2)
    assert restore()["name"] == first, "a candidate is no release"
    approve(open_as("approver", releases), second, DECISION)
    assert restore()["name"] == second
    assert restore(version=first.rpartition("/")[2])["name"] == first
    # Rollback.
    revoke(open_as("approver", releases), second, DECISION)
    assert restore()["name"] == first


def test_no_scan_is_in_the_bucket_of_releases(
    publish: Publish, store_server: StoreServer, place: str
) -> None:
    publish(1)
    client = store_server.client()
    listed = [
        [each.object_name for each in client.list_objects(bucket, place, recursive=True)]
        for bucket in ("releases", "artifacts")
    ]
    assert not any("frozen" in str(name) or "tfrecord" in str(name) for name in listed[0])
    assert any("basis/frozen/test.tfrecord" in str(name) for name in listed[1])


def test_a_changed_basis_is_refused(
    publish: Publish, restore: Restore, store_server: StoreServer, open_as: OpenAs, place: str
) -> None:
    name = publish(1)
    approve(open_as("approver", f"s3://releases/{place}"), name, DECISION)
    key = f"{place}/{name}/basis/validation/schema.pbtxt"
    client = store_server.client()
    client.remove_object("artifacts", key)
    open_as("pipeline", "s3://artifacts").write(key, b"feature { name: 'other' }\n")
    with pytest.raises(BadInput, match="not the one that was published with it"):
        restore()


def events(server: StoreServer, place: str) -> list[dict[str, Any]]:
    client, prefix = server.client(), f"{place}/model/audit/"
    keys = [each.object_name or "" for each in client.list_objects("releases", prefix)]
    return [json.loads(client.get_object("releases", key).data) for key in sorted(keys)]


def test_automatic_only_where_the_operator_set_it(
    publish: Publish,
    open_as: OpenAs,
    store_server: StoreServer,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = open_as("approver", f"s3://releases/{place}")
    publish(1, retrained=True)
    assert store.read("model/latest.json") is None, "nobody set it"

    monkeypatch.setenv("THIMBLE_AUTOMATIC_APPROVAL", "O. Perator")
    monkeypatch.setenv("THIMBLE_APPROVER_ACCESS_KEY", "approver")
    monkeypatch.setenv("THIMBLE_APPROVER_SECRET_KEY", store_server.users["approver"])
    publish(2)
    assert store.read("model/latest.json") is None, "a first release waits for a person"
    assert "waits for an approval" in capsys.readouterr().out

    name = publish(3, retrained=True)
    latest = store.read("model/latest.json")
    assert latest and json.loads(latest.data)["release"]["version"] == name.rpartition("/")[2]
    (said,) = [each for each in events(store_server, place) if each["action"] == "approve"]
    assert said["who"] == "automatic by THIMBLE_AUTOMATIC_APPROVAL of O. Perator"
    assert said["why"] == WHY


def test_the_role_of_the_pipeline_cannot_approve_by_itself(
    publish: Publish, open_as: OpenAs, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_AUTOMATIC_APPROVAL", "O. Perator")
    with pytest.raises(BadInput, match="does not allow these credentials"):
        publish(1, retrained=True)
    assert open_as("approver", f"s3://releases/{place}").read("model/latest.json") is None
