"""From a Keras network to TFLite, one function per variant."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["CONVERTERS", "freeze", "to_tflite"]


def freeze(model: Any, tile: int, channels: int) -> Any:
    """Trace a network at one shape and turn its variables into constants.

    Args:
        model: Keras model from (batch, height, width, channels) to logits.
        tile: Pixels of the side of the fixed input.
        channels: Channels of the input.

    Returns:
        A concrete function from (1, tile, tile, channels) float32 `image` to logits. Converting it
        takes a tenth of the time that converting from variables takes, for each variant.
    """
    spec = tf.TensorSpec((1, tile, tile, channels), tf.float32, name="image")
    traced = tf.function(lambda image: model(image, training=False), input_signature=[spec])
    return convert_variables_to_constants_v2(traced.get_concrete_function())


def _float32(converter: Any, patches: np.ndarray) -> None:
    """Keep all numbers as they are, so that a codebook's few distinct weights stay few."""


def _float16(converter: Any, patches: np.ndarray) -> None:
    """Store weights as float16; arithmetic stays float32 on a CPU."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any, patches: np.ndarray) -> None:
    """Store weights of 1,024 numbers or more as int8; activations are quantised while running."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8(converter: Any, patches: np.ndarray) -> None:
    """Run in int8 throughout, weights per output channel, with float32 input and output."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([patch[None]] for patch in patches)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


CONVERTERS: dict[str, Callable[[Any, np.ndarray], None]] = {
    "float32": _float32,
    "float16": _float16,
    "dynamic": _dynamic,
    "int8": _int8,
}


def to_tflite(frozen: Any, variant: str, patches: np.ndarray) -> bytes:
    """Convert a frozen network.

    Equal networks and patches give equal bytes: all layers have explicit names, and the function's
    automatic name, the only thing that varies in a process, does not reach the file.

    Args:
        frozen: From `freeze`.
        variant: A name of `CONVERTERS`.
        patches: (n, tile, tile, channels) float32, normalised; only int8 looks at them.

    Returns:
        A TFLite file with a static batch of 1 and float32 input and output.

    Source: Jacob et al., 2018, "Quantization and training of neural networks for efficient
        integer-arithmetic-only inference", section 2 (int8); Krishnamoorthi, 2018, section 3.1
        (per-channel weights).
    """
    # The empty module: the frozen function has no variables that would have to be tracked.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())
    CONVERTERS[variant](converter, patches)
    with warnings.catch_warnings():
        # It asks for the ranges of quantised inputs; ours are float32.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        return bytes(converter.convert())
