"""Channels that go, on networks that can be followed by hand."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from components.prune.channel_graph import WORK_PER_VALUE, ChannelGraph, trace_channels
from components.prune.channels import (
    HYSTERESIS,
    ChannelMasks,
    Gate,
    channel_step,
    choose_channels,
    cut_channels,
    floor_of,
    gate_channels,
)
from thimble.models import build, from_keras, to_keras
from thimble.stage import BadInput


def small_unet(width: int = 4) -> tf_keras.Model:
    """One level: a skip through Concatenate, a transposed convolution, with and without norm."""
    image = layers.Input((None, None, 1), name="image")
    skip = layers.Conv2D(width, 3, padding="same", use_bias=False, name="first")(image)
    skip = layers.ReLU(name="first_relu")(layers.BatchNormalization(name="first_norm")(skip))
    low = layers.MaxPooling2D(2, name="pool")(skip)
    low = layers.Conv2D(2 * width, 3, padding="same", name="low")(low)
    low = layers.ReLU(name="low_relu")(low)
    up = layers.Conv2DTranspose(width, 2, strides=2, name="up")(low)
    both = layers.Concatenate(name="join")([skip, up])
    last = layers.Conv2D(width, 3, padding="same", name="last")(both)
    return tf_keras.Model(image, layers.Conv2D(2, 1, name="head")(last))


def one_after_another(widths: tuple[int, ...]) -> ChannelGraph:
    """Convolutions of 1x1 in a row, then a head of one channel."""
    tensor = image = layers.Input((None, None, 1), name="image")
    for index, width in enumerate(widths):
        tensor = layers.Conv2D(width, 1, name=f"c{index}")(tensor)
    return trace_channels(tf_keras.Model(image, layers.Conv2D(1, 1, name="head")(tensor)))


def scrambled(architecture: dict[str, Any]) -> tf_keras.Model:
    """A network with random numbers everywhere, also in its norms."""
    model, generator = build(architecture), np.random.default_rng(3)
    for variable in model.variables:
        low = 0.5 if "variance" in variable.name or "gamma" in variable.name else -0.3
        variable.assign(generator.uniform(low, 1.0, variable.shape))
    return model


def test_the_graph_of_a_skip_connection() -> None:
    graph = trace_channels(small_unet())
    assert graph.fixed == {"image": 1}
    assert graph.cuttable == ("first", "low", "up", "last")
    inputs = {name: item.inputs for name, item in graph.convolutions.items()}
    assert inputs == {
        "first": ("image",),
        "low": ("first",),
        "up": ("low",),
        "last": ("first", "up"),
        "head": ("last",),
    }
    ends = {name: item.end for name, item in graph.convolutions.items()}
    assert ends["first"] == "first_relu" and ends["up"] == "up"
    assert graph.convolutions["first"].norms == ("first_norm",)
    # Per pixel of the input: 3x3, 3x3 at a quarter of the pixels, 2x2 taps at a quarter, 3x3, 1x1.
    assert [item.taps for item in graph.convolutions.values()] == [9, 2.25, 1, 9, 1]
    # 9*1*4 + 2.25*4*8 + 1*8*4 + 9*8*4 + 1*4*2
    assert graph.multiply_accumulates({}) == 36 + 72 + 32 + 288 + 8
    # Written, pooled to a quarter, read by low, joined, read by last.
    assert graph.traffic["first"] == 1 + 1.25 + 0.25 + 2 + 1
    assert graph.traffic["low"] == 0.25 + 0.25


def test_what_a_channel_saves_is_what_the_work_falls_by() -> None:
    graph = trace_channels(small_unet())
    widths = {**graph.widths(), "low": 5}
    for name, saved in graph.savings(widths).items():
        fewer = {**widths, name: widths[name] - 1}
        assert graph.work(widths) - graph.work(fewer) == pytest.approx(saved)
    assert graph.savings(widths)["up"] == 5 * 1 + 9 * 4 + WORK_PER_VALUE * (1 + 2 + 1)


def pool_then_norm(tensor: Any) -> Any:
    return layers.BatchNormalization(name="odd")(layers.MaxPooling2D(name="p")(tensor))


def one_layer_twice(tensor: Any) -> Any:
    shared = layers.ReLU(name="odd")
    return shared(shared(tensor))


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (layers.Dropout(0.5, name="odd"), r"odd \(Dropout\) cannot be followed by channel"),
        (layers.Conv2D(4, 1, groups=2, name="odd"), r"odd \(Conv2D\) has groups"),
        (pool_then_norm, r"odd \(BatchNormalization\) normalises channels that are not those of"),
        (one_layer_twice, r"odd \(ReLU\) is used more than once"),
    ],
)
def test_layers_that_cannot_be_cut_around_are_named(tail: Any, message: str) -> None:
    image = layers.Input((8, 8, 1), name="image")
    tensor = tail(layers.Conv2D(4, 1, name="first")(image))
    model = tf_keras.Model(image, layers.Conv2D(2, 1, name="head")(tensor))
    with pytest.raises(BadInput, match=message):
        trace_channels(model)


def test_a_network_that_only_makes_its_output_has_nothing_to_cut() -> None:
    image = layers.Input((8, 8, 1), name="image")
    with pytest.raises(BadInput, match="no convolution but those that make its output"):
        trace_channels(tf_keras.Model(image, layers.ReLU()(layers.Conv2D(2, 1)(image))))


def test_importance_counts_against_the_work_saved() -> None:
    # A channel of c1 saves 8 + 1 and its traffic, one of c0 1 + 4 and the same traffic.
    graph = one_after_another((8, 4))
    savings = graph.savings(graph.widths())
    traffic = 2 * WORK_PER_VALUE
    assert savings == {"c0": 1 + 4 + traffic, "c1": 8 + 1 + traffic}
    equal = {"c0": np.ones(8), "c1": np.ones(4)}
    masks = choose_channels(graph, equal, 1e-6)
    assert [int(mask.sum()) for mask in masks.values()] == [8, 3]
    # 1 / 209 against the mean of the pair of c0 that goes, 0.97 / 205.
    cheaper = {"c0": np.array([1, 0.96, 1, 1, 0.98, 1, 1, 1]), "c1": np.ones(4)}
    masks = choose_channels(graph, cheaper, 1e-6)
    assert masks["c0"].tolist() == [1, 0, 1, 1, 0, 1, 1, 1]
    assert masks["c1"].tolist() == [1, 1, 1, 1]


def test_the_share_is_reached_and_no_layer_runs_empty() -> None:
    graph = trace_channels(small_unet(16))
    # All that matters is in `last`; the skip would be the first to be emptied.
    scores = {name: np.zeros(width) for name, width in graph.widths().items()}
    scores["last"] += 1.0
    for share in (0.0, 0.2, 0.6):
        masks = choose_channels(graph, scores, share)
        widths = {name: int(mask.sum()) for name, mask in masks.items()}
        assert 1 - graph.work(widths) / graph.work({}) >= share
        assert all(widths[name] >= floor_of(mask.size) for name, mask in masks.items())
    assert (widths["first"], widths["up"]) == (floor_of(16), floor_of(16)) == (4, 4)
    with pytest.raises(BadInput, match=r"must be <= 0\.\d+ .*no layer runs empty.*0\.95"):
        choose_channels(graph, scores, 0.95)


def test_the_floor_is_an_eighth_in_whole_units() -> None:
    assert [floor_of(width) for width in (1, 2, 4, 8, 16, 32, 40, 64, 256)] == [
        *(1, 2, 2, 2, 4, 4, 8, 8, 32),
    ]


def test_a_masked_channel_is_measured_and_its_weights_rest() -> None:
    image = layers.Input((1, 1, 2), name="image")
    tensor = layers.Conv2D(2, 1, use_bias=False, name="first")(image)
    model = tf_keras.Model(image, layers.Conv2D(1, 1, use_bias=False, name="head")(tensor))
    model.get_layer("first").kernel.assign([[[[1.0, 0.0], [0.0, 1.0]]]])
    model.get_layer("head").kernel.assign([[[[1.0], [1.0]]]])
    graph = trace_channels(model)
    gated, gates = gate_channels(model, graph)
    masks = ChannelMasks(graph, gates)
    gates["first"].mask.assign([1.0, 0.0])
    step = channel_step(
        gated,
        masks,
        tf_keras.optimizers.SGD(0.1),
        lambda x, y: tf.reduce_sum((gated(x, training=True) - y) ** 2),
    )
    # The masked channel carries 3; its gate's derivative is 2 (1 - 4) * 3, the other's 2 (1 - 4).
    loss = step(tf.constant([[[[1.0, 3.0]]]]), tf.constant([[[[4.0]]]]))
    assert float(loss) == 9.0
    assert masks.importance["first"].numpy() == pytest.approx([0.05 * 36, 0.05 * 324])
    kernel = model.get_layer("first").kernel.numpy()[0, 0]
    assert kernel == pytest.approx(np.array([[1.6, 0.0], [1.8, 1.0]]))
    # Its reader sees a 0 and does not move.
    assert model.get_layer("head").kernel.numpy()[0, 0, 1] == 1.0


def test_a_channel_comes_back_when_it_is_clearly_more_important() -> None:
    graph = one_after_another((4,))
    gate = Gate()
    gate.build((None, 1, 1, 4))
    gate.mask.assign([1.0, 1.0, 0.0, 1.0])
    masks = ChannelMasks(graph, {"c0": gate})
    masks.importance["c0"].assign([1.0, 2.0, 1.1, 3.0])
    masks.update(1e-6)
    assert masks.arrays()["c0"].tolist() == [1, 1, 0, 1]
    masks.importance["c0"].assign([1.0, 2.0, 1.1 * HYSTERESIS, 3.0])
    masks.update(1e-6)
    assert masks.arrays()["c0"].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_the_cut_network_computes_what_the_masked_one_does(normalization: str) -> None:
    config = {"base_width": 8, "depth": 2, "normalization": normalization}
    architecture = {"model": "unet", "config": config}
    model = scrambled(architecture)
    graph = trace_channels(model)
    gated, gates = gate_channels(model, graph)
    generator = np.random.default_rng(1)
    masks = choose_channels(
        graph, {name: generator.random(width) for name, width in graph.widths().items()}, 0.5
    )
    for name, mask in masks.items():
        gates[name].mask.assign(mask)
    image = generator.normal(size=(2, 16, 16, 1)).astype(np.float32)

    whole = from_keras(model, architecture, {})
    small = cut_channels(whole, graph, masks)
    widths = small.architecture["config"]["widths"]
    assert widths == {name: int(mask.sum()) for name, mask in masks.items()}
    assert list(small.tensors) == list(whole.tensors)
    assert widths["conv_e0_b"] < 8
    # Bit by bit: what is left of a kernel behind a skip are the rows of both halves that stay.
    rows = np.concatenate([masks["conv_e0_b"], masks["up_d0"]]) > 0
    kernel = whole.tensors["conv_d0_a/kernel"][:, :, rows][..., masks["conv_d0_a"] > 0]
    assert small.tensors["conv_d0_a/kernel"].tobytes() == kernel.tobytes()
    masked, cut = gated(image, training=False), to_keras(small)(image, training=False)
    assert np.abs(masked).max() > 1.0
    assert np.allclose(masked, cut, rtol=1e-5, atol=1e-5 * float(np.abs(masked).max()))
    # Cut once more, from a network that has widths of its own.
    again = trace_channels(to_keras(small))
    assert again.widths() == widths
    assert again.multiply_accumulates({}) == graph.multiply_accumulates(widths)
