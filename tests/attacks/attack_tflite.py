"""Abuses of packages of TFLite files (SPEC.md, section 6)."""

import zlib
from typing import Any

from tests.attacks.sealing import listing, tflite

ABUSES, raises = listing()
_SKELETON = ({"kind": "dense-raw", "shape": [16]}, bytes(range(16)))
_BUFFER = ({"kind": "dense-raw", "shape": [8], "skip": 8}, bytes(8))
_FILE = bytes(range(8)) + bytes(8) + bytes(range(8, 16))


def package(skeleton: dict[str, Any], buffer: dict[str, Any], **index: Any) -> bytes:
    """Return a package of a file of 24 bytes, with changes in its rows and its index."""
    index = {"crc": zlib.crc32(_FILE)} | index
    return tflite(
        (_SKELETON[0] | skeleton, _SKELETON[1]), (_BUFFER[0] | buffer, _BUFFER[1]), **index
    )


@raises("CorruptPackage", "not a TFLite skeleton")
def tflite_no_rows() -> bytes:
    """No skeleton."""
    return tflite()


@raises("CorruptPackage", "not a TFLite skeleton")
def tflite_skeleton_float32() -> bytes:
    """A skeleton of four numbers."""
    return package({"dtype": "float32", "shape": [4]}, {})


@raises("CorruptPackage", "not a TFLite skeleton")
def tflite_skeleton_two_dimensions() -> bytes:
    """A skeleton with two dimensions."""
    return package({"shape": [4, 4]}, {})


@raises("CorruptPackage", "not a TFLite skeleton")
def tflite_skeleton_skip() -> bytes:
    """A skeleton that skips in itself."""
    return package({"skip": 1}, {})


@raises("CorruptPackage", "not a TFLite skeleton")
def tflite_skeleton_planes() -> bytes:
    """A skeleton of a kind that it cannot have."""
    return package({"kind": "gap-raw"}, {})


@raises("CorruptPackage", "has 3 columns")
def tflite_buffer_columns() -> bytes:
    """A buffer of eight elements in three columns."""
    return package({}, {"columns": 3})


@raises("CorruptPackage", "columns must be")
def tflite_buffer_columns_negative() -> bytes:
    """A buffer of -8 columns, which divide its elements."""
    return package({}, {"columns": -8})


@raises("CorruptPackage", "has 4 columns")
def tflite_skeleton_columns() -> bytes:
    """A deflated skeleton has no columns."""
    return package({"kind": "deflate", "columns": 4}, {})


@raises("CorruptPackage", "do not make a file")
def tflite_skip_outside() -> bytes:
    """A buffer that begins after the end of the skeleton."""
    return package({}, {"skip": 17})


@raises("CorruptPackage", "skip must be")
def tflite_skip_huge() -> bytes:
    """A buffer that begins after 2^62 bytes."""
    return package({}, {"skip": 1 << 62})


@raises("CorruptPackage", "do not make a file")
def tflite_bytes_too_few() -> bytes:
    """The file is said to be a byte shorter than its parts."""
    return package({}, {}, bytes=23)


@raises("CorruptPackage", "do not make a file")
def tflite_bytes_too_many() -> bytes:
    """The file is said to be a byte longer than its parts."""
    return package({}, {}, bytes=25)


@raises("TooLarge", "TFLite file has")
def tflite_bytes_huge() -> bytes:
    """A file of 2^50 bytes."""
    return package({}, {}, bytes=1 << 50)


@raises("CorruptPackage", "bytes must be")
def tflite_bytes_not_integer() -> bytes:
    """24.0 bytes."""
    return package({}, {}, bytes=24.0)


@raises("BadChecksum", "not match its CRC-32")
def tflite_other_crc() -> bytes:
    """The CRC-32 of another file."""
    return package({}, {}, crc=1)


@raises("CorruptPackage", "CRC-32 must be")
def tflite_crc_not_integer() -> bytes:
    """The right CRC-32 as a fraction."""
    return package({}, {}, crc=float(zlib.crc32(_FILE)))


@raises("CorruptPackage", "TFLite file has")
def tflite_no_name() -> bytes:
    """The name of the variant is a number."""
    return package({}, {}, name=8)


@raises("CorruptPackage", "but has a name")
def tflite_buffer_name() -> bytes:
    """A buffer that has a name, which nobody reads."""
    return package({}, {"name": "hidden"})


@raises("CorruptPackage", "name is empty")
def tflite_buffer_name_empty() -> bytes:
    """A buffer that has an empty name, where none must be."""
    return package({}, {"name": ""})


@raises("CorruptPackage", "only rows of another list")
def tflite_buffer_mask() -> bytes:
    """A buffer that claims a mask, which nobody makes."""
    return package({}, {"mask": 1})


@raises("CorruptPackage", "only rows of another list")
def tflite_buffer_indices() -> bytes:
    """A buffer that claims indices, which nobody makes."""
    row = {"kind": "dense-codebook", "dtype": "float32", "shape": [2], "indices": "uint8"}
    return tflite(_SKELETON, (row, b"\x08" + bytes(4)))
