"""A tiny data set and a tiny network, for the stages from convert to benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thimble.artifact import finish, read_json, write_json
from thimble.codec import encode_model, inspect
from thimble.records import Entry, Record, encode_entries, encode_record
from thimble.stage import start
from thimble.tfrecord import frame_record
from thimble.weights import Weights

TILE = 32
# Also smaller than a tile, and names that no file may have.
SHAPES = {
    "train": {"t0": (48, 40), "t1": (32, 32), "t2": (20, 36)},
    "validation": {"v0": (40, 40), "v1": (24, 24)},
    "test": {"../Bär 1": (24, 20), "plain": (48, 56), "slide/2": (32, 33)},
}
SPEC: dict[str, Any] = {
    "format": "thimble-dataset/2",
    "name": "tiny",
    "task": "segmentation",
    "classes": [{"name": "ground", "raw": "0"}, {"name": "cell", "raw": "1-255"}],
    "channels": 1,
    "bit_depth": 8,
    "tile": TILE,
    "normalization": {"kind": "dataset", "mean": [0.4], "std": [0.2]},
    "terms": "CC0",
    "source_digest": "0" * 64,
    "labelled": True,
    "split": {"rule": "hashed"},
}


def make_record(identifier: str, shape: tuple[int, int], seed: int) -> Record:
    """A smooth random blob on noise."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    label = (distance < min(shape) / 3).astype(np.uint8)
    image = (60 + 90 * label + generator.normal(0, 20, shape)).clip(0, 255).astype(np.uint8)
    return Record(identifier, identifier, 0, image[..., None], label, None)


def write_dataset(folder: Path, shapes: dict[str, dict[str, tuple[int, int]]]) -> Path:
    """Write a Dataset artifact."""
    folder.mkdir(parents=True)
    counts = {split: {"images": len(cases), "copies": 0} for split, cases in shapes.items()}
    shards = {split: [f"{split}.tfrecord"] for split in shapes}
    for split, named in shapes.items():
        records = [make_record(name, named[name], seed) for seed, name in enumerate(sorted(named))]
        data = b"".join(frame_record(encode_record(record)) for record in records)
        (folder / f"{split}.tfrecord").write_bytes(data)
    smallest = min(min(shape) for named in shapes.values() for shape in named.values())
    spec = {**SPEC, "counts": counts, "shards": shards, "smallest_side": smallest}
    write_json(folder / "dataset.json", spec)
    entries = [
        Entry(name, split, name, name, shape, (1, 1))
        for split, named in shapes.items()
        for name, shape in named.items()
    ]
    entries.sort(key=lambda entry: entry.id)
    (folder / "cases.jsonl").write_text("".join(encode_entries(entries)), "utf-8")
    return folder


def make_weights(normalization: str = "none", levels: int = 9) -> Weights:
    """A U-Net (base 4, depth 2) of weights from a codebook that holds 0; one channel is dead."""
    from thimble.models import build, from_keras, to_keras

    config = {"base_width": 4, "depth": 2, "classes": 2, "channels": 1}
    architecture = {"model": "unet", "config": {**config, "normalization": normalization}}
    generator = np.random.default_rng(4)
    codebook = np.sort(np.append(generator.normal(0, 0.15, levels - 1), 0.0)).astype(np.float32)
    names = ("normalization", "bit_depth", "channels", "tile")
    preprocessing = {name: SPEC[name] for name in names} | {"classes": ["ground", "cell"]}
    plain = from_keras(build(architecture), architecture, preprocessing)
    tensors, constraints = dict(plain.tensors), {}
    for name, tensor in plain.tensors.items():
        if name.endswith("/kernel"):
            indices = generator.integers(levels, size=tensor.shape, dtype=np.uint8)
            indices[..., -1] = (
                np.searchsorted(codebook, 0.0) if "e1_b" in name else indices[..., -1]
            )
            tensors[name] = codebook[indices]
            constraints |= {f"{name}.indices": indices, f"{name}.codebook": codebook}
    weights = Weights(architecture, tensors, constraints, preprocessing)
    # As many pixels of one class as of the other: masks of one class would prove nothing.
    noise = generator.normal(size=(1, TILE, TILE, 1)).astype(np.float32)
    logits = np.asarray(to_keras(weights)(noise, training=False))
    tensors["head/bias"] = np.array([np.median(logits[..., 1] - logits[..., 0]), 0.0], np.float32)
    return weights


def write_package(folder: Path, weights: Weights) -> Path:
    """Write what huffman writes."""
    folder.mkdir(parents=True)
    package = encode_model(weights)
    (folder / "model.thimble").write_bytes(package)
    write_json(folder / "layers.json", inspect(package)["tensors"])
    write_json(folder / "history.json", [{"stage": "huffman", "config": {}, "metrics": {}}])
    return folder


def convert_into(folder: Path, package: Path, dataset: Path, **arguments: Any) -> Path:
    """Run the convert stage as its component does."""
    from components.convert.convert import ConvertConfig, convert_package
    from thimble.stage import flat_fields

    given = flat_fields(ConvertConfig) | {"calibration_patches": 8, "check_patches": 3} | arguments
    with start("convert", ConvertConfig, given, inputs=(package, dataset)) as run:
        write, figures = convert_package(package, dataset, run.config, run)
        finish(run, write, folder, figures, previous=package)
    return folder


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", SHAPES)


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("package") / "huffman", make_weights())


@pytest.fixture(scope="session")
def tiny_converted(
    tmp_path_factory: pytest.TempPathFactory, tiny_package: Path, tiny_dataset: Path
) -> Path:
    return convert_into(tmp_path_factory.mktemp("out") / "c", tiny_package, tiny_dataset)


@pytest.fixture(scope="session")
def training_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set from which a tiny network learns in seconds."""
    shapes = {
        "train": {f"t{index}": (64, 64) for index in range(6)},
        "validation": {"v0": (64, 48), "v1": (40, 40)},
        "test": {"x0": (64, 64)},
    }
    folder = write_dataset(tmp_path_factory.mktemp("training") / "dataset", shapes)
    spec = read_json(folder / "dataset.json")
    spec["pixels"] = {"train": [18000, 6576]}
    write_json(folder / "dataset.json", spec)
    return folder


@pytest.fixture(scope="session")
def make_package() -> Callable[[Path, str], Path]:
    """Makes the package of another tiny network, with batch normalisation or without."""
    return lambda folder, normalization: write_package(folder, make_weights(normalization))
