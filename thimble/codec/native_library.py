"""The compiled part of the codec, loaded by ctypes; native/thimble.h documents it."""

import ctypes
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thimble.stage import ThimbleError

__all__ = [
    "LIBRARY",
    "NativeMissing",
    "Plan",
    "Pool",
    "Row",
    "address_of",
    "as_bytes",
    "pointer_to",
]

MAX_ALPHABET = 4096
MAX_TABLE_BYTES = 1 << 14
_COPIED_BYTES = 1 << 16


class NativeMissing(ThimbleError):
    """The compiled library is not there."""


class Pool(ctypes.Structure):
    """The shared tables: th_pool."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("starts", ctypes.c_void_p),
        ("tables", ctypes.c_uint64),
    )


class Row(ctypes.Structure):
    """One row to decode and what was found in it: th_row."""

    _fields_ = (
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_uint64),
        ("elements", ctypes.c_uint64),
        ("channels", ctypes.c_uint64),
        ("positions", ctypes.c_uint32),
        ("values", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("index_width", ctypes.c_uint32),
        ("out", ctypes.c_void_p),
        ("indices", ctypes.c_void_p),
        ("codebook", ctypes.c_void_p),
        ("codebook_room", ctypes.c_uint64),
        ("columns", ctypes.c_uint64),
        ("floats", ctypes.c_uint32),
        ("coders", ctypes.c_uint32),
        ("kept", ctypes.c_uint64),
        ("entries", ctypes.c_uint64),
        ("codebook_bytes", ctypes.c_uint64),
        ("table_bytes", ctypes.c_uint64),
        ("payload_bytes", ctypes.c_uint64),
    )


class Plan(ctypes.Structure):
    """How to code a stream: th_plan."""

    _fields_ = (
        ("coder", ctypes.c_uint32),
        ("scale", ctypes.c_uint32),
        ("alphabet", ctypes.c_uint32),
        ("table_bytes", ctypes.c_uint32),
        ("cost_bits", ctypes.c_uint64),
        ("table", ctypes.c_uint8 * MAX_TABLE_BYTES),
        ("codes", ctypes.c_uint16 * MAX_ALPHABET),
    )


def _load() -> ctypes.CDLL:
    """Load the library and declare its functions.

    Raises:
        NativeMissing: If it was not built.
    """
    found = importlib.util.find_spec("thimble.codec._native")
    if found is None or found.origin is None:
        raise NativeMissing(
            "The compiled part of the package codec is missing. It is built when thimble is "
            "installed, which needs a C compiler: run `make setup`, or install one (Debian: "
            "apt-get install gcc libc6-dev) and then thimble again."
        )
    library = ctypes.CDLL(found.origin)
    pointer, size, word = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "th_index_pool": (ctypes.c_int, [pointer, size, pointer, size, pointer]),
        "th_decode_row": (ctypes.c_int, [pointer, pointer]),
        "th_histogram": (None, [pointer, word, size, pointer, word]),
        "th_split_gaps": (size, [pointer, word, size, word, pointer, pointer]),
        "th_gap_symbols": (size, [pointer, size, word, pointer]),
        "th_distinct": (ctypes.c_int, [pointer, word, size, word, pointer, pointer]),
        "th_channel_histogram": (None, [pointer, word, size, size, word, word, pointer]),
        "th_group_channels": (size, [pointer, word, word, word, word, pointer]),
        "th_kept_groups": (
            size,
            [pointer, word, size, size, word, word, pointer, pointer],
        ),
        "th_plan_stream": (ctypes.c_int, [pointer, word, pointer]),
        "th_entropy_bits": (size, [pointer, word]),
        "th_context_histogram": (None, [pointer, size, pointer, word, pointer]),
        "th_plan_curve": (size, [pointer, word, word, pointer]),
        "th_encode_contexts": (
            size,
            [pointer, pointer, word, word, word, pointer, size, pointer, size],
        ),
        "th_encode_stream": (size, [pointer, word, pointer, size, pointer, size]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


LIBRARY = _load()


def address_of(array: NDArray[Any]) -> int:
    """Return where the items of a contiguous array are; the caller keeps the array alive."""
    if not array.flags.c_contiguous:
        raise ValueError("the native codec needs contiguous arrays")
    if array.size and array.flags.writeable:
        # A fifth of the time that array.ctypes.data takes, and small layers are many calls.
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    return int(array.ctypes.data)


def as_bytes(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Return bytes as an array without copying them."""
    return np.frombuffer(data, np.uint8) if len(data) else np.zeros(0, np.uint8)


def pointer_to(data: bytes | memoryview) -> tuple[Any, Any]:
    """Return what a field of `Row` takes as pointer to bytes, and what keeps them alive.

    Short views are copied: their address would take longer to find.
    """
    if len(data) > _COPIED_BYTES:
        whole = np.frombuffer(data, np.uint8)
        return ctypes.c_char_p(address_of(whole)), whole
    short = bytes(data)
    return short, short
