"""U-Net with "same" padding and optional batch normalisation."""

from dataclasses import dataclass
from typing import Any

import tf_keras
from tf_keras import layers

from thimble.stage import require

__all__ = ["UNetConfig", "unet"]

MAX_DEPTH = 6


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a U-Net.

    Attributes:
        base_width: Channels of the first level; each level down doubles them.
        depth: Levels below the first.
        classes: Output channels.
        channels: Input channels.
        normalization: `batch`, or `none` once it is folded into the convolutions.
    """

    base_width: int = 16
    depth: int = 4
    classes: int = 2
    channels: int = 1
    normalization: str = "batch"

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.base_width >= 1, "base_width must be >= 1", base_width=self.base_width)
        require(1 <= self.depth <= MAX_DEPTH, "depth must be in [1, 6]", depth=self.depth)
        require(self.classes > 1, "classes must be >= 2", classes=self.classes)
        require(self.channels >= 1, "channels must be >= 1", channels=self.channels)
        require(
            self.normalization in {"batch", "none"},
            "normalization must be 'batch' or 'none'",
            normalization=self.normalization,
        )


def _convolve(tensor: Any, width: int, name: str, config: UNetConfig) -> Any:
    """Apply 3x3 convolution, batch normalisation and ReLU."""
    batch = config.normalization == "batch"
    tensor = layers.Conv2D(
        width,
        3,
        padding="same",
        use_bias=not batch,
        kernel_initializer="he_normal",
        name=f"conv_{name}",
    )(tensor)
    if batch:
        tensor = layers.BatchNormalization(momentum=0.95, name=f"conv_{name}_bn")(tensor)
    return layers.ReLU(name=f"relu_{name}")(tensor)


def unet(config: UNetConfig) -> tf_keras.Model:
    """Build a U-Net.

    Args:
        config: Its shape.

    Returns:
        A model from `(batch, height, width, channels)` float32, normalised, height and width
        divisible by `2 ** depth`, to logits `(batch, height, width, classes)` float32.

    Source: Ronneberger, Fischer, Brox, 2015, figure 1; "same" padding instead of "valid", and
    batch normalisation (Ioffe, Szegedy, 2015) before each ReLU.
    """
    image = layers.Input((None, None, config.channels), name="image")
    tensor, skips = image, []
    for level in range(config.depth):
        width = config.base_width * 2**level
        tensor = _convolve(tensor, width, f"e{level}_a", config)
        tensor = _convolve(tensor, width, f"e{level}_b", config)
        skips.append(tensor)
        tensor = layers.MaxPooling2D(2, name=f"pool_e{level}")(tensor)
    width = config.base_width * 2**config.depth
    tensor = _convolve(tensor, width, "bottom_a", config)
    tensor = _convolve(tensor, width, "bottom_b", config)
    for level in reversed(range(config.depth)):
        width = config.base_width * 2**level
        tensor = layers.Conv2DTranspose(width, 2, strides=2, name=f"up_d{level}")(tensor)
        tensor = layers.Concatenate(name=f"join_d{level}")([skips[level], tensor])
        tensor = _convolve(tensor, width, f"d{level}_a", config)
        tensor = _convolve(tensor, width, f"d{level}_b", config)
    logits = layers.Conv2D(config.classes, 1, name="head")(tensor)
    return tf_keras.Model(image, logits, name="unet")
