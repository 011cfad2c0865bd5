"""Ed25519 signatures of packages (SPEC.md, section 1)."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from thimble.codec.errors import BadSignature, MissingSignature
from thimble.stage import BadInput

__all__ = ["KEY_ID_BYTES", "SIGNATURE_BYTES", "Sign", "check_signature", "key_id", "signer"]

KEY_ID_BYTES = 8
SIGNATURE_BYTES = KEY_ID_BYTES + 64
# It keeps a signature of a package from meaning anything else.
_CONTEXT = b"thimble package 2"

Sign = Callable[[bytes], bytes]


def key_id(public_key: bytes) -> str:
    """Return the id of a raw Ed25519 public key, 16 hexadecimal digits."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_BYTES].hex()


def signer(private_key: Path) -> Sign:
    """Return the function that signs digests with a private key.

    Args:
        private_key: A PEM file (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        BadInput: If it is not an Ed25519 key without a password.
    """
    key = _load(private_key, lambda data: serialization.load_pem_private_key(data, password=None))
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BadInput(f"{private_key} holds no Ed25519 private key. {_HOW_TO_MAKE}")
    raw = key.public_key().public_bytes_raw()

    def sign(digest: bytes) -> bytes:
        return bytes.fromhex(key_id(raw)) + bytes(key.sign(_CONTEXT + digest))

    return sign


def check_signature(signature: bytes | None, digest: bytes, trusted: Iterable[Path]) -> str:
    """Check that one of the trusted keys signed a digest.

    Args:
        signature: Key id and signature, or None if the package is not signed.
        digest: Of the package.
        trusted: PEM files of Ed25519 public keys.

    Returns:
        The id of the key.

    Raises:
        MissingSignature: If there is no signature.
        BadSignature: If no trusted key has made it.
        BadInput: If a key file is not an Ed25519 public key.
    """
    keys = {}
    for path in trusted:
        key = _public_key(path)
        keys[key_id(key.public_bytes_raw())] = key
    if signature is None:
        raise MissingSignature(
            f"The package is not signed. Expected a signature by {', '.join(keys)}. Sign it with "
            "`thimble encode --sign KEY`, or ask its maker for the signed one."
        )
    name = signature[:KEY_ID_BYTES].hex()
    if name not in keys:
        raise BadSignature(
            f"The package is signed by key {name}. Expected one of {', '.join(keys)}."
        )
    try:
        keys[name].verify(signature[KEY_ID_BYTES:], _CONTEXT + digest)
    except InvalidSignature:
        raise BadSignature(
            f"The signature by key {name} does not verify: package or signature were changed."
        ) from None
    return name


_HOW_TO_MAKE = (
    "Make one with `openssl genpkey -algorithm ed25519 -out key.pem`, and its public half with "
    "`openssl pkey -in key.pem -pubout -out key.pub.pem`."
)


def _public_key(path: Path) -> ed25519.Ed25519PublicKey:
    """Return the public key of a PEM file."""
    key = _load(path, serialization.load_pem_public_key)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BadInput(f"{path} holds no Ed25519 public key. {_HOW_TO_MAKE}")
    return key


def _load(path: Path, load: Callable[[bytes], object]) -> object:
    """Read a key file; what is in it never reaches an error text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}). {_HOW_TO_MAKE}") from None
    try:
        return load(data)
    except (ValueError, TypeError):
        raise BadInput(f"{path} is no PEM key without a password. {_HOW_TO_MAKE}") from None
