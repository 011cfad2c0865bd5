"""Signatures: who signed is checked, and keys never reach an error text."""

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from tests.thimble.codec.making import tflite_file
from thimble.codec import (
    BadChecksum,
    BadSignature,
    MissingSignature,
    Package,
    Truncated,
    decode,
    encode_model,
    encode_tflite,
    inspect,
    signer,
)
from thimble.stage import BadInput

PEM = serialization.Encoding.PEM


def private_pem(key, password=None):
    hidden = serialization.NoEncryption()
    if password:
        hidden = serialization.BestAvailableEncryption(password)
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden)


def public_pem(key):
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def keys(tmp_path):
    """Two key pairs: paths of private and public PEM files, and the raw public key."""
    made = []
    for number in range(2):
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)
        private, public = tmp_path / f"{number}.pem", tmp_path / f"{number}.pub.pem"
        private.write_bytes(private_pem(key))
        public.write_bytes(public_pem(key))
        made.append((private, public, key.public_key().public_bytes_raw()))
    return made


@pytest.fixture
def signed(small_model, keys):
    """A package that the first key signed."""
    return encode_model(small_model, signer(keys[0][0]))


def test_a_signed_package_comes_back(signed, small_model, keys, same):
    assert same(decode(signed), small_model)
    assert same(decode(signed, trusted=[keys[0][1]]), small_model)
    assert same(decode(signed, trusted=[keys[1][1], keys[0][1]]), small_model)


def test_the_bytes_of_a_signature(signed, small_model, keys):
    plain = encode_model(small_model)
    assert len(signed) == len(plain) + 72
    assert signed[11] == 1 and plain[11] == 0
    digest, name, signature = signed[-104:-72], signed[-72:-64], signed[-64:]
    raw = keys[0][2]
    assert digest == hashlib.sha256(signed[:-104]).digest()
    assert name == hashlib.sha256(raw).digest()[:8]
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    public.verify(signature, b"thimble package 2" + digest)


def test_inspect_and_open_say_who_signed(signed, keys, tmp_path):
    name = hashlib.sha256(keys[0][2]).hexdigest()[:16]
    found = inspect(signed)
    assert found["signed_by"] == name
    assert found["sections"]["signature"] == 72
    assert sum(found["sections"].values()) == len(signed)
    assert Package(signed).signed_by is None  # nobody asked
    assert Package(signed, trusted=[keys[0][1]]).signed_by == name
    path = tmp_path / "model.thimble"
    path.write_bytes(signed)
    with Package.open(path, trusted=[keys[0][1]]) as package:
        assert package.signed_by == name


def test_equal_content_and_key_give_equal_bytes(signed, small_model, keys):
    assert encode_model(small_model, signer(keys[0][0])) == signed
    assert encode_model(small_model, signer(keys[1][0])) != signed


def test_tflite_files_are_signed_too(keys, rng_weights):
    package = encode_tflite(rng_weights, {}, "x", signer(keys[0][0]))
    assert decode(package, trusted=[keys[0][1]]).data == rng_weights


@pytest.fixture
def rng_weights():
    """A TFLite file."""
    import numpy as np

    return tflite_file({"a": np.arange(100, dtype=np.float32)})


def test_a_signature_is_missing(small_model, keys):
    with pytest.raises(MissingSignature, match="not signed"):
        decode(encode_model(small_model), trusted=[keys[0][1]])


def test_a_key_that_nobody_trusts(signed, keys):
    with pytest.raises(BadSignature, match="signed by key"):
        decode(signed, trusted=[keys[1][1]])


def test_the_flag_taken_away(signed, small_model, keys, same):
    # The digest covers the flag, so that whoever strips a signature must make an unsigned package.
    stripped = bytearray(signed[:-104])
    stripped[11] = 0
    with pytest.raises(BadChecksum):
        decode(bytes(stripped) + signed[-104:], trusted=[keys[0][1]])
    unsigned = encode_model(small_model)
    assert same(decode(unsigned), small_model)
    with pytest.raises(MissingSignature):
        decode(unsigned, trusted=[keys[0][1]])


@pytest.mark.parametrize("place", [-1, -64, -33], ids=["last byte", "first byte", "middle"])
def test_an_altered_signature(signed, keys, place):
    altered = bytearray(signed)
    altered[place] ^= 1
    assert decode(bytes(altered))  # nobody asked
    with pytest.raises(BadSignature, match="does not verify"):
        decode(bytes(altered), trusted=[keys[0][1]])


def test_an_altered_key_id(signed, keys):
    altered = bytearray(signed)
    altered[-72] ^= 1
    with pytest.raises(BadSignature, match="Expected one of"):
        decode(bytes(altered), trusted=[keys[0][1]])


def test_another_packages_signature(signed, model, keys):
    other = encode_model(model, signer(keys[0][0]))
    with pytest.raises(BadSignature, match="does not verify"):
        decode(other[:-72] + signed[-72:], trusted=[keys[0][1]])


def test_an_altered_digest_and_content(signed, keys):
    for place in (-104, -73, 60):
        altered = bytearray(signed)
        altered[place] ^= 1
        with pytest.raises(BadChecksum):
            decode(bytes(altered), trusted=[keys[0][1]])
    # Whoever repairs the digest cannot repair the signature.
    altered = bytearray(signed)
    altered[9] = 1  # the minor version
    import zlib

    pool = Package(signed).header.body
    altered[36:40] = zlib.crc32(altered[40:pool], zlib.crc32(altered[:36])).to_bytes(4, "little")
    altered[-104:-72] = hashlib.sha256(altered[:-104]).digest()
    assert decode(bytes(altered))
    with pytest.raises(BadSignature, match="does not verify"):
        decode(bytes(altered), trusted=[keys[0][1]])


def test_a_signed_package_that_ends_early(signed):
    for size in range(len(signed) - 110, len(signed)):
        with pytest.raises(Truncated):
            decode(signed[:size])


def test_open_checks_the_digest_where_a_signature_is_demanded(signed, keys, tmp_path):
    altered = bytearray(signed)
    altered[-105] ^= 1  # the last byte of the last row
    path = tmp_path / "model.thimble"
    path.write_bytes(altered)
    with Package.open(path) as package:
        assert package.names
    with pytest.raises(BadChecksum, match="SHA-256"):
        Package.open(path, trusted=[keys[0][1]])


def bad_keys():
    ed = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
    other = x25519.X25519PrivateKey.from_private_bytes(b"\x05" * 32)
    secret = private_pem(ed)
    return {
        "empty": b"",
        "text": b"SECRET-TEXT",
        "cut": secret[: len(secret) // 2],
        "password": private_pem(ed, b"SECRET-PASSWORD"),
        "another kind": private_pem(other),
        "public": public_pem(ed),
        "raw": b"\x05" * 32,
    }


@pytest.mark.parametrize("name", bad_keys())
def test_files_that_are_no_private_key(tmp_path, name):
    path, content = tmp_path / "key.pem", bad_keys()[name]
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"openssl genpkey") as caught:
        signer(path)
    assert_no_secret(caught, content)


@pytest.mark.parametrize("name", [*bad_keys(), "private"])
def test_files_that_are_no_public_key(signed, tmp_path, keys, name):
    path = tmp_path / "key.pem"
    content = keys[0][0].read_bytes() if name == "private" else bad_keys()[name]
    path.write_bytes(content)
    if name == "public":
        with pytest.raises(BadSignature):
            decode(signed, trusted=[path])
        return
    with pytest.raises(BadInput, match="openssl") as caught:
        decode(signed, trusted=[path])
    assert_no_secret(caught, content)


def assert_no_secret(caught, content):
    """No piece of a key file may be in an error, nor in what it was raised from."""
    text = str(caught.value) + repr(caught.value.__cause__)
    lines = [line for line in content.split(b"\n") if len(line) > 8 and b"-----" not in line]
    assert not any(line.decode("latin-1") in text for line in lines)
    assert "SECRET" not in text


def test_a_key_file_that_is_not_there(signed, tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        signer(tmp_path / "none.pem")
    with pytest.raises(BadInput, match="cannot be read"):
        decode(signed, trusted=[tmp_path / "none.pem"])
    with pytest.raises(BadInput, match="cannot be read"):
        signer(tmp_path)
