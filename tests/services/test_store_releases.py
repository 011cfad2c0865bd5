"""Candidates, approvals and revocations in a real MinIO."""

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from minio.deleteobjects import DeleteObject

from components.publish.publish import PublishConfig, publish_release
from tests.components.publish.making import make_inputs, write_package, write_verdict
from tests.keys import write_keys
from tests.services.minio import OpenAs, StoreServer, opener
from thimble import store_access
from thimble.releases import Decision, Refused, approve, revoke, submit
from thimble.stage import BadInput, ThimbleError, flat_fields, start
from thimble.store import Store, Stored

pytestmark = pytest.mark.services
DECISION = Decision("A. Name", "report read")
DOWNLOADS = 200


@pytest.fixture
def open_as(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> OpenAs:
    return opener(store_server, monkeypatch)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """A folder of releases for this test alone."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return f"s3://releases/{name}"


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish signs; returns the public key."""
    private, public = tmp_path / "key.pem", tmp_path / "key.pub.pem"
    write_keys(private, public)
    monkeypatch.setenv("THIMBLE_SIGNING_KEY", str(private))
    return public


Publish = Callable[..., str]


@pytest.fixture
def publish(open_as: OpenAs, url: str, tmp_path: Path) -> Publish:
    """Runs the stage as the pipeline does; returns the candidate. Another seed, another package."""

    def run_stage(seed: int = 1, **arguments: Any) -> str:
        store = open_as("pipeline", url)
        folder = tmp_path / f"inputs-{seed}"
        if not folder.exists():
            folder.mkdir()
            inputs = make_inputs(folder)
            write_package(Path(inputs["teacher"] or "") / "float32.thimble", seed)
            write_verdict(inputs, folder / "verdict")
        names = ("verdict", "teacher", "teacher_evaluation", "baseline_evaluation")
        given = {name: folder / name for name in names}
        flat = flat_fields(PublishConfig) | {"release_url": url, "release_name": "membrane"}
        with start("publish", PublishConfig, flat | arguments) as run:
            write, _ = publish_release(given, run.config, run)
            made = tmp_path / f"made-{seed}-{len(list(tmp_path.iterdir()))}"
            made.mkdir()
            write(made)
        return submit(store, "membrane", made, {})

    return run_stage


def started(hour: int) -> str:
    return f"2026-01-31T{hour:02d}:00:00+00:00"


def read(store: Store, name: str) -> dict[str, Any]:
    stored = store.read(name)
    assert stored, name
    return dict(json.loads(stored.data))


def events(server: StoreServer, url: str) -> list[dict[str, Any]]:
    """The audit log, in order."""
    client, prefix = server.client(), f"{url.removeprefix('s3://releases/')}/membrane/audit/"
    keys = [each.object_name or "" for each in client.list_objects("releases", prefix)]
    return [json.loads(client.get_object("releases", key).data) for key in sorted(keys)]


def test_publish_twice_changes_nothing(
    publish: Publish, open_as: OpenAs, store_server: StoreServer, url: str
) -> None:
    arguments = {"run_started": started(1), "submitted_by": "A. Name", "commit": "3f9c1e2"}
    name = publish(report_url="s3://reports/membrane", **arguments)
    before = [store_server.objects(bucket) for bucket in ("releases", "reports")]
    assert publish(report_url="s3://reports/membrane", **arguments) == name
    # Later, by somebody else: the same release is the same candidate.
    later = arguments | {"run_started": started(2), "submitted_by": "B. Name"}
    assert publish(report_url="s3://reports/membrane", **later) == name
    assert [store_server.objects(bucket) for bucket in ("releases", "reports")] == before
    (event,) = events(store_server, url)
    assert (event["action"], event["who"]) == ("submit", "A. Name")
    assert event["origin"]["commit"] == "3f9c1e2"
    assert not any(".html" in each for each in before[0]), "scans are not released"
    assert any("/report.html" in each for each in before[1])


def test_approve_and_revoke(
    publish: Publish, open_as: OpenAs, store_server: StoreServer, url: str, keys: Path
) -> None:
    first = publish(1, run_started=started(1))
    second = publish(2, run_started=started(2))
    store = open_as("approver", url)
    assert store.read("membrane/latest.json") is None, "publishing releases nothing"
    latest = approve(store, first, DECISION, keys)
    assert (latest["generation"], latest["previous"]) == (1, [])
    assert f"membrane/{latest['release']['version']}" == first
    assert approve(store, first, DECISION, keys) == latest, "once is enough"
    latest = approve(store, second, DECISION, keys)
    assert (latest["generation"], len(latest["previous"])) == (2, 1)

    latest = revoke(store, second, Decision("B. Name", "misses small ones"))
    assert latest["generation"] == 3 and latest["revoked"] == [second.partition("/")[2]]
    assert f"membrane/{latest['release']['version']}" == first
    assert revoke(store, second, DECISION) == latest
    with pytest.raises(Refused, match="was revoked"):
        approve(store, second, DECISION, keys)
    assert revoke(store, first, DECISION)["release"] is None
    assert read(store, "membrane/latest.json")["generation"] == 4

    log = events(store_server, url)
    assert sorted(each["action"] for each in log) == [
        *["approve"] * 2,
        *["revoke"] * 2,
        *["submit"] * 2,
    ]
    bad = next(each for each in log if each.get("why") == "misses small ones")
    assert (bad["who"], bad["generation"]) == ("B. Name", 3)
    assert bad["release"] == second.partition("/")[2]
    # Phones read the pointer: it names nobody.
    assert "Name" not in json.dumps(read(store, "membrane/latest.json"))


def test_older_run_loses(publish: Publish, open_as: OpenAs, url: str) -> None:
    older = publish(1, run_started=started(1))
    newer = publish(2, run_started=started(2))
    store = open_as("approver", url)
    approve(store, newer, DECISION)
    with pytest.raises(Refused, match=r"an older run does not replace a newer one"):
        approve(store, older, DECISION)
    assert f"membrane/{read(store, 'membrane/latest.json')['release']['version']}" == newer


def test_older_run_loses_the_race(publish: Publish, open_as: OpenAs, url: str) -> None:
    """The newer one is approved after the older approval has read the pointer."""
    older = publish(1, run_started=started(1))
    newer = publish(2, run_started=started(2))
    other = open_as("approver", url)

    class Overtaken(Store):
        """Is overtaken once, between reading the pointer and moving it."""

        overtaken = False

        def read(self, name: str) -> Stored | None:
            found = super().read(name)
            if name == "membrane/latest.json" and not self.overtaken:
                self.overtaken = True
                approve(other, newer, DECISION)
            return found

    with pytest.raises(Refused, match="older run"):
        approve(Overtaken(other._client, other.location), older, DECISION)
    latest = read(other, "membrane/latest.json")
    assert (latest["generation"], f"membrane/{latest['release']['version']}") == (1, newer)


def test_many_approve_at_once(publish: Publish, open_as: OpenAs, url: str) -> None:
    """Whatever the order, the newest run wins and no generation is lost."""
    names = [publish(seed, run_started=started(seed)) for seed in range(1, 7)]
    store = open_as("approver", url)
    barrier = threading.Barrier(len(names))

    def act(name: str) -> int:
        barrier.wait()
        try:
            approve(store, name, DECISION)
            return 1
        except Refused:
            return 0

    with ThreadPoolExecutor(len(names)) as pool:
        won = sum(pool.map(act, names))
    latest = read(store, "membrane/latest.json")
    assert f"membrane/{latest['release']['version']}" == names[-1]
    assert latest["generation"] == won == 1 + len(latest["previous"])


@pytest.mark.parametrize("step", range(8))
def test_killed_in_the_middle_of_publish(
    publish: Publish,
    open_as: OpenAs,
    store_server: StoreServer,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """Five files, the event, the candidate: killed before each of them, and not at all."""
    writes: list[str] = []
    real, one_by_one = Store._put, threading.Lock()

    def put(self: Store, name: str, *arguments: Any) -> bool:
        # Several at a time: whatever was begun before is still under way when the server dies.
        with one_by_one:
            if len(writes) == step < 7:
                store_server.kill()
            writes.append(name)
        return real(self, name, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(store_access, "RETRIES", 0)
        patch.setattr(Store, "_put", put)
        if step < 7:
            with pytest.raises(ThimbleError, match="run the same command again"):
                publish(run_started=started(1))
        else:
            publish(run_started=started(1))
            assert len(writes) >= 7
            assert "candidate.json" in writes[6]
            store_server.kill()
    store_server.start()
    store_server.wait()
    prefix = url.removeprefix("s3://releases/")
    if step < 7:
        listed = [each for each in store_server.objects("releases") if each.startswith(prefix)]
        assert not any("candidate.json" in each or "latest.json" in each for each in listed)
        name = next((each.split(" ")[0] for each in listed), f"{prefix}/membrane/{'0' * 12}/x")
        partial = name.removeprefix(f"{prefix}/").rpartition("/")[0]
        if "audit" not in partial:
            with pytest.raises(BadInput, match="not published whole"):
                approve(open_as("approver", url), partial, DECISION)
    whole = publish(run_started=started(1))
    assert approve(open_as("approver", url), whole, DECISION)["generation"] == 1


def test_signature(publish: Publish, open_as: OpenAs, url: str, keys: Path, tmp_path: Path) -> None:
    signed = publish(1)
    store = open_as("approver", url)
    write_keys(tmp_path / "other.pem", tmp_path / "other.pub.pem")
    with pytest.raises(BadInput, match="this key has not made"):
        approve(store, signed, DECISION, tmp_path / "other.pub.pem")
    approve(store, signed, DECISION, keys)


def test_unsigned_is_refused_where_a_key_is_set(
    publish: Publish, open_as: OpenAs, url: str, tmp_path: Path
) -> None:
    unsigned = publish(1)
    write_keys(tmp_path / "key.pem", tmp_path / "key.pub.pem")
    store = open_as("approver", url)
    with pytest.raises(BadInput, match="no signature"):
        approve(store, unsigned, DECISION, tmp_path / "key.pub.pem")
    approve(store, unsigned, DECISION)


@pytest.mark.parametrize("file", ["teacher-float32.thimble", "SHA256SUMS", "provenance.json"])
def test_what_was_changed_is_not_approved(
    publish: Publish, open_as: OpenAs, url: str, tmp_path: Path, file: str
) -> None:
    name = publish(1)
    (tmp_path / "other").write_bytes(b"other")
    # The pipeline's credentials may write there: that is why approve checks.
    open_as("pipeline", url).upload(tmp_path / "other", f"{name}/{file}")
    store = open_as("approver", url)
    with pytest.raises(BadInput, match="is not what was submitted"):
        approve(store, name, DECISION)
    assert store.read("membrane/latest.json") is None


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"sha256sums":"0","run_started":"2026-01-31T12:00:00+00:00"}',
        b'{"sha256sums":"%s","run_started":"yesterday"}' % (64 * b"0"),
        b'{"sha256sums":"%s","run_started":"2026-01-31T12:00:00"}' % (64 * b"0"),
        b'{"sha256sums":"%s","run_started":"2026-01-31T12:00:00+00:00"}' % (64 * b"0"),
    ],
)
def test_candidates_that_publish_did_not_write(open_as: OpenAs, url: str, content: bytes) -> None:
    name = f"membrane/{12 * '0'}"
    open_as("pipeline", url).write(f"{name}/candidate.json", content)
    with pytest.raises(BadInput):
        approve(open_as("approver", url), name, DECISION)


def test_locked(publish: Publish, store_server: StoreServer, url: str) -> None:
    """The bucket's retention holds what was released, against its owner too."""
    name = publish(1)
    client = store_server.client()
    key = f"{url.removeprefix('s3://releases/')}/{name}/teacher-float32.thimble"
    version = client.stat_object("releases", key).version_id
    retention = client.get_object_retention("releases", key, version)
    assert retention and retention.mode == "GOVERNANCE"
    failures = list(client.remove_objects("releases", [DeleteObject(key, version)]))
    # AWS says AccessDenied.
    assert [failure.code for failure in failures] == ["InvalidRequest"]
    assert client.stat_object("releases", key, version_id=version).size


def test_many_phones(
    publish: Publish, open_as: OpenAs, store_server: StoreServer, url: str
) -> None:
    """200 downloads at once by a phone's credentials, each checked from the pointer down."""
    name = publish(1)
    approve(open_as("approver", url), name, DECISION)
    store = open_as("phone", url)

    def download(_: int) -> str:
        release = read(store, "membrane/latest.json")["release"]
        sums = store.read(f"membrane/{release['version']}/SHA256SUMS")
        assert sums and hashlib.sha256(sums.data).hexdigest() == release["sha256sums"]
        lines = dict(reversed(line.split("  ")) for line in sums.data.decode().splitlines())
        package = f"membrane/{release['version']}/teacher-float32.thimble"
        found = store.sha256(package)
        assert found == lines["teacher-float32.thimble"]
        return found

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        assert len(set(pool.map(download, range(DOWNLOADS)))) == 1


def test_commands(
    publish: Publish,
    open_as: OpenAs,
    url: str,
    keys: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pipelines.cli import run_command

    name = publish(1)
    open_as("approver", url)
    monkeypatch.setenv("THIMBLE_SIGNING_PUBLIC_KEY", str(keys))
    said = ["--who", "A. Name", "--why", "report read"]
    assert run_command(["approve", url, name, *said]) == 0
    assert f"latest {name.partition('/')[2]} (generation 1)" in capsys.readouterr().out
    assert run_command(["revoke", url, name, *said]) == 0
    assert "latest none (generation 2)" in capsys.readouterr().out
    assert run_command(["approve", url, name, *said]) == 1
    assert run_command(["approve", url, "membrane/0123456789ab", *said]) == 2
    assert run_command(["approve", url, "nonsense", *said]) == 2
    assert run_command(["approve", url, name, "--who", " ", "--why", "y"]) == 2
