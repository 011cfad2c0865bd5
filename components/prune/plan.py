"""A sparsity for each layer: from a scan on validation tiles, or from the loss's curvature."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf
import tf_keras

from components.prune.recovery import Recovery
from components.prune.sensitivity import PROBED, allocate, scan_layers
from thimble.fisher import fisher_information
from thimble.models import to_keras
from thimble.objective import ObjectiveConfig, class_weights, weighted_cross_entropy
from thimble.records import Dataset
from thimble.stage import Run
from thimble.training import Validator
from thimble.weights import Weights

__all__ = ["ALLOCATIONS", "kernels_of", "plan_layers", "share_out", "with_masks"]

ALLOCATIONS = ("sensitivity", "fisher", "uniform")

SCANNED_TILES = 12
FISHER_BATCHES = 64
# No layer keeps less, so that none is cut through.
MOST = 0.998


def kernels_of(weights: Weights) -> dict[str, np.ndarray]:
    """Return the kernels by layer."""
    return {
        name.removesuffix("/kernel"): array
        for name, array in weights.tensors.items()
        if name.endswith("/kernel")
    }


def with_masks(pruned: Weights) -> Weights:
    """Return pruned weights with `<kernel>.mask`, 1 where a weight is left."""
    masks = {
        f"{name}/kernel.mask": (kernel != 0).astype(np.uint8)
        for name, kernel in kernels_of(pruned).items()
    }
    return replace(pruned, constraints=masks)


def plan_layers(dense: Weights, recovery: Recovery) -> dict[str, float]:
    """Choose the sparsity of each layer, in [0, 1), as the config says.

    Args:
        dense: The network as it came in.
        recovery: Data, objective, config and progress.
    """
    amount, kernels = recovery.config.amount, kernels_of(dense)
    if amount.allocation == "uniform":
        return dict.fromkeys(kernels, amount.sparsity)
    model = to_keras(dense)
    if amount.allocation == "fisher":
        batches = itertools.islice(recovery.batches(0), FISHER_BATCHES)
        curvatures = fisher_information(model, recovery.loss(model), batches)
        return share_out(kernels, curvatures, amount.sparsity)
    dataset = recovery.dataset
    scan = _scan(model, dataset, Validator(dataset, model), recovery.config.objective)
    sizes = {name: kernel.size for name, kernel in kernels.items()}
    return allocate(sizes, scan(kernels, recovery.run), amount.sparsity)


def share_out(
    kernels: dict[str, np.ndarray], curvatures: dict[str, np.ndarray], sparsity: float
) -> dict[str, float]:
    """Return the sparsity of each layer when the weights of least h w^2 go, wherever they are.

    Args:
        kernels: By layer.
        curvatures: h by layer, shaped as the kernels.
        sparsity: Over all kernels together.

    Source: LeCun, Denker, Solla, 1990, equation 5 (saliency).
    """
    ranked = {
        name: np.sort((curvatures[name] * np.square(kernel, dtype=np.float64)).ravel())
        for name, kernel in kernels.items()
    }
    total = sum(values.size for values in ranked.values())
    everything = np.sort(np.concatenate(list(ranked.values())))

    def plan(threshold: float) -> dict[str, float]:
        """Return the share of each layer below a threshold, at most MOST."""
        return {
            name: min(float(np.searchsorted(values, threshold)) / values.size, MOST)
            for name, values in ranked.items()
        }

    low, high = round(sparsity * total), total
    # Layers at MOST give less than their share: the others make up for it.
    while low < high:
        middle = (low + high) // 2
        found = plan(everything[middle])
        dropped = sum(found[name] * values.size for name, values in ranked.items())
        low, high = (low, middle) if dropped >= sparsity * total else (middle + 1, high)
    return plan(everything[min(low, total - 1)])


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
