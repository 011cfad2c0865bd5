"""TFLite variants of a decoded package, each packed again and checked against the Keras model."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.convert.tflite import freeze, to_tflite
from thimble.artifact import write_json
from thimble.codec import TfliteFile, decode, encode_tflite
from thimble.metrics import VARIANTS
from thimble.models import to_keras
from thimble.prediction import Predictor
from thimble.preprocessing import normalize
from thimble.records import Dataset, load_dataset, read_records
from thimble.stage import BadInput, Run, ThimbleError, require
from thimble.variants import read_package
from thimble.weights import Weights

__all__ = ["ConvertConfig", "convert_package", "sample_patches"]

# Only the order of summation differs between Keras and TFLite in float32.
FLOAT32_TOLERANCE = 1e-3

Write = Callable[[Path], None]


@dataclass(frozen=True)
class ConvertConfig:
    """What to make from a package.

    Attributes:
        branch: Name of the branch in the report.
        variants: Names, separated by commas, of: float32, float16, dynamic, int8.
        tile: Pixels of the side of the fixed input; 0 = the dataset's tile.
        calibration_patches: Training patches that set the ranges of int8.
        check_patches: Validation patches on which TFLite is compared with Keras.
        seed: Of the places of the patches.
    """

    branch: str = "teacher"
    variants: str = "float32,float16,dynamic,int8"
    tile: int = 0
    calibration_patches: int = 64
    check_patches: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges and the names."""
        names = [name.strip() for name in self.variants.split(",")]
        known = f"variants must be some of {', '.join(VARIANTS)}, separated by commas"
        require(set(names) <= set(VARIANTS), known, variants=self.variants)
        require(self.tile >= 0, "tile must be >= 0 (0 = the dataset's tile)", tile=self.tile)
        require(self.seed >= 0, "seed must be >= 0", seed=self.seed)
        for name in ("calibration_patches", "check_patches"):
            value = getattr(self, name)
            require(value >= 1, f"{name} must be >= 1", **{name: value})

    @property
    def variant_names(self) -> list[str]:
        """The variants to make, in the order of all tables."""
        names = [name.strip() for name in self.variants.split(",")]
        return [name for name in VARIANTS if name in names]


def convert_package(
    package_path: str | Path, dataset_path: str | Path, config: ConvertConfig, run: Run
) -> tuple[Write, dict[str, float]]:
    """Make the TFLite variants of the network that its package decodes to.

    Args:
        package_path: The artifact of huffman: `model.thimble`, `layers.json`.
        dataset_path: A Dataset artifact; training patches calibrate, validation patches check.
        config: What to make.
        run: The run handle.

    Returns:
        A function that writes the packages and `variants.json` into a folder, and the figures
        `<what>_<variant>`.

    Raises:
        BadInput: The package is corrupt or holds no weights, the dataset does not fit it or lacks a
            split, or the tile does not fit the network.
        ThimbleError: float32 TFLite differs from Keras, or a package does not decode to what went
            in.
    """
    source = Path(package_path)
    weights = _read_weights(source / "model.thimble")
    dataset = load_dataset(dataset_path)
    preprocessing = {**weights.preprocessing, "tile": _tile(weights, dataset, config)}
    packages = dict(_make(weights, preprocessing, dataset, config, run))
    rows = [row for row, _ in packages.values()]

    def write(folder: Path) -> None:
        for row, package in packages.values():
            (folder / row["file"]).write_bytes(package)
        write_json(folder / "variants.json", rows)
        for name in ("model.thimble", "layers.json"):
            shutil.copyfile(source / name, folder / name)

    kinds = ("package_bytes", "tflite_bytes", "max_abs_difference", "argmax_agreement")
    return write, {f"{kind}_{row['variant']}": float(row[kind]) for row in rows for kind in kinds}


def _read_weights(path: Path) -> Weights:
    """Decode the package of a model."""
    content = read_package(path)
    if not isinstance(content, Weights):
        raise BadInput(f"{path} holds a TFLite file. Expected the package of a model's weights.")
    return content


def _tile(weights: Weights, dataset: Dataset, config: ConvertConfig) -> int:
    """Return the side of the fixed input, or say why it cannot be."""
    channels = int(weights.preprocessing["channels"])
    if dataset.channels != channels:
        raise BadInput(
            f"the package takes {channels} channels, the dataset has {dataset.channels}. "
            "Convert with the dataset that the network was trained on."
        )
    tile = config.tile or dataset.tile
    step = 2 ** int(weights.architecture["config"].get("depth", 0))
    require(tile % step == 0, f"tile must be a multiple of {step} for this network", tile=tile)
    return tile


def _make(
    weights: Weights,
    preprocessing: dict[str, Any],
    dataset: Dataset,
    config: ConvertConfig,
    run: Run,
) -> Iterator[tuple[str, tuple[dict[str, Any], bytes]]]:
    """Convert, pack, decode and check one variant after another."""
    model, tile = to_keras(weights), preprocessing["tile"]
    count = config.calibration_patches if "int8" in config.variant_names else 1
    calibration = sample_patches(dataset, "train", preprocessing, count, config.seed)
    checks = sample_patches(dataset, "validation", preprocessing, config.check_patches, config.seed)
    expected = np.asarray(model(checks, training=False))
    frozen = freeze(model, tile, int(preprocessing["channels"]))
    for step, name in enumerate(config.variant_names, start=1):
        tflite = to_tflite(frozen, name, calibration)
        package = encode_tflite(tflite, preprocessing, name)
        content = decode(package)
        if content != TfliteFile(tflite, preprocessing, name):
            raise ThimbleError(
                f"The package of {name} does not decode to the network that went in."
            )
        agreement = _compare(Predictor(content).predict_tiles(checks), expected, name)
        row = {
            "variant": name,
            "file": f"{name}.thimble",
            "package_bytes": len(package),
            "tflite_bytes": len(tflite),
            "sha256": hashlib.sha256(package).hexdigest(),
            **agreement,
        }
        run.progress(step, len(config.variant_names), **{f"package_bytes_{name}": len(package)})
        yield name, (row, package)


def _compare(logits: np.ndarray, expected: np.ndarray, name: str) -> dict[str, float]:
    """Return how far TFLite is from Keras; float32 must be equal but for rounding."""
    difference = float(np.abs(logits - expected).max())
    # Written so that a NaN fails, too.
    if name == "float32" and not difference <= FLOAT32_TOLERANCE:
        raise ThimbleError(
            f"float32 TFLite must agree with Keras within {FLOAT32_TOLERANCE:g}. Received: logits "
            f"differ by {difference:g}. Look for a NaN weight or an operation that TFLite changes."
        )
    agreement = float((logits.argmax(-1) == expected.argmax(-1)).mean())
    return {"max_abs_difference": difference, "argmax_agreement": agreement}


def sample_patches(
    dataset: Dataset, split: str, preprocessing: dict[str, Any], count: int, seed: int
) -> np.ndarray:
    """Cut patches at random places of images spread evenly over a split, normalised as in training.

    Args:
        dataset: The dataset.
        split: Name of the split.
        preprocessing: Normalisation and tile.
        count: Number of patches, >= 1.
        seed: Of the places.

    Returns:
        (count, tile, tile, channels) float32.

    Raises:
        BadInput: The split has no image.
    """
    images = int(dataset.spec["counts"].get(split, {}).get("images", 0))
    if not images:
        raise BadInput(
            f"{dataset.folder} has no image in the split {split!r}. Ingest it with a larger share."
        )
    generator = np.random.default_rng(seed)
    # How often each image is drawn from: evenly spread, also if there are more images than patches.
    shares = np.bincount(np.arange(count) * images // count, minlength=images)
    patches = []
    for share, record in zip(shares, read_records(dataset, split), strict=False):
        if share:
            scan = normalize(record.image, preprocessing)
            patches += [_crop(scan, preprocessing["tile"], generator) for _ in range(share)]
    if len(patches) != count:
        raise BadInput(
            f"{dataset.folder}: the split {split!r} holds fewer records than the {images} images "
            "that dataset.json counts. Ingest again."
        )
    return np.stack(patches)


def _crop(scan: np.ndarray, tile: int, generator: np.random.Generator) -> np.ndarray:
    """Cut one square at a random place; mirror a scan that is smaller, as prediction does."""
    height, width, _ = scan.shape
    pad = [(0, max(tile - height, 0)), (0, max(tile - width, 0)), (0, 0)]
    padded = np.pad(scan, pad, mode="symmetric")
    top, left = (int(generator.integers(side - tile + 1)) for side in padded.shape[:2])
    return padded[top : top + tile, left : left + tile]
