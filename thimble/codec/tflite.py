"""Finds the weight buffers in a TFLite flatbuffer.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs (tables Model, SubGraph, Tensor, Buffer) and
the FlatBuffers internals document (tables, vtables, vectors, little-endian offsets).
"""

import struct
from dataclasses import dataclass

from thimble.stage import BadInput

__all__ = ["WeightBuffer", "find_buffers"]

# What may be read of vectors, in bytes of the file: a writer may share some, an attacker makes them
# overlap until they multiply.
_MOST_SHARED = 4
# Shorter buffers stay in the skeleton: their row in the index would cost more than it saves.
_SMALLEST_BYTES = 64
_DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    7: "int16",
    9: "int8",
    10: "float64",
    12: "uint64",
    15: "uint32",
    16: "uint16",
}
_ITEM_BYTES = {"float16": 2, "int16": 2, "uint16": 2, "float32": 4, "int32": 4, "uint32": 4}
_ITEM_BYTES |= {"float64": 8, "int64": 8, "uint64": 8}


@dataclass(frozen=True)
class WeightBuffer:
    """Bytes of the file that hold constants.

    Attributes:
        start: Offset in the file.
        size: In bytes.
        dtype: Of the first tensor that uses them; `uint8` where that has no numpy dtype.
        name: Of that tensor.
        shape: Of that tensor.
    """

    start: int
    size: int
    dtype: str
    name: str
    shape: tuple[int, ...]


def find_buffers(tflite: bytes) -> list[WeightBuffer]:
    """Return the constant buffers of a TFLite file, by offset, none overlapping another.

    Raises:
        BadInput: If the file is no TFLite model or one of its offsets is outside it.
    """
    if tflite[4:8] != b"TFL3":
        raise BadInput(
            f"This is not a TFLite file: bytes 4 to 8 are {tflite[4:8]!r}, expected b'TFL3'. Pass "
            "a .tflite file."
        )
    try:
        return _find(_Flatbuffer(tflite))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BadInput(
            f"The TFLite file of {len(tflite)} bytes is damaged: an offset points outside it, or "
            "its vectors overlap. "
            "Convert the model again."
        ) from None


class _Flatbuffer:
    """Reads tables and vectors; an offset outside the bytes raises struct.error."""

    def __init__(self, data: bytes) -> None:
        """Read from `data`."""
        self.data = data
        self._left = _MOST_SHARED * len(data)

    def number(self, form: str, place: int) -> int:
        """Return an integer at an offset."""
        if place < 0:
            raise IndexError(place)
        return int(struct.unpack_from(form, self.data, place)[0])

    def follow(self, place: int) -> int:
        """Return where the relative offset at `place` points."""
        return place + self.number("<I", place)

    def field(self, table: int, slot: int) -> int | None:
        """Return where a field of a table is, or None if it has its default."""
        vtable = table - self.number("<i", table)
        entry = 4 + 2 * slot
        if entry >= self.number("<H", vtable):
            return None
        offset = self.number("<H", vtable + entry)
        return table + offset if offset else None

    def scalar(self, table: int, slot: int, form: str) -> int:
        """Return a scalar field, 0 by default."""
        place = self.field(table, slot)
        return 0 if place is None else self.number(form, place)

    def vector(self, table: int, slot: int, item_bytes: int) -> tuple[int, int]:
        """Return offset and length of a vector field; (0, 0) if it is absent."""
        place = self.field(table, slot)
        if place is None:
            return 0, 0
        start = self.follow(place)
        length = self.number("<I", start)
        if start + 4 + length * item_bytes > len(self.data):
            raise IndexError(start)
        return start + 4, length

    def read_vector(self, table: int, slot: int, item_bytes: int) -> tuple[int, int]:
        """Return a vector whose items are going to be read; all of them are charged."""
        start, length = self.vector(table, slot, item_bytes)
        self._left -= length * item_bytes
        if self._left < 0:
            raise IndexError(start)
        return start, length

    def tables(self, table: int, slot: int) -> list[int]:
        """Return the offsets of a vector of tables."""
        start, length = self.read_vector(table, slot, 4)
        return [self.follow(start + 4 * item) for item in range(length)]


def _find(file: _Flatbuffer) -> list[WeightBuffer]:
    """Walk Model -> SubGraph -> Tensor, and cut each buffer that a tensor names."""
    model = file.follow(0)
    buffers = file.tables(model, 4)
    users: dict[int, int] = {}
    for graph in file.tables(model, 2):
        for tensor in file.tables(graph, 0):
            users.setdefault(file.scalar(tensor, 2, "<I"), tensor)
    found = []
    for number, tensor in users.items():
        start, size = _extent(file, buffers[number])
        if size >= _SMALLEST_BYTES:
            found.append(_describe(file, tensor, start, size))
    apart: list[WeightBuffer] = []
    for buffer in sorted(found, key=lambda buffer: buffer.start):
        # A writer may share equal bytes between buffers: cut them once.
        if not apart or buffer.start >= apart[-1].start + apart[-1].size:
            apart.append(buffer)
    return apart


def _extent(file: _Flatbuffer, buffer: int) -> tuple[int, int]:
    """Return where a buffer's bytes are: in the flatbuffer, or after it in files above 2 GB."""
    start, size = file.scalar(buffer, 1, "<Q"), file.scalar(buffer, 2, "<Q")
    if start <= 1:
        return file.vector(buffer, 0, 1)
    if start + size > len(file.data):
        raise IndexError(start)
    return start, size


def _describe(file: _Flatbuffer, tensor: int, start: int, size: int) -> WeightBuffer:
    """Return a buffer with what its tensor says about it."""
    dtype = _DTYPES.get(file.scalar(tensor, 1, "<b"), "uint8")
    if size % _ITEM_BYTES.get(dtype, 1):
        dtype = "uint8"
    name_start, name_size = file.read_vector(tensor, 3, 1)
    shape_start, dimensions = file.read_vector(tensor, 0, 4)
    shape = tuple(file.number("<i", shape_start + 4 * axis) for axis in range(dimensions))
    name = file.data[name_start : name_start + name_size].decode("utf-8", "replace")
    return WeightBuffer(start, size, dtype, name, shape)
