"""Intensities as a network sees them."""

import numpy as np
import pytest

from thimble.preprocessing import normalize, to_channels
from thimble.stage import BadInput

DATASET = {"normalization": {"kind": "dataset", "mean": [0.5], "std": [0.25]}, "channels": 1}


def test_dataset_statistics() -> None:
    image = np.array([[[0], [255]]], np.uint8)
    assert normalize(image, DATASET).tolist() == [[[-2.0], [2.0]]]
    assert normalize(image, DATASET).dtype == np.float32


def test_8_and_16_bits_agree() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    deep = image.astype(np.uint16) * 257
    assert np.abs(normalize(image, DATASET) - normalize(deep, DATASET)).max() < 1e-6


def test_own_statistics() -> None:
    own = {"normalization": {"kind": "image"}, "channels": 3}
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    result = normalize(image, own)
    assert np.abs(result.mean((0, 1))).max() < 1e-5
    assert np.abs(result.std((0, 1)) - 1).max() < 1e-5
    flat = normalize(np.full((3, 3, 3), 7, np.uint8), own)
    assert np.abs(flat).max() < 1e-3, "no division by zero"


def test_channels() -> None:
    grey = np.array([[[7], [255]]], np.uint8)
    assert to_channels(grey, 3).tolist() == [[[7] * 3, [255] * 3]]
    assert np.array_equal(to_channels(to_channels(grey, 3), 1), grey)
    red = np.array([[[1000, 0, 0]]], np.uint16)
    assert to_channels(red, 1).tolist() == [[[299]]]
    with pytest.raises(BadInput, match="1 or 3"):
        to_channels(np.zeros((2, 2, 4), np.uint8), 1)


def test_refused() -> None:
    with pytest.raises(BadInput, match="float32"):
        normalize(np.zeros((2, 2, 1), np.float32), DATASET)
    with pytest.raises(BadInput, match="to_channels"):
        normalize(np.zeros((2, 2, 3), np.uint8), DATASET)
    odd = {"normalization": {"kind": "minmax"}, "channels": 1}
    with pytest.raises(BadInput, match="minmax"):
        normalize(np.zeros((2, 2, 1), np.uint8), odd)
