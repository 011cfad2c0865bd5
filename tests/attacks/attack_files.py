"""Abuses of the file around the rows: header, checksums, signature (SPEC.md, section 1)."""

import hashlib
import zlib
from typing import Any

from tests.attacks.sealing import SIDES, digested, flipped, listing, model, seal

ABUSES, raises = listing()
KEY_SEED = hashlib.sha256(b"the key that the attacks are signed with").digest()
OTHER_SEED = hashlib.sha256(b"a key that nobody trusts").digest()
_CONTEXT = b"thimble package 2"
_INDEX = 40
_POOL = bytes([3, 2, 1])


def valid() -> bytes:
    """Return a package that nothing is wrong with: a bias of three, a pool of one table."""
    row = {"kind": "dense-raw", "shape": [3]}
    return model((row, bytes.fromhex("0000c03f000010c000004040")), pool=_POOL)


def signed(digest_of: bytes, seed: bytes = KEY_SEED) -> bytes:
    """Return `valid` with a signature of the digest of a package."""
    package = bytearray(valid())
    package[11] = 1
    package[28:36] = (len(package) + 72).to_bytes(8, "little")
    return _repair_front(package) + signature_of(digest_of, seed)


def signature_of(package: bytes, seed: bytes) -> bytes:
    """Return key id and signature of the digest of a package that is not signed yet."""
    key = private_key(seed)
    raw = key.public_key().public_bytes_raw()
    return hashlib.sha256(raw).digest()[:8] + bytes(key.sign(_CONTEXT + package[-32:]))


def private_key(seed: bytes) -> Any:
    """Return an Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _repair_front(package: bytearray) -> bytes:
    """Set CRC-32 and SHA-256 after the header changed; the rows are those of `valid`."""
    front = zlib.crc32(package[_INDEX:-44], zlib.crc32(package[:36]))
    package[36:40] = front.to_bytes(4, "little")
    return digested(bytes(package))


@raises("Truncated", "package ends after")
def file_empty() -> bytes:
    """Not one byte."""
    return b""


@raises("NotAPackage", "not a .thimble package")
def file_text_mode() -> bytes:
    """A copy in text mode made the magic's line end shorter."""
    return valid().replace(b"\r\n", b"\n", 1)


@raises("Truncated", "package ends after")
def file_cut_in_header() -> bytes:
    """The file ends in its header."""
    return valid()[:30]


@raises("Truncated", "package ends after")
def file_cut_in_index() -> bytes:
    """The file ends in its index."""
    return valid()[:90]


@raises("Truncated", "package ends after")
def file_cut_in_row() -> bytes:
    """The file ends in its only row."""
    return valid()[:-38]


@raises("Truncated", "package ends after")
def file_cut_in_digest() -> bytes:
    """The last byte is missing."""
    return valid()[:-1]


@raises("CorruptPackage", "bytes follow the package")
def file_trailing_byte() -> bytes:
    """A byte follows the digest."""
    return valid() + b"\0"


@raises("BadChecksum", "SHA-256")
def flip_row_count() -> bytes:
    """A bit of the number of rows is flipped."""
    return flipped(valid(), 20, 1)


@raises("BadChecksum", "SHA-256")
def flip_index() -> bytes:
    """A bit of the index is flipped."""
    return flipped(valid(), 60)


@raises("BadChecksum", "not match its CRC-32")
def flip_index_new_digest() -> bytes:
    """As before, with a new SHA-256: the CRC-32 of the front must still see it."""
    return digested(flipped(valid(), 60))


@raises("BadChecksum", "not match its CRC-32")
def flip_pool_new_digest() -> bytes:
    """A bit of the pool is flipped, with a new SHA-256."""
    return digested(flipped(valid(), -45))


@raises("BadChecksum", "SHA-256")
def flip_row() -> bytes:
    """A bit of a row is flipped."""
    return flipped(valid(), -40)


@raises("BadChecksum", "not match its CRC-32")
def flip_row_new_digest() -> bytes:
    """As before, with a new SHA-256: the row's CRC-32 must still see it."""
    return digested(flipped(valid(), -40))


@raises("BadChecksum", r"\x1b[2J")
def flip_row_of_escape_codes() -> bytes:
    """As before, and the tensor's name would clear the terminal that shows the message."""
    row = {"name": "\x1b[2J", "kind": "dense-raw", "shape": [1]}
    return digested(flipped(model((row, bytes(4))), -33))


@raises("BadChecksum", "SHA-256")
def flip_digest() -> bytes:
    """A bit of the SHA-256 is flipped."""
    return flipped(valid(), -1)


@raises("CorruptPackage", "never released")
def version_1() -> bytes:
    """Major version 1, which was never released."""
    return seal(SIDES | {"tensors": []}, version=(1, 0))


@raises("NewerVersion", "knows up to")
def version_3() -> bytes:
    """Major version 3; the rest may be anything."""
    return flipped(seal(SIDES | {"tensors": []}, version=(3, 0)), -1)


@raises("NewerVersion", "is unknown")
def version_2_9_unknown_kind() -> bytes:
    """A minor version to come, with a kind of row that is unknown today."""
    row = {"name": "t", "kind": "gap-factors", "shape": [2], "stored": 1, "rank": 3}
    return seal(SIDES | {"tensors": [row]}, [b"\0"], version=(2, 9))


@raises("CorruptPackage", "header says kind")
def header_kind_3() -> bytes:
    """Neither a model nor a TFLite file."""
    return seal(SIDES | {"tensors": []}, kind=3)


@raises("CorruptPackage", "header says kind")
def header_flags() -> bytes:
    """A flag that must be 0."""
    return seal(SIDES | {"tensors": []}, header={"flags": 2})


@raises("CorruptPackage", "are outside the file")
def header_stored_outside() -> bytes:
    """An index of 4 GiB in a file of some hundred bytes."""
    return seal(SIDES | {"tensors": []}, header={"stored": (1 << 32) - 1})


@raises("CorruptPackage", "are outside the file")
def header_rows_outside() -> bytes:
    """The checksums of 2^32 - 1 rows; times 4 they overflow 32 bits."""
    return seal(SIDES | {"tensors": []}, header={"rows": (1 << 32) - 1})


@raises("CorruptPackage", "are outside the file")
def header_pool_outside() -> bytes:
    """A pool that ends one byte after the digest begins."""
    return seal(SIDES | {"tensors": []}, header={"pool": 1})


@raises("Truncated", "package ends after")
def header_total_huge() -> bytes:
    """A file of 2^64 - 1 bytes."""
    return seal(SIDES | {"tensors": []}, header={"total": (1 << 64) - 1})


@raises("CorruptPackage", "are outside the file")
def header_signed_too_short() -> bytes:
    """The signed flag where there is no room for a digest and a signature."""
    package = seal(b"")
    start = package[:11] + b"\1" + package[12:28] + (100).to_bytes(8, "little")
    return (start + package[36:]).ljust(100, b"\0")


@raises("CorruptPackage", "the header says")
def rows_more_than_header() -> bytes:
    """Two rows in the index, one in the header."""
    row = {"name": "t", "kind": "dense-raw", "shape": [1]}
    return seal(SIDES | {"tensors": [row, row | {"name": "u"}]}, [bytes(8)])


@raises("CorruptPackage", "the header says")
def rows_fewer_than_header() -> bytes:
    """One row in the index, two in the header."""
    row = {"name": "t", "kind": "dense-raw", "shape": [1]}
    return seal(SIDES | {"tensors": [row]}, [bytes(4), b""])


@raises("CorruptPackage", "zeros before a plain row")
def padding_not_zero() -> bytes:
    """Something hides in the zeros before a row that is aligned."""
    row = {"name": "t", "kind": "dense-raw", "shape": [1024]}
    index = SIDES | {"tensors": [row]}
    front = len(seal(index, [b""])) - 32
    return seal(index, [(b"hidden".rjust(-front % 64, b"\0"), bytes(4096))])


@raises("MissingSignature", "not signed")
def signature_missing() -> bytes:
    """Not signed where a signature is demanded."""
    return valid()


@raises("BadSignature", "does not verify")
def signature_of_another_package() -> bytes:
    """The signature is by a trusted key, but of another digest."""
    return signed(seal(SIDES | {"tensors": []}))


@raises("BadSignature", "signed by key")
def signature_unknown_key() -> bytes:
    """Signed by a key that nobody trusts."""
    return signed(signed(valid())[:-72], OTHER_SEED)


@raises("BadSignature", "does not verify")
def signature_flipped() -> bytes:
    """A bit of the signature is flipped."""
    return flipped(signed(signed(valid())[:-72]), -1)


@raises("BadChecksum", "SHA-256")
def signature_row_changed() -> bytes:
    """A row was changed after the package was signed."""
    return flipped(signed(signed(valid())[:-72]), -110)
