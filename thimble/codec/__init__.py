"""The `.thimble` package format; see SPEC.md beside this file."""

from thimble.codec.accounting import inspect
from thimble.codec.decode import TfliteFile, decode
from thimble.codec.encode import encode_model, encode_tflite
from thimble.codec.errors import (
    BadChecksum,
    BadSignature,
    CorruptPackage,
    MissingSignature,
    NewerVersion,
    NotAPackage,
    PackageError,
    TooLarge,
    Truncated,
)
from thimble.codec.reader import Package
from thimble.codec.signing import signer

__all__ = [
    "BadChecksum",
    "BadSignature",
    "CorruptPackage",
    "MissingSignature",
    "NewerVersion",
    "NotAPackage",
    "Package",
    "PackageError",
    "TfliteFile",
    "TooLarge",
    "Truncated",
    "decode",
    "encode_model",
    "encode_tflite",
    "inspect",
    "signer",
]
