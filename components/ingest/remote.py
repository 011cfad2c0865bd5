"""Sources that are elsewhere: listed by name, read a case at a time by the worker that needs it.

Apache Beam's file systems do the reading: `s3://` with boto3, `gs://` with Google's client if it is
installed. Where a store is and who asks is in the environment of every process, as for
`thimble.store`; no parameter, pipeline or artifact holds it.
"""

import contextlib
import copy
import hashlib
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from components.ingest.config import IngestConfig
from components.ingest.runner import BeamIOError, FileSystems, PipelineOptions
from components.ingest.scan import open_reader
from thimble.datasets.privacy import open_pseudonyms
from thimble.datasets.source import Case, Reader, Refusal, Sample
from thimble.shards import is_remote
from thimble.stage import BadInput
from thimble.store import open_store
from thimble.store_access import StoreSettings, StoreUnreachable

__all__ = ["RemoteReader", "check_unchanged", "open_anywhere"]

SCHEMES = ("s3", "gs")
READ_AT_A_TIME = 8
# What a kind of data must see of each file before it can say which files belong together: DICOM's
# headers. Tables and descriptions are always read whole.
LOOKED_INTO = {"dicom": 1 << 16}
# What is shown of a DICOM file that was refused, since its header may be longer than that.
LONG_HEADER = 1 << 26
WHOLE = (".csv", ".json", ".gz")
# The file beside a header that holds its voxels.
SECOND_PARTS = {".hdr": (".img", ".IMG"), ".par": (".rec", ".REC")}
_own = threading.local()

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what boto3 says when it is imported
    from apache_beam.io.aws.clients.s3.messages import S3ClientError
    from apache_beam.io.aws.s3io import S3IO


def _client() -> S3IO:
    """Return Beam's S3 reader of this thread: making one takes 100 ms."""
    if not hasattr(_own, "client"):
        settings = StoreSettings.from_environment()
        try:
            _own.client = S3IO(options=_options(settings))
        except (AssertionError, RuntimeError):
            raise BadInput(
                's3:// needs boto3. Install it: pip install "apache-beam[aws]".'
            ) from None
    return _own.client


def _options(settings: StoreSettings) -> PipelineOptions:
    """Return what Beam calls the settings of a store."""
    return PipelineOptions(
        s3_endpoint_url=settings.endpoint,
        s3_access_key_id=settings.access_key,
        s3_secret_access_key=settings.secret_key,
        s3_session_token=settings.session_token or None,
        s3_region_name=settings.region,
        s3_verify=settings.ca_file or None,
    )


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what goes wrong on the way into one clear sentence."""
    try:
        yield
    except (BeamIOError, S3ClientError, OSError) as error:
        code = getattr(error, "code", None)
        if code == 404 or isinstance(error, FileNotFoundError):
            raise BadInput(f"{uri} does not exist any more. Copy the file again.") from None
        if code in (401, 403):
            raise BadInput(
                f"the store does not allow these credentials to read {uri}. Check "
                "THIMBLE_S3_ACCESS_KEY and THIMBLE_S3_SECRET_KEY."
            ) from None
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            raise
        raise StoreUnreachable(f"the store does not answer: cannot read {uri}") from None


def _open(uri: str) -> Any:
    """Open a file for reading."""
    return _client().open(uri) if uri.startswith("s3://") else FileSystems.open(uri)


def _list(source: str) -> dict[str, int]:
    """Return name below a source and size of every file, sorted.

    Raises:
        BadInput: If there is none, or no file system for it is installed.
    """
    if source.startswith("s3://"):
        FileSystems.set_options(_options(StoreSettings.from_environment()))
    start = source.rstrip("/") + "/"
    try:
        with _explained(source):
            (matched,) = FileSystems.match([f"{start}**"])
    except ValueError:
        raise BadInput(
            f"{source} needs Google's client, 70 packages that no image holds. Install it: "
            'pip install "apache-beam[gcp]".'
        ) from None
    found = {m.path.removeprefix(start): int(m.size_in_bytes) for m in matched.metadata_list}
    found = {name: found[name] for name in sorted(found) if name and not name.endswith("/")}
    if not found:
        raise BadInput(f"{source} holds nothing. Expected a folder of files.")
    for name in found:
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise BadInput(f"{source} holds the name {name!r}. Expected plain names.")
    return found


def _copy(uri: str, path: Path, most: int | None = None, name: str = "") -> None:
    """Copy a file, or its first bytes; errors call it `name` if its own may name a patient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _explained(name or uri), open(path, "wb") as file:
        with contextlib.closing(_open(uri)) as stream:
            if most is None:
                shutil.copyfileobj(stream, file, 1 << 20)
            else:
                file.write(stream.read(most))


class RemoteReader:
    """Reads what another reader can, from elsewhere.

    `cases` lists the source, and shows the other reader a folder of files with these names that
    hold nothing but what it must look into. `read` copies the files of one case, and removes them.
    """

    def __init__(self, config: IngestConfig) -> None:
        """Bind the source."""
        self._config = config
        self.source = config.source.source.rstrip("/")
        with tempfile.TemporaryDirectory(prefix="thimble-names-") as folder:
            # Where a collection may name its classes.
            with contextlib.suppress(BadInput):
                _copy(f"{self.source}/dataset.json", Path(folder) / "dataset.json")
            self._inner = self._opened(folder)
        self.classes, self.instances = self._inner.classes, self._inner.instances
        self.terms = self._inner.terms
        self.notes: list[str] = []

    def _opened(self, folder: str) -> Reader:
        """Open the other reader on a folder."""
        config = self._config
        return open_reader(replace(config, source=replace(config.source, source=folder)))

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all cases in natural order, and the files that belong to none."""
        with tempfile.TemporaryDirectory(prefix="thimble-names-") as folder:
            self._show(Path(folder))
            reader = self._opened(folder)
            cases, refused = reader.cases()
            if self._show_more(Path(folder), {refusal.file for refusal in refused}):
                cases, refused = reader.cases()
            self.notes = [
                note.replace(folder, self.source) for note in getattr(reader, "notes", [])
            ]
        away = [_moved(case, folder, self.source) for case in cases]
        return away, [_renamed(refusal, folder, self.source) for refusal in refused]

    def _show(self, folder: Path) -> None:
        """Make a folder of names, with the content that listing needs."""
        most = LOOKED_INTO.get(self._config.source.kind, 0)

        def show(item: tuple[str, int]) -> None:
            name, size = item
            path = folder / name
            whole = name.lower().endswith(WHOLE)
            if whole or most:
                _copy(f"{self.source}/{name}", path, None if whole else most, self.source)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Its name, so that no two files look equal.
                path.write_bytes(hashlib.sha256(name.encode()).digest()[:size])
            os.truncate(path, size)

        with ThreadPoolExecutor(READ_AT_A_TIME) as pool:
            for _ in pool.map(show, _list(self.source).items()):
                pass

    def _show_more(self, folder: Path, refused: set[str]) -> bool:
        """Show more of the DICOM files that were refused, maybe because they were cut here."""
        most = LOOKED_INTO.get(self._config.source.kind, 0)
        found = False
        for path in sorted(folder.rglob("*")) if most and refused else ():
            size, name = path.stat().st_size, path.relative_to(folder).as_posix()
            if not path.is_file() or size <= most or name.lower().endswith(WHOLE):
                continue
            with open(path, "rb") as file:
                dicom = file.read(132)[128:] == b"DICM"
            if dicom and open_pseudonyms().name("file", name) in refused:
                _copy(f"{self.source}/{name}", path, LONG_HEADER, self.source)
                os.truncate(path, size)
                found = True
        return found

    def read(self, case: Case) -> Iterator[Sample | Refusal]:
        """Yield the images of a case, and a refusal for each file of it that cannot be used."""
        with tempfile.TemporaryDirectory(prefix="thimble-case-") as folder:
            for uri in dict.fromkeys(filter(None, (case.image, case.label, *case.files))):
                path = Path(folder) / uri.removeprefix(self.source + "/")
                _copy(uri, path, name=case.name)
                for suffix in SECOND_PARTS.get(path.suffix.lower(), ()):
                    with contextlib.suppress(BadInput):
                        _copy(uri[: -len(suffix)] + suffix, path.with_suffix(suffix))
            reader: Any = copy.copy(self._inner)
            reader.options = replace(reader.options, source=folder)
            try:
                for found in reader.read(_moved(case, self.source, folder)):
                    refused = isinstance(found, Refusal)
                    yield _renamed(found, folder, self.source) if refused else found
            except BadInput as error:
                raise BadInput(str(error).replace(folder, self.source)) from None


def _moved(case: Case, old: str, new: str) -> Case:
    """Return a case whose files are elsewhere."""

    def move(path: str) -> str:
        return new + path.removeprefix(old) if path.startswith(old) else path

    files = tuple(move(path) for path in case.files)
    return replace(case, image=move(case.image), label=move(case.label), files=files)


def _renamed(refusal: Refusal, old: str, new: str) -> Refusal:
    """Return a refusal that names the file where the user knows it."""
    return Refusal(refusal.file.replace(old, new), refusal.reason.replace(old, new))


def _digest(source: str) -> str:
    """Return what changes when a source does: a digest of names, sizes and, in a store, ETags."""
    if source.startswith("s3://"):
        return open_store(source).listing_digest()
    lines = "".join(f"{name}\0{size}\n" for name, size in _list(source).items())
    return hashlib.sha256(lines.encode()).hexdigest()


def open_anywhere(config: IngestConfig) -> tuple[Reader, str]:
    """Open a source on this machine or elsewhere.

    Returns:
        Its reader, and its digest: as the user gave it, or of what is elsewhere; empty: none yet.

    Raises:
        BadInput: If there is nothing, or it is not what `source_digest` says.
        StoreUnreachable: If the store fails.
    """
    source, expected = config.source.source, config.source.source_digest
    if not is_remote(source):
        return open_reader(config), expected
    if source.partition("://")[0] not in SCHEMES:
        raise BadInput(f"source must be a folder, s3:// or gs://. Received: {source}")
    digest = _digest(source)
    check_unchanged(source, expected or digest, digest)
    return RemoteReader(config), digest


def check_unchanged(source: str, expected: str, digest: str = "") -> None:
    """Refuse a source elsewhere that is not what it was.

    Args:
        source: URI.
        expected: Its digest.
        digest: What it is now; empty: looked up.

    Raises:
        BadInput: If so.
    """
    digest = digest or _digest(source)
    if digest != expected:
        raise BadInput(
            f"{source} has changed since the run began. Received: {digest}. "
            f"Expected: source_digest={expected}. Run the same command again."
        )
