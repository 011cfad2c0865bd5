"""Where an object store is, who asks, and what its errors mean.

All of it comes from the environment, never from a parameter: no pipeline, log or artifact holds it.
"""

import base64
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import minio.time
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.error import S3Error
from minio.helpers import DictType

from thimble.stage import BadInput, ThimbleError

__all__ = [
    "BACKOFF_SECONDS",
    "CHECKSUM",
    "RETRIES",
    "Location",
    "StoreSettings",
    "StoreUnreachable",
    "explain",
]

# With urllib3's backoff 5 retries wait 0, 1, 2, 4 and 8 s: as long as a server needs to restart.
RETRIES = 5
BACKOFF_SECONDS = 0.5
TIMEOUT = urllib3.Timeout(connect=10, read=60)
CONNECTIONS = 8
# By this header the server checks a content; a bucket with a lock demands one.
CHECKSUM = "x-amz-checksum-sha256"
# S3 refuses a request that was signed more than 15 minutes from its own time.
MOST_SKEW_SECONDS = 900

ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
REFUSED_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTokenId", "InvalidToken"}
# What the tools of AWS read, for those who have it set already.
ELSEWHERE = {
    "THIMBLE_S3_ENDPOINT": "AWS_ENDPOINT_URL",
    "THIMBLE_S3_ACCESS_KEY": "AWS_ACCESS_KEY_ID",
    "THIMBLE_S3_SECRET_KEY": "AWS_SECRET_ACCESS_KEY",
    "THIMBLE_S3_SESSION_TOKEN": "AWS_SESSION_TOKEN",
    "THIMBLE_S3_REGION": "AWS_REGION",
    "THIMBLE_S3_CA_FILE": "AWS_CA_BUNDLE",
}


class StoreUnreachable(ThimbleError):
    """The store does not answer, or answers with an error of its own."""


class _Client(Minio):
    """Signs a content by the SHA-256 that its checksum header names, and does not hash it again.

    The server hashes what arrives and refuses it if it is another. Without TLS this is what the
    client does anyway; with TLS it would leave the content unsigned and add an MD5.
    """

    def _build_headers(
        self,
        host: str,
        headers: DictType | None = None,
        body: bytes | None = None,
        creds: Credentials | None = None,
    ) -> tuple[DictType, datetime]:
        checksum = (headers or {}).get(CHECKSUM)
        if not (checksum and body and creds):
            return super()._build_headers(host, headers, body, creds)
        made, date = super()._build_headers(host, headers, None, creds)
        made["Content-Length"] = str(len(body))
        made["x-amz-content-sha256"] = base64.b64decode(str(checksum)).hex()
        return made, date


@dataclass(frozen=True)
class Location:
    """A bucket, and a folder inside it.

    Attributes:
        bucket: Name of the bucket.
        prefix: Folder, without a slash at either end; empty for the whole bucket.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "Location":
        """Read `s3://bucket/prefix`.

        Raises:
            BadInput: If it is something else.
        """
        found = ADDRESS.fullmatch(url)
        prefix = (found[2] or "").strip("/") if found else ""
        if not found or (prefix and {"", ".", ".."} & set(prefix.split("/"))):
            raise BadInput(f"expected s3://bucket/prefix. Received: {url}")
        return cls(found[1], prefix)

    def key(self, name: str) -> str:
        """Return the key of a name inside the folder."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def __str__(self) -> str:
        return "s3://" + "/".join(filter(None, (self.bucket, self.prefix)))


@dataclass(frozen=True)
class StoreSettings:
    """Where a store is and who asks.

    Attributes:
        endpoint: `https://host:port`, or `http://` for a store without TLS.
        access_key: Name of the credentials.
        secret_key: Their secret; never shown.
        session_token: Of temporary credentials; never shown.
        region: Of the buckets; `us-east-1` unless the operator chose another.
        ca_file: PEM file of the authority that signed the store's certificate; empty: the system's.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    region: str = "us-east-1"
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Check the endpoint and the CA file."""
        parts = urlsplit(self.endpoint)
        if parts.username or parts.password:
            raise BadInput(
                "THIMBLE_S3_ENDPOINT must not hold credentials. Put them into "
                "THIMBLE_S3_ACCESS_KEY and THIMBLE_S3_SECRET_KEY."
            )
        plain = parts.scheme in ("http", "https") and parts.netloc and not parts.query
        if not plain or parts.path.strip("/"):
            raise BadInput(
                "THIMBLE_S3_ENDPOINT must be https://host:port (or http://). "
                f"Received: {self.endpoint!r}"
            )
        if self.ca_file and not Path(self.ca_file).is_file():
            raise BadInput(f"THIMBLE_S3_CA_FILE must be a PEM file. Received: {self.ca_file!r}")

    @classmethod
    def from_environment(cls) -> "StoreSettings":
        """Read THIMBLE_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _SESSION_TOKEN, _REGION, _CA_FILE.

        Where one is not set, the variable that AWS's tools read is taken.

        Raises:
            BadInput: If one that is needed is missing.
        """
        given = {
            name: os.environ.get(name) or os.environ.get(ELSEWHERE[name], "") for name in ELSEWHERE
        }
        endpoint, access, secret, token, region, ca_file = given.values()
        missing = [name for name, value in list(given.items())[:3] if not value]
        if missing:
            raise BadInput(
                f"no object store is configured: {', '.join(missing)} not set. Set them in the "
                "environment, or in the secret that the task takes its environment from."
            )
        return cls(endpoint, access, secret, token, region or "us-east-1", ca_file)

    def client(self) -> Minio:
        """Return a client that retries what failed on the way."""
        pool = urllib3.PoolManager(
            timeout=TIMEOUT,
            maxsize=CONNECTIONS,
            retries=urllib3.Retry(
                total=RETRIES,
                backoff_factor=BACKOFF_SECONDS,
                status_forcelist=(500, 502, 503, 504),
                allowed_methods=None,  # S3 starts and ends an upload in parts with POST
                raise_on_status=False,  # the last answer says what is wrong
            ),
            cert_reqs="CERT_REQUIRED",
            ca_certs=self.ca_file or None,
        )
        return _Client(
            urlsplit(self.endpoint).netloc,
            access_key=self.access_key,
            secret_key=self.secret_key,
            session_token=self.session_token or None,
            secure=urlsplit(self.endpoint).scheme == "https",
            region=self.region,
            http_client=pool,
        )


def explain(error: S3Error, doing: str, place: str) -> ThimbleError:
    """Say in one sentence what a store refused, and what to do about it.

    Args:
        error: The store's answer.
        doing: What was tried: read, write or list.
        place: Address of what it was tried on.
    """
    skew = _skew_seconds(error)
    if error.code == "RequestTimeTooSkewed" or abs(skew) > MOST_SKEW_SECONDS:
        return BadInput(
            f"the clocks of this machine and of the store are {abs(skew):.0f} s apart. Expected: "
            f"less than {MOST_SKEW_SECONDS} s. Set this machine's clock (NTP), then run the same "
            "command again."
        )
    if error.code in REFUSED_KEYS:
        return BadInput(
            f"the store does not accept the credentials ({error.code}). Expected a valid pair in "
            "THIMBLE_S3_ACCESS_KEY and THIMBLE_S3_SECRET_KEY."
        )
    if error.code == "AccessDenied":
        return BadInput(
            f"the store does not allow these credentials to {doing} {place}. Use those of the role "
            "that may (docs/how-to/release.md), or check THIMBLE_S3_ACCESS_KEY and "
            "THIMBLE_S3_SECRET_KEY."
        )
    if error.code == "NoSuchBucket":
        return BadInput(f"{place}: there is no such bucket. Make it, or correct the address.")
    if error.code == "NoSuchKey":
        return BadInput(f"{place} does not exist. Check the address.")
    return StoreUnreachable(f"the store cannot {doing} {place}: {error.code}, {error.message}")


def _skew_seconds(error: S3Error) -> float:
    """Return how far this machine's clock is ahead of the store's, by the date of its answer."""
    date = error.response.headers.get("Date")
    here: datetime = minio.time.utcnow()
    return (here - parsedate_to_datetime(date).astimezone(UTC)).total_seconds() if date else 0.0
