"""Training patches from the records: cropped, flipped, turned and relit while training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from thimble.shards import is_remote, shard_path
from thimble.stage import BadInput, require

__all__ = ["AugmentationConfig", "training_batches"]

SHUFFLED_RECORDS = 256


@dataclass(frozen=True)
class AugmentationConfig:
    """What happens to a record while training.

    Attributes:
        patch_size: Side of the square patch in pixels, divisible by 2 ** depth.
        orientation: Whether patches are flipped and turned by quarters.
        intensity: Largest relative change of contrast and shift of brightness, in standard
            deviations.
    """

    patch_size: int = 128
    orientation: bool = True
    intensity: float = 0.2

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.patch_size >= 16, "patch_size must be >= 16", patch_size=self.patch_size)
        require(0 <= self.intensity < 1, "intensity must be in [0, 1)", intensity=self.intensity)


def _parse(serialized: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return image `(height, width, channels)` in [0, 1] and targets `(height, width, 2)` uint8."""
    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([], tf.int64)
    names = {"image": text, "label": text, "border": text}
    names |= {"height": number, "width": number, "channels": number}
    record = tf.io.parse_single_example(serialized, names)
    size = tf.stack([record["height"], record["width"]])
    raw = tf.io.decode_raw(record["image"], tf.uint16 if bits > 8 else tf.uint8)
    image = tf.reshape(raw, tf.concat([size, [record["channels"]]], 0))
    image = tf.cast(image, tf.float32) / float(2**bits - 1)
    label = tf.reshape(tf.io.decode_raw(record["label"], tf.uint8), size)
    border = tf.io.decode_raw(record["border"], tf.uint8)
    border = tf.cond(
        tf.size(border) > 0, lambda: tf.reshape(border, size), lambda: tf.zeros_like(label)
    )
    return image, tf.stack([label, border], -1)


def _normalize(image: tf.Tensor, normalization: dict[str, Any]) -> tf.Tensor:
    """Standardise an image as `thimble.preprocessing.normalize` does."""
    if normalization["kind"] == "dataset":
        return (image - tf.constant(normalization["mean"], tf.float32)) / tf.constant(
            normalization["std"], tf.float32
        )
    mean, variance = tf.nn.moments(image, axes=[0, 1])
    return (image - mean) / tf.maximum(tf.sqrt(variance), 1e-3)


def _crop(
    image: tf.Tensor, target: tf.Tensor, size: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut one random square; mirror what is smaller."""
    short = tf.maximum(size - tf.shape(image)[:2], 0)
    pad = tf.stack([tf.zeros(3, tf.int32), tf.concat([short, [0]], 0)], 1)
    image, target = tf.pad(image, pad, "SYMMETRIC"), tf.pad(target, pad, "SYMMETRIC")
    room = tf.shape(image)[:2] - size + 1
    place = tf.random.stateless_uniform([2], seed, 0.0, 1.0)
    corner = tf.minimum(tf.cast(place * tf.cast(room, tf.float32), tf.int32), room - 1)
    begin = tf.concat([corner, [0]], 0)
    image = tf.slice(image, begin, tf.stack([size, size, -1]))
    return image, tf.slice(target, begin, tf.stack([size, size, -1]))


def _augment(
    image: tf.Tensor, target: tf.Tensor, config: AugmentationConfig, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Flip, turn and relight a patch, the image and its target alike."""
    draw = tf.random.stateless_uniform([4], seed + 1, 0.0, 1.0)
    if config.orientation:
        turns = tf.cast(draw[0] * 4.0, tf.int32)
        image, target = tf.image.rot90(image, turns), tf.image.rot90(target, turns)
        flip = draw[1] < 0.5
        image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: image)
        target = tf.cond(flip, lambda: tf.reverse(target, [1]), lambda: target)
    contrast = 1.0 + config.intensity * (2.0 * draw[2] - 1.0)
    shift = config.intensity * (2.0 * draw[3] - 1.0)
    return image * contrast + shift, target


def _check(spec: dict[str, Any], size: int) -> None:
    """Refuse images without labels, and patches that mirroring cannot fill."""
    if not spec["labelled"]:
        raise BadInput(
            f"Data set {spec.get('name')} has no labels (ingest: labels=none). Expected labels to "
            "train on: ingest it with labels=required."
        )
    smallest = int(spec["smallest_side"])
    if 2 * smallest < size:
        raise BadInput(
            f"patch_size={size} is more than twice the smallest scan side ({smallest} pixels). "
            f"Lower patch_size to at most {2 * smallest}."
        )


def _records(folder: str | Path, spec: dict[str, Any]) -> tf.data.Dataset:
    """Return the encoded training records, shard after shard; the next one is fetched meanwhile."""
    names = spec["shards"]["train"]
    if not any(map(is_remote, names)):
        return tf.data.TFRecordDataset([str(Path(folder) / name) for name in names])

    def fetch(name: bytes) -> bytes:
        return str(shard_path(folder, spec, name.decode())).encode()

    def local(name: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(fetch, [name], tf.string), ())

    paths = tf.data.Dataset.from_tensor_slices(names).map(local).prefetch(1)
    return paths.flat_map(tf.data.TFRecordDataset)


def training_batches(
    folder: str | Path,
    spec: dict[str, Any],
    augmentation: AugmentationConfig,
    batch_size: int,
    seed: int,
    skip_steps: int = 0,
) -> tf.data.Dataset:
    """Return endless batches that depend on nothing but the records, the seed and the step.

    Args:
        folder: Dataset artifact.
        spec: Its `dataset.json`.
        augmentation: What happens to a record.
        batch_size: Patches a step.
        seed: Of order, place and augmentation.
        skip_steps: Steps that a resumed training has behind it.

    Returns:
        Pairs of image `(batch, size, size, channels)` float32, normalised, and target
        `(batch, size, size, 2)` uint8: class index, and the border map in 1/255.

    Raises:
        BadInput: If the patches do not fit the scans.
    """
    _check(spec, augmentation.patch_size)
    records = _records(folder, spec).shuffle(SHUFFLED_RECORDS, seed=seed).repeat()

    def make(index: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        place = tf.stack([tf.cast(seed, tf.int64) * 1_000_003, index * 7])
        image, target = _parse(serialized, spec["bit_depth"])
        image = _normalize(image, spec["normalization"])
        image, target = _crop(image, target, augmentation.patch_size, place)
        image, target = _augment(image, target, augmentation, place)
        size = augmentation.patch_size
        return (
            tf.ensure_shape(image, (size, size, spec["channels"])),
            tf.ensure_shape(target, (size, size, 2)),
        )

    patches = records.enumerate().skip(skip_steps * batch_size)
    patches = patches.map(make, num_parallel_calls=2, deterministic=True)
    return patches.batch(batch_size, drop_remainder=True).prefetch(2)
