"""The decoder that was written from SPEC.md alone agrees with ours, bit for bit."""

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference_decoder as reference
from tests import reference_streams
from tests.attacks.make import EXPECTED, FOLDER
from tests.thimble.codec.making import (
    WRITTEN,
    alike_down_columns,
    gaps_in_bursts,
    made_for,
    one,
    parts_of,
    quantized,
    scaled_weights,
    seal,
    tflite_file,
    values_in_turns,
)
from thimble.codec import (
    Package,
    PackageError,
    decode,
    encode_model,
    encode_tflite,
    inspect,
    signer,
)
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


def channels_of_many_widths():
    """Return indices and codebook of a layer whose channels differ, so that grouping them pays."""
    rng = np.random.default_rng(8)
    integers = np.rint(rng.laplace(0, 1, (300, 16)) * np.linspace(1, 60, 16)).clip(-100, 100)
    return (integers + 100).astype(np.uint8), np.linspace(-12.5, 12.5, 201, dtype=np.float32)


def test_groups_of_the_first_and_of_the_last_dimension():
    indices, book = channels_of_many_widths()
    tensors, constraints = {"own": book[indices]}, {}
    for name, array in (("last", indices), ("first", indices.T)):
        tensors[name] = book[array]
        constraints |= {f"{name}.indices": array, f"{name}.codebook": book}
        constraints[f"{name}.mask"] = (book[array] != 0).astype(np.uint8)
    package = encode_model(Weights({}, tensors, constraints))
    assert {row["kind"] for row in inspect(package)["tensors"]} == {"dense-grouped"}
    agree(package)


def with_indices(indices, book):
    constraints = {"t.indices": indices, "t.codebook": book}
    return one(book[indices], constraints | {"t.mask": (book[indices] != 0).astype(np.uint8)})


@pytest.mark.parametrize("entries", [2, 9, 64])
def test_rows_that_go_column_by_column(entries):
    indices, book = alike_down_columns(np.random.default_rng(11), entries=entries)
    for weights in (one(book[indices]), one(indices), with_indices(indices, book)):
        package = encode_model(weights)
        assert Package(package).index["tensors"][0]["columns"] == 120
        agree(package)


def test_groups_of_a_row_that_goes_column_by_column():
    rng = np.random.default_rng(12)
    indices, _ = alike_down_columns(rng)
    wide = np.rint(rng.laplace(0, 1, (300, 120)) * np.linspace(1, 20, 120)).clip(-31, 32)
    package = encode_model(one(np.where(indices == 4, 0, wide).astype(np.int8)))
    row = Package(package).index["tensors"][0]
    assert (row["kind"], row["columns"]) == ("gap-grouped", 120)
    agree(package)


@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if not kind.endswith("scaled")])
def test_each_kind_column_by_column(kind):
    array = made_for(kind)
    index, rows, pool = parts_of(encode_model(one(array)))
    columns = 4 if array.size % 5 else 5
    index["tensors"][0] |= {"columns": columns, "stored": len(rows[0])}
    package = seal(index, [(rows[0], kind == "dense-raw")], pool=pool)
    agree(package)
    assert decode(package).tensors["t"].tobytes() == array.reshape(columns, -1).T.tobytes()


@pytest.fixture
def contexts(monkeypatch):
    """The alphabet and thresholds of each stream with contexts that the reference reads."""
    seen, read_contexts = [], reference_streams.read_contexts

    def spy(cursor, m, total):
        thresholds, curves = read_contexts(cursor, m, total)
        seen.append((m, len(thresholds)))
        return thresholds, curves

    monkeypatch.setattr(reference_streams, "read_contexts", spy)
    return seen


def test_gaps_with_contexts(contexts):
    agree(encode_model(one(gaps_in_bursts(np.random.default_rng(13)))))
    assert [m for m, _ in contexts] == [60]


def test_values_with_contexts(contexts):
    indices, book = values_in_turns(np.random.default_rng(14))
    agree(encode_model(one(indices)))
    agree(encode_model(with_indices(indices, book)))
    assert len(contexts) == 2
    bits = np.repeat(np.arange(40) % 2 * 0xC1, 100) ^ np.random.default_rng(15).integers(0, 8, 4000)
    agree(encode_model(one((bits + 256 * (bits & 1)).astype(np.uint16))))
    assert len(contexts) > 2


def test_changed_streams_with_contexts_mean_the_same_to_both(contexts):
    rng = np.random.default_rng(16)
    index, (row,), pool = parts_of(encode_model(one(gaps_in_bursts(rng, 600))))
    for place in range(60):
        damaged = bytearray(row)
        damaged[place] ^= 1 << rng.integers(8)
        means_the_same_to_both(seal(index, [bytes(damaged)], pool=pool))
    assert len(contexts) > 10


def test_one_two_and_four_states(monkeypatch):
    seen, decode_rans = set(), reference_streams.decode_rans

    def spy(cursor, tables, thresholds, count, states):
        seen.add(states)
        return decode_rans(cursor, tables, thresholds, count, states)

    monkeypatch.setattr(reference_streams, "decode_rans", spy)
    rng = np.random.default_rng(9)
    for size in (100, 1000, 3000, 10_000, 60_000):
        agree(encode_model(one(np.rint(rng.laplace(0, 20, size)).clip(-127, 127).astype(np.int8))))
    assert seen == {1, 2, 4}


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


def test_buffers_column_by_column_and_with_contexts(contexts):
    rng = np.random.default_rng(17)
    indices, book = alike_down_columns(rng)
    arrays = {"a": book[indices], "b": indices, "c": gaps_in_bursts(rng), "d": rng.bytes(5000)}
    arrays["d"] = np.frombuffer(arrays["d"], np.uint8).reshape(50, 100)
    data = tflite_file(arrays)
    package = encode_tflite(data, {}, "x")
    index, rows, pool = parts_of(package)
    assert [row.get("columns") for row in index["buffers"]] == [None, 120, 120, None, None]
    assert decode(package).data == data
    agree(package)
    assert contexts
    # A plain row that is aligned may be turned, too.
    for entry, stored in zip(index["buffers"], rows, strict=True):
        entry["stored"] = len(stored)
    index["buffers"][-1]["columns"] = 100
    rows[-1] = arrays["d"].T.tobytes()
    turned = seal(index, [*rows[:-1], (rows[-1], True)], kind=2, pool=pool)
    assert decode(turned).data == data
    agree(turned)


@pytest.mark.parametrize(("tensors", "kind"), [(40, "lzma"), (1, "deflate")])
def test_skeletons_of_either_kind(tensors, kind):
    names = [f"model/block_{number}/conv/kernel" for number in range(tensors)]
    package = encode_tflite(tflite_file({name: np.zeros(2, np.int8) for name in names}), {}, "x")
    assert Package(package).index["buffers"][0]["kind"] == kind
    agree(package)


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


def means_the_same_to_both(package):
    """Check that both decoders refuse a package, or that both give the same."""
    try:
        decode(package)
    except PackageError:
        with pytest.raises(ValueError):
            reference.decode(package)
    else:
        agree(package)


def test_flipped_bits_of_rows_mean_the_same_to_both(small_model):
    index, rows, pool = parts_of(encode_model(small_model))
    for number, row in enumerate(rows):
        for bit in range(8 * len(row)):
            damaged = bytearray(row)
            damaged[bit // 8] ^= 1 << bit % 8
            changed = [*rows[:number], bytes(damaged), *rows[number + 1 :]]
            means_the_same_to_both(seal(index, changed, pool=pool))


@pytest.mark.parametrize("kind", WRITTEN)
def test_changed_rows_of_each_kind_mean_the_same_to_both(kind):
    rng = np.random.default_rng(10)
    index, (row,), pool = parts_of(encode_model(one(made_for(kind))))
    entry = index["tensors"][0]
    for _ in range(12):
        damaged = bytearray(row)
        # The first bytes are the numbers and the tables, where the rules are.
        damaged[rng.integers(min(len(row), 40))] = rng.integers(256)
        index["tensors"] = [entry | {"stored": len(damaged)}]
        plain = kind == "dense-raw"
        means_the_same_to_both(seal(index, [(bytes(damaged), plain)], pool=pool))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_attacks_mean_to_the_reference_what_their_manifest_says(name):
    package = (FOLDER / f"{name}.thimble").read_bytes()
    # It parses signatures but does not verify them.
    if EXPECTED[name] in ("MissingSignature", "BadSignature"):
        reference.decode(package, 64 << 20)
    else:
        with pytest.raises(ValueError):
            reference.decode(package, 64 << 20)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 40), st.integers(1, 500))
def test_any_codebook_and_sparsity(seed, sparsity, entries, size):
    rng = np.random.default_rng(seed)
    indices, book = quantized(rng, size, sparsity, entries)
    constraints = {"t.indices": indices, "t.codebook": book}
    agree(encode_model(one(book[indices], constraints)))
    agree(encode_model(one(book[indices])))
