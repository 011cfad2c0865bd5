"""A sparsity for each layer, from a scan of the network on validation tiles."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from components.prune.sensitivity import PROBED, allocate, scan_layers
from thimble.models import to_keras
from thimble.objective import ObjectiveConfig, class_weights, weighted_cross_entropy
from thimble.records import Dataset
from thimble.stage import Run
from thimble.training import Validator
from thimble.weights import Weights

__all__ = ["kernels_of", "plan_by_sensitivity"]

SCANNED_TILES = 12


def kernels_of(weights: Weights) -> dict[str, np.ndarray]:
    """Return the kernels by layer."""
    return {
        name.removesuffix("/kernel"): array
        for name, array in weights.tensors.items()
        if name.endswith("/kernel")
    }


def plan_by_sensitivity(
    dense: Weights, dataset: Dataset, objective: ObjectiveConfig, sparsity: float, run: Run
) -> dict[str, float]:
    """Choose a sparsity per layer so that the total is met at the least predicted loss.

    Args:
        dense: The network.
        dataset: Its validation split is scanned.
        objective: Weights of the pixels.
        sparsity: Over all kernels together.
        run: Progress.
    """
    model, kernels = to_keras(dense), kernels_of(dense)
    scan = _scan(model, dataset, Validator(dataset, model), objective)
    sizes = {name: kernel.size for name, kernel in kernels.items()}
    return allocate(sizes, scan(kernels, run), sparsity)


def _validation_tiles(dataset: Dataset, validator: Validator) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a few central tiles of validation scans and their labels."""
    tile = int(dataset.tile)
    scans = [scan for scan in validator.scans if min(scan[1].shape) >= tile] or validator.scans
    images, labels = [], []
    for index in range(SCANNED_TILES):
        image, label = scans[index * len(scans) // SCANNED_TILES]
        pad = [(0, max(tile - side, 0)) for side in label.shape]
        image, label = np.pad(image, [*pad, (0, 0)], "symmetric"), np.pad(label, pad, "symmetric")
        place = (index * 5 % SCANNED_TILES) / max(SCANNED_TILES - 1, 1)
        top, left = (round(place * (side - tile)) for side in label.shape)
        images.append(image[top : top + tile, left : left + tile])
        labels.append(label[top : top + tile, left : left + tile])
    return tf.constant(np.stack(images)), tf.constant(np.stack(labels))


def _scan(
    model: tf_keras.Model, dataset: Dataset, validator: Validator, objective: ObjectiveConfig
) -> Callable[[dict[str, np.ndarray], Run], dict[str, np.ndarray]]:
    """Return the sensitivity scan of this model on validation tiles."""
    images, labels = _validation_tiles(dataset, validator)
    by_class = tf.constant(class_weights(dataset.spec, objective.class_weight_power))
    pixels = tf.gather(by_class, tf.cast(labels, tf.int32))

    @tf.function
    def measure() -> tf.Tensor:
        return weighted_cross_entropy(model(images, training=False), labels, pixels)

    def scan(kernels: dict[str, np.ndarray], run: Run) -> dict[str, np.ndarray]:
        done = iter(range(1, len(kernels) * len(PROBED) + 1))

        def loss_with(name: str, kernel: np.ndarray) -> float:
            variable = model.get_layer(name).kernel
            variable.assign(kernel)
            loss = float(measure())
            variable.assign(kernels[name])
            run.progress(next(done), len(kernels) * len(PROBED), scan_loss=loss)
            return loss

        return scan_layers(kernels, loss_with, float(measure()))

    return scan
