"""What is known of every image, in a file: memory does not grow with the number of images."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from thimble.datasets.source import Case, Refusal

__all__ = ["Index", "Spilled", "read_index"]

# `batch` is one try of a worker at some cases: tried twice, a case counts once.
TABLES = """
CREATE TABLE cases (place INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, body TEXT NOT NULL);
CREATE TABLE looked (place INTEGER PRIMARY KEY);
CREATE TABLE refusals (file TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE images (
  place INTEGER NOT NULL, id TEXT NOT NULL, patient TEXT NOT NULL, digest TEXT NOT NULL,
  height INTEGER NOT NULL, width INTEGER NOT NULL, bits INTEGER NOT NULL, body TEXT NOT NULL,
  part TEXT, start INTEGER, size INTEGER, raw INTEGER, split TEXT, shard INTEGER);
"""
COLUMNS = "place, id, patient, digest, height, width, bits, body, part, start, size, raw"
OWN = ("id", "group", "digest", "shape", "bits")


class Spilled(NamedTuple):
    """Where the encoded record of an image is.

    Attributes:
        id: Name of the image.
        bits: 8 or 16.
        part: Name of the file.
        start: Offset in bytes.
        size: Bytes of the record.
        raw: Bytes of the raw label that follow it; 0 if nothing needs it.
    """

    id: str
    bits: int
    part: str
    start: int
    size: int
    raw: int


class Index:
    """A table of images in the order of their cases, with the cases and what was refused."""

    def __init__(self, path: str | Path = ":memory:") -> None:
        """Make an empty one."""
        self.path = str(path)
        # Autocommit: what matters of it is that it is fast and that it is there when it is read.
        self.database = sqlite3.connect(self.path, isolation_level=None)
        self.database.executescript("PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF;" + TABLES)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """Write everything at once."""
        self.database.execute("BEGIN")
        yield self.database
        self.database.execute("COMMIT")

    def add_cases(self, cases: Iterable[Case]) -> int:
        """Take cases in their order, without those that cannot be told apart.

        Returns:
            How many it took.
        """
        taken = 0
        with self._written() as database:
            for case in cases:
                trouble = _trouble(case)
                if not trouble:
                    row = (taken, case.id, json.dumps(asdict(case)))
                    done = database.execute("INSERT OR IGNORE INTO cases VALUES (?, ?, ?)", row)
                    taken += done.rowcount
                    if not done.rowcount:
                        trouble = f"Another case has the same name: {case.id}. Rename one of them."
                if trouble:
                    refusal = Refusal(_printable(case.name or case.image or case.id), trouble)
                    _add_refusal(database, asdict(refusal))
        return taken

    def add_refusals(self, refusals: Iterable[Refusal]) -> None:
        """Take files that cannot be used."""
        with self._written() as database:
            for refusal in refusals:
                _add_refusal(database, asdict(refusal))

    def add_looked(self, place: int, images: Iterable[Mapping[str, Any]], refusals: Any) -> bool:
        """Take what a worker found in a case.

        Args:
            place: Of the case.
            images: A `components.ingest.scan.Finding` each, with `spilled` (part, start, size and
                raw of `Spilled`) if its record was written.
            refusals: `file` and `reason` of each.

        Returns:
            Whether it is the first that is told of the case.
        """
        if not self.database.execute("INSERT OR IGNORE INTO looked VALUES (?)", (place,)).rowcount:
            return False
        for image in images:
            body = {name: value for name, value in image.items() if name not in OWN}
            spilled = body.pop("spilled", (None, None, None, None))
            own = [image["id"], image["group"], image["digest"], *image["shape"], image["bits"]]
            row = (place, *own, json.dumps(body), *spilled)
            marks = ", ".join("?" * len(row))
            self.database.execute(f"INSERT INTO images ({COLUMNS}) VALUES ({marks})", row)  # noqa: S608
        for refusal in refusals:
            _add_refusal(self.database, refusal)
        return True

    def load(self, files: Iterable[Path]) -> None:
        """Take the lines that workers wrote, and remove their files."""
        for file in files:
            with self._written(), open(file, encoding="utf-8") as lines:
                for line in map(json.loads, lines):
                    self.add_looked(line["place"], line["images"], line["refusals"])
            file.unlink()

    def arrange(self) -> None:
        """Put the images into the order of their cases; to be called when all were taken."""
        self.database.executescript(
            "CREATE TABLE arranged AS SELECT * FROM images ORDER BY place, id; DROP TABLE images;"
            "ALTER TABLE arranged RENAME TO images; CREATE UNIQUE INDEX by_id ON images (id);"
            "UPDATE images SET place = rowid - 1; CREATE UNIQUE INDEX by_place ON images (place);"
        )

    def images(self, order: str = "id") -> Iterator[dict[str, Any]]:
        """Yield every image as `add_looked` took it, with its split; sorted by `id` or `place`."""
        names = "id, patient, digest, height, width, bits, body, split"
        for row in self.database.execute(f"SELECT {names} FROM images ORDER BY {order}"):  # noqa: S608
            name, group, digest, height, width, bits, body, split = row
            own = (name, group, digest, [height, width], bits)
            yield {**dict(zip(OWN, own, strict=True)), **json.loads(body), "split": split}

    def refusals(self) -> Iterator[Refusal]:
        """Yield every file that cannot be used, sorted."""
        rows = self.database.execute("SELECT file, reason FROM refusals ORDER BY file, reason")
        yield from (Refusal(*row) for row in rows)

    def count(self, table: str = "images") -> int:
        """Return the number of images or refusals."""
        return int(self.value(f"SELECT COUNT(*) FROM {table}"))  # noqa: S608

    def counts(self) -> Counter[str]:
        """Return the number of images of each split."""
        return Counter(
            dict(self.database.execute("SELECT split, COUNT(*) FROM images GROUP BY split"))
        )

    def value(self, question: str) -> Any:
        """Return the one value that answers a SELECT."""
        return self.database.execute(question).fetchone()[0]

    def deal(self, most: int) -> None:
        """Deal the images of each split in the order of a hash to equally full shards."""
        self.database.create_function("hashed", 1, _hashed, deterministic=True)
        counts = json.dumps({split: min(most, count) for split, count in self.counts().items()})
        self.database.executescript(
            "CREATE TABLE dealt AS SELECT place, ROW_NUMBER() OVER "
            "(PARTITION BY split ORDER BY hashed(id)) - 1 AS turn FROM images;"
            "CREATE UNIQUE INDEX by_turn ON dealt (place);"
        )
        self.database.execute(
            "UPDATE images SET shard = (SELECT turn FROM dealt WHERE dealt.place = images.place)"
            " % json_extract(?, '$.' || split)",
            (counts,),
        )
        self.database.executescript(
            "DROP TABLE dealt; CREATE INDEX by_shard ON images (split, shard);"
        )


def _hashed(text: str) -> bytes:
    """Return a name's place in a shuffled order."""
    return hashlib.sha256(text.encode()).digest()


def _trouble(case: Case) -> str:
    """Say what is wrong with the name of a case."""
    try:
        case.id.encode()
    except UnicodeEncodeError:
        return "The name is not UTF-8. Rename the file."
    return ""


def _printable(text: str) -> str:
    """Return a name that UTF-8 can hold."""
    return text.encode(errors="backslashreplace").decode()


def _add_refusal(database: sqlite3.Connection, refusal: Mapping[str, str]) -> None:
    """Add a line of the dead letter."""
    row = [_printable(refusal[name]) for name in ("file", "reason")]
    database.execute("INSERT INTO refusals VALUES (?, ?)", row)


@contextmanager
def read_index(path: str) -> Iterator["IndexView"]:
    """Open an index that nobody writes to, as workers do."""
    uri = Path(path).absolute().as_uri() + "?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True)
    try:
        yield IndexView(database)
    finally:
        database.close()


class IndexView:
    """What workers ask of an index."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Take a connection."""
        self._database = database

    def cases(self, first: int, last: int) -> Iterator[tuple[int, Case]]:
        """Yield the cases from one place to before another."""
        rows = self._database.execute(
            "SELECT place, body FROM cases WHERE place >= ? AND place < ?", (first, last)
        )
        for place, body in rows:
            values = json.loads(body)
            yield place, Case(**{**values, "files": tuple(values["files"])})

    def shard(self, split: str, number: int) -> Iterator[Spilled]:
        """Yield where the records of a shard are, sorted by id."""
        rows = self._database.execute(
            "SELECT id, bits, part, start, size, raw FROM images WHERE shard = ? AND split = ?"
            " ORDER BY id",
            (number, split),
        )
        yield from (Spilled(*row) for row in rows)
