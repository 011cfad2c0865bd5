"""Makes packages of models and of TFLite files."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.codec.array_encoder import ArrayEncoder
from thimble.codec.bitstream import LANE_SYMBOLS
from thimble.codec.codebook import MAX_ENTRIES
from thimble.codec.container import pack
from thimble.codec.rows import DTYPES, INDEX_DTYPES, ArrayRow, patterns_of
from thimble.codec.tflite import find_buffers
from thimble.stage import BadInput
from thimble.weights import Weights

__all__ = ["encode_model", "encode_tflite"]


def encode_model(weights: Weights) -> bytes:
    """Pack a model; equal content gives equal bytes.

    Args:
        weights: Tensors of any shape. A tensor with the constraints `<name>.indices` and
            `<name>.codebook` is coded by them. The history is not packed.

    Returns:
        The bytes of a `.thimble` file, from which `decode` gives back architecture, tensors,
        constraints and preprocessing bit for bit.

    Raises:
        BadInput: If a codebook and indices do not give their tensor, or a dtype cannot be packed.

    Source: Han, Mao, Dally, 2015, "Deep Compression", section 4 (Huffman coding of the codebook
    indices and of the gaps between kept weights).
    """
    encoder = ArrayEncoder()
    left = dict(weights.constraints)
    tensors = [_add_tensor(encoder, name, tensor, left) for name, tensor in weights.tensors.items()]
    arrays = [_add_array(encoder, name, left[name]) for name in sorted(left)]
    index = {
        "architecture": weights.architecture,
        "preprocessing": weights.preprocessing,
        "lane": LANE_SYMBOLS,
        "tensors": [row.to_json() for row in tensors],
        "arrays": [row.to_json() for row in arrays],
    }
    return pack("model", index, encoder.sections())


def encode_tflite(tflite: bytes, preprocessing: Mapping[str, Any], name: str) -> bytes:
    """Pack a TFLite file; `decode` gives back the identical file.

    Args:
        tflite: The file.
        preprocessing: How to feed the network.
        name: Of the variant, such as `int8`.

    Raises:
        BadInput: If it is no TFLite file.
    """
    buffers = find_buffers(tflite)
    ends = [0, *(buffer.start + buffer.size for buffer in buffers)]
    starts = [*(buffer.start for buffer in buffers), len(tflite)]
    skeleton = b"".join(tflite[a:b] for a, b in zip(ends, starts, strict=True))
    encoder = ArrayEncoder(leading=[skeleton])
    rows = []
    for buffer, end in zip(buffers, ends, strict=False):
        data = tflite[buffer.start : buffer.start + buffer.size]
        patterns = np.frombuffer(data, f"<u{DTYPES[buffer.dtype]}")
        kind, section = encoder.add(patterns, buffer.dtype)
        rows.append(
            ArrayRow(
                shape=(len(patterns),),
                kind=kind,
                crc=zlib.crc32(data),
                dtype=buffer.dtype,
                section=section,
                skip=buffer.start - end,
            )
        )
    index = {
        "name": name,
        "preprocessing": dict(preprocessing),
        "lane": LANE_SYMBOLS,
        "bytes": len(tflite),
        "crc": zlib.crc32(tflite),
        "buffers": [row.to_json() for row in rows],
    }
    return pack("tflite", index, encoder.sections())


def _add_tensor(
    encoder: ArrayEncoder, name: str, tensor: NDArray[Any], left: dict[str, NDArray[Any]]
) -> ArrayRow:
    """Code a tensor with its constraints; those that it accounts for are taken out of `left`."""
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
    kind, section = encoder.add(patterns, tensor.dtype.name, entries, indices)
    return ArrayRow(
        shape=tensor.shape,
        kind=kind,
        crc=zlib.crc32(patterns.tobytes()),
        dtype=tensor.dtype.name,
        name=name,
        section=section,
        indices=index_dtype,
        mask=derived,
    )


def _add_array(encoder: ArrayEncoder, name: str, array: NDArray[Any]) -> ArrayRow:
    """Code a constraint that no tensor accounts for."""
    return _add_tensor(encoder, name, array, {})


def _checked_codebook(
    name: str, tensor: NDArray[Any], indices: NDArray[Any], codebook: NDArray[Any]
) -> NDArray[Any]:
    """Return the patterns of a codebook that gives its tensor bit for bit."""
    if (
        indices.dtype.name not in INDEX_DTYPES
        or indices.shape != tensor.shape
        or codebook.dtype != np.float32
        or codebook.ndim != 1
        or len(codebook) > MAX_ENTRIES
        or (indices.size and int(indices.max()) >= len(codebook))
    ):
        raise BadInput(
            f"{name}: indices {indices.dtype} {indices.shape} and codebook {codebook.dtype} "
            f"{codebook.shape} do not fit a tensor of shape {tensor.shape}. Expected uint8 or "
            f"uint16 indices of that shape below the length of a flat float32 codebook. Run "
            "quantize again."
        )
    entries = patterns_of(codebook)
    if not np.array_equal(entries[indices.reshape(-1)], patterns_of(tensor)):
        raise BadInput(
            f"{name}: codebook[indices] differs from the tensor. Expected equal bits. Run "
            "quantize again, or drop both constraints."
        )
    return entries
