"""A small trained network, and the same pruned."""

from pathlib import Path

import pytest

from tests.components.train.small_stages import run_stage


@pytest.fixture(scope="package")
def teacher(tmp_path_factory: pytest.TempPathFactory, training_dataset: Path) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "model"
    figures = run_stage("train", [training_dataset], folder)
    assert figures["dice_validation"] > 0.8
    return folder


@pytest.fixture(scope="package")
def pruned(tmp_path_factory: pytest.TempPathFactory, teacher: Path, training_dataset: Path) -> Path:
    folder = tmp_path_factory.mktemp("pruned") / "model"
    figures = run_stage("prune", [teacher, training_dataset], folder, sparsity=0.8)
    assert figures["dice_validation"] > 0.7
    return folder
