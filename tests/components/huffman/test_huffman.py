"""The huffman stage: a package and its figures, or nothing."""

import dataclasses
import json

import numpy as np
import pytest

from components.huffman import huffman
from components.huffman.huffman import HuffmanConfig, RoundTripFailed, encode_package
from thimble.artifact import finish
from thimble.codec import decode
from thimble.stage import BadInput, start
from thimble.weights import Weights, load_weights, save_weights


@pytest.fixture
def model_folder(tmp_path):
    rng = np.random.default_rng(0)
    codebook = np.array([-0.5, 0, 0.1, 0.5], np.float32)
    indices = rng.choice([0, 1, 2, 3], (3, 3, 8, 40), p=[0.03, 0.9, 0.03, 0.04]).astype(np.uint8)
    weights = Weights(
        {"model": "unet", "config": {"depth": 2}},
        {"conv/kernel": codebook[indices], "conv/bias": np.arange(40, dtype=np.float32)},
        {
            "conv/kernel.indices": indices,
            "conv/kernel.codebook": codebook,
            "conv/kernel.mask": (codebook[indices] != 0).astype(np.uint8),
        },
        {"tile": 128},
    )
    folder = tmp_path / "módel with space"
    save_weights(weights, folder)
    return folder


def run_stage(model_folder, out, **parameters):
    with start("huffman", HuffmanConfig, {"branch": "teacher", "verify": True} | parameters) as run:
        write, figures = encode_package(model_folder, run.config, run)
        finish(run, write, out, figures, previous=model_folder)
    return figures


def test_it_writes_a_package_its_layers_and_its_figures(model_folder, tmp_path):
    figures = run_stage(model_folder, tmp_path / "package")
    package = (tmp_path / "package" / "model.thimble").read_bytes()
    weights = load_weights(model_folder)
    decoded = decode(package)
    for name, tensor in weights.tensors.items():
        assert decoded.tensors[name].tobytes() == tensor.tobytes()
    parameters = 3 * 3 * 8 * 40 + 40
    kernel = weights.tensors["conv/kernel"]
    assert figures == {
        "package_bytes": len(package),
        "float32_bytes": 4 * parameters,
        "ratio": 4 * parameters / len(package),
        "bits_per_weight": 8 * len(package) / parameters,
        "sparsity": pytest.approx(np.mean(kernel == 0)),
    }
    assert figures["ratio"] > 8
    layers = json.loads((tmp_path / "package" / "layers.json").read_text())
    assert [layer["name"] for layer in layers] == ["conv/kernel", "conv/bias"]
    assert layers[0]["kind"] == "dense-codebook"
    history = json.loads((tmp_path / "package" / "history.json").read_text())
    assert history[-1]["stage"] == "huffman"


def test_two_runs_write_the_same_bytes(model_folder, tmp_path):
    for name in ("a", "b"):
        run_stage(model_folder, tmp_path / name, verify=False)
    for file in ("model.thimble", "layers.json", "history.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.tensors["conv/bias"].__setitem__(3, -0.0),
        lambda found: found.tensors.pop("conv/bias"),
        lambda found: found.constraints.pop("conv/kernel.mask"),
        lambda found: found.preprocessing.update(tile=64),
    ],
    ids=["a bit", "a tensor", "a mask", "the preprocessing"],
)
def test_a_package_that_differs_is_not_written(model_folder, tmp_path, monkeypatch, change):
    def damaged(package):
        found = decode(package)
        change(found)
        return found

    monkeypatch.setattr(huffman, "decode", damaged)
    with pytest.raises(RoundTripFailed, match="differs from the model in"):
        run_stage(model_folder, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_an_order_that_differs_is_a_fault(model_folder):
    weights = load_weights(model_folder)
    package = huffman.encode_model(
        dataclasses.replace(weights, tensors=dict(reversed(weights.tensors.items())))
    )
    with pytest.raises(RoundTripFailed, match="order"):
        huffman.check_round_trip(weights, package)


def test_a_codebook_that_does_not_give_its_tensor_is_bad_input(model_folder, tmp_path):
    weights = load_weights(model_folder)
    weights.tensors["conv/kernel"][0] += 1
    save_weights(weights, model_folder)
    with pytest.raises(BadInput, match="Run quantize again"):
        run_stage(model_folder, tmp_path / "package")


def test_a_missing_model_and_an_empty_branch_are_bad_input(model_folder, tmp_path):
    with pytest.raises(BadInput, match="missing"):
        run_stage(tmp_path / "none", tmp_path / "package")
    with pytest.raises(BadInput, match="branch must not be empty"):
        run_stage(model_folder, tmp_path / "package", branch="")
