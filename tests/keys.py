"""Ed25519 keys as PEM files."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

__all__ = ["write_keys"]


def write_keys(
    private: Path, public: Path, key: ed25519.Ed25519PrivateKey | None = None
) -> tuple[Path, Path]:
    """Write a key, a new one if none is given, and its public half; return both files."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public
