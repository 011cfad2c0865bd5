"""Slices by hand: who is in one, its pooled Dice, its interval over patients, small lesions."""

from typing import Any

import numpy as np
import pytest

from components.evaluate.lesions import Bins, find_lesions
from components.evaluate.scores import CompareConfig, ImageScore, Scores, score_image
from components.evaluate.slices import (
    MOST_VALUES,
    Scanned,
    cut_slices,
    describe,
    recall_by_size,
    score_slice,
)
from thimble.records import Entry

BINS = Bins("pixels", (4.0, 9.0), "given")
CONFIG = CompareConfig(bootstrap_resamples=4000)


def entry(name: str, group: str = "", **attributes: str) -> Entry:
    return Entry(name, "test", group or name, "0", (9, 9), (1, 1), attributes=attributes)


def scanned(name: str, group: str = "", lesions: tuple[int, ...] = (1, 0, 0), **kinds: str) -> Any:
    return Scanned(name, group or name, lesions, {"lesion_size": "small"} | kinds)


def score(
    hit: int, extra: int, missed: int, hd95: float = 2.0, mm: float | None = None, found: int = 0
) -> ImageScore:
    counts = np.array([[0, 0, 0], [hit, extra, missed]])
    return ImageScore(counts, 2 * hit / (2 * hit + extra + missed), hd95, mm, (found, 0, 0))


def squares(*sides: int) -> np.ndarray:
    """One square of each side, apart from each other."""
    label = np.zeros((12, 60), np.uint8)
    for place, side in enumerate(sides):
        label[:side, 12 * place : 12 * place + side] = 1
    return label


def slice_of(by: str, value: str, images: list[Scanned]) -> Any:
    found, _ = cut_slices(images, BINS)
    return next(part for part in found if (part.by, part.value) == (by, value))


def test_size_of_an_image_is_that_of_its_median_lesion() -> None:
    image = describe(entry("a", site="x"), find_lesions(squares(1, 3, 4)), BINS)
    assert image.kinds == {"site": "x", "lesion_size": "medium"}
    assert image.lesions == (1, 1, 1)
    # Of an even number the smaller one in the middle; an area on the edge is below it.
    assert describe(entry("a"), find_lesions(squares(2, 3)), BINS).kinds["lesion_size"] == "small"
    assert describe(entry("a"), find_lesions(squares()), BINS).kinds["lesion_size"] == "none"


def test_slices_in_the_order_of_the_report() -> None:
    images = [
        scanned("a", site="s", model="m", manufacturer="b", slice_thickness="1"),
        scanned("b", site="t", model="m", manufacturer="a", slice_thickness="2"),
        scanned("c", site="s", model="m", lesion_size="none"),
    ]
    slices, left = cut_slices(images, BINS)
    assert [(part.by, part.value, len(part.images)) for part in slices] == [
        ("site", "s", 2),
        ("site", "t", 1),
        ("manufacturer", "a", 1),
        ("manufacturer", "b", 1),
        ("manufacturer", "unknown", 1),
        ("lesion_size", "small", 2),
        ("lesion_size", "none", 1),
    ]
    assert left == []


def test_attribute_of_too_many_values_is_named() -> None:
    images = [scanned(str(index), site=f"s{index}") for index in range(MOST_VALUES + 1)]
    assert cut_slices(images, BINS) == ([], ["site"])


def test_few_patients_are_not_judged() -> None:
    images = [scanned(str(index), site="s") for index in range(5)]
    images += [scanned(f"t{index}", f"p{index % 4}", site="t") for index in range(8)]
    images += [scanned("u", site="u"), scanned("n", lesion_size="none")]
    doubts = {part.value: part.doubt for part in cut_slices(images, BINS)[0]}
    assert doubts["s"] == ""
    assert doubts["t"] == doubts["u"] == "too few"
    assert doubts["none"] == "no lesion"


def test_dice_of_a_slice_is_pooled_and_its_images_are_drawn_by_patient() -> None:
    # Patient p: two images of 1 hit, 0 errors; q: one image of 1 hit, 2 errors. Pooled: 6 / 8.
    # pp: 8 / 8; pq and qp: 6 / 8; qq: 4 / 8, at 1/4, 1/2, 1/4.
    images = [scanned("a", "p", site="s"), scanned("b", "p", site="s"), scanned("c", "q", site="s")]
    part = slice_of("site", "s", [*images, scanned("d", site="t")])
    scores = {"a": score(1, 0, 0, 1.0), "b": score(1, 0, 0, 2.0), "c": score(1, 1, 1, 6.0)}
    record = score_slice(part, {"float32": scores}, None, BINS, CONFIG)
    assert (record["images"], record["groups"], record["judged"]) == (3, 2, False)
    assert record["variants"]["float32"] == {
        "dice": 0.75,
        "dice_low": 0.5,
        "dice_high": 1.0,
        "hd95_pixels": 3.0,
        "hd95_pixels_low": 1.5,
        "hd95_pixels_high": 6.0,
        "difference": None,
    }


def test_difference_is_paired() -> None:
    # Every patient loses: in each draw Dice falls from 1 to 2 / 3, however many pixels it has.
    images = [scanned(name, site="s") for name in "abcde"]
    part = slice_of("site", "s", [*images, scanned("x", site="t")])
    sizes = dict(zip("abcde", (1, 10, 100, 7, 50), strict=True))
    worse = {name: score(size, size, 0) for name, size in sizes.items()}
    whole = {name: score(2 * size, 0, 0) for name, size in sizes.items()}
    record = score_slice(part, {"int8": worse}, whole, BINS, CONFIG)
    gap = record["variants"]["int8"]["difference"]
    assert gap == pytest.approx(dict.fromkeys(gap, -1 / 3))
    assert set(gap) == {"dice", "low", "high", "lower_one_sided_95"}
    assert record["judged"] and record["doubt"] == ""


def test_lone_patient_has_no_interval() -> None:
    part = slice_of("site", "s", [scanned("a", site="s"), scanned("b", site="t")])
    scores: Scores = {"a": score(1, 1, 0)}
    figures = score_slice(part, {"int8": scores}, scores, BINS, CONFIG)["variants"]["int8"]
    assert (figures["dice"], figures["dice_low"], figures["dice_high"]) == (2 / 3, None, None)
    assert figures["difference"] == {
        "dice": 0.0, "low": None, "high": None, "lower_one_sided_95": None
    }  # fmt: skip


def test_unit_is_mm_only_where_every_spacing_is_known() -> None:
    images = [scanned("a", site="s"), scanned("b", site="s"), scanned("c", site="t")]
    scores = {"a": score(1, 0, 0, 2.0, 1.0), "b": score(1, 0, 0, 4.0, 3.0), "c": score(1, 0, 0)}
    known = score_slice(slice_of("site", "s", images), {"f": scores}, None, BINS, CONFIG)
    assert known["variants"]["f"]["hd95_mm"] == 2.0
    assert "hd95_pixels" not in known["variants"]["f"]
    scores["b"] = score(1, 0, 0, 4.0)
    mixed = score_slice(slice_of("site", "s", images), {"f": scores}, None, BINS, CONFIG)
    assert mixed["variants"]["f"]["hd95_pixels"] == 3.0


def test_image_is_scored_in_pixels_and_in_mm() -> None:
    label, mask = np.zeros((2, 6, 6), np.uint8)
    label[1:5, 1] = 1
    mask[1:5, 3] = 1
    found = score_image(label, mask, 2, (3.0, 0.5), find_lesions(label), BINS)
    assert (found.dice, found.hd95, found.hd95_mm) == (0.0, 2.0, 1.0)
    assert found.found == (0, 0, 0)
    found = score_image(label, label, 2, None, find_lesions(label), BINS)
    assert (found.dice, found.hd95, found.hd95_mm, found.found) == (1.0, 0.0, None, (1, 0, 0))


def test_range_of_a_size() -> None:
    images = [scanned("a"), scanned("b", lesion_size="large"), scanned("c", lesion_size="none")]
    scores = {name: score(1, 0, 0) for name in "abc"}
    ranges = [
        score_slice(part, {"f": scores}, None, BINS, CONFIG).get("range")
        for part in cut_slices(images, BINS)[0]
    ]
    assert ranges == [[None, 4.0], [9.0, None], None]


def test_recall_by_hand() -> None:
    # 3 of 4 small lesions found in two patients, by the baseline all 4.
    images = [scanned("a", lesions=(2, 0, 1)), scanned("b", lesions=(2, 0, 0))]
    scores = {"a": score(1, 0, 0, found=2), "b": score(1, 0, 0, found=1)}
    baseline = {name: score(1, 0, 0, found=2) for name in "ab"}
    recall = recall_by_size(images, {"int8": scores}, baseline, BINS, CONFIG)
    assert (recall["unit"], recall["origin"], recall["least_overlap"]) == ("pixels", "given", 0.1)
    small, medium, large = recall["sizes"]
    assert (small["lesions"], small["images"], small["range"]) == (4, 2, [None, 4.0])
    figures = small["variants"]["int8"]
    assert (figures["found"], figures["recall"]) == (3, 0.75)
    assert figures["low"] < 0.75 < figures["high"]
    # aa: 0, ab and ba: -1/4, bb: -1/2.
    assert figures["difference"] == {
        "recall": -0.25, "low": -0.5, "high": 0.0, "lower_one_sided_95": -0.5
    }  # fmt: skip
    assert (medium["lesions"], medium["variants"]) == (0, {})
    assert (large["lesions"], large["variants"]["int8"]["found"]) == (1, 0)
