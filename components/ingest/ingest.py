"""Ingest: scans of any kind in, split and deformed records in one form out."""

import contextlib
import heapq
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.ingest.config import IngestConfig
from components.ingest.describe import Totals, add_up, describe, entries, list_shards, place_shards
from components.ingest.elastic import ElasticField
from components.ingest.frozen import Frozen
from components.ingest.index import Index
from components.ingest.parts import check_target
from components.ingest.refusals import count_reasons, list_refusals, refuse_many, write_refusals
from components.ingest.remote import check_unchanged, open_anywhere
from components.ingest.scan import open_classes, refuse_one_class
from components.ingest.split import split_index
from components.ingest.transforms import Canon, find_out, write_shards
from thimble.artifact import write_json
from thimble.datasets.classes import ClassMap
from thimble.datasets.source import Reader
from thimble.records import CASES, REJECTED, encode_entries
from thimble.shards import is_remote
from thimble.stage import BadInput, Run

__all__ = ["IngestConfig", "ingest_source"]

MOST_NOTES = 100


def _canon(config: IngestConfig, reader: Reader) -> Canon:
    """Return the form of all records."""
    deformation = config.deformation
    field = ElasticField(
        deformation.elastic_sigma_pixels, deformation.elastic_grid_pixels, config.seed
    )
    return Canon(
        channels=config.image.channels,
        border_sigma=deformation.border_sigma,
        instances=reader.instances,
        elastic_copies=deformation.elastic_copies,
        elastic=field,
    )


@contextmanager
def _progress(run: Run, done: Callable[[], int], half: tuple[int, int]) -> Iterator[None]:
    """Report progress by what workers wrote: they are other processes, or machines.

    Args:
        run: Where to.
        done: Tells how many cases' worth of work is done.
        half: Cases that were done when this half of the work began, and all cases.
    """
    over = threading.Event()
    first, total = half

    def watch() -> None:
        while not over.wait(0.5):
            run.progress(first + min(done(), max(total - 1, 0)), 2 * total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Lines:
    """Counts the lines of growing files, each line once."""

    def __init__(self, folder: Path) -> None:
        """Bind the folder of the lists."""
        self._folder = folder
        self._seen: dict[str, int] = {}
        self._count = 0

    def __call__(self) -> int:
        """Return how many lines there are."""
        for suffix in ("trying", "jsonl"):
            for path in self._folder.glob(f"*.{suffix}"):
                try:
                    with open(path, "rb") as file:
                        file.seek(self._seen.get(path.stem, 0))
                        while block := file.read(1 << 16):
                            self._count += block.count(b"\n")
                        self._seen[path.stem] = file.tell()
                except FileNotFoundError:
                    continue  # renamed meanwhile
        return self._count


def _look(config: IngestConfig, run: Run, index: Index, reader: Reader) -> ClassMap:
    """Read every case into the index and the parts beside it; return the classes."""
    source = config.source.source
    cases, refused = reader.cases()
    classes = open_classes(config, reader, cases)
    index.add_refusals(refused)
    total = index.add_cases(cases)
    del cases, refused  # their memory is that of all names
    run.progress(0, 2 * total)
    execution = (config.execution.runner, config.execution.workers)
    with _progress(run, _Lines(Path(index.path).parent), (0, total)):
        find_out(index, reader, classes, _canon(config, reader), source, execution)
    if is_remote(source):
        check_unchanged(source, config.source.source_digest)
    return classes


def _refuse(config: IngestConfig, index: Index, classes: ClassMap) -> None:
    """Raise if the images are not fit for use."""
    share, images = config.execution.max_rejected_share, index.count()
    try:
        refuse_many(images, index.refusals(), share)
    except BadInput:
        refuse_many(images, index.refusals(), share, list_refusals(index.refusals()))
    if config.source.labels != "none":
        refuse_one_class(add_up(index).pixels[""], classes.names, images)


def _written_bytes(folders: tuple[Path, Path]) -> Callable[[], int]:
    """Return what tells how many bytes of shards were written, also of those that have gone."""
    most = 0

    def count() -> int:
        nonlocal most
        found = 0
        for folder in folders:
            for path in folder.glob("*.tfrecord*"):
                with contextlib.suppress(FileNotFoundError):
                    found += path.stat().st_size
        most = max(most, found)
        return most

    return count


def _write(
    config: IngestConfig,
    run: Run,
    index: Index,
    spec: dict[str, Any],
    frozen: Frozen | None,
    folder: Path,
) -> None:
    """Write the artifact, but for what `spec` says already."""
    scratch, cases = Path(index.path).parent, index.count("cases")
    canon = replace(_canon(config, spec.pop("reader")), bits=spec["bit_depth"])
    shards = list_shards(index, config.execution.shards)
    target = config.execution.shards_at or str(folder)
    execution = (config.execution.runner, config.execution.workers)
    written, expected = _written_bytes((folder, scratch)), spec.pop("expected")
    with _progress(run, lambda: cases * written() // expected, (cases, cases)):
        delivered, _ = write_shards(index, shards, canon, target, execution)
    spec |= place_shards(shards, delivered)
    lines = entries(index)
    if frozen:
        spec |= frozen.place(spec, folder)
        lines = heapq.merge(lines, frozen.entries(), key=lambda entry: entry.id)
    spec |= {"rejected": index.count("refusals")}
    spec |= {"rejected_reasons": count_reasons(index.refusals())}
    with open(folder / CASES, "w", encoding="utf-8") as file:
        file.writelines(encode_entries(lines))
    write_refusals(folder / REJECTED, index.refusals())
    write_json(folder / "dataset.json", spec)
    run.progress(2 * cases, 2 * cases, images=index.count())


def _split(
    config: IngestConfig, index: Index, frozen_path: str | Path | None
) -> tuple[Frozen | None, dict[str, int]]:
    """Assign every image to a split and a shard; with a frozen test set, some to none."""
    frozen, told = None, {}
    if frozen_path:
        frozen = Frozen(frozen_path)
        told = frozen.split(index, config.split)
    else:
        split_index(index, config.split)
    index.deal(config.execution.shards)
    return frozen, told


def ingest_source(
    config: IngestConfig, run: Run, frozen_path: str | Path | None = None
) -> tuple[Callable[[Path], None], dict[str, float]]:
    """Read every case of a source once, split the images, and prepare the writing of the shards.

    Args:
        config: What to read and how.
        run: Progress; in its checkpoint folder are the records until they are in their shards.
        frozen_path: Dataset artifact whose test split is taken over; what it holds is left out of
            train and validation (`components.ingest.frozen`).

    Returns:
        A function that writes the Dataset artifact into a folder, and figures: number of cases, of
        images, of deformed copies, of rejected files, bytes of the images' records, and the
        foreground's share of all pixels.

    Raises:
        BadInput: If the source cannot be used; the message names the files and the fix.
    """
    check_target(config.execution.shards_at)
    scratch = run.checkpoint / "parts"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    reader, digest = open_anywhere(config)
    config = replace(config, source=replace(config.source, source_digest=digest))
    with ExitStack() as opened:
        # Its paths may name patients: what failed leaves no trace of them.
        opened.callback(shutil.rmtree, scratch, ignore_errors=True)
        index = opened.enter_context(closing(Index(scratch / "index.sqlite")))
        classes = _look(config, run, index, reader)
        _refuse(config, index, classes)
        frozen, told = _split(config, index, frozen_path)
        totals, counts = add_up(index), index.counts()
        spec = describe(config, reader, classes, counts, totals)
        spec["notes"] = reader.notes[:MOST_NOTES]
        spec = frozen.merge(spec, told) if frozen else spec
        kept = opened.pop_all()
    copies = spec["counts"]["train"]["copies"]
    expected = totals.bytes * (totals.images + copies) // totals.images

    def write(folder: Path) -> None:
        with kept:
            described = spec | {"reader": reader, "expected": expected}
            _write(config, run, index, described, frozen, folder)

    return write, _figures(index, totals, copies) | {f"images_{n}": c for n, c in told.items()}


def _figures(index: Index, totals: Totals, copies: int) -> dict[str, float]:
    """Return the figures of the stage."""
    pixels = [sum(values) for values in zip(*totals.pixels.values(), strict=True)]
    return {
        "cases": index.count("cases"),
        "images": totals.images,
        "copies": copies,
        "rejected": index.count("refusals"),
        "record_bytes": totals.bytes,
        "foreground_share": sum(pixels[1:]) / sum(pixels),
    }
