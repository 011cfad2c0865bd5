"""Makes packages of models and of TFLite files."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.codebook import MAX_ENTRIES
from thimble.codec.container import pack
from thimble.codec.kinds import DTYPES, INDEX_DTYPES, patterns_of
from thimble.codec.packing import pack_bytes
from thimble.codec.pool import share_tables
from thimble.codec.row_encoder import EncodedRow, plan_row
from thimble.codec.rows import MAX_DIMENSIONS, PLAIN, ArrayRow
from thimble.codec.signing import Sign
from thimble.codec.tflite import WeightBuffer, find_buffers
from thimble.stage import BadInput
from thimble.weights import Weights

__all__ = ["encode_model", "encode_tflite"]

# What the index says about an array beside how it is coded, and its row.
_Planned = tuple[dict[str, Any], EncodedRow]


def encode_model(weights: Weights, sign: Sign | None = None) -> bytes:
    """Pack a model; equal content gives equal bytes.

    Args:
        weights: Tensors of any shape. A tensor with the constraints `<name>.indices` and
            `<name>.codebook` is coded by them. The history is not packed.
        sign: Of `thimble.codec.signing.signer`, to sign the package.

    Returns:
        The bytes of a `.thimble` file, from which `decode` gives back architecture, tensors,
        constraints and preprocessing bit for bit.

    Raises:
        BadInput: If a codebook and indices do not give their tensor, or a dtype cannot be packed.

    Source: Han, Mao, Dally, 2015, "Deep Compression", section 4 (coding of the codebook indices
    and of the gaps between kept weights).
    """
    left = dict(weights.constraints)
    tensors = [_plan_tensor(name, tensor, left) for name, tensor in weights.tensors.items()]
    arrays = [_plan_tensor(name, left[name], {}) for name in sorted(left)]
    index = {"architecture": weights.architecture, "preprocessing": weights.preprocessing}
    return _pack("model", index, {"tensors": tensors, "arrays": arrays}, sign)


def encode_tflite(
    tflite: bytes, preprocessing: Mapping[str, Any], name: str, sign: Sign | None = None
) -> bytes:
    """Pack a TFLite file; `decode` gives back the identical file.

    Args:
        tflite: The file.
        preprocessing: How to feed the network.
        name: Of the variant, such as `int8`.
        sign: Of `thimble.codec.signing.signer`, to sign the package.

    Raises:
        BadInput: If it is no TFLite file.
    """
    buffers = find_buffers(tflite)
    ends = [0, *(buffer.start + buffer.size for buffer in buffers)]
    starts = [*(buffer.start for buffer in buffers), len(tflite)]
    skeleton = b"".join(tflite[a:b] for a, b in zip(ends, starts, strict=True))
    planned = [_plan_skeleton(skeleton)]
    for buffer, end in zip(buffers, ends, strict=False):
        data = tflite[buffer.start : buffer.start + buffer.size]
        patterns = np.frombuffer(data, f"<u{DTYPES[buffer.dtype]}")
        shape = _shape_of(buffer, len(patterns))
        row = plan_row(patterns, buffer.dtype, shape)
        # Only scales need the last dimension; elsewhere a flat shape takes fewer bytes.
        shape = shape if row.kind.endswith("scaled") else (len(patterns),)
        planned.append(({"shape": shape, "dtype": buffer.dtype, "skip": buffer.start - end}, row))
    index = {
        "name": name,
        "preprocessing": dict(preprocessing),
        "bytes": len(tflite),
        "crc": zlib.crc32(tflite),
    }
    return _pack("tflite", index, {"buffers": planned}, sign)


def _pack(
    kind: str, index: dict[str, Any], lists: Mapping[str, Sequence[_Planned]], sign: Sign | None
) -> bytes:
    """Pack rows that are planned, and the index with the lists of what it says about them."""
    streams = [part for rows in lists.values() for _, row in rows for part in row.streams]
    # Before any row is written: it names the tables that it shares.
    pool = share_tables(streams)
    listed: dict[str, Any] = {name: [] for name in lists}
    stored = []
    for name, planned in lists.items():
        for fields, row in planned:
            data = row.data
            said = ArrayRow(kind=row.kind, stored=len(data), columns=row.columns, **fields)
            listed[name].append(said.to_json())
            stored.append((data, row.kind == PLAIN))
    return pack(kind, index | listed, stored, pool, sign)


def _shape_of(buffer: WeightBuffer, elements: int) -> tuple[int, ...]:
    """Return the shape that a TFLite tensor says, if it fits its buffer."""
    whole = 0 < len(buffer.shape) <= MAX_DIMENSIONS and min(buffer.shape) > 0
    return buffer.shape if whole and math.prod(buffer.shape) == elements else (elements,)


def _plan_skeleton(skeleton: bytes) -> _Planned:
    """Plan the bytes of a TFLite file around its buffers."""
    kind, data = pack_bytes(skeleton)
    if len(data) >= len(skeleton):
        kind, data = PLAIN, skeleton
    return {"shape": (len(skeleton),), "dtype": "uint8"}, EncodedRow(kind, [data])


def _plan_tensor(name: str, tensor: NDArray[Any], left: dict[str, NDArray[Any]]) -> _Planned:
    """Plan a tensor with its constraints; those that it accounts for are taken out of `left`."""
    if not name or tensor.ndim > MAX_DIMENSIONS:
        raise BadInput(
            f"The array {name[:40]!r} has {tensor.ndim} dimensions. Expected a name, and at most "
            f"{MAX_DIMENSIONS}."
        )
    patterns = patterns_of(tensor)
    entries = indices = index_dtype = None
    if tensor.dtype == np.float32 and {f"{name}.indices", f"{name}.codebook"} <= left.keys():
        shaped = left.pop(f"{name}.indices")
        entries = _checked_codebook(name, tensor, shaped, left.pop(f"{name}.codebook"))
        indices, index_dtype = shaped.reshape(-1), shaped.dtype.name
    mask = left.get(f"{name}.mask")
    derived = mask is not None and mask.dtype == np.uint8 and np.array_equal(mask, tensor != 0)
    if derived:
        del left[f"{name}.mask"]
    row = plan_row(patterns, tensor.dtype.name, tensor.shape, entries, indices)
    fields = {
        "shape": tensor.shape,
        "dtype": tensor.dtype.name,
        "name": name,
        "indices": index_dtype,
        "mask": derived,
    }
    return fields, row


def _checked_codebook(
    name: str, tensor: NDArray[Any], indices: NDArray[Any], codebook: NDArray[Any]
) -> NDArray[Any]:
    """Return the patterns of a codebook that gives its tensor bit for bit."""
    if (
        indices.dtype.name not in INDEX_DTYPES
        or indices.shape != tensor.shape
        or codebook.dtype != np.float32
        or codebook.ndim != 1
        or len(codebook) > min(MAX_ENTRIES, 1 << 8 * indices.itemsize)
        or (indices.size and int(indices.max()) >= len(codebook))
    ):
        raise BadInput(
            f"{name}: indices {indices.dtype} {indices.shape} and codebook {codebook.dtype} "
            f"{codebook.shape} do not fit a tensor of shape {tensor.shape}. Expected uint8 or "
            f"uint16 indices of that shape below the length of a flat float32 codebook, no longer "
            "than they can name. Run quantize again."
        )
    entries = patterns_of(codebook)
    if not np.array_equal(entries[indices.reshape(-1)], patterns_of(tensor)):
        raise BadInput(
            f"{name}: codebook[indices] differs from the tensor. Expected equal bits. Run "
            "quantize again, or drop both constraints."
        )
    return entries
