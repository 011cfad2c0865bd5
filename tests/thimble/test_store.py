"""Addresses, the environment and envelopes: what needs no server."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from minio.credentials import Credentials

from tests.keys import write_keys
from thimble.envelope import open_statement, seal_statement
from thimble.releases import Decision
from thimble.stage import BadInput
from thimble.store import open_store
from thimble.store_access import CHECKSUM, ELSEWHERE, Location, StoreSettings

SECRET = "a-secret-that-nobody-sees"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, other in ELSEWHERE.items():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("THIMBLE_S3_ENDPOINT", "https://store.example.org:9000")
    monkeypatch.setenv("THIMBLE_S3_ACCESS_KEY", "pipeline")
    monkeypatch.setenv("THIMBLE_S3_SECRET_KEY", SECRET)
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://releases", "releases", ""),
        ("s3://releases/", "releases", ""),
        ("s3://releases/a/b c/", "releases", "a/b c"),
        ("s3://my.bucket-1/größe", "my.bucket-1", "größe"),
    ],
)
def test_locations(url: str, bucket: str, prefix: str) -> None:
    location = Location.parse(url)
    assert (location.bucket, location.prefix) == (bucket, prefix)
    assert location.key("x") == (f"{prefix}/x" if prefix else "x")
    assert str(location) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "releases", "/releases", "http://releases", "s3:/releases", "s3://", "s3://a"),
        *("s3://UPPER/x", "s3://releases/../x", "s3://releases/a//b", "s3://releases/./b"),
        "s3://user:password@releases/x",
    ],
)
def test_what_is_no_location(url: str) -> None:
    with pytest.raises(BadInput, match="s3://bucket/prefix"):
        Location.parse(url)


def test_settings(environment: pytest.MonkeyPatch) -> None:
    settings = StoreSettings.from_environment()
    assert settings.endpoint == "https://store.example.org:9000"
    assert settings.region == "us-east-1"
    assert SECRET not in repr(settings)


def test_settings_of_aws(environment: pytest.MonkeyPatch) -> None:
    for name, other in ELSEWHERE.items():
        environment.delenv(name, raising=False)
        value = {"AWS_ENDPOINT_URL": "https://s3.example.org", "AWS_CA_BUNDLE": __file__}
        environment.setenv(other, value.get(other, f"value of {other}"))
    settings = StoreSettings.from_environment()
    assert settings.session_token == "value of AWS_SESSION_TOKEN"
    assert (settings.region, settings.ca_file) == ("value of AWS_REGION", __file__)


@pytest.mark.parametrize("name", list(ELSEWHERE)[:3])
def test_missing_settings(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(BadInput, match=f"{name} not set") as failure:
        open_store("s3://releases")
    assert SECRET not in str(failure.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THIMBLE_S3_ENDPOINT", "store.example.org"),
        ("THIMBLE_S3_ENDPOINT", "ftp://store.example.org"),
        ("THIMBLE_S3_ENDPOINT", "https://store.example.org/path"),
        ("THIMBLE_S3_ENDPOINT", f"https://pipeline:{SECRET}@store.example.org"),
        ("THIMBLE_S3_CA_FILE", "/nowhere/ca.pem"),
    ],
)
def test_wrong_settings(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(BadInput, match=name) as failure:
        open_store("s3://releases")
    assert SECRET not in str(failure.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_known_digest_is_signed(environment: pytest.MonkeyPatch, scheme: str) -> None:
    """It is not computed from the content, which the server checks against it."""
    environment.setenv("THIMBLE_S3_ENDPOINT", f"{scheme}://store.example.org:9000")
    client = StoreSettings.from_environment().client()
    creds = Credentials("pipeline", SECRET)
    digest = hashlib.sha256(b"listed").digest()
    given = {CHECKSUM: base64.b64encode(digest).decode()}
    headers, _ = client._build_headers("store.example.org", dict(given), b"sent", creds)
    assert headers["x-amz-content-sha256"] == digest.hex()
    assert headers["Content-Length"] == "4"
    assert headers.items() >= given.items() and "Content-MD5" not in headers
    headers, _ = client._build_headers("store.example.org", {}, b"sent", creds)
    usual = {"http": hashlib.sha256(b"sent").hexdigest(), "https": "UNSIGNED-PAYLOAD"}
    assert headers["x-amz-content-sha256"] == usual[scheme]
    assert ("Content-MD5" in headers) == (scheme == "https")
    empty, _ = client._build_headers("store.example.org", dict(given), b"", creds)
    assert empty["x-amz-content-sha256"] in (hashlib.sha256().hexdigest(), "UNSIGNED-PAYLOAD")


@pytest.mark.parametrize("given", [("", "why"), ("who", " ")])
def test_decision_needs_a_name_and_a_reason(given: tuple[str, str]) -> None:
    with pytest.raises(BadInput, match="--who and --why"):
        Decision(*given)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public half."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return write_keys(tmp_path / "key.pem", tmp_path / "key.pub.pem", key)


def test_envelope(keys: tuple[Path, Path]) -> None:
    private, public = keys
    envelope = seal_statement({"b": 1, "a": "ü"}, private)
    assert envelope == seal_statement({"a": "ü", "b": 1}, private), "equal bytes"
    assert base64.b64decode(envelope["payload"]).decode() == '{"a":"ü","b":1}'
    # What DSSE signs, by hand: the type and the payload, each after its length.
    signed = b'DSSEv1 28 application/vnd.in-toto+json 16 {"a":"\xc3\xbc","b":1}'
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    assert open_statement(envelope, public) == {"a": "ü", "b": 1}
    assert open_statement(json.loads(json.dumps(envelope)), None) == {"a": "ü", "b": 1}


def test_unsigned_envelope(keys: tuple[Path, Path]) -> None:
    envelope = seal_statement({"a": 1}, None)
    assert open_statement(envelope, None) == {"a": 1}
    with pytest.raises(BadInput, match="no signature"):
        open_statement(envelope, keys[1])


def test_changed_envelopes(keys: tuple[Path, Path]) -> None:
    private, public = keys
    envelope = seal_statement({"a": 1}, private)
    other = base64.b64encode(b'{"a":2}').decode()
    with pytest.raises(BadInput, match="this key has not made"):
        open_statement({**envelope, "payload": other}, public)
    for broken in (
        {},
        {**envelope, "payload": "%"},
        {**envelope, "signatures": None},
        {**envelope, "payloadType": "text/plain"},
        {**envelope, "signatures": [{}]},
    ):
        with pytest.raises(BadInput):
            open_statement(broken, public)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_files_that_are_no_keys(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match="holds no Ed25519 private key"):
        seal_statement({}, file)
    with pytest.raises(BadInput, match="holds no Ed25519 public key"):
        open_statement(seal_statement({}, None), file)
