"""What every coder is given and what it is charged for; needs numpy alone, as both sides use it."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Tensor", "codebook_bytes", "torch_layout", "zero_centred"]


@dataclass(frozen=True)
class Tensor:
    """One layer's shared values.

    Attributes:
        name: Of the tensor, for messages.
        codebook: (entries,) float32.
        indices: The entry of each weight, uint8 or uint16, in the layout of Keras: (height, width,
            input, output) of a convolution, (input, output) of a dense layer.
    """

    name: str
    codebook: np.ndarray
    indices: np.ndarray


def zero_centred(codebook: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Number the entries by value, so that the zero has 0.

    Args:
        codebook: (entries,) float32 in any order, at least one.
        indices: Of any shape.

    Returns:
        int32 of the shape of `indices`: how many entries the weight's entry lies above the one
        that is 0 (below: negative). A codebook without a zero is centred at its entry nearest to
        0, of two equally near the first.
    """
    order = np.argsort(codebook, kind="stable")
    rank = np.empty(codebook.size, np.int32)
    rank[order] = np.arange(codebook.size, dtype=np.int32)
    centre = int(np.argmin(np.abs(codebook)))
    integers: np.ndarray = (rank - rank[centre])[indices]
    return integers


def torch_layout(values: np.ndarray) -> np.ndarray:
    """Bring (height, width, input, output) to (output, input, height, width).

    (input, output) becomes (output, input); of a transposed convolution (height, width, output,
    input) becomes (input, output, height, width). These are the layouts of torch, and rows of
    DeepCABAC are slices of the first axis. Any other array becomes one row.
    """
    if values.ndim == 4:
        return np.ascontiguousarray(values.transpose(3, 2, 0, 1))
    if values.ndim == 2:
        return np.ascontiguousarray(values.T)
    return np.ascontiguousarray(values.reshape(1, -1))


def codebook_bytes(codebook: np.ndarray) -> int:
    """Return what a codebook costs a coder that has no form of its own for it.

    2 bytes an entry if every entry is a float16, else 4. Ours is not charged this: its rows hold
    their codebooks.
    """
    with np.errstate(over="ignore"):
        exact = np.array_equal(codebook.astype(np.float16).astype(np.float32), codebook)
    return (2 if exact else 4) * codebook.size
