"""Masks that come back, on weights that can be followed by hand."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.prune.surgery import MaskedKernels, cubic_ramp, keep_largest, surgery_step


def test_the_ramp_is_cubic() -> None:
    assert cubic_ramp(0.8, 0, 10) == 0.0
    assert cubic_ramp(0.8, 5, 10) == pytest.approx(0.8 * (1 - 0.125))
    assert cubic_ramp(0.8, 10, 10) == cubic_ramp(0.8, 99, 10) == 0.8


def test_a_weight_that_is_in_has_an_advantage() -> None:
    weights = np.array([1.0, 1.1, -3.0, 0.1], np.float32)
    inside = np.array([1, 0, 1, 0], np.float32)
    assert keep_largest(weights, inside, 0.5).tolist() == [1, 0, 1, 0]
    assert keep_largest(weights, 1 - inside, 0.5).tolist() == [0, 1, 1, 0]
    # 1.3 is beyond 1.1 / 0.9 times what is in: it comes back.
    weights[1] = 1.3
    assert keep_largest(weights, inside, 0.5).tolist() == [0, 1, 1, 0]


def test_equal_weights_go_in_their_order_and_one_stays() -> None:
    same = np.ones((2, 2), np.float32)
    assert keep_largest(same, same, 0.5).tolist() == [[0, 0], [1, 1]]
    assert keep_largest(np.zeros(3, np.float32), np.ones(3, np.float32), 0.99).sum() == 1


def test_a_dropped_weight_that_matters_comes_back() -> None:
    inputs = tf_keras.Input((2,))
    layer = tf_keras.layers.Dense(1, use_bias=False, name="dense")
    model = tf_keras.Model(inputs, layer(inputs))
    layer.kernel.assign([[0.5], [0.1]])
    masked = MaskedKernels(model, {"dense": 0.5})
    masked.update(10, 10)
    assert layer.kernel.numpy().tolist() == [[0.5], [0.0]]

    # Only the dropped weight is of use: the target is twice the second input.
    image = tf.constant([[0.0, 1.0]])
    optimizer = tf_keras.optimizers.SGD(0.1)
    step = surgery_step(
        model, masked, optimizer, lambda x, y: tf.reduce_sum((model(x) - 2.0 * y) ** 2)
    )
    loss = step(image, tf.constant([[1.0]]))
    assert float(loss) == 4.0
    # d loss / d kernel = 2 (0 - 2) = -4, and 0.1 + 0.1 * 4 = 0.5.
    assert masked.dense[0].numpy().ravel() == pytest.approx([0.5, 0.5])
    assert layer.kernel.numpy().ravel() == pytest.approx([0.5, 0.0])
    step(image, tf.constant([[1.0]]))
    masked.update(11, 10)
    assert layer.kernel.numpy().ravel() == pytest.approx([0.0, 0.9])
