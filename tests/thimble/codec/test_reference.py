"""The decoder that was written from SPEC.md alone agrees with ours, bit for bit."""

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference_decoder as reference
from tests.thimble.codec.making import (
    WRITTEN,
    made_for,
    one,
    parts_of,
    quantized,
    scaled_weights,
    seal,
    tflite_file,
)
from thimble.codec import PackageError, decode, encode_model, encode_tflite, inspect, signer
from thimble.codec.kinds import DTYPES
from thimble.weights import Weights


def agree(package):
    """Check that both decoders give the same."""
    ours, theirs = decode(package), reference.decode(package)
    assert ours.preprocessing == theirs.preprocessing
    if isinstance(theirs, reference.ReferenceTflite):
        assert (ours.data, ours.name) == (theirs.data, theirs.name)
        return
    assert ours.architecture == theirs.architecture
    assert list(ours.tensors) == list(theirs.tensors)
    for found, expected in (
        (ours.tensors, theirs.tensors),
        (ours.constraints, theirs.constraints),
    ):
        assert found.keys() == expected.keys()
        for name, array in found.items():
            other = expected[name]
            assert (array.dtype, array.shape) == (other.dtype, other.shape), name
            assert array.tobytes() == other.tobytes(), name


def test_a_model_of_all_kinds(model):
    agree(encode_model(model))


@pytest.mark.parametrize("kind", WRITTEN)
def test_each_kind(kind):
    package = encode_model(one(made_for(kind)))
    assert inspect(package)["tensors"][0]["kind"] == kind
    agree(package)


def test_shared_tables(pooled_model):
    package = encode_model(pooled_model)
    assert inspect(package)["sections"]["pool"]
    agree(package)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_dtype(dtype):
    rng = np.random.default_rng(1)
    arrays = [np.frombuffer(rng.bytes(DTYPES[dtype] * 60), dtype), np.zeros((0, 3), dtype)]
    arrays += [rng.choice(arrays[0], (7, 30)), np.zeros((), dtype), np.full((3, 50), arrays[0][0])]
    agree(encode_model(Weights({}, {str(n): array for n, array in enumerate(arrays)})))


def test_wide_alphabets_and_four_states():
    rng = np.random.default_rng(2)
    book = rng.normal(size=9000).astype(np.float32)
    indices = (rng.random(30_000) ** 3 * 9000).astype(np.uint16)
    package = encode_model(one(book[indices], {"t.indices": indices, "t.codebook": book}))
    agree(package)


def test_binary_tensors():
    rng = np.random.default_rng(3)
    gaps = np.zeros(11_000, np.float32)
    gaps[np.cumsum(rng.choice([9, 10], 1000) + 1) - 1] = 1
    bitmap = np.repeat(rng.random(1500) < 0.3, 8).astype(np.float32)
    agree(encode_model(Weights({}, {"gaps": gaps, "bitmap": bitmap})))


def test_rows_that_are_mapped():
    rng = np.random.default_rng(4)
    agree(encode_model(Weights({}, {n: np.frombuffer(rng.bytes(5000), "u1") for n in "abc"})))


def test_tflite_files():
    rng = np.random.default_rng(5)
    arrays = {
        "floats": scaled_weights(rng, (20, 30)),
        "few": rng.integers(-3, 3, (3, 3, 7, 11)).astype(np.int8),
        "zeros": np.zeros(500, np.int32),
        "bytes": rng.integers(0, 256, 5000).astype(np.uint8),
    }
    agree(encode_tflite(tflite_file(arrays), {"tile": 3}, "x"))
    agree(encode_tflite(b"\x0c\0\0\0TFL3\x04\0\x04\0\x04\0\0\0", {}, "none"))


def test_signed_packages(tmp_path, small_model):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    package = encode_model(small_model, signer(path))
    agree(package)
    name, signature = reference.decode(package).signature
    assert name + signature == package[-72:]


def test_flipped_bits_of_rows_mean_the_same_to_both(small_model):
    index, rows, pool = parts_of(encode_model(small_model))
    for number, row in enumerate(rows):
        for bit in range(8 * len(row)):
            damaged = bytearray(row)
            damaged[bit // 8] ^= 1 << bit % 8
            package = seal(index, [*rows[:number], bytes(damaged), *rows[number + 1 :]], pool=pool)
            try:
                decode(package)
            except PackageError:
                with pytest.raises(ValueError):
                    reference.decode(package)
            else:
                agree(package)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 40), st.integers(1, 500))
def test_any_codebook_and_sparsity(seed, sparsity, entries, size):
    rng = np.random.default_rng(seed)
    indices, book = quantized(rng, size, sparsity, entries)
    constraints = {"t.indices": indices, "t.codebook": book}
    agree(encode_model(one(book[indices], constraints)))
    agree(encode_model(one(book[indices])))
