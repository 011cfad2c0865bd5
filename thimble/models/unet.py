"""U-Net with "same" padding and optional batch normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        widths: Channels by layer where they differ from what `base_width` gives.
    """

    base_width: int = 16
    depth: int = 4
    classes: int = 2
    channels: int = 1
    normalization: str = "batch"
    widths: Mapping[str, int] = field(default_factory=dict)

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
        require(isinstance(self.widths, Mapping), "widths must be a mapping", widths=self.widths)
        known = _regular_widths(self)
        for name, width in self.widths.items():
            require(name in known, f"widths must name layers among {', '.join(known)}", layer=name)
            require(
                isinstance(width, int) and width >= 1,
                "widths must be integers >= 1",
                **{name: width},
            )


def _regular_widths(config: UNetConfig) -> dict[str, int]:
    """Return the channels of each layer but the head, as `base_width` gives them."""
    widths: dict[str, int] = {}
    for level in range(config.depth + 1):
        width = config.base_width * 2**level
        places = ["bottom"] if level == config.depth else [f"e{level}", f"d{level}"]
        widths |= {f"conv_{place}_{half}": width for place in places for half in "ab"}
        if level < config.depth:
            widths[f"up_d{level}"] = width
    return widths


def _convolve(tensor: Any, name: str, widths: Mapping[str, int], batch: bool) -> Any:
    """Apply 3x3 convolution, batch normalisation and ReLU."""
    tensor = layers.Conv2D(
        widths[f"conv_{name}"],
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
    widths = {**_regular_widths(config), **config.widths}

    def convolve(tensor: Any, name: str) -> Any:
        return _convolve(tensor, name, widths, config.normalization == "batch")

    image = layers.Input((None, None, config.channels), name="image")
    tensor, skips = image, []
    for level in range(config.depth):
        tensor = convolve(convolve(tensor, f"e{level}_a"), f"e{level}_b")
        skips.append(tensor)
        tensor = layers.MaxPooling2D(2, name=f"pool_e{level}")(tensor)
    tensor = convolve(convolve(tensor, "bottom_a"), "bottom_b")
    for level in reversed(range(config.depth)):
        up = layers.Conv2DTranspose(widths[f"up_d{level}"], 2, strides=2, name=f"up_d{level}")
        tensor = layers.Concatenate(name=f"join_d{level}")([skips[level], up(tensor)])
        tensor = convolve(convolve(tensor, f"d{level}_a"), f"d{level}_b")
    logits = layers.Conv2D(config.classes, 1, name="head")(tensor)
    return tf_keras.Model(image, logits, name="unet")
