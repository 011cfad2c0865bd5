"""What `dataset.json` and `cases.jsonl` say of an index of images."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.ingest.config import ImageConfig, IngestConfig
from components.ingest.index import Index
from components.ingest.parts import Delivered
from components.ingest.transforms import Shard
from thimble.datasets.classes import ClassMap
from thimble.datasets.source import Reader
from thimble.records import FORMAT, SPLITS, Entry

__all__ = ["Totals", "add_up", "describe", "entries", "list_shards", "place_shards"]


@dataclass
class Totals:
    """What all images have together.

    Attributes:
        images: How many there are.
        bits: The largest depth.
        smallest_side: In pixels.
        bytes: Of the records of the originals.
        digest: Of all pixels.
        attributes: Names that occur.
        pixels: Label pixels of each class, by split.
        sums: Pixels, then sum and sum of squares of each channel, by split, at the depth `bits`.
    """

    images: int = 0
    bits: int = 8
    smallest_side: int = 0
    bytes: int = 0
    digest: str = ""
    attributes: set[str] = field(default_factory=set)
    pixels: dict[str, list[int]] = field(default_factory=dict)
    sums: dict[str, list[int]] = field(default_factory=dict)


def _added(one: list[int], other: list[int]) -> list[int]:
    """Add lists number by number; whole numbers, so that no order of workers shows."""
    return [a + b for a, b in zip(one, other, strict=True)] if one else other


def add_up(index: Index) -> Totals:
    """Add up what all images have, before they are split or after."""
    totals = Totals(images=index.count())
    if not totals.images:
        return totals
    totals.bits = index.value("SELECT MAX(bits) FROM images")
    totals.smallest_side = index.value("SELECT MIN(MIN(height, width)) FROM images")
    totals.bytes = index.value("SELECT SUM(size) FROM images")
    digest = hashlib.sha256()
    for image in index.images():
        digest.update(f"{image['id']}\0{image['digest']}\n".encode())
        totals.attributes |= set(image["attributes"])
        split = image["split"] or ""
        totals.pixels[split] = _added(totals.pixels.get(split, []), image["pixels"])
        scale = 257 if image["bits"] < totals.bits else 1
        channels = len(image["sums"]) // 2
        sums = [value * scale for value in image["sums"][:channels]]
        sums += [value * scale * scale for value in image["sums"][channels:]]
        height, width = image["shape"]
        own = [height * width, *sums]
        totals.sums[split] = _added(totals.sums.get(split, []), own)
    totals.digest = digest.hexdigest()
    return totals


def list_shards(index: Index, most: int) -> list[Shard]:
    """Return the shards that the images were dealt to, of train first."""
    counts = index.counts()
    return [
        Shard(split, number, f"{split}-{number:05d}-of-{count:05d}.tfrecord")
        for split in SPLITS
        for count in [min(most, counts[split])]
        for number in range(count)
    ]


def _normalization(config: ImageConfig, totals: Totals) -> dict[str, Any]:
    """Return mean and deviation of the training images in [0, 1]."""
    if config.normalization == "image":
        return {"kind": "image"}
    count, *sums = totals.sums["train"]
    channels, top = config.channels, 2**totals.bits - 1
    mean = [total / count / top for total in sums[:channels]]
    squares = [total / count / top**2 for total in sums[channels:]]
    deviation = [max(s - m * m, 0.0) ** 0.5 for s, m in zip(squares, mean, strict=True)]
    return {"kind": "dataset", "mean": mean, "std": deviation}


def describe(
    config: IngestConfig,
    reader: Reader,
    classes: ClassMap,
    counts: Counter[str],
    totals: Totals,
) -> dict[str, Any]:
    """Return what `dataset.json` says before the shards are in their places.

    Args:
        config: Of ingest.
        reader: Of the kind of data.
        classes: Raw values of the classes.
        counts: Images of each split.
        totals: Of all images, split.
    """
    source, image, copies = config.source, config.image, config.deformation.elastic_copies
    return {
        "format": FORMAT,
        "name": source.name or source.kind,
        "task": "segmentation",
        "classes": classes.spec(),
        "channels": image.channels,
        "bit_depth": totals.bits,
        "tile": image.tile,
        "counts": {
            split: {"images": counts[split], "copies": copies * counts[split] * (not place)}
            for place, split in enumerate(SPLITS)
        },
        "split": {
            "rule": config.split.split_rule,
            "validation_share": config.split.validation_share,
            "test_share": config.split.test_share,
            "group_column": config.split.group_column,
            "seed": config.split.split_seed,
        },
        "smallest_side": totals.smallest_side,
        "labelled": source.labels != "none",
        "attributes": sorted(totals.attributes),
        "border_sigma": config.deformation.border_sigma,
        "source_digest": source.source_digest or totals.digest,
        "terms": source.terms or reader.terms,
        "pixels": {split: totals.pixels.get(split, []) for split in SPLITS},
        "normalization": _normalization(image, totals),
    }


def place_shards(shards: list[Shard], delivered: Mapping[str, Delivered]) -> dict[str, Any]:
    """Return what `dataset.json` says of the places of shards."""
    places: dict[str, list[str]] = {split: [] for split in SPLITS}
    objects = {}
    for shard in shards:
        found = delivered[shard.name]
        places[shard.split].append(found.place)
        if found.sha256:
            objects[found.place] = {"sha256": found.sha256, "bytes": found.bytes}
    return {"shards": places} | ({"objects": objects} if objects else {})


def entries(index: Index) -> Iterator[Entry]:
    """Yield the lines of `cases.jsonl`."""
    for image in index.images():
        spacing = image["spacing"]
        yield Entry(
            id=image["id"],
            split=image["split"],
            group=image["group"],
            digest=image["digest"],
            shape=(image["shape"][0], image["shape"][1]),
            pixels=tuple(image["pixels"]),
            spacing=(spacing[0], spacing[1]) if spacing else None,
            attributes=image["attributes"],
        )
