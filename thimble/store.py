"""Objects in a store that speaks plain S3, such as MinIO, SeaweedFS or AWS."""

import base64
import hashlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from minio.helpers import DictType

from thimble.artifact import digest_file, write_atomically
from thimble.stage import BadInput
from thimble.store_access import (
    BACKOFF_SECONDS,
    CHECKSUM,
    CONNECTIONS,
    RETRIES,
    Location,
    StoreSettings,
    StoreUnreachable,
    explain,
)

__all__ = ["Store", "Stored", "is_store_url", "open_store"]

# A file up to this size goes in one request, of which the server checks the SHA-256: in parts it
# would be hashed three times on this side, part by part and whole.
WHOLE_BYTES = 64 << 20
# A larger one goes in parts of this size: at most as much is in memory then.
PART_BYTES = 16 << 20
BLOCK_BYTES = 1 << 20
NOTED = "x-amz-meta-sha256"
ABSENT = {"If-None-Match": "*"}
# Somebody else's object is where ours was to go.
LOST = {"PreconditionFailed", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class Stored:
    """A small object that was read whole.

    Attributes:
        data: Its content.
        etag: What to give to `Store.write`, so that it is replaced only if it is still the same.
    """

    data: bytes
    etag: str


def is_store_url(text: str) -> bool:
    """Tell whether a source or a target is in an object store."""
    return text.startswith("s3://")


def open_store(url: str) -> "Store":
    """Open a folder of the store that the environment names.

    Args:
        url: `s3://bucket/prefix`.

    Raises:
        BadInput: If the address or the environment is wrong. Nothing is asked of the store yet.
    """
    return Store(StoreSettings.from_environment().client(), Location.parse(url))


class Store:
    """A folder of an object store. Names are relative to it."""

    def __init__(self, client: Minio, location: Location) -> None:
        """Take a client and a place."""
        self._client = client
        self.location = location

    def read(self, name: str) -> Stored | None:
        """Return a small object, or None if there is none.

        Raises:
            BadInput: If the credentials do not allow it.
            StoreUnreachable: If the store fails.
        """
        with self._explained("read", name) as bucket_key:
            try:
                response = self._client.get_object(*bucket_key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
            try:
                return Stored(response.data, response.headers["ETag"].strip('"'))
            finally:
                response.release_conn()

    def write(self, name: str, data: bytes, replaces: str | None = None) -> bool:
        """Write a small object if nobody else did meanwhile.

        Args:
            name: Of the object.
            data: Its content.
            replaces: ETag of the object that it takes the place of; None: there must be none.

        Returns:
            Whether it was written; False if there is another object than was expected.
        """
        condition = ABSENT if replaces is None else {"If-Match": f'"{replaces}"'}
        checksum = _checksum(hashlib.sha256(data).hexdigest())
        headers = {"Content-Type": "application/json", **checksum}
        if self._put(name, data, headers | condition):
            return True
        # An answer that was lost makes a retry meet its own object.
        found = self.read(name)
        return found is not None and found.data == data

    def upload(self, file: Path, name: str, sha256: str = "") -> None:
        """Copy a file into the store, unless it is there already.

        It becomes visible when it is whole, and is known to have arrived by its SHA-256.

        Args:
            file: The file.
            name: Of the object.
            sha256: What the store must find the content to have, in hexadecimal; empty: what the
                file has.

        Raises:
            BadInput: If the credentials do not allow it.
            StoreUnreachable: If the store fails; the same call again completes it. If the content
                has another SHA-256 than was given.
        """
        if file.stat().st_size > WHOLE_BYTES:
            self._upload_in_parts(file, name, sha256)
            return
        data = file.read_bytes()
        sha256 = sha256 or hashlib.sha256(data).hexdigest()
        # One request, where nothing is there yet.
        if self._create(name, data, sha256):
            return
        if not self._holds(name, len(data), sha256):
            self._put(name, data, {NOTED: sha256, **_checksum(sha256)})

    def create(self, file: Path, name: str, sha256: str) -> bool:
        """Copy a file of at most WHOLE_BYTES into the store, if nothing is there yet.

        Args:
            file: The file.
            name: Of the object.
            sha256: What the store must find the content to have, in hexadecimal.

        Returns:
            Whether it was written; False if something has that name, whatever it holds.

        Raises:
            BadInput: If the credentials do not allow it.
            StoreUnreachable: If the store fails, or the content has another SHA-256.
        """
        return self._create(name, file.read_bytes(), sha256)

    def _create(self, name: str, data: bytes, sha256: str) -> bool:
        """Write an object that is not there yet; return False if one is."""
        return self._put(name, data, {NOTED: sha256, **_checksum(sha256), **ABSENT})

    def upload_all(self, folder: Path, files: Mapping[str, str], below: str = "") -> None:
        """Copy files of a folder into the store, several at a time.

        Args:
            folder: The folder.
            files: SHA-256 by name, as `upload` takes it; names are relative to the folder.
            below: A folder of the store that they go to, with a slash at its end.

        Raises:
            BadInput: If the credentials do not allow it.
            StoreUnreachable: If the store fails; the same call again completes it.
        """
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            places = [folder / name for name in files], [below + name for name in files]
            list(pool.map(self.upload, *places, files.values()))

    def _upload_in_parts(self, file: Path, name: str, sha256: str) -> None:
        """Copy a large file."""
        found = digest_file(file)
        if sha256 not in ("", found):
            raise StoreUnreachable(
                f"the store cannot write {self.location}/{name}: {file} is not what was listed. "
                f"Received: SHA-256 {found}. Expected: {sha256}."
            )
        if self._holds(name, file.stat().st_size, found):
            return
        with ThreadPoolExecutor(1) as pool, self._explained("write", name) as (bucket, key):
            expected = pool.submit(_etag_of_parts, file)
            written = self._client.fput_object(
                bucket, key, str(file), metadata={NOTED: found}, part_size=PART_BYTES
            )
        # The server checks each part on its way. Most name the whole by the digests of the parts as
        # they have them: then nothing else is stored than was sent. Others are read back.
        if written.etag != expected.result() and self.sha256(name) != found:
            raise StoreUnreachable(
                f"{self.location}/{name} is not what was sent. Run the same command again; if it "
                "stays, the store or the way to it damages data."
            )

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of an object's content, in hexadecimal."""
        digest = hashlib.sha256()
        for block in self.blocks(name):
            digest.update(block)
        return digest.hexdigest()

    def download(self, name: str, file: Path, sha256: str = "") -> None:
        """Copy an object to a file, which appears when it is whole.

        Args:
            name: Of the object.
            file: Where it goes.
            sha256: What its content must have, in hexadecimal; empty: what was noted at its upload.

        Raises:
            BadInput: If there is no such object, or the credentials do not allow it.
            StoreUnreachable: If the store fails, or the content has another SHA-256.
        """
        expected = sha256
        if not expected:
            with self._explained("read", name) as bucket_key:
                expected = (self._client.stat_object(*bucket_key).metadata or {}).get(NOTED, "")
        digest = hashlib.sha256()
        with write_atomically(file) as partial:
            with open(partial, "wb") as stream:
                for block in self.blocks(name):
                    digest.update(block)
                    stream.write(block)
            if expected and digest.hexdigest() != expected:
                raise StoreUnreachable(
                    f"{self.location}/{name} is damaged. Received: SHA-256 {digest.hexdigest()}. "
                    f"Expected: {expected}. Nothing was kept."
                )

    def fetch(self, folder: Path) -> str:
        """Copy everything below this location into a folder.

        Returns:
            The digest of what was listed, as `listing_digest` gives it.

        Raises:
            BadInput: If there is nothing.
        """
        listed = self._listed()
        names = [name for name, _ in listed]
        for name in names:
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise BadInput(f"{self.location} holds the name {name!r}. Expected plain names.")
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda name: self.download(name, folder / name), names))
        return _digest(listed)

    def listing_digest(self) -> str:
        """Return a SHA-256 over names, sizes and ETags: other content gives another digest.

        Raises:
            BadInput: If there is nothing here.
        """
        return _digest(self._listed())

    def _listed(self) -> list[tuple[str, str]]:
        """Return name and size with ETag of everything here, in order of the names."""
        start = self.location.key("")
        with self._explained("list", "") as (bucket, _):
            found = [
                (str(each.object_name)[len(start) :], f"{each.size} {each.etag}")
                for each in self._client.list_objects(bucket, prefix=start, recursive=True)
                if not str(each.object_name).endswith("/")
            ]
        if not found:
            raise BadInput(f"{self.location} holds nothing. Expected a folder of files.")
        return sorted(found)

    def _put(self, name: str, data: bytes, headers: dict[str, str]) -> bool:
        """Write an object in one request; return False if a condition in the headers fails."""
        with self._explained("write", name) as (bucket, key):
            try:
                # put_object would turn the conditions into metadata.
                self._client._put_object(bucket, key, data, dict(headers))
            except S3Error as error:
                missing = "If-Match" in headers and error.code == "NoSuchKey"
                if error.code not in LOST and not missing:
                    raise
                return False
        return True

    def _holds(self, name: str, size: int, sha256: str) -> bool:
        """Tell whether an object is there already."""
        with self._explained("read", name) as bucket_key:
            try:
                found = self._client.stat_object(*bucket_key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return False
                raise
        return found.size == size and (found.metadata or {}).get(NOTED) == sha256

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield an object's content; an answer that breaks off goes on where it stopped.

        Raises:
            BadInput: If there is no such object, or the credentials do not allow it.
            StoreUnreachable: If the store fails.
        """
        done, attempt, etag = 0, 0, ""
        while True:
            with self._explained("read", name) as (bucket, key):
                headers: DictType = {"If-Match": etag} if etag else {}
                response = self._client.get_object(
                    bucket, key, offset=done, request_headers=headers
                )
                etag = response.headers["ETag"]
                try:
                    for block in response.stream(BLOCK_BYTES):
                        done += len(block)
                        attempt = 0
                        yield block
                    return
                except (urllib3.exceptions.ProtocolError, urllib3.exceptions.TimeoutError):
                    if (attempt := attempt + 1) > RETRIES:
                        raise
                finally:
                    response.close()
            time.sleep(BACKOFF_SECONDS * 2**attempt)

    @contextmanager
    def _explained(self, doing: str, name: str) -> Iterator[tuple[str, str]]:
        """Yield bucket and key; turn what goes wrong with them into one clear sentence."""
        place = f"{self.location}/{name}".rstrip("/")
        try:
            yield self.location.bucket, self.location.key(name)
        except S3Error as error:
            raise explain(error, doing, place) from None
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise StoreUnreachable(
                f"the store does not answer: cannot {doing} {place} ({type(error).__name__}). "
                "Nothing half-written is visible; run the same command again when it is back."
            ) from None


def _etag_of_parts(file: Path) -> str:
    """Return how most stores name an object that was uploaded in our parts."""
    digests = []
    with open(file, "rb") as stream:
        while part := stream.read(PART_BYTES):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"


def _checksum(sha256: str) -> dict[str, str]:
    """Return the header by which the server checks a content."""
    return {CHECKSUM: base64.b64encode(bytes.fromhex(sha256)).decode()}


def _digest(listed: list[tuple[str, str]]) -> str:
    """Digest a listing."""
    return hashlib.sha256("".join(f"{a}\0{b}\n" for a, b in listed).encode()).hexdigest()
