"""TFLite files in packages: the identical file comes back."""

import copy
import zlib

import numpy as np
import pytest

from tests.thimble.codec.making import parts_of, scaled_weights, seal, tflite_file
from thimble.codec import (
    CorruptPackage,
    PackageError,
    TfliteFile,
    decode,
    encode_tflite,
    inspect,
)
from thimble.codec.tflite import find_buffers
from thimble.stage import BadInput

VARIANTS = ("float32", "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def tflites():
    """A tiny network with few distinct weights, converted as convert does it."""
    import thimble.models  # noqa: F401  (selects the legacy Keras)

    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)

    def weights(*shape):
        kernel = rng.choice([-0.5, 0.25, 1.0], shape)
        return tf.constant(np.where(rng.random(shape) < 0.1, kernel, 0.0), tf.float32)

    first, second = weights(3, 3, 1, 32), weights(3, 3, 32, 32)
    dense = tf.constant(rng.normal(size=(32, 20)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 1), tf.float32)])
    def network(image):
        hidden = tf.nn.relu(tf.nn.conv2d(image, first, 1, "SAME"))
        hidden = tf.nn.relu(tf.nn.conv2d(hidden, second, 1, "SAME"))
        return tf.linalg.matmul(tf.reshape(hidden, (64, 32)), dense)

    made = {}
    for variant in VARIANTS:
        concrete = network.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if variant == "int8":
            patches = rng.normal(size=(4, 1, 8, 8, 1)).astype(np.float32)
            converter.representative_dataset = lambda found=patches: ([p] for p in found)
        made[variant] = bytes(converter.convert())
    return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_identical_file_comes_back(tflites, variant):
    tflite = tflites[variant]
    preprocessing = {"tile": 8, "classes": ["a", "b"]}
    package = encode_tflite(tflite, preprocessing, variant)
    assert decode(package) == TfliteFile(tflite, preprocessing, variant)
    assert package == encode_tflite(tflite, preprocessing, variant)
    assert len(package) < 0.6 * len(tflite)
    found = inspect(package)
    assert sum(found["sections"].values()) == found["bytes"] == len(package)
    around = ("header", "index", "checksums", "pool", "digest", "skeleton")
    outside = sum(found["sections"].get(name, 0) for name in around)
    padding = len(package) - outside - sum(row["bytes"] for row in found["tensors"])
    assert 0 <= padding < 64 * len(found["tensors"])


def test_the_buffers_are_those_of_the_schema(tflites):
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    for tflite in tflites.values():
        model = schema.Model.GetRootAsModel(tflite)
        graph = model.Subgraphs(0)
        tensors = [graph.Tensors(number) for number in range(graph.TensorsLength())]
        named = {tensor.Name().decode(): tensor for tensor in tensors}
        long = {tensor.Buffer() for tensor in tensors}
        long = {number for number in long if model.Buffers(number).DataLength() >= 64}
        found = find_buffers(tflite)
        assert {named[buffer.name].Buffer() for buffer in found} == long
        for buffer in found:
            tensor = named[buffer.name]
            data = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
            assert tflite[buffer.start : buffer.start + buffer.size] == data
            assert buffer.shape == tuple(tensor.ShapeAsNumpy())


def test_few_distinct_values_are_coded_by_a_codebook(tflites):
    for variant in ("float32", "float16", "int8"):
        rows = inspect(encode_tflite(tflites[variant], {}, variant))["tensors"]
        largest = max(rows, key=lambda row: np.prod(row["shape"]))
        assert largest["shape"] == [32, 3, 3, 32]
        assert largest["kind"].endswith(("codebook", "grouped"))
        assert largest["bits_per_weight"] < 1.4


def test_a_damaged_file_is_refused_or_comes_back(tflites):
    tflite = tflites["int8"]
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(tflite)
        for place in rng.integers(0, len(tflite), 3):
            damaged[place] = rng.integers(256)
        damaged = bytes(damaged[: rng.integers(8, len(tflite) + 1)])
        try:
            package = encode_tflite(damaged, {}, "damaged")
        except BadInput:
            continue
        assert decode(package).data == damaged


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL4" + bytes(50)], ids=len)
def test_other_files_are_refused(data):
    with pytest.raises(BadInput, match="TFL3"):
        encode_tflite(data, {}, "x")


def test_buffers_of_every_dtype_come_back():
    rng = np.random.default_rng(2)
    arrays = {
        "floats": rng.normal(size=(30, 40)).astype(np.float32),
        "halves": rng.normal(size=(30, 40)).astype(np.float16),
        "integers": rng.integers(-9, 9, (3, 3, 7, 11)).astype(np.int8),
        "zeros": np.zeros(500, np.int32),
        "bytes": rng.integers(0, 256, 5000).astype(np.uint8),
        "short": np.arange(3, dtype=np.int64),
        "scaled": scaled_weights(rng, (60, 20)),
    }
    tflite = tflite_file(arrays)
    package = encode_tflite(tflite, {"tile": 1}, "made")
    assert decode(package) == TfliteFile(tflite, {"tile": 1}, "made")
    rows = inspect(package)["tensors"]
    # Scales are by the last dimension, so that the row must say it.
    assert rows[-1]["kind"].endswith("scaled")
    assert {row["name"]: tuple(row["shape"]) for row in rows} == {
        name: array.shape for name, array in arrays.items() if name != "short"
    }


def test_a_file_without_weights_comes_back():
    # A root table without fields: its vtable (4 bytes: its own size and the table's) is before it.
    empty = b"\x0c\0\0\0TFL3" + b"\x04\0\x04\0" + b"\x04\0\0\0"
    package = encode_tflite(empty, {}, "none")
    assert decode(package) == TfliteFile(empty, {}, "none")
    assert inspect(package)["tensors"] == []


def tflite_index(**changes):
    data = b"\x0c\0\0\0TFL3\x04\0\x04\0\x04\0\0\0"
    rows = [{"shape": [len(data)], "kind": "dense-raw", "dtype": "uint8"}]
    index = {"name": "x", "preprocessing": {}, "bytes": len(data), "crc": zlib.crc32(data)}
    return index | {"buffers": rows} | changes, data


@pytest.mark.parametrize(
    "change",
    [
        {"bytes": 17},
        {"bytes": 15},
        {"bytes": 1 << 60},
        {"bytes": "16"},
        {"bytes": 7},
        {"crc": 0},
        {"crc": None},
        {"crc": 1 << 32},
        {"name": None},
        {"preprocessing": 3},
        {"buffers": None},
        {"buffers": [{"shape": [4, 4], "kind": "dense-raw", "dtype": "uint8"}]},
        {"buffers": [{"shape": [16], "kind": "dense-raw", "dtype": "int8"}]},
        {"buffers": [{"shape": [4], "kind": "dense-raw"}]},
        {"buffers": [{"shape": [16], "kind": "dense-raw", "dtype": "uint8", "skip": 1}]},
        {"buffers": [{"shape": [16], "kind": "gap-raw", "dtype": "uint8", "stored": 16}]},
        {"buffers": [{"shape": [16], "kind": "dense-raw", "dtype": "uint8", "name": "x"}]},
    ],
    ids=str,
)
def test_tflite_packages_that_break_a_rule(change):
    index, data = tflite_index()
    assert decode(seal(index, [data], kind=2)).data == data
    with pytest.raises(PackageError):
        decode(seal(index | change, [data], kind=2))


def test_tflite_rows_that_do_not_make_the_file():
    tflite = tflite_file({"a": np.arange(100, dtype=np.float32)})
    index, rows, pool = parts_of(encode_tflite(tflite, {}, "x"))
    assert decode(seal(index, rows, kind=2, pool=pool)).data == tflite
    for skip in (0, index["buffers"][1]["skip"] + 1, 1 << 31):
        changed = copy.deepcopy(index)
        changed["buffers"][1]["skip"] = skip
        with pytest.raises(PackageError):
            decode(seal(changed, rows, kind=2, pool=pool))
    with pytest.raises(PackageError):
        decode(seal(index | {"buffers": []}, [], kind=2))


def test_inspect_refuses_a_package_whose_file_is_no_tflite():
    data = b"no flatbuffer at all"
    index, _ = tflite_index(bytes=len(data), crc=zlib.crc32(data))
    index["buffers"][0]["shape"] = [len(data)]
    package = seal(index, [data], kind=2)
    assert decode(package).data == data
    with pytest.raises(CorruptPackage, match="no TFLite"):
        inspect(package)
