"""Scores worked by hand, and what must hold for any masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from thimble.boundaries import hausdorff95
from thimble.scoring import (
    bootstrap_difference,
    cluster_sums,
    confusion,
    dice,
    foreground_dice,
    resample_totals,
    worst_decile,
)
from thimble.stage import BadInput

LABEL = np.array([[0, 0, 1], [1, 1, 2]], np.uint8)
PREDICTION = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)

masks = st.shared(
    array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9), key="shape"
).flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 2)))
scores = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_confusion_by_hand():
    expected = [[1, 2, 1], [2, 1, 1], [0, 0, 1]]
    assert confusion(LABEL, PREDICTION, 3).tolist() == expected


def test_dice_by_hand():
    counts = confusion(LABEL, PREDICTION, 3)
    assert dice(counts).tolist() == [2 / 5, 4 / 6, 0.0]
    assert foreground_dice(counts) == pytest.approx((4 / 6) / 2)


def test_dice_of_a_class_absent_from_both_is_one():
    assert dice(confusion(LABEL, LABEL, 5)).tolist() == [1.0] * 5


def test_pooled_counts_weigh_images_by_their_pixels():
    small = confusion(np.ones((1, 1), int), np.zeros((1, 1), int), 2)
    large = confusion(np.ones((3, 3), int), np.ones((3, 3), int), 2)
    assert foreground_dice(small + large) == pytest.approx(18 / 19)


@given(masks, masks)
def test_dice_is_symmetric_and_in_range(label, prediction):
    forth = dice(confusion(label, prediction, 3))
    assert np.array_equal(forth, dice(confusion(prediction, label, 3)))
    assert ((forth >= 0) & (forth <= 1)).all()


@given(masks, masks)
def test_confusion_counts_every_pixel_once(label, prediction):
    counts = confusion(label, prediction, 3)
    assert counts[:, 0].sum() + counts[:, 1].sum() == label.size
    assert counts[:, 1].sum() == counts[:, 2].sum()
    for index in range(3):
        assert counts[index, 0] == ((label == index) & (prediction == index)).sum()


@pytest.mark.parametrize(
    ("label", "prediction", "words"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "shape of its label"),
        (np.full((2, 2), 255), np.zeros((2, 2), int), "label must hold class indices"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "prediction must hold class indices"),
    ],
)
def test_confusion_refuses(label, prediction, words):
    with pytest.raises(BadInput, match=words):
        confusion(label, prediction, 2)


def dot(row: int, column: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[row, column] = 1
    return mask


def test_hausdorff_of_two_dots_is_their_distance():
    assert hausdorff95(dot(1, 1), dot(4, 5), 1) == pytest.approx(5.0)
    assert hausdorff95(dot(1, 1), dot(4, 5), 1, spacing=(2.0, 0.5)) == pytest.approx(np.hypot(6, 2))


def test_hausdorff_of_anisotropic_pixels():
    # The column of the prediction lies 2 pixels to the right: 2 x 0.5 mm. One row further down
    # would be 3 mm away, so that the nearest pixel is another one than in a square grid.
    label, prediction = np.zeros((2, 9, 9), np.uint8)
    label[2:7, 3] = 1
    prediction[2:7, 5] = 1
    assert hausdorff95(label, prediction, 1) == 2.0
    assert hausdorff95(label, prediction, 1, spacing=(3.0, 0.5)) == pytest.approx(1.0)
    # 3 mm down or 4 columns of 0.5 mm aside: the nearer pixel differs with the spacing.
    label, prediction = dot(4, 4), dot(5, 4) | dot(4, 8)
    assert hausdorff95(label, prediction, 1) == pytest.approx(np.percentile([1, 4], 95))
    assert hausdorff95(label, prediction, 1, spacing=(3.0, 0.5)) == pytest.approx(
        np.percentile([3, 2], 95)
    )


def test_hausdorff_of_nested_squares():
    outer, inner = np.zeros((2, 20, 20), np.uint8)
    outer[2:18, 2:18] = 1
    inner[4:16, 4:16] = 1
    # Every edge pixel of the inner square is 2 from the outer's. Back, 60 pixels of the outer edge:
    # the 4 corners are sqrt(8) away, the 8 beside them sqrt(5), the others 2.
    assert hausdorff95(outer, inner, 1) == pytest.approx(
        np.percentile([8**0.5] * 4 + [5**0.5] * 8 + [2.0] * 48, 95)
    )


def test_hausdorff_ignores_a_few_outliers():
    label = np.zeros((50, 50), np.uint8)
    label[5:45, 5:45] = 1
    prediction = label.copy()
    prediction[0, 49] = 1
    assert hausdorff95(label, prediction, 1) == 0.0


def test_hausdorff_of_empty_masks():
    empty = np.zeros((30, 40), np.uint8)
    full = np.ones((30, 40), np.uint8)
    assert hausdorff95(empty, empty, 1) == 0.0
    assert hausdorff95(empty, full, 1) == hausdorff95(full, empty, 1) == pytest.approx(50.0)
    assert hausdorff95(empty, full, 1, spacing=(0.1, 0.1)) == pytest.approx(5.0)


@given(masks, masks)
def test_hausdorff_is_symmetric_and_bounded(label, prediction):
    forth = hausdorff95(label, prediction, 1)
    assert forth == hausdorff95(prediction, label, 1)
    assert 0.0 <= forth <= np.hypot(*label.shape)
    assert hausdorff95(label, label, 1) == 0.0


def test_worst_decile_by_hand():
    assert worst_decile([0.5]) == 0.5
    assert worst_decile(np.arange(19)) == 0.0
    assert worst_decile(np.arange(30)[::-1]) == 1.0
    with pytest.raises(BadInput, match="at least one image"):
        worst_decile([])


def test_bootstrap_of_a_constant_difference_has_no_width():
    result = bootstrap_difference([0.5, 0.75, 0.25], [0.25, 0.5, 0.0], seed=1, resamples=50)
    assert result == {"mean": 0.25, "low": 0.25, "high": 0.25, "lower_one_sided_95": 0.25}


def test_bootstrap_of_two_images_follows_the_binomial():
    # Means of two draws from {0, 1}: 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
    result = bootstrap_difference([0.0, 1.0], [0.0, 0.0], seed=3)
    assert result == {"mean": 0.5, "low": 0.0, "high": 1.0, "lower_one_sided_95": 0.0}


def test_bootstrap_agrees_with_the_normal_limit():
    difference = np.random.default_rng(5).normal(0.01, 0.1, 400)
    result = bootstrap_difference(difference, np.zeros(400), seed=7)
    error = difference.std() / 20
    assert result["low"] == pytest.approx(difference.mean() - 1.96 * error, abs=0.1 * error)
    assert result["high"] == pytest.approx(difference.mean() + 1.96 * error, abs=0.1 * error)
    assert result["lower_one_sided_95"] == pytest.approx(
        difference.mean() - 1.645 * error, abs=0.1 * error
    )


def test_bootstrap_chunks_draw_what_one_chunk_draws(monkeypatch):
    first = np.random.default_rng(1).random(7)
    whole = bootstrap_difference(first, np.zeros(7), seed=2, resamples=100)
    monkeypatch.setattr("thimble.scoring._DRAWS_AT_ONCE", 20)
    assert bootstrap_difference(first, np.zeros(7), seed=2, resamples=100) == whole


def test_cluster_sums_by_hand():
    values = np.array([[1.0, 1], [2, 1], [4, 1]])
    assert cluster_sums(values, ["b", "a", "b"]).tolist() == [[5.0, 2], [2, 1]]
    with pytest.raises(BadInput, match="3 images and 2 groups"):
        cluster_sums(values, ["a", "b"])


def test_bootstrap_of_two_patients_follows_the_binomial():
    # Patient p has three images of difference 0, q one of 1. Two patients are drawn: pp, pq, qp, qq
    # give the means 0, 1/4, 1/4, 1 with probability 1/4 each.
    a, groups = [0.0, 0.0, 0.0, 1.0], ["p", "p", "p", "q"]
    result = bootstrap_difference(a, [0.0] * 4, seed=3, groups=groups)
    assert result == {"mean": 0.25, "low": 0.0, "high": 1.0, "lower_one_sided_95": 0.0}
    sums = cluster_sums(np.array([[value, 1.0] for value in a]), groups)
    totals = resample_totals(sums, seed=3, resamples=10_000)
    means, counts = np.unique(totals[:, 0] / totals[:, 1], return_counts=True)
    assert means.tolist() == [0.0, 0.25, 1.0]
    assert counts == pytest.approx([2500, 5000, 2500], abs=150)


def test_bootstrap_of_patients_is_wider_than_of_their_images():
    draws = np.random.default_rng(4)
    patients = np.repeat(draws.normal(0, 0.1, 20), 10)
    images = patients + draws.normal(0, 0.01, 200)
    groups = [f"p{index // 10}" for index in range(200)]
    alone = bootstrap_difference(images, np.zeros(200), seed=1, resamples=2000)
    together = bootstrap_difference(images, np.zeros(200), seed=1, resamples=2000, groups=groups)
    assert together["mean"] == alone["mean"]
    # Ten images say as much as one: the interval is sqrt(10) times as wide.
    ratio = (together["high"] - together["low"]) / (alone["high"] - alone["low"])
    assert ratio == pytest.approx(10**0.5, rel=0.15)


def test_bootstrap_of_patients_with_one_image_each_is_that_of_images():
    values = [0.1, 0.4, 0.2]
    alone = bootstrap_difference(values, [0.0] * 3, seed=2, resamples=100)
    assert bootstrap_difference(values, [0.0] * 3, 2, 100, groups=["x", "y", "z"]) == alone


@given(scores, st.integers(0, 99))
def test_bootstrap_is_ordered_and_seeded(values, seed):
    result = bootstrap_difference(values, values[::-1], seed, resamples=40)
    assert result == bootstrap_difference(values, values[::-1], seed, resamples=40)
    assert result["low"] <= result["lower_one_sided_95"] <= result["high"]


@pytest.mark.parametrize(
    ("a", "b", "resamples", "words"),
    [
        ([], [], 10, "equally long"),
        ([1.0], [1.0, 2.0], 10, "equally long"),
        ([float("nan")], [1.0], 10, "finite"),
        ([1.0], [1.0], 0, "resamples must be >= 1"),
    ],
)
def test_bootstrap_refuses(a, b, resamples, words):
    with pytest.raises(BadInput, match=words):
        bootstrap_difference(a, b, seed=1, resamples=resamples)
