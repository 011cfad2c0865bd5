"""The LeNet benchmark from images to page, on noise and with a few steps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lenet.compress import STAGES, Recipe
from benchmarks.lenet.data import Augmentation, Digits, Mnist
from benchmarks.lenet.networks import register
from benchmarks.lenet.page import write_page
from benchmarks.lenet.run import claim, compress, package, score
from thimble.models import MODELS
from thimble.stage import ThimbleError
from thimble.training import ScheduleConfig
from thimble.weights import load_weights

SPARSITY = {"ip1": 0.95, "ip2": 0.9, "ip3": 0.5}
BENT = dict.fromkeys(STAGES, Augmentation())
CODEBOOK = {"ip1": 4, "ip2": 8, "ip3": 16}


@pytest.fixture
def lenets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The LeNets among the models, for this test only."""
    for name in ("lenet300", "lenet5"):
        monkeypatch.setitem(MODELS, name, None)
    register()


@pytest.mark.slow
@pytest.mark.usefixtures("lenets")
def test_a_network_goes_from_images_to_a_page(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    digits = Digits(
        generator.integers(0, 256, (64, 28, 28, 1)).astype(np.uint8),
        generator.integers(0, 10, 64).astype(np.uint8),
    )
    short = ScheduleConfig(20, 16, 1e-3, 10)
    schedules = dict.fromkeys(STAGES, short)
    recipe = Recipe("lenet300", SPARSITY, CODEBOOK, 0.5, BENT, schedules)

    compress(Mnist(digits, digits, digits), recipe, 1, tmp_path)

    figures = package(tmp_path)
    assert figures["bytes"]["dense"] == 4 * 266_610
    assert figures["bytes"]["package"] == (tmp_path / "package.thimble").stat().st_size
    assert set(score(digits, tmp_path)) == {"dense", "pruned", "quantized"}
    quantized = load_weights(tmp_path / "quantized")
    for layer, entries in CODEBOOK.items():
        kernel = quantized.tensors[f"{layer}/kernel"]
        codebook = quantized.constraints[f"{layer}/kernel.codebook"]
        indices = quantized.constraints[f"{layer}/kernel.indices"]
        assert np.mean(kernel == 0) == pytest.approx(SPARSITY[layer], abs=1e-3)
        assert codebook.size <= entries
        assert np.array_equal(codebook[indices], kernel)
        assert np.array_equal(codebook, codebook.astype(np.float16))


def test_a_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    recipe = Recipe(
        "lenet300", SPARSITY, CODEBOOK, 0.5, Augmentation(), {"train": ScheduleConfig()}
    )
    assert "validation" not in claim(tmp_path / "seed1", recipe)
    assert claim(tmp_path / "seed1", recipe)["recipe"]["sparsity"] == SPARSITY
    with pytest.raises(ThimbleError, match="begun by another recipe"):
        claim(tmp_path / "seed1", replace(recipe, soft_share=0.4))


def test_the_page_says_what_was_missed(tmp_path: Path) -> None:
    layer = {"layer": "total", "weights": 100, "kept": 5, "shared": 3, "index": 6}
    layer |= {"coded_shared": 2.5, "coded_index": 5.5}
    errors = {"dense": 1.0, "pruned": 1.1, "quantized": 1.2}
    recipe = {
        "sparsity": {"ip1": 0.95},
        "codebook": {"ip1": 8},
        "soft_share": 0.5,
        "augmentations": dict.fromkeys(STAGES, {"shift": 1.0, "rotation": 5.0, "scale": 0.05}),
        "schedules": dict.fromkeys(STAGES, {"steps": 20, "batch_size": 16, "learning_rate": 1e-3}),
        "ramp_share": 0.6,
    }
    seed = {"recipe": recipe, "seconds": 1.0, "validation": errors, "test": errors}
    seed |= {"layers": [layer]}
    sized = seed | {"bytes": {"dense": 8000, "pruned": 400, "shared": 200, "package": 100}}
    page = tmp_path / "page.md"
    write_page(page, {"lenet300": [sized, sized], "lenet5": [sized, sized]})
    lines = page.read_text(encoding="utf-8").splitlines()
    (row,) = (line for line in lines if line.startswith("| LeNet-300-100 |"))
    assert "| **80.0x** (>= 80.0x) | **1.20 %** (<= 1.20 %) |" in row
    assert "| reached |" in row
    (row,) = (line for line in lines if line.startswith("| LeNet-5 (Caffe's) |"))
    assert "| missed |" in row
