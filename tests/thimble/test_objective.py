"""Weights of pixels and losses, worked by hand."""

import numpy as np
import pytest
import tensorflow as tf

from thimble.distillation import TargetConfig, soft_cross_entropy
from thimble.objective import (
    ObjectiveConfig,
    class_weights,
    pixel_weights,
    weighted_cross_entropy,
)
from thimble.stage import BadInput

SPEC = {"pixels": {"train": [75, 25]}}


@pytest.mark.parametrize(
    ("power", "expected"), [(0.0, [1.0, 1.0]), (1.0, [2 / 3, 2.0]), (0.5, [0.8453, 1.4641])]
)
def test_class_weights_average_to_one_over_the_pixels(power: float, expected: list[float]) -> None:
    weights = class_weights(SPEC, power)
    np.testing.assert_allclose(weights, expected, rtol=1e-3)
    assert float((weights * [0.75, 0.25]).sum()) == pytest.approx(1.0)


def test_a_class_without_pixels_does_not_divide_by_zero() -> None:
    assert np.isfinite(class_weights({"pixels": {"train": [10, 0]}}, 1.0)).all()


def test_the_border_map_adds_to_the_class_weight() -> None:
    target = tf.constant([[[[0, 255], [1, 0], [0, 51]]]], tf.uint8)
    weights = pixel_weights(target, tf.constant([1.0, 3.0]), 10.0)
    np.testing.assert_allclose(weights, [[[11.0, 3.0, 3.0]]])


def test_cross_entropy_is_the_weighted_mean() -> None:
    logits = tf.math.log(tf.constant([[[[0.5, 0.5], [0.25, 0.75]]]]))
    labels = tf.constant([[[0, 1]]])
    loss = weighted_cross_entropy(logits, labels, tf.constant([[[1.0, 3.0]]]))
    assert float(loss) == pytest.approx((np.log(2) + 3 * np.log(4 / 3)) / 4)


def test_soft_targets_are_matched_best_by_the_teacher_itself() -> None:
    teacher = tf.constant([[[[2.0, -1.0]]]])
    ones = tf.ones((1, 1, 1))
    student = tf.Variable(teacher)
    with tf.GradientTape() as tape:
        loss = soft_cross_entropy(student, teacher, ones, 4.0)
    np.testing.assert_allclose(tape.gradient(loss, student), 0.0, atol=1e-6)
    assert float(soft_cross_entropy(teacher + [[[[1.0, 0.0]]]], teacher, ones, 4.0)) > float(loss)


def test_temperature_squared_keeps_the_size_of_the_gradients() -> None:
    """Section 2.1 of Hinton et al.: in the limit the gradient does not depend on T."""
    teacher, ones = tf.constant([[[[1.0, -1.0]]]]), tf.ones((1, 1, 1))
    sizes = []
    for temperature in (20.0, 40.0):
        student = tf.Variable(tf.zeros((1, 1, 1, 2)))
        with tf.GradientTape() as tape:
            loss = soft_cross_entropy(student, teacher, ones, temperature)
        sizes.append(float(tf.norm(tape.gradient(loss, student))))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


@pytest.mark.parametrize(
    ("config", "wrong", "named"),
    [
        (ObjectiveConfig, {"class_weight_power": 1.5}, "class_weight_power"),
        (ObjectiveConfig, {"border_weight": -1.0}, "border_weight"),
        (TargetConfig, {"temperature": 0.0}, "temperature"),
        (TargetConfig, {"soft_share": 2.0}, "soft_share"),
    ],
)
def test_ranges_are_checked(config: type, wrong: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        config(**wrong)
