"""Signed statements: a DSSE envelope around JSON, by an Ed25519 key.

Source: DSSE 1.0.2, protocol.md ("PAE" is what is signed) and envelope.md.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from thimble.codec.signing import key_id
from thimble.stage import BadInput

__all__ = ["open_statement", "seal_statement"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
HOW_TO_MAKE = (
    "Make one with `openssl genpkey -algorithm ed25519 -out key.pem`, and its public half with "
    "`openssl pkey -in key.pem -pubout -out key.pub.pem`."
)


def seal_statement(statement: Mapping[str, Any], private_key: Path | None) -> dict[str, Any]:
    """Put a statement into an envelope and sign it.

    Args:
        statement: What is said.
        private_key: PEM file (PKCS #8) of an Ed25519 key; None leaves the envelope unsigned.

    Returns:
        The envelope; equal statements and keys give equal envelopes.

    Raises:
        BadInput: If the file is no such key.
    """
    text = json.dumps(statement, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    payload = text.encode()
    signatures = []
    if private_key:
        key = _private_key(private_key)
        name = key_id(key.public_key().public_bytes_raw())
        signatures.append({"keyid": name, "sig": _text(key.sign(_signed_bytes(payload)))})
    return {"payloadType": PAYLOAD_TYPE, "payload": _text(payload), "signatures": signatures}


def open_statement(envelope: Mapping[str, Any], public_key: Path | None) -> dict[str, Any]:
    """Take a statement out of its envelope.

    Args:
        envelope: As `seal_statement` returns it.
        public_key: PEM file of the Ed25519 key that must have signed it; None checks nothing.

    Raises:
        BadInput: If it is no envelope, that key has not signed it, or the file is no such key.
    """
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        found = [base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]]
        # What it says is read only after the signature was checked.
        if public_key:
            _check(payload, found, _public_key(public_key), str(public_key))
        statement = json.loads(payload)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise BadInput("the statement is no DSSE envelope around JSON. Publish again.") from None
    if not isinstance(statement, dict) or envelope.get("payloadType") != PAYLOAD_TYPE:
        raise BadInput(f"the statement must be of type {PAYLOAD_TYPE}. Publish again.")
    return statement


def _check(
    payload: bytes, signatures: list[bytes], key: ed25519.Ed25519PublicKey, name: str
) -> None:
    """Refuse a payload that a key has not signed."""
    for signature in signatures:
        try:
            key.verify(signature, _signed_bytes(payload))
            return
        except InvalidSignature:
            continue
    state = "no signature" if not signatures else "signatures that this key has not made"
    raise BadInput(
        f"the statement must be signed by {name}. Received: {state}. Publish with "
        "THIMBLE_SIGNING_KEY set to its private half."
    )


def _signed_bytes(payload: bytes) -> bytes:
    """The pre-authentication encoding: what kind of payload it is gets signed along."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _text(data: bytes) -> str:
    """Base64, as text."""
    return base64.b64encode(data).decode()


def _private_key(file: Path) -> ed25519.Ed25519PrivateKey:
    """Read a private key; what is in the file never reaches an error text."""
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BadInput(
            f"{file} cannot be read or holds no Ed25519 private key without a password. "
            f"{HOW_TO_MAKE}"
        )
    return key


def _public_key(file: Path) -> ed25519.Ed25519PublicKey:
    """Read a public key."""
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BadInput(f"{file} holds no Ed25519 public key. {HOW_TO_MAKE}")
    return key
