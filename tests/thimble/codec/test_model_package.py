"""Models in packages: bit-exact, deterministic, each tensor in its cheapest kind."""

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.thimble.codec.making import one
from thimble.codec import decode, encode_model, inspect
from thimble.stage import BadInput
from thimble.weights import Weights


def test_a_model_comes_back_bit_for_bit(model, same):
    assert same(decode(encode_model(model)), model)


def test_equal_content_gives_equal_bytes(model):
    again = dataclasses.replace(
        model,
        constraints=dict(reversed(model.constraints.items())),
        preprocessing=dict(reversed(model.preprocessing.items())),
        history=[{"stage": "train"}],
    )
    assert encode_model(model) == encode_model(again)


def test_each_tensor_takes_its_cheapest_values(model):
    kinds = {row["name"]: row["kind"] for row in inspect(encode_model(model))["tensors"]}
    values = {
        name: kind.split("-")[1].replace("grouped", "codebook") for name, kind in kinds.items()
    }
    assert values == {
        "sparse/kernel": "codebook",
        "dense/kernel": "codebook",
        "pruned/kernel": "planes",
        "noise/kernel": "raw",
        "float/kernel": "planes",
        "scaled/kernel": "scaled",
        "bias": "raw",
        "scale": "half",
        "pruned/kernel.mask": "codebook",
    }
    assert kinds["pruned/kernel"] == "gap-planes"


def test_a_mask_that_equals_the_kept_weights_takes_no_bytes():
    tensor = np.zeros(4000, np.float32)
    tensor[::9] = 1.0
    plain = encode_model(one(tensor))
    masked = encode_model(one(tensor, {"t.mask": (tensor != 0).astype(np.uint8)}))
    assert len(masked) - len(plain) < 12


def test_ninety_percent_zeros_and_32_centroids_take_less_than_a_bit():
    rng = np.random.default_rng(3)
    codebook = np.linspace(-1, 1, 33).astype(np.float32)
    indices = np.clip(np.round(rng.laplace(16, 4, 200_000)), 0, 32).astype(np.uint8)
    indices[rng.random(200_000) < 0.89] = 16
    package = encode_model(one(codebook[indices], {"t.indices": indices, "t.codebook": codebook}))
    counts = np.bincount(indices)
    shares = counts[counts > 0] / indices.size
    entropy = -(shares * np.log2(shares)).sum()
    assert 8 * len(package) / indices.size < 1.04 * entropy


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.zeros((), np.float32),
        np.array(-0.0, np.float32),
        np.zeros((5, 7), np.float32),
        np.full((300,), np.float32(0.1)),
        np.array([0.0, -0.0] * 500, np.float32),
        np.array([0x7FC00000, 0x7F800001, 0xFFC12345, 0x7F800000] * 50, "<u4").view("<f4"),
        np.array([1, 0x80000001, 0x00400000] * 99, "<u4").view("<f4"),
        np.arange(-300, 300, dtype=np.int64),
        np.arange(70_000, dtype=np.uint16),
        np.asfortranarray(np.arange(12, dtype=np.float64).reshape(3, 4)),
        np.arange(20, dtype=">f4"),
    ],
    ids=[
        "empty", "scalar", "negative zero", "all zero", "constant", "both zeros", "NaN payloads",
        "subnormal", "int64", "uint16", "column major", "big-endian",
    ],
)  # fmt: skip
def test_every_bit_pattern_survives(array):
    found = decode(encode_model(one(array))).tensors["t"]
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    assert (found.shape, found.dtype.name) == (array.shape, array.dtype.name)
    assert found.tobytes() == little.tobytes()


def test_an_all_zero_tensor_takes_a_byte():
    row = inspect(encode_model(one(np.zeros((100, 100), np.float32))))["tensors"][0]
    assert row["bytes"] <= 4
    assert row["sparsity"] == 1.0


def test_indices_and_codebook_come_back_as_they_were(same):
    # Unused and equal entries, a codebook out of order, 16-bit indices of few entries.
    codebook = np.array([0.5, 0.0, 0.5, -1.0, 7.0], np.float32)
    indices = np.random.default_rng(0).choice([0, 1, 1, 1, 2, 3], (30, 40)).astype(np.uint16)
    weights = one(codebook[indices], {"t.indices": indices, "t.codebook": codebook})
    assert same(decode(encode_model(weights)), weights)


@pytest.mark.parametrize("entries", [300, 40_000])
def test_large_codebooks(entries, same):
    codebook = np.random.default_rng(0).normal(size=entries).astype(np.float32)
    indices = np.arange(entries, dtype=np.uint16)
    weights = one(codebook[indices], {"t.indices": indices, "t.codebook": codebook})
    assert same(decode(encode_model(weights)), weights)


def test_a_codebook_of_an_empty_tensor(same):
    constraints = {"t.indices": np.zeros((0, 2), np.uint8), "t.codebook": np.zeros(0, np.float32)}
    weights = one(np.zeros((0, 2), np.float32), constraints)
    assert same(decode(encode_model(weights)), weights)


@pytest.mark.parametrize(
    "constraints",
    [
        {"t.indices": np.zeros(10, np.uint8)},
        {"t.codebook": np.zeros(3, np.float32)},
        {"other.indices": np.zeros(3, np.uint8), "other.codebook": np.ones(1, np.float32)},
        {"t.mask": np.ones(10, np.uint8)},
        {"t.mask": np.ones(10, np.float32)},
        {"t.signs": np.ones((2, 5), np.int8), "rank": np.array(3, np.int32)},
        {"t.mask": np.ones(10, np.uint8), "u": np.zeros((0, 4), np.int16)},
    ],
    ids=",".join,
)
def test_other_constraints_are_kept_as_arrays(constraints, same):
    weights = one(np.linspace(0, 1, 10, dtype=np.float32), constraints)
    assert same(decode(encode_model(weights)), weights)


GOOD = {"indices": np.array([0, 1], np.uint8), "codebook": np.array([0.5, 2], np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebook": np.array([0.5, 3], np.float32)}, "differs from the tensor"),
        ({"codebook": np.array([0.5], np.float32)}, "do not fit"),
        ({"codebook": np.array([0.5, 2] + [0] * 255, np.float32)}, "do not fit"),
        ({"codebook": np.array([[0.5, 2]], np.float32)}, "do not fit"),
        ({"codebook": np.array([0.5, 2])}, "do not fit"),
        ({"indices": np.array([[0, 1]], np.uint8)}, "do not fit"),
        ({"indices": np.array([0, 1], np.int64)}, "do not fit"),
    ],
)
def test_a_codebook_that_does_not_give_its_tensor_is_refused(change, message):
    found = {f"t.{name}": array for name, array in {**GOOD, **change}.items()}
    with pytest.raises(BadInput, match=message):
        encode_model(one(np.array([0.5, 2], np.float32), found))


def test_a_zero_of_the_other_sign_is_a_difference():
    found = {"t.indices": np.zeros(1, np.uint8), "t.codebook": np.array([0.0], np.float32)}
    with pytest.raises(BadInput, match="differs"):
        encode_model(one(np.array([-0.0], np.float32), found))


def test_what_json_or_the_format_cannot_hold_is_refused():
    with pytest.raises(BadInput, match="dtype complex64"):
        encode_model(one(np.zeros(3, np.complex64)))
    for value in (float("nan"), {1, 2}, "\ud800"):
        with pytest.raises(BadInput, match="plain JSON"):
            encode_model(Weights({"config": value}, {}))


def test_a_name_that_is_empty_and_a_shape_too_deep_are_refused():
    with pytest.raises(BadInput, match="a name"):
        encode_model(Weights({}, {"": np.zeros(3, np.float32)}))
    with pytest.raises(BadInput, match="a name"):
        encode_model(Weights({}, {}, {"": np.zeros(3, np.uint8)}))
    with pytest.raises(BadInput, match="33 dimensions"):
        encode_model(one(np.zeros((1,) * 33, np.float32)))
    assert decode(encode_model(one(np.zeros((1,) * 32, np.float32)))).tensors["t"].ndim == 32


@pytest.mark.parametrize("value", [0.0, -0.0, 2.0, np.nan])
def test_the_mask_of_a_scalar_is_an_array(value):
    mask = np.array(value != 0, np.uint8)
    found = decode(encode_model(one(np.array(value, np.float32), {"t.mask": mask})))
    assert type(found.constraints["t.mask"]) is np.ndarray
    assert found.constraints["t.mask"].tobytes() == mask.tobytes()
    assert found.constraints["t.mask"].shape == ()


def test_a_model_without_tensors(same):
    assert same(decode(encode_model(Weights({}, {}))), Weights({}, {}))


FEW = st.sampled_from([0.0, -0.0, 0.5, -1.25, float("nan"), 1e-40, 3e38])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5).filter(lambda name: name.isprintable()),
        st.one_of(
            hnp.arrays(np.uint32, SHAPES).map(lambda found: found.view(np.float32)),
            hnp.arrays(np.float32, SHAPES, elements=FEW.map(np.float32)),
            hnp.arrays(st.sampled_from([np.int8, np.uint8, np.float16, np.int32]), SHAPES),
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back(tensors):
    found = decode(encode_model(Weights({}, tensors))).tensors
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        assert found[name].tobytes() == array.tobytes()
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)


def test_inspect_accounts_for_every_byte(model):
    package = encode_model(model)
    found = inspect(package)
    assert (found["kind"], found["version"], found["bytes"]) == ("model", "2.0", len(package))
    assert sum(found["sections"].values()) == len(package)
    assert found["digest"] == hashlib.sha256(package[:-32]).hexdigest()
    assert found["signed_by"] is None and not found["verified"]
    around = ("header", "index", "checksums", "pool", "digest")
    outside = sum(found["sections"].get(name, 0) for name in around)
    padding = len(package) - outside - sum(row["bytes"] for row in found["tensors"])
    assert 0 <= padding < 64
    sparse = found["tensors"][0]
    assert sparse["shape"] == [3, 3, 16, 20]
    assert sparse["codebook"] == 9
    assert sparse["sparsity"] == pytest.approx(1 - np.mean(model.tensors["sparse/kernel"] != 0))
    assert sparse["bits_per_weight"] == pytest.approx(8 * sparse["bytes"] / 2880)


def test_a_small_u_net_spends_few_bytes_beside_its_streams():
    rng = np.random.default_rng(5)
    tensors, constraints, channels = {}, {}, 1
    widths = [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 32, 32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2]
    for number, width in enumerate(widths):
        name, shape = f"conv_d{number}_a", (3, 3, channels, width)
        codebook = np.sort(np.append(rng.normal(size=31), 0)).astype(np.float16).astype(np.float32)
        indices = rng.integers(0, 32, shape).astype(np.uint8)
        indices[rng.random(shape) < 0.9] = int(np.flatnonzero(codebook == 0)[0])
        tensors[f"{name}/kernel"] = codebook[indices]
        tensors[f"{name}/bias"] = rng.normal(size=width).astype(np.float32)
        constraints[f"{name}/kernel.indices"] = indices
        constraints[f"{name}/kernel.codebook"] = codebook
        channels = width
    sections = inspect(encode_model(Weights({}, tensors, constraints)))["sections"]
    overhead = sum(sections.values()) - sections["streams"] - sections["codebooks"]
    assert overhead <= 1200
