"""Objects in a real MinIO: whole or not at all, and clear words when it goes wrong."""

import hashlib
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import minio.api
import minio.time
import pytest
import urllib3

from components.ingest.ingest import IngestConfig, ingest_source
from tests.services.minio import OpenAs, StoreServer, opener
from thimble import store_access
from thimble.artifact import read_json
from thimble.stage import BadInput, flat_fields, start
from thimble.store import WHOLE_BYTES, Store
from thimble.store_access import StoreUnreachable

pytestmark = pytest.mark.services
LARGE = 70_000_000


@pytest.fixture
def open_as(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> OpenAs:
    return opener(store_server, monkeypatch)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not wait for a server that is down."""
    monkeypatch.setattr(store_access, "RETRIES", 0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that goes in parts."""
    file = tmp_path_factory.mktemp("large") / "large.bin"
    file.write_bytes(random.Random(1).randbytes(LARGE))
    return file


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def at_second_part(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Does something when the second part of an upload is read."""
    real, reads = minio.api.read_part_data, []

    def read(*arguments: Any, **more: Any) -> bytes:
        reads.append(1)
        if len(reads) == 2:
            act()
        return real(*arguments, **more)

    monkeypatch.setattr(minio.api, "read_part_data", read)


def test_round_trip_in_parts(
    open_as: OpenAs, store_server: StoreServer, large: Path, tmp_path: Path
) -> None:
    store = open_as("pipeline", "s3://artifacts/round-trip")
    assert large.stat().st_size > WHOLE_BYTES
    store.upload(large, "a folder/größe 1.bin")
    stat = store_server.client().stat_object("artifacts", "round-trip/a folder/größe 1.bin")
    assert str(stat.etag).endswith("-5"), "it went in five parts"
    store.download("a folder/größe 1.bin", tmp_path / "back" / "large.bin")
    assert (
        digest(tmp_path / "back" / "large.bin")
        == digest(large)
        == store.sha256("a folder/größe 1.bin")
    )
    before = store_server.objects("artifacts")
    store.upload(large, "a folder/größe 1.bin")
    assert store_server.objects("artifacts") == before, "it was there already"


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_small_files(open_as: OpenAs, tmp_path: Path, size: int) -> None:
    (tmp_path / "in").write_bytes(bytes(size))
    store = open_as("pipeline", "s3://artifacts/small")
    store.upload(tmp_path / "in", f"{size}")
    store.download(f"{size}", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == bytes(size)


def test_what_is_not_as_listed_is_refused(open_as: OpenAs, large: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"other")
    store = open_as("pipeline", "s3://artifacts/listed")
    listed = hashlib.sha256(b"listed").hexdigest()
    with pytest.raises(StoreUnreachable, match="cannot write"):
        store.upload(tmp_path / "in", "x", listed)
    with pytest.raises(StoreUnreachable, match="cannot write"):
        store.create(tmp_path / "in", "x", listed)
    with pytest.raises(StoreUnreachable, match=rf"not what was listed.*Expected: {listed}"):
        store.upload(large, "x", listed)
    assert store.read("x") is None


@pytest.mark.parametrize("etag", ["as MinIO has it", "another"])
def test_parts_are_read_back_where_the_store_does_not_say_what_it_has(
    open_as: OpenAs, large: Path, monkeypatch: pytest.MonkeyPatch, etag: str
) -> None:
    store = open_as("pipeline", f"s3://artifacts/parts/{len(etag)}")
    real, read = Store.sha256, []
    monkeypatch.setattr(Store, "sha256", lambda self, name: read.append(name) or real(self, name))
    if etag == "another":
        monkeypatch.setattr("thimble.store._etag_of_parts", lambda file: "of an encrypted bucket")
    store.upload(large, "x")
    assert read == (["x"] if etag == "another" else [])
    assert real(store, "x") == digest(large)


def test_what_is_damaged_is_not_kept(open_as: OpenAs, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"good")
    store = open_as("pipeline", "s3://artifacts/damaged")
    store.upload(tmp_path / "in", "x")
    with pytest.raises(StoreUnreachable, match="is damaged"):
        store.download("x", tmp_path / "out", sha256="0" * 64)
    assert not (tmp_path / "out").exists()


def test_conditions(open_as: OpenAs) -> None:
    store = open_as("pipeline", "s3://artifacts/conditions")
    assert store.read("pointer") is None
    assert store.write("pointer", b"1")
    assert not store.write("pointer", b"2")
    assert store.write("pointer", b"1"), "a retry that meets its own object has won"
    first = store.read("pointer")
    assert first and first.data == b"1"
    assert store.write("pointer", b"2", replaces=first.etag)
    assert not store.write("pointer", b"3", replaces=first.etag)
    assert not store.write("missing", b"3", replaces=first.etag)
    second = store.read("pointer")
    assert second and second.data == b"2"


@pytest.mark.usefixtures("impatient")
def test_killed_in_the_middle_of_an_upload(
    open_as: OpenAs, store_server: StoreServer, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_as("pipeline", "s3://artifacts/killed")
    with monkeypatch.context() as patch:
        at_second_part(patch, store_server.kill)
        with pytest.raises(StoreUnreachable, match="run the same command again"):
            store.upload(large, "x")
    store_server.start()
    store_server.wait()
    assert not any(name.startswith("killed/") for name in store_server.objects("artifacts"))
    store.upload(large, "x")
    assert store.sha256("x") == digest(large)


def test_restarted_in_the_middle_of_an_upload(
    open_as: OpenAs, store_server: StoreServer, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restart() -> None:
        store_server.kill()
        threading.Thread(target=store_server.start).start()

    store = open_as("pipeline", "s3://artifacts/restarted")
    at_second_part(monkeypatch, restart)
    store.upload(large, "x")
    assert store.sha256("x") == digest(large)


def test_killed_in_the_middle_of_a_download(
    open_as: OpenAs, store_server: StoreServer, large: Path, tmp_path: Path
) -> None:
    store = open_as("pipeline", "s3://artifacts/download")
    store.upload(large, "x")
    blocks = store.blocks("x")
    found = hashlib.sha256(next(blocks))
    store_server.kill()
    store_server.start()
    for block in blocks:
        found.update(block)
    assert found.hexdigest() == digest(large)
    assert store.listing_digest() == store.listing_digest()


@pytest.mark.parametrize("wrong", ["THIMBLE_S3_ACCESS_KEY", "THIMBLE_S3_SECRET_KEY"])
def test_wrong_credentials(
    open_as: OpenAs,
    store_server: StoreServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: str,
) -> None:
    from pipelines.cli import run_command
    from thimble.store import open_store

    open_as("pipeline", "s3://artifacts/x")
    monkeypatch.setenv(wrong, "not-the-one-that-it-should-be")
    store = open_store("s3://artifacts/x")
    (tmp_path / "in").write_bytes(b"x")
    for act in (
        lambda: store.read("x"),
        lambda: store.write("x", b"x"),
        lambda: store.upload(tmp_path / "in", "x"),
        lambda: store.download("x", tmp_path / "out"),
        store.listing_digest,
    ):
        with pytest.raises(BadInput, match="THIMBLE_S3_SECRET_KEY") as refused:
            act()
        assert store_server.users["pipeline"] not in str(refused.value)
        assert "not-the-one" not in str(refused.value)
    arguments = ["approve", "s3://releases/x", "model/" + 12 * "0", "--who", "w", "--why", "y"]
    assert run_command(["--debug", *arguments]) == 2
    said = capsys.readouterr()
    assert "does not accept the credentials" in said.err
    for text in (said.out, said.err):
        assert store_server.users["pipeline"] not in text and "not-the-one" not in text


@pytest.mark.parametrize("hours", [-2, 2])
def test_clock_skew(
    open_as: OpenAs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    store = open_as("pipeline", "s3://artifacts/skew")
    (tmp_path / "in").write_bytes(b"x")
    monkeypatch.setattr(minio.time, "utcnow", lambda: datetime.now(UTC) + timedelta(hours=hours))
    for act in (lambda: store.read("x"), lambda: store.upload(tmp_path / "in", "x")):
        with pytest.raises(BadInput, match=r"clocks .* (7199|7200|7201) s apart.*NTP"):
            act()


def test_no_such_bucket(open_as: OpenAs) -> None:
    with pytest.raises(BadInput, match="no such bucket"):
        open_as("root", "s3://nowhere/x").read("x")


@pytest.mark.usefixtures("impatient")
def test_what_is_no_store(open_as: OpenAs, monkeypatch: pytest.MonkeyPatch) -> None:
    from thimble.store import open_store

    open_as("pipeline", "s3://artifacts/x")
    monkeypatch.setenv("THIMBLE_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match="does not answer") as failure:
        open_store("s3://artifacts/x").read("x")
    assert failure.value.exit_code == 1


def test_scans_from_the_store(
    open_as: OpenAs, store_server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ingest reads them as it reads a folder, and notices that they have changed."""
    import cv2
    import numpy as np

    owner = open_as("root", "s3://datasets/nuclei")
    rng = np.random.default_rng(1)
    for index in range(6):
        for name in ("images", "labels"):
            file = tmp_path / "scans" / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), rng.integers(0, 2 if name == "labels" else 256, (64, 64)))
            owner.upload(file, f"{name}/{index}.png")

    given = {"kind": "paired", "classes": "background=0;nucleus=1", "elastic_copies": 0}

    def ingest(source: str, source_digest: str = "") -> dict[str, Any]:
        more = {"source": source, "source_digest": source_digest, "split_rule": "hash"}
        with start("ingest", IngestConfig, flat_fields(IngestConfig) | given | more) as run:
            write, _ = ingest_source(run.config, run)
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            write(folder)
        return dict(read_json(folder / "dataset.json"))

    local = ingest(str(tmp_path / "scans"))
    store = open_as("ingest", "s3://datasets/nuclei")
    before = store.listing_digest()
    fetched = ingest("s3://datasets/nuclei", before)
    assert fetched["pixels"] == local["pixels"] and fetched["shards"] == local["shards"]
    assert fetched["source_digest"] == before
    owner.write("note.json", b"{}")
    with pytest.raises(BadInput, match="has changed since the run began"):
        ingest("s3://datasets/nuclei", before)
    with pytest.raises(BadInput, match="holds nothing"):
        ingest("s3://datasets/nothing")


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_server: StoreServer) -> None:
    """Only a certificate that the CA file vouches for is accepted."""
    folder = tmp_path / "tls"
    (folder / "certificates").mkdir(parents=True)
    write_certificate(folder / "certificates")
    server = StoreServer(folder, arguments=("--certs-dir", str(folder / "certificates")))
    server.start()
    try:
        monkeypatch.setenv("THIMBLE_S3_CA_FILE", str(folder / "certificates" / "public.crt"))
        open_as = opener(server, monkeypatch)
        with pytest.raises(BadInput, match="no such bucket"):
            open_as("root", "s3://nowhere").read("x")
        monkeypatch.delenv("THIMBLE_S3_CA_FILE")
        monkeypatch.setattr(store_access, "RETRIES", 0)
        with pytest.raises(StoreUnreachable):
            open_as("root", "s3://nowhere").read("x")
    finally:
        server.kill()


def write_certificate(folder: Path) -> None:
    """Writes a certificate for this machine that vouches for itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    here, now = ipaddress.ip_address("127.0.0.1"), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(here)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "public.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "private.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_urllib3_waits_for_a_restart() -> None:
    """The retries of the client span 15 s."""
    retry = urllib3.Retry(total=store_access.RETRIES, backoff_factor=store_access.BACKOFF_SECONDS)
    waited = 0.0
    for _ in range(store_access.RETRIES):
        retry = retry.increment("GET", "/", error=OSError())
        waited += retry.get_backoff_time()
    assert waited == 15
