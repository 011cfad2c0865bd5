"""Phantoms are the same everywhere, and no threshold solves them."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from thimble.datasets import open_source
from thimble.datasets.export import write_phantom
from thimble.datasets.source import Sample, SourceOptions
from thimble.stage import BadInput

KINDS = ("phantom_membranes", "phantom_nuclei")


def _samples(kind: str, options: SourceOptions) -> list[Sample]:
    reader = open_source(kind, options)
    found = [sample for case in reader.cases()[0] for sample in reader.read(case)]
    return [sample for sample in found if isinstance(sample, Sample)]


@pytest.mark.parametrize("kind", KINDS)
def test_same_options_same_pixels(kind: str) -> None:
    options = SourceOptions(images=2, size=64, seed=5)
    first, second = _samples(kind, options), _samples(kind, options)
    one, other = first[1], second[1]
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.label, other.label)
    assert not np.array_equal(one.image, first[0].image)
    third = _samples(kind, SourceOptions(images=2, size=64, seed=6))[1]
    assert not np.array_equal(one.image, third.image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 100, 256])
def test_shapes_and_classes(kind: str, size: int) -> None:
    (sample,) = _samples(kind, SourceOptions(images=1, size=size))
    assert sample.image.shape == (size, size, 1)
    assert sample.image.dtype == np.uint8
    assert sample.label.shape == (size, size)
    assert len(np.unique(sample.label)) > 1


def test_membranes_are_as_common_as_in_isbi() -> None:
    samples = _samples("phantom_membranes", SourceOptions(images=4))
    labels = [sample.label for sample in samples]
    assert set(np.unique(labels)) == {0, 255}
    assert 0.15 < np.mean(np.array(labels) == 0) < 0.35


def test_nuclei_touch() -> None:
    label = _samples("phantom_nuclei", SourceOptions(images=1, seed=3))[0].label
    nuclei, parts = label.max(), ndimage.label(label > 0)[1]
    assert nuclei > parts, "some nuclei form clusters"


@pytest.mark.parametrize("kind", KINDS)
def test_a_threshold_does_not_solve_it(kind: str) -> None:
    """The best single threshold, chosen with the truth in hand, stays below Dice 0.87."""
    samples = _samples(kind, SourceOptions(images=4))
    images = np.stack([ndimage.gaussian_filter(s.image[..., 0].astype(float), 1) for s in samples])
    labels = np.stack([sample.label for sample in samples])
    truth = labels == 0 if kind == "phantom_membranes" else labels > 0
    best = 0.0
    for level in range(8, 250, 4):
        guess = images < level if kind == "phantom_membranes" else images > level
        best = max(best, 2 * (guess & truth).sum() / (guess.sum() + truth.sum()))
    assert best < 0.87


def test_bad_options() -> None:
    for options, sentence in (
        (SourceOptions(source="x"), "reads no folder"),
        (SourceOptions(group_column="x"), "no index.csv"),
        (SourceOptions(images=0), "phantom_images must be >= 1"),
        (SourceOptions(size=16), "phantom_size must be in"),
    ):
        with pytest.raises(BadInput, match=sentence):
            open_source("phantom_nuclei", options)


@pytest.mark.parametrize(
    ("kind", "read_as"), [("phantom_membranes", "isbi2012"), ("phantom_nuclei", "instances")]
)
def test_written_phantom_reads_back(tmp_path: Path, kind: str, read_as: str) -> None:
    folder = tmp_path / "my phantom"
    assert write_phantom(folder, kind, images=2, size=64, seed=4) == 2
    made = _samples(kind, SourceOptions(images=2, size=64, seed=4))
    read = _samples(read_as, SourceOptions(source=str(folder)))
    for one, other in zip(made, read, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.label, other.label)
    with pytest.raises(BadInput, match="is not empty"):
        write_phantom(folder, kind, images=2, size=64, seed=4)
    with pytest.raises(BadInput, match="is no phantom"):
        write_phantom(tmp_path / "new", "paired", images=2, size=64, seed=4)
