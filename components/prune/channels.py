"""Pruning of whole channels: masked and recovered while training, then cut out."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.prune.channel_graph import ChannelGraph, cut_tensors, parents_of, trace_channels
from components.prune.recovery import Recovery
from components.prune.surgery import cubic_ramp
from thimble.models import build, from_keras, to_keras
from thimble.stage import require
from thimble.weights import Weights

__all__ = [
    "ChannelMasks",
    "Gate",
    "channel_step",
    "choose_channels",
    "cut_channels",
    "floor_of",
    "gate_channels",
    "prune_by_channels",
]

# Wide layers keep multiples of so many channels: phones' GPUs store them in fours.
LARGEST_UNIT = 4
# Of each layer's channels this share stays, so that no layer and no skip connection runs empty.
LEAST_SHARE = 1 / 8
# Importance is a mean over about the last 1 / (1 - DECAY) steps.
DECAY = 0.95
# A channel that is in counts so much more than one that is out, so that masks do not flicker.
HYSTERESIS = 1.5


class Gate(tf_keras.layers.Layer):
    """Multiplies channels with a mask of 0 and 1.

    What is masked is computed all the same, so that the loss's derivative with respect to its mask
    tells what its return would change. Its weights rest: trained on unmasked gradients they would
    grow without ever being seen to.
    """

    def build(self, shape: tf.TensorShape) -> None:
        """Start with all channels in."""
        self.mask = self.add_weight("mask", (shape[-1],), initializer="ones", trainable=False)

    def call(self, image: tf.Tensor) -> tf.Tensor:
        """Return the masked image, `(batch, height, width, channels)`."""
        return image * self.mask


def gate_channels(
    model: tf_keras.Model, graph: ChannelGraph
) -> tuple[tf_keras.Model, dict[str, Gate]]:
    """Return a model of the same layers with a gate behind each channel that may go.

    Args:
        model: Its layers, and so its weights, are shared.
        graph: Of the model.

    Returns:
        The gated model, and the gates by the convolution that makes the channels.
    """
    makers = {graph.convolutions[name].end: name for name in graph.cuttable}
    gates = {name: Gate(name=f"{name}_gate") for name in graph.cuttable}
    flows: dict[str, Any] = {}
    parents = {layer.name: parents_of(layer) for layer in model.layers}
    for layer in model.layers:
        given = [flows[name] for name in parents[layer.name]]
        if not given:
            flows[layer.name] = layer.output
            continue
        made = layer(given if len(given) > 1 else given[0])
        maker = makers.get(layer.name)
        flows[layer.name] = made if maker is None else gates[maker](made)
    outputs = [flows[name] for name in model.output_names]
    return tf_keras.Model(model.inputs, outputs[0] if len(outputs) == 1 else outputs), gates


def _unit(width: int) -> int:
    """Return how many channels of a layer go at once."""
    return min(LARGEST_UNIT, max(1, width // 4))


def floor_of(width: int) -> int:
    """Return the channels of a layer that always stay: an eighth, at least two, in whole units."""
    unit = _unit(width)
    return min(width, unit * math.ceil(max(2, width * LEAST_SHARE) / unit))


def _step(width: int, left: int) -> int:
    """Return how many channels go next, so that whole units are left."""
    unit = _unit(width)
    return left % unit or unit


def choose_channels(
    graph: ChannelGraph, importance: Mapping[str, np.ndarray], share: float
) -> dict[str, np.ndarray]:
    """Choose the channels that go: the least important for the work that they save.

    All layers compete. What a channel saves is counted anew after each choice, because it is less
    in a layer whose neighbours have lost channels. Equals go in their order.

    Args:
        graph: Of the network.
        importance: By convolution that may lose channels, `(width,)`, >= 0.
        share: Of the network's work, at least so much goes, in [0, 1).

    Returns:
        Masks by convolution, `(width,)` float32, 1 = stays.

    Raises:
        BadInput: If so much cannot go.

    Source: Theis et al., 2018, "Faster gaze prediction with dense networks and Fisher pruning",
        section 2.2 (importance against cost).
    """
    widths = graph.widths()
    whole = graph.work(widths)
    least = {name: floor_of(width) for name, width in widths.items()}
    most = 1.0 - graph.work(least) / whole
    require(
        share <= most,
        f"sparsity of method 'channels' must be <= {math.floor(most * 1000) / 1000} for this "
        "network, so that no layer runs empty",
        sparsity=share,
    )
    order = {name: np.argsort(importance[name], kind="stable") for name in widths}
    masks = {name: np.ones(width, np.float32) for name, width in widths.items()}
    while graph.work(widths) > (1.0 - share) * whole:
        savings = graph.savings(widths)
        prices = {}
        for name in (name for name in widths if widths[name] > least[name]):
            gone = masks[name].size - widths[name]
            next_out = order[name][gone : gone + _step(masks[name].size, widths[name])]
            prices[name] = (importance[name][next_out].mean() / savings[name], next_out)
        cheapest = min(prices, key=lambda name: prices[name][0])
        masks[cheapest][prices[cheapest][1]] = 0.0
        widths[cheapest] = int(masks[cheapest].sum())
    return masks


class ChannelMasks:
    """The masks of a gated model, chosen by importance that is measured while it trains.

    The importance of a channel is the mean square of the loss's derivative with respect to its
    gate: to first order, what the loss changes by when the channel goes or comes back.

    Source: Molchanov et al., 2019, "Importance estimation for neural network pruning", section 3.1.
    """

    def __init__(self, graph: ChannelGraph, gates: Mapping[str, Gate]) -> None:
        """Start with all channels in."""
        self.graph = graph
        self.gates = {name: gate.mask for name, gate in gates.items()}
        self.importance = {name: tf.Variable(tf.zeros_like(m)) for name, m in self.gates.items()}

    def measure(self, gradients: Mapping[str, tf.Tensor]) -> None:
        """Take in the derivatives of one batch, `(width,)` by convolution."""
        for name, gradient in gradients.items():
            mean = self.importance[name]
            mean.assign(DECAY * mean + (1.0 - DECAY) * gradient**2)

    def update(self, share: float) -> None:
        """Choose the masks anew so that a share of the work goes."""
        scores = {
            name: self.importance[name].numpy() * np.where(mask.numpy() > 0, HYSTERESIS, 1.0)
            for name, mask in self.gates.items()
        }
        for name, mask in choose_channels(self.graph, scores, share).items():
            self.gates[name].assign(mask)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the masks by convolution."""
        return {name: mask.numpy() for name, mask in self.gates.items()}

    def named(self) -> dict[str, tf.Variable]:
        """Return what a checkpoint holds beside the gated model."""
        return {f"{name}_importance": variable for name, variable in self.importance.items()}


def channel_step(
    gated: tf_keras.Model, masks: ChannelMasks, optimizer: Any, measure: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Return one optimiser step that measures the channels' importance as well.

    Args:
        gated: From `gate_channels`.
        masks: Of its gates.
        optimizer: Is built here.
        measure: From a batch (image, target) to the loss, a scalar.
    """
    variables = gated.trainable_variables
    optimizer.build(variables)

    @tf.function
    def take_step(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            for mask in masks.gates.values():
                tape.watch(mask)
            loss = measure(image, target)
        gradients, by_gate = tape.gradient(loss, [variables, masks.gates])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        masks.measure(by_gate)
        return loss

    return take_step


def cut_channels(whole: Weights, graph: ChannelGraph, masks: Mapping[str, np.ndarray]) -> Weights:
    """Return the smaller network that computes what the masked one does.

    Args:
        whole: The network with the masked channels.
        graph: Of the network.
        masks: By convolution that may lose channels, `(width,)`; what is not 0 stays.
    """
    widths = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    config = {**whole.architecture["config"], "widths": widths}
    tensors = cut_tensors(whole.tensors, graph, masks)
    return Weights({**whole.architecture, "config": config}, tensors, {}, whole.preprocessing)


def prune_by_channels(dense: Weights, recovery: Recovery) -> tuple[Weights, dict[str, float]]:
    """Mask the least important channels, train on, and cut out what is masked in the end.

    What is masked is measured on behind its gate and may come back until half of the steps after
    the ramp are over.

    Args:
        dense: The network.
        recovery: How it is trained; its sparsity is the share of the work that goes.

    Returns:
        Weights of fewer channels, and the figures with `work_ratio` and `macs_ratio` (all work,
        and multiply-accumulates alone: before over after) and `channels_kept`, a share.

    Raises:
        BadInput: If the layers of the network cannot be cut, or not by so much.
    """
    model = to_keras(dense)
    graph = trace_channels(model)
    whole = {name: np.ones(width, np.float32) for name, width in graph.widths().items()}
    share = recovery.config.amount.sparsity
    # Both fail now, and not after the training, if the network or the share will not do.
    build(cut_channels(dense, graph, whole).architecture)
    choose_channels(graph, whole, share)

    gated, gates = gate_channels(model, graph)
    masks = ChannelMasks(graph, gates)

    def before_step(step: int) -> None:
        if recovery.updates_masks(step):
            masks.update(cubic_ramp(share, step, recovery.ramp_end))

    take_step = channel_step(gated, masks, recovery.optimizer, recovery.loss(gated))
    figures = recovery.train(gated, take_step, before_step, masks.named())
    trained = from_keras(model, dense.architecture, dense.preprocessing)
    result = cut_channels(trained, graph, masks.arrays())
    kept = result.architecture["config"]["widths"]
    before, work = graph.widths(), graph.work(graph.widths()) / graph.work(kept)
    return result, {
        **figures,
        "work_ratio": work,
        "macs_ratio": graph.multiply_accumulates(before) / graph.multiply_accumulates(kept),
        "channels_kept": sum(kept.values()) / sum(before.values()),
        "sparsity_reached": 1.0 - 1.0 / work,
    }
