"""MNIST from its idx files: reader, split, and batches that are bent a little while training."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from thimble.stage import BadInput, require

__all__ = ["Augmentation", "Digits", "Mnist", "load_mnist", "read_idx", "stream_digits"]

VALIDATION = 5000
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


@dataclass(frozen=True)
class Digits:
    """Images `(n, 28, 28, 1)` uint8 and labels `(n,)` uint8 in [0, 9]."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Mnist:
    """The three splits; `test` is scored once."""

    train: Digits
    validation: Digits
    test: Digits


@dataclass(frozen=True)
class Augmentation:
    """How far a training image is bent: uniform within plus and minus each limit.

    Attributes:
        shift: Pixels.
        rotation: Degrees.
        scale: Share of the size.
    """

    shift: float = 2.0
    rotation: float = 8.0
    scale: float = 0.08


def read_idx(path: str | Path, dimensions: int) -> np.ndarray:
    """Read a gzipped idx file of uint8.

    Args:
        path: The file.
        dimensions: How many it must have.

    Raises:
        BadInput: If it is missing, no such file, or of another length than its header says.

    Source: LeCun, Cortes, Burges, "The MNIST database", file formats.
    """
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path} cannot be read ({error}). Expected a gzipped idx file of MNIST."
        ) from None
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if data[:4] != magic or len(data) < header:
        raise BadInput(
            f"{path} begins with {data[:4].hex(' ')}. Expected {magic.hex(' ')}: an idx file of "
            f"uint8 with {dimensions} dimensions."
        )
    shape = np.frombuffer(data[4:header], ">u4").astype(np.int64)
    if len(data) - header != int(shape.prod()):
        raise BadInput(
            f"{path} holds {len(data) - header} values, its header says {shape.tolist()}. "
            "Get the file again."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _read_digits(folder: Path, name: str) -> Digits:
    """Read one pair of files."""
    images = read_idx(folder / FILES[name][0], 3)
    labels = read_idx(folder / FILES[name][1], 1)
    if len(images) != len(labels) or images.shape[1:] != (28, 28):
        raise BadInput(
            f"{folder}: {name} has images {images.shape} and labels {labels.shape}. Expected "
            "as many labels as images of 28x28."
        )
    return Digits(images[..., None], labels)


def load_mnist(folder: str | Path, validation: int = VALIDATION, seed: int = 0) -> Mnist:
    """Read MNIST and cut validation images from the training images at random.

    Args:
        folder: With the four gzipped idx files.
        validation: Images to cut.
        seed: Of the cut; the same for all trainings.

    Raises:
        BadInput: If a file is missing or wrong, or nothing would be left to train on.
    """
    folder = Path(folder)
    whole, test = _read_digits(folder, "train"), _read_digits(folder, "test")
    count = len(whole.images)
    require(0 < validation < count, f"validation must be in [1, {count})", validation=validation)
    order = np.random.default_rng(seed).permutation(count)
    held, used = np.sort(order[:validation]), np.sort(order[validation:])
    return Mnist(
        Digits(whole.images[used], whole.labels[used]),
        Digits(whole.images[held], whole.labels[held]),
        test,
    )


def _transforms(count: int, limits: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """Return `(count, 8)` float32 projective transforms about the centre of 28x28 images."""
    angle = np.radians(generator.uniform(-limits.rotation, limits.rotation, count))
    scale = 1 + generator.uniform(-limits.scale, limits.scale, count)
    across, down = generator.uniform(-limits.shift, limits.shift, (2, count))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    rows = np.zeros((count, 8), np.float32)
    middle = 13.5
    rows[:, 0], rows[:, 1] = cosine, -sine
    rows[:, 2] = middle - middle * (cosine - sine) + across
    rows[:, 3], rows[:, 4] = sine, cosine
    rows[:, 5] = middle - middle * (sine + cosine) + down
    return rows


def stream_digits(
    digits: Digits, batch_size: int, limits: Augmentation, seed: int
) -> Callable[[int], Iterator[tuple[tf.Tensor, tf.Tensor]]]:
    """Return the function from the steps already taken to the batches that follow.

    A batch is images `(batch, 28, 28, 1)` float32 in [0, 1] and labels `(batch,)` int32. It
    depends on the seed and the step only.
    """
    each = len(digits.images) // batch_size

    def batches(skip: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        step, epoch, order = skip, -1, np.empty(0, np.int64)
        while True:
            if step // each != epoch:
                epoch = step // each
                order = np.random.default_rng([seed, 0, epoch]).permutation(len(digits.images))
            place = step % each * batch_size
            chosen = order[place : place + batch_size]
            generator = np.random.default_rng([seed, 1, step])
            bent = tf.raw_ops.ImageProjectiveTransformV3(
                images=tf.constant(digits.images[chosen], tf.float32) / 255.0,
                transforms=_transforms(batch_size, limits, generator),
                output_shape=(28, 28),
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="CONSTANT",
            )
            yield bent, tf.constant(digits.labels[chosen], tf.int32)
            step += 1

    return batches
