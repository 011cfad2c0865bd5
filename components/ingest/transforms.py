"""The two Beam pipelines of ingest: look at every case, then write the records.

Pixels never cross a shuffle, where runners hold them in memory or on disk: workers spill encoded
records into part files, and only (id, copy, place) travels to the worker that writes a shard.
"""

import errno
import json
import logging
import os
import re
import shlex
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from components.ingest.border import border_map, find_instances
from components.ingest.elastic import ElasticCopies, ElasticField, Scan
from components.ingest.scan import Finding, scan_case
from thimble.datasets.classes import ClassMap
from thimble.datasets.source import Case, Reader, Refusal, Sample
from thimble.preprocessing import to_channels
from thimble.records import Record, encode_record
from thimble.stage import BadInput
from thimble.tfrecord import frame_record

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's optional packages are absent
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners import create_runner
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

__all__ = ["Canon", "Place", "Sums", "Work", "find_out", "write_records"]

# Name of the runner with its options, and worker processes of the DirectRunner.
Execution = tuple[str, int]
# A case, and split and shard of each of its images that is used.
Work = tuple[Case, dict[str, tuple[str, str]]]
# Id, copy, part file, offset and length of an encoded record.
Place = tuple[str, int, str, int, int]
# Pixels, sum of each channel, sum of squares of each channel, pixels of each class.
Sums = tuple[int, ...]


@dataclass(frozen=True)
class Canon:
    """What every record of a data set has in common.

    Attributes:
        channels: 1 or 3.
        bits: 8 or 16; in a mixed set 8-bit images are scaled by 257 to 16.
        border_sigma: Of the border map in pixels; 0 for none.
        elastic_copies: Of each training image.
        elastic: How they are deformed.
    """

    channels: int
    bits: int
    border_sigma: float
    elastic_copies: int
    elastic: ElasticField


def _run(build: Callable[[Any], object], runner: str, workers: int) -> None:
    """Build and run a pipeline, and give the user's errors their own words back.

    Args:
        build: Adds the transforms to a pipeline.
        runner: Name of a Beam runner, then its options, if any.
        workers: Worker processes of the DirectRunner.
    """
    name, *options = shlex.split(runner)
    direct = name == "DirectRunner"
    if direct:
        mode = "multi_processing" if workers > 1 else "in_memory"
        options += [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    cv2.setNumThreads(1)  # the workers are the parallelism
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Beam's own choice for "DirectRunner" tries first to download another runner.
            chosen = FnApiRunner() if direct else _find_runner(name)
            with beam.Pipeline(runner=chosen, options=PipelineOptions(options)) as pipeline:
                build(pipeline)
    except Exception as error:
        _restore(f"{type(error).__name__}: {error}")
        raise


def _find_runner(name: str) -> Any:
    """Return Beam's runner of this name."""
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise BadInput(f"runner={name!r} is no Beam runner that is installed: {error}") from None


def _restore(text: str) -> None:
    """Raise what a worker raised; Beam hands on only the text of a traceback."""
    found = re.search(r"BadInput: (.*?)(?: \[while running|\n|$)", text)
    if found:
        raise BadInput(found[1]) from None
    found = re.search(r"\[Errno (\d+)\] [^:\n]*(?:: '([^'\n]*)')?", text)
    if found and int(found[1]) in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
        number = int(found[1])
        raise OSError(number, os.strerror(number), found[2]) from None


class _Look(beam.DoFn):
    """Emits what a case holds as JSON; what is bad too, so that all of it is reported."""

    def __init__(self, reader: Reader, classes: ClassMap, source: str) -> None:
        """Bind reader, classes and the folder of the data."""
        self.reader, self.classes, self.source = reader, classes, source

    def process(self, case: Case) -> Iterator[str]:
        """Look at one case."""
        for found in scan_case(self.reader, self.classes, case, self.source):
            yield json.dumps(asdict(found) if isinstance(found, Refusal) else found)


def find_out(
    cases: Sequence[Case],
    reader: Reader,
    classes: ClassMap,
    folders: tuple[str, Path],
    execution: Execution,
) -> Iterator[Finding | Refusal]:
    """Look at every case.

    Args:
        cases: What to look at.
        reader: Of the kind of data.
        classes: Raw values of the classes.
        folders: Of the data, and for temporary files that the workers see.
        execution: Runner and number of workers.

    Yields:
        One finding an image, and what cannot be used, in no order.
    """
    source, folder = folders
    prefix = folder / f"findings-{uuid.uuid4().hex}"

    def build(pipeline: Any) -> None:
        (
            pipeline
            | "Cases" >> beam.Create(cases)
            | "Look" >> beam.ParDo(_Look(reader, classes, source))
            | "Write" >> beam.io.WriteToText(str(prefix), file_name_suffix=".jsonl")
        )

    _run(build, *execution)
    for path in sorted(folder.glob(f"{prefix.name}*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for found in map(json.loads, lines):
                yield Refusal(**found) if "reason" in found else found
        path.unlink()


class _ReadScan(beam.DoFn):
    """Reads a case and emits (split, shard, scan) and the sums of pixels of each image."""

    def __init__(self, reader: Reader, classes: ClassMap, canon: Canon) -> None:
        """Bind reader, classes and form."""
        self.reader, self.classes, self.canon = reader, classes, canon

    def process(self, element: Work) -> Iterator[Any]:
        """Read one case."""
        case, places = element
        for sample in self.reader.read(case):
            if not isinstance(sample, Refusal) and sample.id in places:
                yield from self._emit(case, sample, *places[sample.id])

    def _emit(self, case: Case, sample: Sample, split: str, shard: str) -> Iterator[Any]:
        """Emit one image."""
        image = to_channels(sample.image, self.canon.channels)
        if self.canon.bits == 16 and image.dtype == np.uint8:
            image = image.astype(np.uint16) * np.uint16(257)
        label = self.classes.index(sample.label, case.label)
        instances = find_instances(sample.label, label, self.reader.instances)
        yield split, shard, Scan(sample.id, case.group, 0, image, label, instances)
        # Integers: their sum does not depend on the order of the workers.
        wide = image.reshape(-1, image.shape[2]).astype(np.uint64)
        sums = [image.shape[0] * image.shape[1], *wide.sum(0).tolist()]
        sums += (wide * wide).sum(0).tolist()
        sums += np.bincount(label.ravel(), minlength=len(self.classes.names)).tolist()
        yield beam.pvalue.TaggedOutput("sums", (split, tuple(sums)))


def _add_sums(sums: Iterable[Sums]) -> Sums:
    """Add sums column by column."""
    return tuple(map(sum, zip(*sums, strict=True)))


class _Spill(beam.DoFn):
    """Appends encoded records to a part file and emits (shard, place)."""

    def __init__(self, folder: str, border_sigma: float) -> None:
        """Bind the folder of the parts."""
        self.folder, self.border_sigma = folder, border_sigma
        self.part = ""

    def start_bundle(self) -> None:
        """Name a part that no other bundle, and no other try of this one, writes to."""
        self.part = f"{uuid.uuid4().hex}.part"

    def process(self, element: tuple[str, str, Scan]) -> Iterator[tuple[str, Place]]:
        """Write one record."""
        _, shard, scan = element
        border = border_map(scan.instances, self.border_sigma) if self.border_sigma else None
        record = Record(scan.id, scan.group, scan.copy, scan.image, scan.label, border)
        data = frame_record(encode_record(record))
        # Opened for each record: after an error elsewhere Beam calls nothing that could close it.
        with open(os.path.join(self.folder, self.part), "ab") as file:
            offset = file.tell()
            file.write(data)
        yield shard, (scan.id, scan.copy, self.part, offset, len(data))


class _WriteShard(beam.DoFn):
    """Copies the records of a shard from the parts, sorted by id and copy."""

    def __init__(self, folder: str, scratch: str) -> None:
        """Bind the folders of the artifact and of the parts."""
        self.folder, self.scratch = folder, scratch

    def process(self, element: tuple[str, Iterable[Place]]) -> Iterator[str]:
        """Write one shard under a temporary name and rename it."""
        shard, places = element
        partial = os.path.join(self.folder, f".{shard}.{uuid.uuid4().hex}")
        parts: dict[str, BinaryIO] = {}
        try:
            with open(partial, "wb") as file:
                for _, _, name, offset, length in sorted(places):
                    if name not in parts:
                        parts[name] = open(os.path.join(self.scratch, name), "rb")
                    parts[name].seek(offset)
                    file.write(parts[name].read(length))
        finally:
            for part in parts.values():
                part.close()
        os.replace(partial, os.path.join(self.folder, shard))
        yield shard


def write_records(
    work: Sequence[Work],
    reader: Reader,
    classes: ClassMap,
    canon: Canon,
    folders: tuple[Path, Path],
    execution: Execution,
) -> dict[str, Sums]:
    """Read, deform and write every case.

    Args:
        work: Cases, and where their images go: split, and file name of the shard.
        reader: Of the kind of data.
        classes: Raw values of the classes.
        canon: Form of the records.
        folders: Of the artifact, and of temporary files; the workers see both.
        execution: Runner and number of workers.

    Returns:
        Of the originals of each split: pixels, sum of each channel, sum of squares of each
        channel, pixels of each class.

    Raises:
        BadInput: If a case cannot be read or deformed.
    """
    artifact, scratch = folders
    totals = scratch / f"sums-{uuid.uuid4().hex}.jsonl"

    def build(pipeline: Any) -> None:
        reading = beam.ParDo(_ReadScan(reader, classes, canon)).with_outputs("sums", main="scans")
        read = pipeline | "Cases" >> beam.Create(work) | "Read" >> reading
        _write_sums(read["sums"], str(totals))
        _write_scans(read["scans"], canon, str(artifact), str(scratch))

    _run(build, *execution)
    with open(totals, encoding="utf-8") as lines:
        return {split: tuple(sums) for split, sums in map(json.loads, lines)}


def _write_sums(sums: Any, path: str) -> None:
    """Add (split, sums) up by split into a file of JSON lines."""
    (
        sums
        | "Add" >> beam.CombinePerKey(_add_sums)
        | "Encode sums" >> beam.Map(json.dumps)
        | "Write sums" >> beam.io.WriteToText(path, shard_name_template="")
    )


def _write_scans(scans: Any, canon: Canon, artifact: str, scratch: str) -> None:
    """Deform (split, shard, scan), and write shards by way of part files."""
    (
        scans
        | "Deform" >> ElasticCopies(canon.elastic_copies, canon.elastic)
        | "Spill" >> beam.ParDo(_Spill(scratch, canon.border_sigma))
        | "By shard" >> beam.GroupByKey()
        | "Write shard" >> beam.ParDo(_WriteShard(artifact, scratch))
    )
