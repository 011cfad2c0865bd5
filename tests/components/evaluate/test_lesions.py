"""Lesions by hand: what is one, how large it is, when it is found, and how sure a share is."""

import numpy as np
import pytest

from components.evaluate.lesions import (
    Bins,
    bins_of,
    find_lesions,
    found_lesions,
    parse_edges,
    proportion,
)
from thimble.stage import BadInput

# Weil, 1970, litters of rats: pups that lived of those born; Rao and Scott, 1992, table 1.
CONTROL = [
    (13, 13), (12, 12), (9, 9), (9, 9), (8, 8), (8, 8), (12, 13), (11, 12), (9, 10), (9, 10),
    (8, 9), (11, 13), (4, 5), (5, 7), (7, 10), (7, 10),
]  # fmt: skip
TREATED = [
    (12, 12), (11, 11), (10, 10), (9, 9), (10, 11), (9, 10), (9, 10), (8, 9), (8, 9), (4, 5),
    (7, 9), (4, 7), (5, 10), (3, 6), (3, 10), (0, 7),
]  # fmt: skip


def draw(*rows: str) -> np.ndarray:
    return np.array([[int(mark) for mark in row] for row in rows], np.uint8)


def test_lesions_touch_at_corners_and_across_classes() -> None:
    lesions = find_lesions(draw("1000", "0200", "0001"), pixel_area=0.5)
    assert lesions.areas.tolist() == [1.0, 0.5]
    assert lesions.parts.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 2]]
    assert find_lesions(np.zeros((3, 3), int)).areas.size == 0


def test_found_by_overlap_of_a_tenth() -> None:
    truth = find_lesions(draw("1111100000", "0000000000"))
    # 1 of 5 pixels, nothing beside it: 1 / 5.
    assert found_lesions(truth, draw("1000000000", "0000000000")).tolist() == [True]
    # 1 pixel shared, a part of 6: 1 / (5 + 6 - 1) = 0.1, at the limit.
    assert found_lesions(truth, draw("0000111111", "0000000000")).tolist() == [True]
    # One pixel more: 1 / 11.
    assert found_lesions(truth, draw("0000111111", "0000000001")).tolist() == [False]
    assert found_lesions(truth, draw("0000000000", "0000000000")).tolist() == [False]


def test_parts_that_touch_a_lesion_count_together() -> None:
    truth = find_lesions(draw("1111111111"))
    assert found_lesions(truth, draw("1000000000")).tolist() == [True]
    truth = find_lesions(draw("11111111111"))
    assert found_lesions(truth, draw("10000000000")).tolist() == [False]
    assert found_lesions(truth, draw("10000000001")).tolist() == [True]


def test_mask_of_foreground_finds_no_small_lesion() -> None:
    truth = np.zeros((20, 20), np.uint8)
    truth[2:4, 2:4] = 1
    truth[8:18, 8:18] = 2
    assert found_lesions(find_lesions(truth), np.ones((20, 20), int)).tolist() == [False, True]


def test_class_of_the_prediction_does_not_matter() -> None:
    assert found_lesions(find_lesions(draw("110")), draw("220")).tolist() == [True]


def test_images_without_lesions() -> None:
    assert found_lesions(find_lesions(draw("000")), draw("111")).size == 0


def test_bins_by_hand() -> None:
    bins = bins_of([np.array([1.0, 2, 3]), np.array([]), np.array([4.0, 5, 6, 7])], "mm2")
    assert bins == Bins("mm2", (3.0, 5.0), "train")
    assert bins.names == ("small", "medium", "large")
    assert bins.place(np.array([3.0, 3.1, 5.0, 99])).tolist() == [0, 1, 1, 2]
    assert bins.ranges() == [[None, 3.0], [3.0, 5.0], [5.0, None]]


def test_bins_of_lesions_of_one_size() -> None:
    assert bins_of([np.full(9, 4.0)], "pixels") == Bins("pixels", (), "train")
    assert bins_of([np.array([1.0] * 6 + [9.0] * 3)], "pixels").names == ("small", "large")
    assert bins_of([], "pixels").names == ("all",)


def test_edges() -> None:
    assert parse_edges(" ") == ()
    assert parse_edges("20; 100.5") == (20.0, 100.5)
    for wrong in ("0", "-1;2", "2;2", "nan", "inf", "1,2", "1;"):
        with pytest.raises(BadInput, match="lesion_bins must be"):
            parse_edges(wrong)


def wilson(share: float, number: float) -> tuple[float, float]:
    square = 1.959964**2 / number
    half = (square * share * (1 - share) + square**2 / 4) ** 0.5
    return (share + square / 2 - half) / (1 + square), (share + square / 2 + half) / (1 + square)


def test_wilson_by_hand() -> None:
    # 8 of 10 things, each its own cluster: the sample's variance has 9 degrees of freedom, so
    # (0.8 + z2/18 -+ z sqrt(0.16/9 + z2/324)) / (1 + z2/9) with z2 = 3.841459.
    share = proportion([1.0] * 8 + [0.0] * 2, [1.0] * 10)
    assert (share.value, share.low, share.high) == pytest.approx(
        (0.8, 0.473789, 0.946724), abs=1e-6
    )
    assert wilson(0.8, 9.0) == pytest.approx((0.473789, 0.946724), abs=1e-6)


@pytest.mark.parametrize(("litters", "effect"), [(CONTROL, 1.232495), (TREATED, 3.952861)])
def test_clusters_count_by_their_design_effect(
    litters: list[tuple[int, int]], effect: float
) -> None:
    hits, totals = zip(*litters, strict=True)
    share = proportion(hits, totals)
    expected = wilson(sum(hits) / sum(totals), sum(totals) / effect)
    assert (share.low, share.high) == pytest.approx(expected, abs=1e-6)


def test_all_found_in_few_images_is_not_certain() -> None:
    # 40 lesions of 4 images count as 4: Wilson's bound of 4 of 4 is 4 / (4 + z2).
    share = proportion([10.0] * 4, [10.0] * 4)
    assert (share.value, share.high) == (1.0, 1.0)
    assert share.low == pytest.approx(4 / (4 + 1.959964**2), abs=1e-6)
    assert proportion([10.0] * 62, [10.0] * 62).high == 1.0
    none = proportion([0.0, 0.0], [3.0, 0.0])
    assert none.low == 0.0 and none.high == pytest.approx(1.959964**2 / (1 + 1.959964**2), abs=1e-6)


def test_clusters_that_agree_more_than_chance_gain_nothing() -> None:
    even = proportion([1.0, 1.0], [2.0, 2.0])
    assert (even.low, even.high) == pytest.approx(wilson(0.5, 4.0), abs=1e-6)


def test_share_of_nothing() -> None:
    with pytest.raises(BadInput, match="something to count"):
        proportion([0.0], [0.0])
