"""The two Beam pipelines of ingest: read every case once, then put the records into shards.

Nothing but numbers of cases and of shards crosses a runner, which would hold it in memory: workers
append encoded records to part files and what they found to lists beside them, and read the index
that is made of those. A worker's try at a bundle counts when it renames its list; of two lists that
tell of the same case the index takes one.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from components.ingest.border import border_map, find_instances
from components.ingest.elastic import ElasticField, Scan, deform
from components.ingest.index import Index, IndexView, Spilled, read_index
from components.ingest.parts import Delivered, Parts, deliver
from components.ingest.runner import COUNTERS, Execution, Metrics, beam, hand_out, run_pipeline
from components.ingest.scan import Seen, look_at
from thimble.datasets.classes import ClassMap
from thimble.datasets.source import Case, Reader, Refusal
from thimble.preprocessing import to_channels
from thimble.records import Record, decode_record, record_pieces
from thimble.shards import is_remote
from thimble.tfrecord import frame_pieces, unframe_record

__all__ = ["Canon", "Shard", "find_out", "write_shards"]

MOST_CASES_AT_A_TIME = 32


@dataclass(frozen=True)
class Canon:
    """What every record of a data set has in common.

    Attributes:
        channels: 1 or 3.
        border_sigma: Of the border map in pixels; 0 for none.
        instances: What counts as an object, as `thimble.datasets.source.Reader` says.
        elastic_copies: Of each training image.
        elastic: How they are deformed.
        bits: 8 or 16; in a mixed set 8-bit images are scaled by 257 to 16.
    """

    channels: int
    border_sigma: float
    instances: str
    elastic_copies: int
    elastic: ElasticField
    bits: int = 8

    @property
    def keeps_raw(self) -> bool:
        """Whether copies need the raw label: where objects are told apart by its values."""
        return bool(self.elastic_copies and self.border_sigma and self.instances == "values")


@dataclass(frozen=True)
class Shard:
    """A file of records.

    Attributes:
        split: train, validation or test.
        number: Of the file in its split.
        name: Of the file.
    """

    split: str
    number: int
    name: str


def _count(name: str) -> Any:
    """Return a counter that runners add up and show."""
    return Metrics.counter(COUNTERS, name)


def _sums(image: NDArray[Any]) -> list[int]:
    """Return the sum of each channel, then the sum of squares of each, exactly."""
    channels = range(image.shape[2])
    # OpenCV adds in doubles, which hold the sum of 2^28 samples of 16 bits exactly.
    sums = cv2.sumElems(image)
    # No product of matrices, which would wake up the threads of BLAS.
    squares = [np.square(image[..., c], dtype=np.uint32).sum(dtype=np.uint64) for c in channels]
    return [int(sums[c]) for c in channels] + [int(total) for total in squares]


class _Look(beam.DoFn):
    """Reads cases, spills their records and lists what they hold, and what cannot be used."""

    def __init__(
        self, reader: Reader, classes: ClassMap, canon: Canon, source: str, index: str
    ) -> None:
        """Bind reader, classes, form, folder of the data and index; parts go beside the index."""
        self.reader, self.classes, self.canon = reader, classes, canon
        self.source, self.index = source, index
        self.folder = os.path.dirname(index)
        self.part = self.list = ""
        self.cases, self.images = _count("cases"), _count("images")
        self.refused, self.bytes = _count("refused"), _count("bytes")

    def setup(self) -> None:
        """Name a part that no other worker writes to."""
        cv2.setNumThreads(1)  # the workers are the parallelism
        self.part = f"{uuid.uuid4().hex}.part"

    def start_bundle(self) -> None:
        """Name a list that no other try writes to."""
        self.list = os.path.join(self.folder, f"{uuid.uuid4().hex}.trying")

    def process(self, element: tuple[int, int]) -> None:
        """Read the cases from one place to before another."""
        with read_index(self.index) as view:
            for place, case in view.cases(*element):
                self._look(place, case)

    def finish_bundle(self) -> None:
        """Make the list count."""
        if os.path.exists(self.list):
            os.replace(self.list, self.list.removesuffix("trying") + "jsonl")

    def _look(self, place: int, case: Case) -> None:
        """Read one case."""
        images, refusals = [], []
        for found in look_at(self.reader, self.classes, case, self.source):
            if isinstance(found, Refusal):
                refusals.append(asdict(found))
            else:
                images.append(self._spill(case, found))
        line = json.dumps({"place": place, "images": images, "refusals": refusals})
        # Opened each time: after an error elsewhere Beam calls nothing that could close it.
        with open(self.list, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.cases.inc()
        self.images.inc(len(images))
        self.refused.inc(len(refusals))

    def _spill(self, case: Case, seen: Seen) -> dict[str, Any]:
        """Append the record of an image to the part, and return what is known of it."""
        finding, sample, label = seen
        image, border = to_channels(sample.image, self.canon.channels), None
        if self.canon.border_sigma:
            instances = find_instances(sample.label, label, self.canon.instances)
            border = border_map(instances, self.canon.border_sigma)
        record = Record(sample.id, case.group, 0, image, label, border)
        pieces = frame_pieces(record_pieces(record))
        size = sum(map(len, pieces))
        raw = sample.label.astype("<u2").tobytes() if self.canon.keeps_raw else b""
        with open(os.path.join(self.folder, self.part), "ab") as file:
            start = file.tell()
            file.writelines([*pieces, raw])
        self.bytes.inc(size)
        spilled = [self.part, start, size, len(raw)]
        return {**finding, "sums": _sums(image), "spilled": spilled}


def find_out(
    index: Index,
    reader: Reader,
    classes: ClassMap,
    canon: Canon,
    source: str,
    execution: Execution,
) -> dict[str, int]:
    """Read every case of an index once.

    Args:
        index: Holds the cases; takes what they hold. Parts with the records are left beside it.
        reader: Of the kind of data.
        classes: Raw values of the classes.
        canon: Form of the records; its `bits` do not matter yet.
        source: Folder of the data.
        execution: Runner and number of workers.

    Returns:
        What the workers counted: cases, images, refused, bytes.

    Raises:
        BadInput: If two images have one name.
    """
    cases = index.count("cases")
    step = min(MOST_CASES_AT_A_TIME, max(1, cases // 64))
    work = [(first, min(first + step, cases)) for first in range(0, cases, step)]

    def build(pipeline: Any) -> None:
        look = _Look(reader, classes, canon, source, index.path)
        pipeline | "Cases" >> hand_out(work, execution) | "Look" >> beam.ParDo(look)

    counted = run_pipeline(build, execution)
    index.load(Path(index.path).parent.glob("*.jsonl"))
    index.arrange()
    return counted


class _WriteShard(beam.DoFn):
    """Copies the records of a shard from the parts, sorted by id, each with its deformed copies."""

    def __init__(self, canon: Canon, index: str, target: str) -> None:
        """Bind form, index with the parts beside it, and where shards go."""
        self.canon, self.index, self.target = canon, index, target
        self.records, self.written = _count("records"), _count("written")

    def setup(self) -> None:
        """Leave the parallelism to the workers."""
        cv2.setNumThreads(1)

    def process(self, shard: Shard) -> None:
        """Write one shard, which appears when it is whole."""
        scratch = os.path.dirname(self.index)
        # Beside its place, where renaming moves no bytes.
        folder = scratch if is_remote(self.target) else self.target
        partial = os.path.join(folder, f".{shard.name}.{uuid.uuid4().hex}")
        try:
            with (
                read_index(self.index) as view,
                Parts(scratch) as parts,
                open(partial, "wb") as file,
            ):
                for data in self._records(view, shard, parts):
                    file.write(data)
                    self.records.inc()
                    self.written.inc(len(data))
            deliver(partial, shard.name, self.target, scratch)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(partial)

    def _records(self, view: IndexView, shard: Shard, parts: Parts) -> Iterator[bytes]:
        """Yield the bytes of a shard."""
        copies = self.canon.elastic_copies if shard.split == "train" else 0
        for spilled in view.shard(shard.split, shard.number):
            data = parts.read(spilled)
            if spilled.bits < self.canon.bits or copies:
                yield from self._changed(spilled, data, copies)
            else:
                yield data[: spilled.size]

    def _changed(self, spilled: Spilled, data: bytes, copies: int) -> Iterator[bytes]:
        """Yield a record in its final depth, then its deformed copies."""
        record = decode_record(unframe_record(data[: spilled.size]))
        image = record.image
        if spilled.bits < self.canon.bits:
            image = image.astype(np.uint16) * np.uint16(257)
        instances = np.zeros(record.label.shape, np.int32)
        if copies and self.canon.border_sigma:
            raw = np.frombuffer(data[spilled.size :], "<u2").reshape(-1, record.label.shape[1])
            label = raw if self.canon.keeps_raw else record.label
            instances = find_instances(label, record.label, self.canon.instances)
        original = Scan(record.id, record.group, 0, image, record.label, instances)
        yield self._encode(original, record.border)
        for copy in range(1, copies + 1):
            scan = deform(original, copy, self.canon.elastic)
            sigma = self.canon.border_sigma
            yield self._encode(scan, border_map(scan.instances, sigma) if sigma else None)

    def _encode(self, scan: Scan, border: NDArray[np.uint8] | None) -> bytes:
        """Return the bytes of a record."""
        record = Record(scan.id, scan.group, scan.copy, scan.image, scan.label, border)
        return b"".join(frame_pieces(record_pieces(record)))


def write_shards(
    index: Index, shards: list[Shard], canon: Canon, target: str, execution: Execution
) -> tuple[dict[str, Delivered], dict[str, int]]:
    """Write every shard.

    Args:
        index: Its images are dealt to shards; the parts are beside it.
        shards: What to write.
        canon: Form of the records.
        target: A folder that the workers see, or a place in an object store.
        execution: Runner and number of workers.

    Returns:
        Where each shard is, by name; what the workers counted: records, written (bytes).

    Raises:
        BadInput: If an image cannot be deformed, or the store does not allow it.
    """

    def build(pipeline: Any) -> None:
        write = _WriteShard(canon, index.path, target)
        pipeline | "Shards" >> hand_out(shards, execution) | "Write" >> beam.ParDo(write)

    counted = run_pipeline(build, execution)
    scratch = Path(index.path).parent
    return {shard.name: Delivered.load(scratch, shard.name) for shard in shards}, counted
