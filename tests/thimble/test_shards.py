"""Shards outside the artifact: the same records, a bounded cache, damage found."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ingest.ingest import IngestConfig, ingest_source
from thimble.artifact import finish
from thimble.patches import AugmentationConfig, training_batches
from thimble.records import SPLITS, Dataset, load_dataset, read_records
from thimble.shards import ShardCache, ShardStream, open_cache
from thimble.stage import BadInput, ThimbleError, flat_fields, start

Pair = tuple[Dataset, Dataset]


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """The same data set with its shards in the artifact, and elsewhere."""
    monkeypatch.setenv("THIMBLE_SHARD_CACHE", str(tmp_path / "cache"))
    made = []
    for name, place in (("inside", ""), ("outside", (tmp_path / "the store").as_uri())):
        parameters = {"phantom_images": 12, "phantom_size": 48, "shards_at": place, "shards": 3}
        with start("ingest", IngestConfig, flat_fields(IngestConfig) | parameters) as run:
            write, figures = ingest_source(run.config, run)
            finish(run, write, tmp_path / name, figures)
        made.append(load_dataset(tmp_path / name))
    return made[0], made[1]


def _kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.tfrecord"))


def test_manifest(pair: Pair, tmp_path: Path) -> None:
    inside, outside = pair
    assert sorted(p.name for p in outside.folder.iterdir()) == [
        "cases.jsonl", "dataset.json", "history.json", "rejected.jsonl",
    ]  # fmt: skip
    for split in SPLITS:
        for here, there in zip(
            inside.spec["shards"][split], outside.spec["shards"][split], strict=True
        ):
            content = (inside.folder / here).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            assert there.endswith(f"/{digest}.tfrecord")
            assert outside.spec["objects"][there] == {"sha256": digest, "bytes": len(content)}
            assert (tmp_path / "the store" / f"{digest}.tfrecord").read_bytes() == content
    assert list(inside.entries()) == list(outside.entries())


def test_same_records_and_batches(pair: Pair, tmp_path: Path) -> None:
    inside, outside = pair
    for split in SPLITS:
        for one, other in zip(
            read_records(inside, split, False), read_records(outside, split, False), strict=True
        ):
            assert (one.id, one.copy) == (other.id, other.copy)
            assert np.array_equal(one.image, other.image)
    assert not (tmp_path / "cache").exists(), "what is read once is streamed"
    batches = [
        list(
            training_batches(
                dataset.folder, dataset.spec, AugmentationConfig(patch_size=16), 4, 1
            ).take(30)
        )
        for dataset in pair
    ]
    for (image, target), (other_image, other_target) in zip(*batches, strict=True):
        assert np.array_equal(image, other_image) and np.array_equal(target, other_target)
    assert len(_kept(tmp_path / "cache")) == len(outside.spec["shards"]["train"])


def test_cache_stays_within_its_bound(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = pair[1].spec
    sizes = [entry["bytes"] for entry in spec["objects"].values()]
    limit = 2 * max(sizes)
    cache = ShardCache(tmp_path / "small", limit)
    names = spec["shards"]["train"]
    for name in names * 2:
        entry = spec["objects"][name]
        path = cache.fetch(name, entry["sha256"], entry["bytes"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        held = {p.stat().st_ino: p.stat().st_size for p in (tmp_path / "small").rglob("*.tfrecord")}
        kept = sum(p.stat().st_size for p in _kept(tmp_path / "small"))
        assert kept <= limit
        assert sum(held.values()) <= limit + 2 * max(sizes), "and the two that are read"
    with pytest.raises(BadInput, match="more than the cache may hold.*more shards"):
        ShardCache(tmp_path / "tiny", 10).fetch(names[0], "00", 11)
    monkeypatch.setenv("THIMBLE_SHARD_CACHE_BYTES", "4G")
    with pytest.raises(BadInput, match="THIMBLE_SHARD_CACHE_BYTES must be bytes"):
        open_cache()


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    uris = []
    for number in range(3):
        content = bytes([number]) * 10
        file = tmp_path / f"{number}"
        file.write_bytes(content)
        uris.append((file.as_uri(), hashlib.sha256(content).hexdigest(), 10))
    cache = ShardCache(tmp_path / "cache", 20)
    cache.fetch(*uris[0])
    cache.fetch(*uris[1])
    (tmp_path / "0").unlink()
    cache.fetch(*uris[0])
    cache.fetch(*uris[2])
    assert {p.stem for p in _kept(tmp_path / "cache")} == {uris[0][1], uris[2][1]}


def test_damage_is_found(pair: Pair, tmp_path: Path) -> None:
    outside = pair[1]
    (name,) = outside.spec["shards"]["validation"][:1]
    file = tmp_path / "the store" / name.rpartition("/")[2]
    entry = outside.spec["objects"][name]
    cache = ShardCache(tmp_path / "cache", 1 << 30)
    # Whole records are gone, so that no record's own checksum tells.
    file.write_bytes(b"")
    with pytest.raises(ThimbleError, match="is damaged.*SHA-256"):
        list(read_records(outside, "validation"))
    with pytest.raises(ThimbleError, match="is damaged.*SHA-256"):
        cache.fetch(name, entry["sha256"], entry["bytes"])
    assert _kept(tmp_path / "cache") == []
    file.unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        list(read_records(outside, "validation"))
    assert not list((tmp_path / "cache").glob("arriving-*"))


@given(sizes=st.lists(st.integers(1, 40), max_size=30), blocks=st.integers(1, 17))
def test_stream_reads_like_a_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], blocks: int
) -> None:
    content = bytes(range(256)) * 2
    file = tmp_path_factory.mktemp("stream") / "x"
    file.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thimble.shards.BLOCK_BYTES", blocks)
        stream = ShardStream(file.as_uri(), hashlib.sha256(content).hexdigest())
        got = b"".join(stream.read(size) for size in sizes)
    assert got == content[: sum(sizes)]


@pytest.mark.parametrize("place", ["gs://bucket/x", "http://host/x", "file://host/x", "a folder"])
def test_places_that_cannot_be(place: str, tmp_path: Path) -> None:
    parameters = flat_fields(IngestConfig) | {"phantom_images": 6, "shards_at": place}
    with (
        pytest.raises(BadInput, match="shards_at must be s3://bucket/prefix or file:///folder"),
        start("ingest", IngestConfig, parameters) as run,
    ):
        ingest_source(run.config, run)
