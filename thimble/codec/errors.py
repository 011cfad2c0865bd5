"""What can be wrong with a package. Every error is the user's bad input: exit code 2."""

from thimble.stage import BadInput

__all__ = [
    "BadChecksum",
    "BadSignature",
    "CorruptPackage",
    "MissingSignature",
    "NewerVersion",
    "NotAPackage",
    "PackageError",
    "TooLarge",
    "Truncated",
]


class PackageError(BadInput):
    """A package cannot be decoded; nothing of it is returned."""


class NotAPackage(PackageError):
    """The bytes do not start with the magic of a `.thimble` file."""


class NewerVersion(PackageError):
    """The package needs a newer reader."""


class Truncated(PackageError):
    """The package ends before its header says."""


class BadChecksum(PackageError):
    """Bytes changed after the package was written."""


class CorruptPackage(PackageError):
    """The package breaks a rule of the format although its checksums may hold."""


class TooLarge(PackageError):
    """The package declares more data than the caller allows."""


class MissingSignature(PackageError):
    """A signature was demanded, but the package is not signed."""


class BadSignature(PackageError):
    """The signature does not verify, or its key is not a trusted one."""
