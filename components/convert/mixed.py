"""Post-training int8 in which chosen layers stay in float32."""

import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.schema_py_generated import BuiltinOperator, ModelT, TensorType

from components.convert.tflite import CONVERTERS, to_tflite

__all__ = ["MixedConverter", "float_layers"]

KERNELS = {
    BuiltinOperator.CONV_2D,
    BuiltinOperator.DEPTHWISE_CONV_2D,
    BuiltinOperator.FULLY_CONNECTED,
    BuiltinOperator.TRANSPOSE_CONV,
}
# Conversions between types are no layers: they appear where a float layer meets an int8 one.
CASTS = {BuiltinOperator.QUANTIZE, BuiltinOperator.DEQUANTIZE}


@dataclass(frozen=True)
class _Operation:
    """An operation of a TFLite file: its output's name, the tensors that it touches, their type."""

    kind: int
    name: str
    tensors: frozenset[int]
    is_float: bool


def _read_operations(tflite: bytes) -> list[_Operation]:
    """Read the operations of a file in the order in which they run, without the casts."""
    model = ModelT.InitFromPackedBuf(tflite)
    (graph,) = model.subgraphs
    operations = []
    for operator in graph.operators:
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
        indices = map(int, (*operator.inputs, *operator.outputs))
        # An input that is left out has the index -1.
        touched = frozenset(index for index in indices if index >= 0)
        types = {graph.tensors[index].type for index in touched}
        if kind not in CASTS:
            name = graph.tensors[operator.outputs[0]].name.decode()
            operations.append(_Operation(kind, name, touched, TensorType.INT8 not in types))
    return operations


def _assign(operations: Sequence[_Operation], layers: Sequence[str]) -> dict[str, int]:
    """Return the place of each layer's operation; a layer that was folded away has none.

    The converter names an operation after all that it fused. Only the one that makes the network's
    output has another name: it is the last layer of those that are left.
    """
    kernels = [place for place, item in enumerate(operations) if item.kind in KERNELS]
    found = {
        layer: place
        for place in kernels
        for layer in layers
        if re.search(rf"/{re.escape(layer)}/(?i:conv2d|depthwise|matmul)", operations[place].name)
    }
    unnamed = [place for place in kernels if place not in found.values()]
    left = [layer for layer in layers if layer not in found]
    return found | dict(zip(left[-1:], unnamed[-1:], strict=False))


def float_layers(tflite: bytes, layers: Sequence[str]) -> tuple[str, ...]:
    """Return which layers of a file run in float32, by the types of its tensors.

    Args:
        tflite: A TFLite file with one subgraph.
        layers: Names of all layers that have a kernel.
    """
    operations = _read_operations(tflite)
    places = _assign(operations, layers)
    return tuple(
        layer for layer in layers if layer in places and operations[places[layer]].is_float
    )


class MixedConverter:
    """Converts one network to int8 again and again, each time with other layers in float32.

    Attributes:
        layers: Names of all layers that have a kernel.
        candidates: Those that can stay in float32: all but transposed convolutions, whose kernels
            TensorFlow 2.21 rounds to int8 whatever it is told to leave out.
        float32: The network without quantization.
    """

    def __init__(self, frozen: Any, patches: np.ndarray, layers: Sequence[str]) -> None:
        """Calibrate once.

        Args:
            frozen: From `components.convert.tflite.freeze`.
            patches: (n, tile, tile, channels) float32, normalised.
            layers: Names of all layers that have a kernel.
        """
        self.layers = list(layers)
        self.float32 = to_tflite(frozen, "float32", patches)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())
        CONVERTERS["int8"](converter, patches)
        self._options = tf.lite.experimental.QuantizationDebugOptions()
        with warnings.catch_warnings():
            # The debugger opens an interpreter of its own, which TensorFlow calls deprecated.
            warnings.filterwarnings("ignore", "(?s).*tf.lite.Interpreter is deprecated")
            warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
            self._debugger = tf.lite.experimental.QuantizationDebugger(
                debug_dataset=converter.representative_dataset,
                debug_options=self._options,
                converter=converter,
            )
        # Quantization starts from this file, whose names need not be those of the float32 one.
        self._operations = _read_operations(self._debugger.calibrated_model)
        self._places = _assign(self._operations, layers)
        self.candidates = [
            layer
            for layer in layers
            if layer in self._places
            and self._operations[self._places[layer]].kind != BuiltinOperator.TRANSPOSE_CONV
        ]

    def convert(self, kept: Collection[str]) -> tuple[bytes, tuple[str, ...]]:
        """Convert with these layers in float32 and all others in int8.

        Args:
            kept: Names of candidates.

        Returns:
            The file, and the layers that are float32 in it, as its tensors tell.
        """
        self._options.denylisted_nodes = self._nodes(kept)
        tflite = bytes(self._debugger.get_nondebug_quantized_model())
        return tflite, float_layers(tflite, self.layers)

    def _nodes(self, kept: Iterable[str]) -> list[str]:
        """Name the operations of layers, and those that move data right before or after them.

        Pooling and concatenation in int8 would round a float tensor to one range for all of it.
        """
        chosen = {self._places[layer] for layer in kept}
        touched = frozenset[int]().union(*(self._operations[place].tensors for place in chosen))
        return [
            item.name
            for place, item in enumerate(self._operations)
            if place in chosen or (item.kind not in KERNELS and item.tensors & touched)
        ]
