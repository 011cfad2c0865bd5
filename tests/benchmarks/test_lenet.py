"""The LeNet benchmark: its reader of idx files, its split, and its count of bits."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lenet.data import Augmentation, Digits, load_mnist, read_idx, stream_digits
from benchmarks.lenet.networks import LENETS, LenetConfig
from thimble.stage import BadInput


def packed(content: bytes) -> bytes:
    """The same bytes whenever it is called, so that tests have the same names in every process."""
    return gzip.compress(content, mtime=0)


def idx(array: np.ndarray, magic: bytes = b"\0\0\x08") -> bytes:
    """The idx file of an array, not compressed."""
    header = magic + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist_folder(tmp_path: Path) -> Path:
    """Forty training images, each of one grey of its own, and ten test images."""
    for name, count in (("train", 40), ("t10k", 10)):
        images = np.broadcast_to(np.arange(count)[:, None, None], (count, 28, 28))
        labels = np.arange(count) % 10
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(packed(idx(images)))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(packed(idx(labels)))
    return tmp_path


def test_idx_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(packed(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9])))
    assert read_idx(path, 1).tolist() == [7, 0, 9]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none.gz cannot be read"):
        read_idx(tmp_path / "none.gz", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip at all", "cannot be read"),
        (packed(idx(np.zeros(3)))[:-9], "cannot be read"),
        (packed(idx(np.zeros((3, 1)))), "begins with 00 00 08 02"),
        (packed(idx(np.zeros(3), b"\0\0\x0d")), "begins with 00 00 0d 01"),
        (packed(idx(np.zeros(3))[:-1]), "holds 2 values, its header says"),
        (packed(idx(np.zeros(3)) + b"x"), "holds 4 values, its header says"),
        (packed(b"\0\0\x08\x01\0"), "begins with"),
    ],
)
def test_a_broken_file_is_bad_input(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_idx(path, 1)


def test_labels_of_another_length_are_bad_input(mnist_folder: Path) -> None:
    labels = mnist_folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(packed(idx(np.zeros(39))))
    with pytest.raises(BadInput, match="as many labels as images"):
        load_mnist(mnist_folder, 8)


def test_the_split_is_disjoint_whole_and_seeded(mnist_folder: Path) -> None:
    first, again = load_mnist(mnist_folder, 8), load_mnist(mnist_folder, 8)
    other = load_mnist(mnist_folder, 8, seed=1)
    train, held = (
        set(part.images[:, 0, 0, 0].tolist()) for part in (first.train, first.validation)
    )
    assert len(held) == 8
    assert not train & held
    assert train | held == set(range(40))
    assert np.array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert np.array_equal(first.validation.images[:, 0, 0, 0] % 10, first.validation.labels)


def test_a_split_that_leaves_nothing_is_bad_input(mnist_folder: Path) -> None:
    with pytest.raises(BadInput, match="validation=40"):
        load_mnist(mnist_folder, 40)


def test_batches_depend_on_seed_and_step_only() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1)).astype(np.uint8)
    digits = Digits(images, np.arange(12).astype(np.uint8))
    stream = stream_digits(digits, 4, Augmentation(), seed=3)
    whole = stream(0)
    batches = [next(whole) for _ in range(5)]
    late = next(stream(4))
    assert np.array_equal(batches[4][0], late[0])
    assert np.array_equal(batches[4][1], late[1])
    seen = np.concatenate([batch[1].numpy() for batch in batches[:3]])
    assert sorted(seen.tolist()) == list(range(12))


def test_no_augmentation_leaves_the_images_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)).astype(np.uint8)
    digits = Digits(images, np.arange(4).astype(np.uint8))
    bent, labels = next(stream_digits(digits, 4, Augmentation(0, 0, 0), seed=1)(0))
    np.testing.assert_allclose(bent.numpy() * 255, images[labels.numpy()], atol=1e-3)


@pytest.mark.parametrize(("name", "parameters"), [("lenet300", 266_610), ("lenet5", 431_080)])
def test_the_networks_have_the_parameters_of_the_paper(name: str, parameters: int) -> None:
    config_class, builder = LENETS[name]
    assert config_class is LenetConfig
    assert builder(config_class()).count_params() == parameters
