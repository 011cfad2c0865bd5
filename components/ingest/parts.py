"""Files of encoded records on their way: parts that workers fill, shards that go to their place."""

import hashlib
import json
import os
import shutil
import uuid
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from components.ingest.index import Spilled
from thimble.stage import BadInput

__all__ = ["Delivered", "Parts", "check_target", "deliver"]

# A long run on many workers leaves more parts than a process may open.
OPEN_AT_A_TIME = 64


class Parts:
    """Parts of a folder, opened as they are asked for."""

    def __init__(self, folder: str) -> None:
        """Open nothing yet."""
        self._folder = folder
        self._files: OrderedDict[str, BinaryIO] = OrderedDict()

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()

    def read(self, spilled: Spilled) -> bytes:
        """Return the bytes of a record, and of the raw label that may follow it."""
        file = self._files.pop(spilled.part, None) or open(  # noqa: SIM115
            os.path.join(self._folder, spilled.part), "rb"
        )
        self._files[spilled.part] = file
        if len(self._files) > OPEN_AT_A_TIME:
            self._files.popitem(last=False)[1].close()
        file.seek(spilled.start)
        return file.read(spilled.size + spilled.raw)


@dataclass(frozen=True)
class Delivered:
    """A shard that is in its place.

    Attributes:
        place: Its name in the folder of the artifact, or its URI.
        sha256: Of its content, in hexadecimal; empty in a folder.
        bytes: Its size.
    """

    place: str
    sha256: str
    bytes: int

    def save(self, scratch: str, name: str) -> None:
        """Tell whoever started the workers."""
        partial = os.path.join(scratch, f"{name}.{uuid.uuid4().hex}.delivered")
        Path(partial).write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(partial, os.path.join(scratch, f"{name}.delivered"))

    @classmethod
    def load(cls, scratch: Path, name: str) -> "Delivered":
        """Return what a worker told."""
        return cls(**json.loads((scratch / f"{name}.delivered").read_text(encoding="utf-8")))


def check_target(target: str) -> None:
    """Refuse a place where shards cannot go.

    Raises:
        BadInput: If it is neither in a store nor a folder.
    """
    scheme = urlsplit(target).scheme
    if target and scheme not in ("s3", "file") or (scheme == "file" and urlsplit(target).netloc):
        raise BadInput(
            f"shards_at must be s3://bucket/prefix or file:///folder. Received: {target}"
        )


def deliver(partial: str, name: str, target: str, scratch: str) -> None:
    """Put a shard into its place, where it appears when it is whole.

    In a store, and below `file://`, its name is its SHA-256: what is there never changes, and the
    same shard is there once.

    Args:
        partial: The shard; it is moved.
        name: Its name in a folder.
        target: A folder, or `s3://` or `file://` with a prefix.
        scratch: Where to tell of it.

    Raises:
        BadInput: If the store does not allow it.
        StoreUnreachable: If the store fails.
    """
    size = os.path.getsize(partial)
    if "://" not in target:
        os.replace(partial, os.path.join(target, name))
        Delivered(name, "", size).save(scratch, name)
        return
    with open(partial, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    stored = f"{digest}.tfrecord"
    if target.startswith("file://"):
        folder = Path(unquote(urlsplit(target).path))
        folder.mkdir(parents=True, exist_ok=True)
        arriving = folder / f".{stored}.{uuid.uuid4().hex}"
        shutil.copyfile(partial, arriving)
        os.replace(arriving, folder / stored)
    else:
        # The store's client is not needed otherwise.
        from thimble.store import open_store

        open_store(target).upload(Path(partial), stored)
    Delivered(f"{target.rstrip('/')}/{stored}", digest, size).save(scratch, name)
