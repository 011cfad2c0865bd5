"""The Dataset artifact: `dataset.json`, `cases.jsonl` and the records of its shards."""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.artifact import read_json
from thimble.shards import ShardStream, is_remote, known
from thimble.stage import BadInput
from thimble.tfrecord import decode_example, example_pieces, parse_frames, read_frames

__all__ = [
    "FORMAT",
    "SPLITS",
    "Dataset",
    "Entry",
    "Record",
    "decode_record",
    "encode_entries",
    "encode_record",
    "load_dataset",
    "read_records",
    "record_pieces",
]

FORMAT = "thimble-dataset/2"
CASES, REJECTED = "cases.jsonl", "rejected.jsonl"
SPLITS = ("train", "validation", "test")
REQUIRED = (
    "bit_depth",
    "channels",
    "classes",
    "counts",
    "labelled",
    "normalization",
    "shards",
    "smallest_side",
    "tile",
)
INTENDED_USE = "research use only"


@dataclass(frozen=True)
class Entry:
    """A line of `cases.jsonl`: what is known of an image beside its pixels.

    Attributes:
        id: Name of the image.
        split: train, validation or test.
        group: Patient.
        digest: SHA-256 of the pixels.
        shape: Height and width.
        pixels: Label pixels of each class.
        spacing: Millimetres from row to row and from column to column; None if unknown.
        attributes: Keys of `thimble.datasets.source.ATTRIBUTES` and what the source says.
    """

    id: str
    split: str
    group: str
    digest: str
    shape: tuple[int, int]
    pixels: tuple[int, ...]
    spacing: tuple[float, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def encode_entries(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the lines of `cases.jsonl`; the caller sorts by id."""
    for entry in entries:
        yield json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True) + "\n"


def _decode_entry(line: str, path: Path) -> Entry:
    """Return a line of `cases.jsonl`."""
    try:
        values = json.loads(line)
        spacing = values.pop("spacing", None)
        return Entry(
            shape=tuple(values.pop("shape")),
            pixels=tuple(values.pop("pixels")),
            spacing=tuple(spacing) if spacing else None,
            **values,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} holds a line that is no case ({error}). Run ingest again."
        ) from None


@dataclass(frozen=True)
class Dataset:
    """A data set on disk.

    Attributes:
        folder: The artifact.
        spec: Its `dataset.json`.
    """

    folder: Path
    spec: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Names of the classes; class 0 is the background."""
        return [str(entry["name"]) for entry in self.spec["classes"]]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return int(self.spec["channels"])

    @property
    def tile(self) -> int:
        """Side of the square that the network sees at prediction, in pixels."""
        return int(self.spec["tile"])

    @property
    def normalization(self) -> dict[str, Any]:
        """How intensities are standardised, see `thimble.preprocessing.normalize`."""
        return dict(self.spec["normalization"])

    def entries(self) -> Iterator[Entry]:
        """Yield what is known of every image, sorted by id.

        Raises:
            BadInput: If `cases.jsonl` is missing or damaged.
        """
        path = self.folder / CASES
        try:
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    yield _decode_entry(line, path)
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} cannot be read ({error}). Run ingest again.") from None

    def frames(self, name: str) -> Iterator[bytes]:
        """Yield the encoded records of a shard; one outside the artifact is streamed.

        Args:
            name: An entry of `shards` in `dataset.json`.

        Raises:
            BadInput: If the shard is missing or damaged.
            ThimbleError: If the store fails, or the content is not what it was.
        """
        if is_remote(name):
            yield from parse_frames(ShardStream(name, known(self.spec, name)[0]), name)
        else:
            yield from read_frames(self.folder / name)

    def preprocessing(self) -> dict[str, Any]:
        """Return what a package needs so that nobody can feed it wrongly."""
        return {
            "normalization": self.normalization,
            "bit_depth": int(self.spec["bit_depth"]),
            "channels": self.channels,
            "tile": self.tile,
            "classes": self.classes,
            "intended_use": INTENDED_USE,
        }


@dataclass(frozen=True)
class Record:
    """One image with its label.

    Attributes:
        id: Name of the case.
        group: Patient.
        copy: 0 for the original, k for the k-th elastically deformed copy.
        image: `(height, width, channels)` uint8 or uint16.
        label: `(height, width)` uint8, class index.
        border: `(height, width)` uint8, 255 * exp(-(d1 + d2)^2 / (2 sigma^2)); None if it is off.
    """

    id: str
    group: str
    copy: int
    image: NDArray[Any]
    label: NDArray[np.uint8]
    border: NDArray[np.uint8] | None


def load_dataset(folder: str | Path) -> Dataset:
    """Open a Dataset artifact.

    Raises:
        BadInput: If `dataset.json` is missing, corrupt or of another format.
    """
    path = Path(folder) / "dataset.json"
    spec = read_json(path)
    found = spec.get("format") if isinstance(spec, dict) else None
    if found != FORMAT:
        raise BadInput(f"{path} has the format {found!r}. Expected {FORMAT!r}: run ingest again.")
    absent = [name for name in REQUIRED if name not in spec]
    if absent:
        raise BadInput(f"{path} lacks {', '.join(absent)}. Run ingest again.")
    return Dataset(Path(folder), spec)


def encode_record(record: Record) -> bytes:
    """Return a record as a tf.train.Example; equal records give equal bytes."""
    return b"".join(record_pieces(record))


def record_pieces(record: Record) -> list[bytes]:
    """Return what makes an encoded record when it is put together: pixels are not copied again."""
    height, width, channels = record.image.shape
    bits = 8 * record.image.dtype.itemsize
    # Little-endian whatever the machine.
    image = np.ascontiguousarray(record.image, record.image.dtype.newbyteorder("<"))
    return example_pieces(
        {
            "id": record.id.encode(),
            "group": record.group.encode(),
            "copy": record.copy,
            "height": height,
            "width": width,
            "channels": channels,
            "bits": bits,
            "image": image.tobytes(),
            "label": np.ascontiguousarray(record.label, np.uint8).tobytes(),
            "border": b"" if record.border is None else record.border.tobytes(),
        }
    )


def decode_record(data: bytes) -> Record:
    """Return the record in a tf.train.Example.

    Raises:
        BadInput: If features are missing or sizes do not fit.
    """
    values: dict[str, Any] = decode_example(data)
    try:
        size = (values["height"], values["width"])
        kind = np.dtype("<u2" if values["bits"] == 16 else "u1")
        image = np.frombuffer(values["image"], kind).reshape(*size, values["channels"])
        border = values["border"]
        return Record(
            id=values["id"].decode(),
            group=values["group"].decode(),
            copy=values["copy"],
            image=image.astype(kind.newbyteorder("="), copy=False),
            label=np.frombuffer(values["label"], np.uint8).reshape(size),
            border=np.frombuffer(border, np.uint8).reshape(size) if border else None,
        )
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"A record does not decode ({error}). Run ingest again.") from None


def read_records(dataset: Dataset, split: str, originals_only: bool = True) -> Iterator[Record]:
    """Read the records of a split, one in memory at a time and shard.

    Args:
        dataset: The data set.
        split: train, validation or test.
        originals_only: Whether to leave out the deformed copies.

    Yields:
        Records sorted by id, then copy.

    Raises:
        BadInput: If the split is unknown, or a shard is missing or damaged.
    """
    if split not in dataset.spec["shards"]:
        raise BadInput(f"Unknown split {split!r}. Known: {', '.join(dataset.spec['shards'])}.")
    shards = [_read_shard(dataset, name) for name in dataset.spec["shards"][split]]
    # Ingest sorts every shard, so that merging them sorts all.
    for record in heapq.merge(*shards, key=lambda record: (record.id, record.copy)):
        if record.copy == 0 or not originals_only:
            yield record


def _read_shard(dataset: Dataset, name: str) -> Iterator[Record]:
    """Decode the records of one shard."""
    for data in dataset.frames(name):
        try:
            yield decode_record(data)
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from None
