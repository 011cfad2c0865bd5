"""Which layers share a channel: the dependency graph of a network's convolutions."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras
from tf_keras import layers

from thimble.stage import BadInput

__all__ = ["ChannelGraph", "Convolution", "cut_tensors", "parents_of", "trace_channels"]

# On one thread of a CPU with XNNPACK a value that is read or written takes as long as about so many
# multiply-accumulates in float32: fitted to 27 U-Nets of other widths, within 11 % (24 % without).
WORK_PER_VALUE = 100.0

ELEMENTWISE = (layers.ReLU, layers.BatchNormalization)


@dataclass(frozen=True)
class Convolution:
    """A convolution as a maker and a reader of channels.

    Attributes:
        width: Output channels.
        inputs: Who makes its input channels, in their order: convolutions or inputs of the model.
        taps: Multiply-accumulates of one input and one output channel, per pixel of the model's
            input; padding counts as pixels.
        transposed: Whether the kernel is (height, width, output, input).
        norms: Batch normalisations of its output.
        end: The last layer that works on its output channels alone; what reads them reads this.
    """

    width: int
    inputs: tuple[str, ...]
    taps: float
    transposed: bool
    norms: tuple[str, ...]
    end: str


@dataclass(frozen=True)
class ChannelGraph:
    """The convolutions of a network and what flows between them.

    Attributes:
        convolutions: By name, in the order of the model.
        fixed: Channels of the model's inputs by name.
        traffic: Values of one channel that are read and written, per pixel of the model's input,
            by who makes it.
        cuttable: Convolutions that may lose channels: all whose output is not the model's.
    """

    convolutions: dict[str, Convolution]
    fixed: dict[str, int]
    traffic: dict[str, float]
    cuttable: tuple[str, ...]

    def widths(self) -> dict[str, int]:
        """Return the output channels of each convolution that may lose some."""
        return {name: self.convolutions[name].width for name in self.cuttable}

    def multiply_accumulates(self, widths: Mapping[str, int]) -> float:
        """Return the multiply-accumulates per pixel of the model's input at other widths."""
        wide = self._all_widths(widths)
        return sum(
            item.taps * wide[name] * sum(wide[source] for source in item.inputs)
            for name, item in self.convolutions.items()
        )

    def work(self, widths: Mapping[str, int]) -> float:
        """Return what runs in proportion to time: multiply-accumulates, and values moved."""
        wide = self._all_widths(widths)
        moved = sum(each * wide[name] for name, each in self.traffic.items())
        return self.multiply_accumulates(widths) + WORK_PER_VALUE * moved

    def savings(self, widths: Mapping[str, int]) -> dict[str, float]:
        """Return the work that one channel less saves, by convolution."""
        wide = self._all_widths(widths)
        saved = {name: WORK_PER_VALUE * each for name, each in self.traffic.items()}
        for name, item in self.convolutions.items():
            saved[name] += item.taps * sum(wide[source] for source in item.inputs)
            for source in item.inputs:
                saved[source] += item.taps * wide[name]
        return {name: saved[name] for name in self.cuttable}

    def _all_widths(self, widths: Mapping[str, int]) -> dict[str, int]:
        """Return the channels of everything that makes some."""
        whole = {name: item.width for name, item in self.convolutions.items()}
        return {**self.fixed, **whole, **widths}


@dataclass(frozen=True)
class _Flow:
    """What comes out of a layer: who made the channels, and the area beside the model's input."""

    sources: tuple[str, ...]
    area: float


class _Tracer:
    """Follows channels through a functional model, layer by layer."""

    def __init__(self, model: tf_keras.Model) -> None:
        self.flows: dict[str, _Flow] = {}
        self.fixed: dict[str, int] = {}
        self.traffic: dict[str, float] = defaultdict(float)
        self.found: dict[str, dict[str, Any]] = {}
        self.parents = {layer.name: parents_of(layer) for layer in model.layers}
        self.readers = Counter(name for names in self.parents.values() for name in names)

    def visit(self, layer: Any) -> None:
        """Find out what comes out of a layer whose inputs have been visited."""
        flows = [self.flows[name] for name in self.parents[layer.name]]
        if type(layer) is layers.InputLayer:
            self.fixed[layer.name] = int(layer.output.shape[-1])
            self.flows[layer.name] = _Flow((layer.name,), 1.0)
        elif type(layer) in (layers.Conv2D, layers.Conv2DTranspose):
            self._convolve(layer, flows[0])
        elif type(layer) in ELEMENTWISE:
            self._extend(layer, flows[0])
        elif type(layer) is layers.MaxPooling2D:
            area = flows[0].area / math.prod(layer.strides)
            self._move(flows[0].sources, flows[0].area + area)
            self.flows[layer.name] = _Flow(flows[0].sources, area)
        elif type(layer) is layers.Concatenate and layer.axis in (-1, 3):
            sources = tuple(source for flow in flows for source in flow.sources)
            self._move(sources, 2 * flows[0].area)
            self.flows[layer.name] = _Flow(sources, flows[0].area)
        else:
            raise _refused(layer, "cannot be followed by channel")

    def _convolve(self, layer: Any, flow: _Flow) -> None:
        """Note a reader of channels that makes new ones."""
        if layer.groups != 1 or layer.data_format != "channels_last":
            raise _refused(layer, "has groups or channels that are not last")
        transposed = type(layer) is layers.Conv2DTranspose
        strides = math.prod(layer.strides)
        area = flow.area * strides if transposed else flow.area / strides
        self._move(flow.sources, flow.area)
        self._move((layer.name,), area)
        # Each tap of a transposed convolution is used once per input pixel.
        used = flow.area if transposed else area
        self.found[layer.name] = {
            "width": layer.filters,
            "inputs": flow.sources,
            "taps": math.prod(layer.kernel_size) * used,
            "transposed": transposed,
            "norms": (),
            "end": layer.name,
        }
        self.flows[layer.name] = _Flow((layer.name,), area)

    def _move(self, sources: tuple[str, ...], values: float) -> None:
        """Count what is read and written of each channel."""
        for source in sources:
            self.traffic[source] += values

    def _extend(self, layer: Any, flow: _Flow) -> None:
        """Follow a layer that works on each channel alone; it runs inside the convolution."""
        maker = self.found.get(flow.sources[0], {})
        before = self.parents[layer.name][0]
        own = maker.get("end") == before and self.readers[before] == 1
        normalizes = type(layer) is layers.BatchNormalization
        if own:
            maker["end"] = layer.name
            maker["norms"] += (layer.name,) if normalizes else ()
        elif normalizes:
            # A channel that is 0 would not be 0 behind it.
            raise _refused(layer, "normalises channels that are not those of one convolution alone")
        self.flows[layer.name] = flow


def _refused(layer: Any, why: str) -> BadInput:
    """Return the error about a layer that channels cannot be cut around."""
    return BadInput(
        f"Layer {layer.name} ({type(layer).__name__}) {why}. Expected Conv2D, Conv2DTranspose, "
        "MaxPooling2D, Concatenate of channels, and ReLU or BatchNormalization right behind a "
        "convolution. Prune this network with method 'magnitude' or 'surgery'."
    )


def parents_of(layer: Any) -> tuple[str, ...]:
    """Return the names of the layers that a layer reads, in the order of its inputs."""
    if len(layer.inbound_nodes) != 1:
        raise _refused(layer, "is used more than once")
    return tuple(node.layer.name for node in layer.inbound_nodes[0].parent_nodes)


def trace_channels(model: tf_keras.Model) -> ChannelGraph:
    """Follow the channels of a network from convolution to convolution.

    Args:
        model: A functional model, channels last; each layer is used once.

    Raises:
        BadInput: If a layer's channels cannot be followed, or nothing may be cut.
    """
    tracer = _Tracer(model)
    for layer in model.layers:
        tracer.visit(layer)
    shown = {name for output in model.output_names for name in tracer.flows[output].sources}
    convolutions = {name: Convolution(**item) for name, item in tracer.found.items()}
    cuttable = tuple(name for name in convolutions if name not in shown)
    if not cuttable:
        raise BadInput("The network has no convolution but those that make its output.")
    return ChannelGraph(convolutions, tracer.fixed, dict(tracer.traffic), cuttable)


def cut_tensors(
    tensors: Mapping[str, np.ndarray], graph: ChannelGraph, masks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the tensors without the channels that go.

    Args:
        tensors: `<layer>/<weight>` to arrays.
        graph: Of the network that they belong to.
        masks: By convolution that may lose channels, `(width,)`; what is not 0 stays.
    """
    kept = {name: np.ones(width, bool) for name, width in graph.fixed.items()}
    kept |= {name: np.ones(item.width, bool) for name, item in graph.convolutions.items()}
    kept |= {name: np.asarray(mask) != 0 for name, mask in masks.items()}
    makers = {name: name for name in graph.convolutions}
    makers |= {norm: name for name, item in graph.convolutions.items() for norm in item.norms}
    smaller = {}
    for tensor, array in tensors.items():
        layer, kind = tensor.rsplit("/", 1)
        maker = makers[layer]
        if kind != "kernel":
            smaller[tensor] = array[kept[maker]]
            continue
        item = graph.convolutions[maker]
        read = np.concatenate([kept[source] for source in item.inputs])
        rows, columns = (kept[maker], read) if item.transposed else (read, kept[maker])
        smaller[tensor] = np.ascontiguousarray(array[:, :, rows][..., columns])
    return smaller
