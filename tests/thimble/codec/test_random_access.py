"""Open a package and read one tensor, whatever the others are like."""

from pathlib import Path

import numpy as np
import pytest

from tests.thimble.codec.making import alike_down_columns, one, parts_of, seal, tflite_file
from thimble.codec import (
    BadChecksum,
    CorruptPackage,
    NotAPackage,
    Package,
    TooLarge,
    Truncated,
    decode,
    encode_model,
    encode_tflite,
)
from thimble.stage import BadInput
from thimble.weights import Weights


def damaged(path, name):
    """Change a byte of the row of a tensor in a file."""
    data = bytearray(path.read_bytes())
    package = Package(bytes(data))
    row = bytes(package.stored(package.names.index(name)))
    data[bytes(data).rindex(row) + len(row) - 1] ^= 1
    path.write_bytes(data)


def mapped(path):
    return str(path) in Path("/proc/self/maps").read_text()


def test_every_tensor_can_be_read_alone(package_file, model):
    with Package.open(package_file) as package:
        assert package.names == [*model.tensors, "pruned/kernel.mask"]
        for name, tensor in model.tensors.items():
            found = package.tensor(name)
            assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
            assert found.tobytes() == tensor.tobytes()
        mask = package.tensor("pruned/kernel.mask")
        assert np.array_equal(mask, model.constraints["pruned/kernel.mask"])


def test_rows_that_go_column_by_column_can_be_read_alone(tmp_path):
    rng = np.random.default_rng(0)
    indices, book = alike_down_columns(rng)
    plain = np.frombuffer(rng.bytes(6000), np.uint8).reshape(100, 60)
    tensors = {"turned": book[indices], "plain": plain.T.copy(), "last": indices}
    index, rows, pool = parts_of(encode_model(Weights({}, tensors)))
    assert [row.get("columns") for row in index["tensors"]] == [120, None, 120]
    index["tensors"][1] |= {"columns": 60, "shape": [100, 60]}
    path = tmp_path / "model.thimble"
    path.write_bytes(seal(index, [rows[0], (rows[1], True), rows[2]], pool=pool))
    with Package.open(path) as package:
        for name, array in {"last": indices, "plain": plain, "turned": book[indices]}.items():
            found = package.tensor(name)
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.tobytes() == array.tobytes()


def test_damage_elsewhere_does_not_matter_and_here_is_seen(package_file, model):
    damaged(package_file, "float/kernel")
    with Package.open(package_file) as package:
        found = package.tensor("sparse/kernel")
        assert found.tobytes() == model.tensors["sparse/kernel"].tobytes()
        with pytest.raises(BadChecksum, match="float/kernel"):
            package.tensor("float/kernel")
    with pytest.raises(BadChecksum, match="SHA-256"):
        Package.open(package_file, verify=True)
    with pytest.raises(BadChecksum, match="SHA-256"):
        decode(package_file.read_bytes())


def test_damage_to_the_front_is_seen(package_file):
    for place in (10, 37, 45):
        data = bytearray(package_file.read_bytes())
        data[place] ^= 1
        package_file.with_name("damaged").write_bytes(data)
        with pytest.raises((BadChecksum, CorruptPackage)):
            Package.open(package_file.with_name("damaged"))


def test_a_damaged_digest_is_seen_only_by_who_checks_it(package_file):
    data = bytearray(package_file.read_bytes())
    data[-1] ^= 1
    package_file.write_bytes(data)
    with Package.open(package_file) as package:
        assert package.tensor("scale") == np.float32(2.5)
    with pytest.raises(BadChecksum):
        Package.open(package_file, verify=True)


def test_a_tensor_that_is_not_there(package_file):
    with Package.open(package_file) as package:
        with pytest.raises(KeyError, match=r"no tensor 'none'.*sparse/kernel, dense/kernel"):
            package.tensor("none")
        with pytest.raises(KeyError):
            package.tensor("")


def test_buffers_of_a_tflite_file_have_no_names(tmp_path):
    path = tmp_path / "x.thimble"
    tflite = tflite_file({"a": np.arange(100, dtype=np.float32)})
    path.write_bytes(encode_tflite(tflite, {}, "x"))
    with Package.open(path) as package:
        with pytest.raises(KeyError):
            package.tensor("a")
        assert package.decode(1).patterns.tobytes() == np.arange(100, dtype="<f4").tobytes()


def test_large_plain_rows_are_aligned(tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"a": 1023, "b": 1024, "c": 5000, "d": 3, "e": 1500, "f": 1023}
    tensors = {
        name: np.frombuffer(rng.bytes(4 * size), "<u4").astype(np.uint32)
        for name, size in sizes.items()
    }
    data = encode_model(Weights({}, tensors))
    places = {name: data.index(array.tobytes()) for name, array in tensors.items()}
    assert {row.kind for row in Package(data).rows} == {"dense-raw"}
    assert all(places[name] % 64 == 0 for name in ("b", "c", "e"))
    assert places["d"] == places["c"] + 20_000  # the others follow without a gap
    assert places["f"] == places["e"] + 6000
    path = tmp_path / "x.thimble"
    path.write_bytes(data)
    with Package.open(path) as package:
        for number, name in enumerate(tensors):
            stored = np.frombuffer(package.stored(number), np.uint8)
            assert name == "adf"[0] or stored.ctypes.data % 64 == places[name] % 64
        del stored


def test_the_file_is_unmapped(package_file):
    with Package.open(package_file) as package:
        assert mapped(package_file)
        kept = package.tensor("sparse/kernel")
    assert not mapped(package_file)
    assert kept.sum() is not None  # arrays are copies
    with pytest.raises(ValueError, match="released"):
        package.tensor("sparse/kernel")
    package = Package.open(package_file)
    package.close()
    assert not mapped(package_file)


def test_the_file_is_unmapped_after_an_error(package_file):
    damaged(package_file, "float/kernel")
    with pytest.raises(BadChecksum), Package.open(package_file) as package:
        package.tensor("float/kernel")
    del package
    assert not mapped(package_file)
    package_file.write_bytes(b"PK" + bytes(200))
    with pytest.raises(NotAPackage):
        Package.open(package_file)
    assert not mapped(package_file)


def test_a_package_whose_pool_is_shared(tmp_path, pooled_model):
    path = tmp_path / "x.thimble"
    path.write_bytes(encode_model(pooled_model))
    with Package.open(path) as package:
        assert package.header.pool
        for name in reversed(package.names):
            assert np.array_equal(package.tensor(name), pooled_model.tensors[name])
    assert not mapped(path)


def test_files_that_cannot_be_opened(tmp_path, package_file):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            Package.open(path)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(BadInput):
        Package.open(empty)
    cut = tmp_path / "cut"
    cut.write_bytes(package_file.read_bytes()[:-1])
    with pytest.raises(Truncated):
        Package.open(cut)


def test_the_limit_is_that_of_the_caller(tmp_path):
    path = tmp_path / "x.thimble"
    path.write_bytes(encode_model(one(np.zeros(1000, np.float32))))
    with Package.open(path, limit=4000) as package:
        assert package.tensor("t").shape == (1000,)
    with pytest.raises(TooLarge):
        Package.open(path, limit=3999)


def test_other_buffers_than_bytes(package_file, model):
    data = package_file.read_bytes()
    for form in (bytearray(data), memoryview(data), np.frombuffer(data, np.uint8).data):
        assert Package(form).digest == data[-32:].hex()
