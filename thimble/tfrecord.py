"""TFRecord files of tf.train.Example messages, without TensorFlow (its import takes seconds).

The bytes are those that TensorFlow writes and reads: a record is its length (uint64), a masked
CRC-32C of the length, the data, and a masked CRC-32C of the data, all little-endian.

Source: tensorflow/core/lib/io/record_writer.h and tensorflow/core/example/feature.proto.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from thimble.stage import BadInput

__all__ = [
    "decode_example",
    "encode_example",
    "example_pieces",
    "frame_pieces",
    "frame_record",
    "parse_frames",
    "read_frames",
    "unframe_record",
]

MASK_DELTA = 0xA282EAD8
HEADER = struct.Struct("<QI")
CHECKSUM = struct.Struct("<I")
# Of protobuf.
LARGEST_MESSAGE = 2**31 - 1

Value = bytes | int


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer at the end."""


# feature.proto and example.proto without floats, which our records do not hold.
SCHEMA = """
name: "thimble/example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL oneof_index: 0
          type: TYPE_MESSAGE type_name: ".tensorflow.BytesList" }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL oneof_index: 0
          type: TYPE_MESSAGE type_name: ".tensorflow.Int64List" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED
          type: TYPE_MESSAGE type_name: ".tensorflow.Features.FeatureEntry" }
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL
            type: TYPE_MESSAGE type_name: ".tensorflow.Feature" } } }
message_type { name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL
          type: TYPE_MESSAGE type_name: ".tensorflow.Features" } }
"""


def _example_class() -> Any:
    """Build the message in a pool of its own, apart from TensorFlow's."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(SCHEMA, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


Example = _example_class()


def encode_example(values: Mapping[str, Value]) -> bytes:
    """Return a tf.train.Example of one value a feature; equal values give equal bytes.

    Raises:
        BadInput: As `example_pieces`.
        OverflowError: As `example_pieces`.
    """
    return b"".join(example_pieces(values))


def example_pieces(values: Mapping[str, Value]) -> list[bytes]:
    """Return what makes a tf.train.Example of one value a feature when it is put together.

    They are the bytes of protobuf's deterministic serialization, which copies a value thrice; here
    long values are not copied at all.

    Raises:
        BadInput: If the message would be larger than protobuf reads.
        OverflowError: If a number does not fit into 64 bits.
    """
    pieces: list[bytes] = []
    for name in sorted(values, key=str.encode):
        feature, key = _feature(values[name]), name.encode()
        entry = [_tag(1, len(key)), key, _tag(2, _size(feature)), *feature]
        pieces += [_tag(1, _size(entry)), *entry]
    pieces = [_tag(1, _size(pieces)), *pieces] if pieces else []
    size = _size(pieces)
    if size > LARGEST_MESSAGE:
        raise BadInput(
            f"A record of {size:,} bytes is too large. Expected at most {LARGEST_MESSAGE:,}: cut "
            "the scan into parts."
        )
    return pieces


def _feature(value: Value) -> list[bytes]:
    """Return a Feature: a list of one value, bytes in field 1 or whole numbers, packed, in 3."""
    if isinstance(value, int):
        value, field = _varint(int.from_bytes(value.to_bytes(8, "big", signed=True), "big")), 3
    else:
        field = 1
    head = _tag(1, len(value))
    return [_tag(field, len(head) + len(value)), head, value]


def _size(pieces: list[bytes]) -> int:
    """Return how long pieces are together."""
    return sum(map(len, pieces))


def _tag(field: int, size: int) -> bytes:
    """Return what stands before so many bytes of a field: its number, wire type 2, the size."""
    return bytes((field << 3 | 2,)) + _varint(size)


def _varint(number: int) -> bytes:
    """Return a number below 2^64 in groups of 7 bits, the lowest first."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def decode_example(data: bytes) -> dict[str, Value]:
    """Return the features of a tf.train.Example that holds one value each.

    Raises:
        BadInput: If the bytes are no such message.
    """
    try:
        features = Example.FromString(data).features.feature
        return {
            name: feature.bytes_list.value[0]
            if feature.WhichOneof("kind") == "bytes_list"
            else feature.int64_list.value[0]
            for name, feature in features.items()
        }
    except (DecodeError, IndexError) as error:
        raise BadInput(f"A record is no tf.train.Example ({error}). Run ingest again.") from None


def _masked_checksum(*pieces: bytes) -> int:
    """Return CRC-32C, rotated and shifted so that it may itself be checksummed."""
    checksum = 0
    for piece in pieces:
        checksum = int(google_crc32c.extend(checksum, piece))
    return (((checksum >> 15) | (checksum << 17)) + MASK_DELTA) & 0xFFFFFFFF


def frame_record(data: bytes) -> bytes:
    """Return the bytes of one record in a TFRecord file."""
    return b"".join(frame_pieces([data]))


def frame_pieces(pieces: list[bytes]) -> list[bytes]:
    """Return what makes one record in a TFRecord file: the pieces of its data, framed."""
    length = _size(pieces)
    header = HEADER.pack(length, _masked_checksum(struct.pack("<Q", length)))
    return [header, *pieces, CHECKSUM.pack(_masked_checksum(*pieces))]


def unframe_record(frame: bytes) -> bytes:
    """Return the data of one record in a TFRecord file, unchecked."""
    return frame[HEADER.size : -CHECKSUM.size]


def read_frames(path: str | Path) -> Iterator[bytes]:
    """Read the records of a TFRecord file one after another.

    Raises:
        BadInput: If the file is missing, cut short or its checksums do not match.
    """
    try:
        file = open(path, "rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}). Run ingest again.") from None
    with file:
        yield from parse_frames(file, str(path))


def parse_frames(file: Readable, name: str) -> Iterator[bytes]:
    """Read the records of an open TFRecord file one after another.

    Args:
        file: Read from its beginning.
        name: What errors call it.

    Raises:
        BadInput: If it is cut short or its checksums do not match.
    """
    broken = f"{name} is damaged (record %d). Copy the data set again, or run ingest again."
    number = 0
    while header := file.read(HEADER.size):
        if len(header) < HEADER.size:
            raise BadInput(broken % number)
        length, checksum = HEADER.unpack(header)
        if _masked_checksum(header[:8]) != checksum:
            raise BadInput(broken % number)
        data, end = file.read(length), file.read(CHECKSUM.size)
        if end != CHECKSUM.pack(_masked_checksum(data)):
            raise BadInput(broken % number)
        yield data
        number += 1
