"""Records on disk: the bytes are TensorFlow's, and damage is noticed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble import tfrecord
from thimble.artifact import write_json
from thimble.records import (
    FORMAT,
    Record,
    decode_record,
    encode_record,
    load_dataset,
    read_records,
)
from thimble.stage import BadInput
from thimble.tfrecord import Example, decode_example, encode_example, frame_record, read_frames

SPEC = {
    "format": FORMAT,
    "bit_depth": 8,
    "channels": 1,
    "classes": [{"name": "ground", "raw": "0"}, {"name": "cell", "raw": "1"}],
    "counts": {},
    "labelled": True,
    "smallest_side": 64,
    "normalization": {"kind": "image"},
    "shards": {"train": ["a.tfrecord", "b.tfrecord"]},
    "tile": 64,
}


def make(name: str, copy: int = 0, deep: bool = False, border: bool = True) -> Record:
    rng = np.random.default_rng(copy)
    kind = np.uint16 if deep else np.uint8
    image = rng.integers(0, np.iinfo(kind).max, (3, 5, 1)).astype(kind)
    label = rng.integers(0, 2, (3, 5)).astype(np.uint8)
    return Record(name, "Patient Ä", copy, image, label, label * 9 if border else None)


@given(
    name=st.text(min_size=1, max_size=8).filter(str.isprintable),
    copy=st.integers(0, 9),
    deep=st.booleans(),
    border=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_round_trip(name: str, copy: int, deep: bool, border: bool) -> None:
    record = make(name, copy, deep, border)
    data = encode_record(record)
    back = decode_record(data)
    assert (back.id, back.group, back.copy) == (record.id, record.group, record.copy)
    assert back.image.dtype == record.image.dtype
    assert np.array_equal(back.image, record.image)
    assert np.array_equal(back.label, record.label)
    assert (back.border is None) == (record.border is None)
    if back.border is not None and record.border is not None:
        assert np.array_equal(back.border, record.border)
    assert encode_record(back) == data


def test_tensorflow_reads_and_writes_the_same_bytes(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    data = encode_record(make("scan 1", 3, deep=True))
    example = tf.train.Example.FromString(data)
    assert example.features.feature["copy"].int64_list.value[:] == [3]
    assert example.SerializeToString(deterministic=True) == data
    path = tmp_path / "x.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(data)
        writer.write(b"")
    assert path.read_bytes() == frame_record(data) + frame_record(b"")
    assert list(read_frames(path)) == [data, b""]


NAMES = ("id", "group", "copy", "height", "width", "channels", "bits", "image", "label", "border")
VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 300), st.binary(max_size=300))


@given(values=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_example_by_hand_is_protobufs(values: dict[str, int | bytes]) -> None:
    """Sizes that take one and two bytes, numbers that take one to ten, nothing at all."""
    data = encode_example(values)
    assert data == Example.FromString(data).SerializeToString(deterministic=True)
    assert decode_example(data) == values


def test_example_too_large_for_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "LARGEST_MESSAGE", 20)
    assert len(encode_example({"id": b"123456"})) == 20
    with pytest.raises(BadInput, match="A record of 21 bytes is too large"):
        encode_example({"id": b"1234567"})


def test_known_checksum() -> None:
    """CRC-32C of 32 zero bytes is 0x8A9136AA (RFC 3720, B.4); masked as in TensorFlow."""
    checksum = 0x8A9136AA
    masked = (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert frame_record(bytes(32))[-4:] == masked.to_bytes(4, "little")


def test_merged_in_order(tmp_path: Path) -> None:
    shards = {"a": [make("1"), make("1", 1), make("3")], "b": [make("2"), make("2", 1)]}
    for name, records in shards.items():
        frames = b"".join(frame_record(encode_record(record)) for record in records)
        (tmp_path / f"{name}.tfrecord").write_bytes(frames)
    write_json(tmp_path / "dataset.json", SPEC)
    dataset = load_dataset(tmp_path)
    assert [record.id for record in read_records(dataset, "train")] == ["1", "2", "3"]
    everything = read_records(dataset, "train", originals_only=False)
    assert [(r.id, r.copy) for r in everything] == [
        ("1", 0), ("1", 1), ("2", 0), ("2", 1), ("3", 0),
    ]  # fmt: skip
    with pytest.raises(BadInput, match="Unknown split 'dev'"):
        next(read_records(dataset, "dev"))


def test_damaged_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    whole = frame_record(encode_record(make("1"))) + frame_record(encode_record(make("2")))
    flipped = bytearray(whole)
    flipped[60] ^= 1
    long = bytearray(whole)
    long[5] = 1
    for damaged in (whole[:-1], whole[:-200], bytes(flipped), bytes(long), whole + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"a\.tfrecord is damaged \(record \d\)"):
            list(read_frames(path))
    with pytest.raises(BadInput, match="cannot be read"):
        list(read_frames(tmp_path / "absent"))


def test_foreign_records() -> None:
    for data in (b"\xff\xff", encode_example({"image": b"x"}), encode_example({"height": 3})):
        with pytest.raises(BadInput, match="Run ingest again"):
            decode_record(data)


def test_load_dataset(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="missing"):
        load_dataset(tmp_path)
    for spec, sentence in (
        ({**SPEC, "format": "thimble-dataset/1"}, "thimble-dataset/1"),
        ([], "has the format None"),
        ({name: value for name, value in SPEC.items() if name != "tile"}, "lacks tile"),
    ):
        write_json(tmp_path / "dataset.json", spec)
        with pytest.raises(BadInput, match=sentence):
            load_dataset(tmp_path)
    write_json(tmp_path / "dataset.json", SPEC)
    assert load_dataset(tmp_path).preprocessing() == {
        "normalization": {"kind": "image"},
        "bit_depth": 8,
        "channels": 1,
        "tile": 64,
        "classes": ["ground", "cell"],
        "intended_use": "research use only",
    }
