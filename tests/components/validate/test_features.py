"""What is told of an image: exact on tiny cases, and moved by the fault that it is there for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from components.validate.features import describe_image, thumbnail
from components.validate.table import Table, count_groups
from thimble.records import Entry, Record

CLASSES = ("ground", "cell")


def _case(image: np.ndarray, label: np.ndarray | None = None, **said: Any) -> tuple[Record, Entry]:
    image = image[..., None] if image.ndim == 2 else image
    label = np.zeros(image.shape[:2], np.uint8) if label is None else label.astype(np.uint8)
    entry = Entry("a", "train", "patient", "0", image.shape[:2], (), **said)
    return Record("a", "patient", 0, image, label, None), entry


def _scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc, left of the middle and above it, on a darker ground; image in [0, 1]."""
    row, column = np.mgrid[:64, :48]
    label = np.hypot(row - 20, column - 16) < 10
    noise = np.random.default_rng(seed).normal(0, 0.02, label.shape)
    return ndimage.gaussian_filter(0.3 + 0.3 * label, 1.0) + noise, label.astype(np.uint8)


def _row(image: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return describe_image(*_case(pixels, label), CLASSES)


def test_by_hand() -> None:
    image = np.array([[0, 0, 51], [0, 255, 255]], np.uint8)
    label = np.array([[0, 0, 0], [1, 1, 0]])
    row = describe_image(*_case(image, label, spacing=(0.5, 0.25)), CLASSES)
    assert (row["height"], row["width"]) == (2, 3)
    assert row["aspect"] == pytest.approx(np.log2(2 / 3))
    assert (row["spacing_rows"], row["spacing_columns"]) == (0.5, 0.25)
    assert row["pixels"] == "8 bits x 1"
    assert row["intensity_mean"] == pytest.approx(11 / 30)
    assert [row[f"intensity_p{p}"] for p in (1, 50, 99)] == pytest.approx([0, 0, 1])
    assert (row["black"], row["saturated"]) == (0.5, pytest.approx(1 / 3))
    assert row["grey_levels"] == pytest.approx(np.log2(3))
    assert (row["label_row"], row["label_column"]) == (1.0, -0.5)
    assert (row["foreground_cell"], row["label_empty"]) == (pytest.approx(1 / 3), "no")
    assert (row["objects_cell"], row["object_size_cell"]) == (1.0, 1.0)


def test_depth_and_colour() -> None:
    deep = np.full((4, 4), 65535 // 2, np.uint16)
    row = describe_image(*_case(deep), CLASSES)
    assert row["pixels"] == "16 bits x 1"
    assert row["intensity_mean"] == pytest.approx(0.5, abs=1e-4)
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 255
    row = describe_image(*_case(colour), CLASSES)
    assert (row["colour"], row["intensity_mean"]) == (1.0, pytest.approx(1 / 3))


def test_without_labels_nothing_is_said_of_them() -> None:
    image, label = _scene()
    pixels = np.rint(image * 255).astype(np.uint8)
    row = describe_image(*_case(pixels, label), CLASSES[:1])
    assert not [name for name in row if name.startswith(("label", "foreground", "edge", "object"))]


def test_what_is_missing_is_none() -> None:
    image = np.zeros((4, 4), np.uint8)
    said = {"site": "", "manufacturer": "acme", "tube_voltage": "120", "field_strength": "high"}
    row = describe_image(*_case(image, attributes=said), CLASSES)
    assert (row["spacing_rows"], row["site"]) == (None, None)
    assert (row["manufacturer"], row["tube_voltage"], row["field_strength"]) == ("acme", 120, None)
    assert row["label_empty"] == "yes"
    assert "edge_cell" not in row


def _shifted(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, np.roll(label, 4, axis=1)


@pytest.mark.parametrize(
    ("change", "feature", "sign"),
    [
        (lambda x, y: (x + 0.1, y), "brightness", 1),
        (lambda x, y: (0.5 + 0.6 * (x - 0.5), y), "contrast", -1),
        (lambda x, y: (1 - x, y), "step_cell", -1),
        (lambda x, y: (1 - x, y), "intensity_skew", -1),
        (lambda x, y: (ndimage.gaussian_filter(x, 1.0), y), "sharpness", -1),
        (lambda x, y: (ndimage.gaussian_filter(x, 1.0), y), "noise", -1),
        (lambda x, y: (x + np.random.default_rng(1).normal(0, 0.05, x.shape), y), "noise", 1),
        (lambda x, y: (np.rint(x * 15) / 15, y), "grey_levels", -1),
        (lambda x, y: (np.flipud(x), np.flipud(y)), "intensity_row", 1),
        (lambda x, y: (np.fliplr(x), np.fliplr(y)), "label_column", 1),
        (lambda x, y: (np.rot90(x), np.rot90(y)), "aspect", -1),
        (lambda x, y: (x, 1 - y), "step_cell", -1),
        (lambda x, y: (x, ndimage.binary_dilation(y, iterations=2)), "foreground_cell", 1),
        (lambda x, y: (x, ndimage.binary_erosion(y, iterations=2)), "edge_cell", -1),
        (_shifted, "edge_cell", -1),
        (lambda x, y: (np.flipud(x), y), "edge_cell", -1),
        (lambda x, y: (np.pad(x, 8), np.pad(y, 8)), "border_flat", 1),
    ],
)
def test_a_fault_moves_its_feature(
    change: Callable[..., tuple[np.ndarray, np.ndarray]], feature: str, sign: int
) -> None:
    """By more than two images of the same kind differ."""
    clean = [_row(*_scene(seed))[feature] for seed in range(8)]
    changed = [_row(*change(*_scene(seed)))[feature] for seed in range(8)]
    apart = np.mean(changed) - np.mean(clean)
    assert np.sign(apart) == sign
    assert abs(apart) > 3 * (np.std(clean) + np.std(changed))


def test_noise_is_measured() -> None:
    """Immerkaer's estimate is that of the noise on a flat image, in its own unit."""
    noise = np.random.default_rng(2).normal(0, 0.05, (256, 256))
    row = _row(0.5 + noise, np.zeros((256, 256)))
    assert 10 ** row["noise"] == pytest.approx(0.05, rel=0.02)


def test_a_thumbnail_stays_the_same() -> None:
    image, _ = _scene()
    first = thumbnail(np.rint(255 * image).astype(np.uint8)[..., None])
    second = thumbnail(np.rint(255 * (0.1 + 0.5 * image)).astype(np.uint8)[..., None])
    large = np.kron(image, np.ones((3, 3)))
    third = thumbnail(np.rint(65535 * large).astype(np.uint16)[..., None])
    assert np.linalg.norm(first) == pytest.approx(1)
    assert min(first @ second, first @ third) > 0.999
    assert not thumbnail(np.full((32, 32, 1), 7, np.uint8)).any()
    assert not thumbnail(np.zeros((8, 40, 1), np.uint8)).any(), "too small for a grid of 16"


def _table(cases: list[tuple[np.ndarray, str, str]]) -> Table:
    """A table of images: pixels, patient, digest."""
    table = Table(CLASSES)
    for image, patient, digest in cases:
        record, entry = _case(np.rint(255 * image).astype(np.uint8))
        table.add(replace(record, group=patient), replace(entry, group=patient, digest=digest))
    return table


def test_repeats_and_patients() -> None:
    rng = np.random.default_rng(3)
    one, two, three = (ndimage.gaussian_filter(rng.random((64, 64)), 2) for _ in range(3))
    noisy = one + rng.normal(0, 0.004, one.shape)
    rows = _table(
        [(one, "p", "1"), (one, "p", "1"), (noisy, "q", "2"), (two, "p", "3"), (two, "r", "3"),
         (three, "s", "4")]
    ).complete()  # fmt: skip
    assert [row["repeats"] for row in rows] == [
        *["nearly the same"] * 3, "same pixels", "same pixels", "none"
    ]  # fmt: skip
    assert [row["patient_share"] for row in rows] == [1 / 3, 1 / 3, 1, 1 / 3, 1, 1]
    assert count_groups(rows) == pytest.approx(4)
    assert _table([]).complete() == []
    [alone] = _table([(one, "p", "1")]).complete()
    assert alone["repeats"] == "none"
