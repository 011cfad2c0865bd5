"""The `.thimble` package format; see SPEC.md beside this file."""

from thimble.codec.accounting import inspect
from thimble.codec.decode import TfliteFile, decode
from thimble.codec.encode import encode_model, encode_tflite
from thimble.codec.errors import (
    BadChecksum,
    CorruptPackage,
    NewerVersion,
    NotAPackage,
    PackageError,
    TooLarge,
    Truncated,
)

__all__ = [
    "BadChecksum",
    "CorruptPackage",
    "NewerVersion",
    "NotAPackage",
    "PackageError",
    "TfliteFile",
    "TooLarge",
    "Truncated",
    "decode",
    "encode_model",
    "encode_tflite",
    "inspect",
]
