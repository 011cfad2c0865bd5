"""Tiled prediction: coverage, blending, and images of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble.stage import BadInput
from thimble.tiling import predict_tiled, tile_starts


@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 63))
def test_tiles_cover_the_axis_and_overlap_enough(extra: int, tile: int, overlap: int) -> None:
    overlap = min(overlap, tile - 1)
    length = tile + extra - 1
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] == length - tile
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert steps.size == 0 or steps.max() <= tile - overlap


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 5))
def test_a_pixelwise_network_is_reproduced(height: int, width: int, batch: int) -> None:
    image = np.random.default_rng(1).normal(size=(height, width, 1)).astype(np.float32)
    logits = predict_tiled(image, lambda t: np.concatenate([t, 2 * t], -1), 32, 8, batch)
    assert logits.shape == (height, width, 2)
    np.testing.assert_allclose(logits[..., 0], image[..., 0], atol=1e-5)
    np.testing.assert_allclose(logits[..., 1], 2 * image[..., 0], atol=1e-5)


def test_tiles_reach_the_network_whole_and_at_most_a_batch_at_once() -> None:
    shapes = []

    def predict(tiles: np.ndarray) -> np.ndarray:
        shapes.append(tiles.shape)
        return tiles

    predict_tiled(np.zeros((40, 33, 3), np.float32), predict, 16, 4, 4)
    assert {shape[1:] for shape in shapes} == {(16, 16, 3)}
    assert max(shape[0] for shape in shapes) == 4


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(BadInput, match=r"overlap must be in \[0, tile\)"):
        predict_tiled(np.zeros((8, 8, 1), np.float32), lambda t: t, 8, 8)
