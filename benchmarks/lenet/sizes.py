"""Where the bytes of a compressed network go: the columns of Deep Compression's tables."""

import math
from dataclasses import dataclass, replace

import numpy as np

from thimble.codec import encode_model
from thimble.weights import Weights

__all__ = ["LayerBits", "StageBytes", "bits_by_layer", "bytes_by_stage", "relative_entries"]

MAX_INDEX_BITS = 16


@dataclass(frozen=True)
class StageBytes:
    """Bytes after each stage: float32, pruned (P), shared (P+Q), coded (P+Q+H, the package)."""

    dense: int
    pruned: int
    shared: int
    package: int


@dataclass(frozen=True)
class LayerBits:
    """What a kept weight of a layer costs.

    Attributes:
        layer: Its name.
        weights: Weights of the kernel.
        kept: Those that are not 0.
        shared: Bits of a weight before entropy coding, ceil(log2(entries)).
        index: Bits of its relative index before entropy coding.
        coded_shared: Bits of a weight in the package, with the layer's codebook and tables.
        coded_index: Bits of its position in the package.
    """

    layer: str
    weights: int
    kept: int
    shared: float
    index: float
    coded_shared: float
    coded_index: float


def relative_entries(kept: np.ndarray, bits: int) -> int:
    """Return the entries of a relative index: the kept weights and the zeros that fill long gaps.

    Args:
        kept: Mask of any shape.
        bits: Width; a gap of more than 2**bits - 1 zeros takes a filler.

    Source: Han, Mao, Dally, 2015, section 2, figure 2.
    """
    places = np.flatnonzero(kept)
    gaps = np.diff(places, prepend=-1) - 1
    return int(places.size + np.sum(gaps >> bits))


def _best_index(kept: np.ndarray, value_bits: int) -> tuple[int, int]:
    """Return the width and entries of the relative index that takes the fewest bits."""
    choices = [
        (relative_entries(kept, bits) * (bits + value_bits), bits)
        for bits in range(1, MAX_INDEX_BITS)
    ]
    best = min(choices)[1]
    return best, relative_entries(kept, best)


def _kernels(weights: Weights) -> list[str]:
    """Return the names of the kernels."""
    return [name for name in weights.tensors if name.endswith("/kernel")]


def _entries(weights: Weights, kernel: str) -> int:
    """Return the entries of a kernel's codebook."""
    return int(weights.constraints[f"{kernel}.codebook"].size)


def bytes_by_stage(weights: Weights) -> StageBytes:
    """Account for a quantized network as the paper does, and by its package.

    Before entropy coding each kept weight takes its value and a relative index of the best width of
    its layer; biases take 32 bits after P, and with the codebooks 16 bits after P+Q, as they ship.
    """
    others = sum(
        tensor.size for name, tensor in weights.tensors.items() if not name.endswith("/kernel")
    )
    pruned, shared = 32 * others, 16 * others
    for kernel in _kernels(weights):
        kept, entries = weights.tensors[kernel] != 0, _entries(weights, kernel)
        width, count = _best_index(kept, 32)
        pruned += count * (32 + width)
        value = math.ceil(math.log2(entries)) if entries > 1 else 0
        width, count = _best_index(kept, value)
        shared += count * (value + width) + 16 * entries
    dense = 4 * sum(tensor.size for tensor in weights.tensors.values())
    return StageBytes(dense, -(-pruned // 8), -(-shared // 8), len(encode_model(weights)))


def _simplified(weights: Weights, kernels: list[str], values: bool) -> Weights:
    """Return the network with one shared value in these kernels, or (`values` false) none."""
    tensors, constraints = dict(weights.tensors), dict(weights.constraints)
    for kernel in kernels:
        kept = (tensors[kernel] != 0) & values
        tensors[kernel] = kept.astype(np.float32)
        constraints[f"{kernel}.indices"] = kept.astype(np.uint8)
        constraints[f"{kernel}.codebook"] = np.arange(1 + kept.any(), dtype=np.float32)
    return replace(weights, tensors=tensors, constraints=constraints)


def _coded_bits(weights: Weights, kernels: list[str]) -> tuple[float, float]:
    """Return the bytes that values and positions add to the package, in bits.

    Both are differences between whole packages: with one shared value in these kernels, and with
    nothing in them. So no byte is left out or counted twice, and no knowledge of the format needed.
    """
    whole, same, none = (
        len(encode_model(version))
        for version in (
            weights,
            _simplified(weights, kernels, True),
            _simplified(weights, kernels, False),
        )
    )
    return 8.0 * (whole - same), 8.0 * (same - none)


def bits_by_layer(weights: Weights) -> list[LayerBits]:
    """Return one row per layer and one, `total`, for all of them."""
    rows: list[LayerBits] = []
    for kernel in _kernels(weights):
        kept, entries = weights.tensors[kernel] != 0, _entries(weights, kernel)
        value = math.ceil(math.log2(entries)) if entries > 1 else 0
        count = int(kept.sum())
        coded = [bits / max(count, 1) for bits in _coded_bits(weights, [kernel])]
        width = _best_index(kept, value)[0]
        name = kernel.removesuffix("/kernel")
        rows.append(LayerBits(name, kept.size, count, value, width, *coded))
    total = sum(row.kept for row in rows)
    shared, index = (
        sum(row.kept * bits for row, bits in zip(rows, column, strict=True)) / max(total, 1)
        for column in ([row.shared for row in rows], [row.index for row in rows])
    )
    coded = [bits / max(total, 1) for bits in _coded_bits(weights, _kernels(weights))]
    rows.append(LayerBits("total", sum(row.weights for row in rows), total, shared, index, *coded))
    return rows
