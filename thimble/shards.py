"""Shards outside the artifact: streamed or kept in a bounded cache, checked by their SHA-256."""

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import tempfile
import uuid
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from thimble.stage import BadInput, ThimbleError, require

__all__ = ["ShardCache", "ShardStream", "is_remote", "known", "open_cache", "shard_path"]

BLOCK_BYTES = 1 << 20
DEFAULT_CACHE_BYTES = 8 << 30
LIMIT, FOLDER = "THIMBLE_SHARD_CACHE_BYTES", "THIMBLE_SHARD_CACHE"
# The one that is read, and the one that comes next.
HELD = 2


def is_remote(name: str) -> bool:
    """Tell whether the name of a shard, a source or a place is a URI."""
    return "://" in name


def _blocks(uri: str) -> Iterator[bytes]:
    """Yield the content of a shard.

    Raises:
        BadInput: If it is not there, or of a kind that cannot be read.
        StoreUnreachable: If the store fails.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        try:
            with open(unquote(parts.path), "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except OSError as error:
            raise BadInput(f"{uri} cannot be read ({error.strerror}). Run ingest again.") from None
        return
    if parts.scheme != "s3":
        raise BadInput(f"expected a shard at s3:// or file://. Received: {uri}")
    # Its client is not needed otherwise.
    from thimble.store import open_store

    place, _, name = uri.rpartition("/")
    yield from open_store(place).blocks(name)


def _damaged(uri: str, received: str, expected: str) -> ThimbleError:
    """Return the error of a shard that is not what it was."""
    return ThimbleError(
        f"{uri} is damaged. Received: SHA-256 {received}. Expected: {expected}. Nothing was kept; "
        "run ingest again, or restore the object."
    )


class ShardStream:
    """A shard as a file that is read from its beginning to its end, a block in memory at a time.

    Args:
        uri: Where it is.
        sha256: What its content must have, in hexadecimal; known when the end is read.
    """

    def __init__(self, uri: str, sha256: str) -> None:
        """Ask for nothing yet."""
        self._uri, self._expected = uri, sha256
        self._blocks = _blocks(uri)
        self._digest = hashlib.sha256()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end.

        Raises:
            ThimbleError: If the end was read and the content is not what it must be.
        """
        got = [self._rest]
        have = len(self._rest)
        while have < size:
            block = next(self._blocks, b"")
            self._digest.update(block)
            if not block:
                self._check()
                break
            got.append(block)
            have += len(block)
        data = b"".join(got)
        self._rest = data[size:]
        return data[:size]

    def _check(self) -> None:
        """Compare the digest."""
        if self._digest.hexdigest() != self._expected:
            raise _damaged(self._uri, self._digest.hexdigest(), self._expected)


class ShardCache:
    """Shards on this machine, the least recently used removed first; processes may share it.

    Args:
        folder: Where they are kept.
        limit: Most bytes, beside the shards that are read right now.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Make the folder."""
        self._folder, self._limit = folder, limit
        folder.mkdir(parents=True, exist_ok=True)
        # A link of our own outlives the removal by another process.
        self._own = Path(tempfile.mkdtemp(prefix="held-", dir=folder))
        weakref.finalize(self, shutil.rmtree, self._own, ignore_errors=True)
        self._held: deque[Path] = deque()

    def fetch(self, uri: str, sha256: str, size: int) -> Path:
        """Return a file with the content of a shard; it stays until two others were fetched.

        Raises:
            BadInput: If it is larger than the cache, or cannot be read.
            ThimbleError: If the store fails, or the content is not what it must be.
        """
        if size > self._limit:
            raise BadInput(
                f"{uri} has {size} bytes, more than the cache may hold. Received: {LIMIT}="
                f"{self._limit}. Raise it, or run ingest with more shards."
            )
        kept = self._folder / f"{sha256}.tfrecord"
        with self._locked():
            held = self._hold(kept)
        if held:
            return held
        partial = self._folder / f"arriving-{uuid.uuid4().hex}"
        try:
            digest = hashlib.sha256()
            with open(partial, "wb") as file:
                for block in _blocks(uri):
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() != sha256:
                raise _damaged(uri, digest.hexdigest(), sha256)
            with self._locked():
                self._make_room(size)
                os.replace(partial, kept)
                held = self._hold(kept)
        finally:
            partial.unlink(missing_ok=True)
        assert held  # noqa: S101 - it was put there under the lock
        return held

    def _hold(self, kept: Path) -> Path | None:
        """Return a link of our own to a file of the cache, if it is there."""
        link = self._own / f"{uuid.uuid4().hex}.tfrecord"
        try:
            os.utime(kept)
            os.link(kept, link)
        except FileNotFoundError:
            return None
        self._held.append(link)
        if len(self._held) > HELD:
            self._held.popleft().unlink()
        return link

    def _make_room(self, size: int) -> None:
        """Remove what was not used for longest until so many bytes fit."""
        kept = [(path.stat(), path) for path in self._folder.glob("*.tfrecord")]
        total = sum(state.st_size for state, _ in kept)
        for state, path in sorted(kept, key=lambda item: item[0].st_mtime_ns):
            if total + size <= self._limit:
                return
            path.unlink()
            total -= state.st_size

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from the list of files."""
        with open(self._folder / "lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@functools.cache
def _cache(folder: str, limit: int) -> ShardCache:
    """Return the one cache of this process in a folder."""
    return ShardCache(Path(folder), limit)


def open_cache() -> ShardCache:
    """Return the cache that the environment names.

    THIMBLE_SHARD_CACHE is its folder (else `shards` in the folder of checkpoints, else in that of
    temporary files), THIMBLE_SHARD_CACHE_BYTES its size.

    Raises:
        BadInput: If the size is no whole number.
    """
    text = os.environ.get(LIMIT, "") or str(DEFAULT_CACHE_BYTES)
    require(text.isdigit() and int(text) > 0, f"{LIMIT} must be bytes", **{LIMIT: text})
    root = os.environ.get("THIMBLE_CHECKPOINTS") or tempfile.gettempdir()
    folder = os.environ.get(FOLDER) or str(Path(root) / f"shards-{os.getuid()}")
    return _cache(folder, int(text))


def shard_path(folder: str | Path, spec: Mapping[str, Any], name: str) -> Path:
    """Return the file of a shard: in the artifact, or in the cache.

    Args:
        folder: Dataset artifact.
        spec: Its `dataset.json`.
        name: An entry of its `shards`.

    Raises:
        BadInput: If it cannot be read.
        ThimbleError: If the store fails, or the content is not what it must be.
    """
    if not is_remote(name):
        return Path(folder) / name
    sha256, size = known(spec, name)
    return open_cache().fetch(name, sha256, size)


def known(spec: Mapping[str, Any], name: str) -> tuple[str, int]:
    """Return SHA-256 and size of a shard outside the artifact.

    Raises:
        BadInput: If `dataset.json` does not say.
    """
    try:
        entry = spec["objects"][name]
        return str(entry["sha256"]), int(entry["bytes"])
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"dataset.json says no digest of {name}. Run ingest again.") from None
