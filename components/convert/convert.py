"""TFLite variants of a decoded package, each packed again and checked against the Keras model."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.convert.int8 import Int8Config, Int8Result, Source, make_int8
from components.convert.tflite import freeze, to_tflite
from components.convert.validation import Judge
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
        seed: Of the places of the patches, and of fine-tuning.
        int8: What int8 may lose, and what is done about it.
    """

    branch: str = "teacher"
    variants: str = "float32,float16,dynamic,int8"
    tile: int = 0
    calibration_patches: int = 64
    check_patches: int = 8
    seed: int = 1
    int8: Int8Config = field(default_factory=Int8Config)

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
        `<what>_<variant>`; with int8, also `int8_drop_validation`, `int8_within_limit`,
        `int8_layers_kept` and `int8_tuned`.

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
    figures = {f"{kind}_{row['variant']}": float(row[kind]) for row in rows for kind in kinds}
    return write, figures | _dice_figures(rows, config.int8)


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
    names = config.variant_names
    count = config.calibration_patches if "int8" in names else 1
    calibration = sample_patches(dataset, "train", preprocessing, count, config.seed)
    checks = sample_patches(dataset, "validation", preprocessing, config.check_patches, config.seed)
    expected = np.asarray(model(checks, training=False))
    frozen = freeze(model, tile, int(preprocessing["channels"]))
    source = Source(weights, dataset, frozen, calibration, checks, config.seed)
    judged = _judge(source, preprocessing, config.int8, run) if "int8" in names else {}
    for step, name in enumerate(names, start=1):
        made = judged.get(name)
        tflite = made.tflite if made else to_tflite(frozen, name, calibration)
        package = _pack(TfliteFile(tflite, preprocessing, name))
        logits = Predictor(TfliteFile(tflite, preprocessing, name)).predict_tiles(checks)
        row = {
            "variant": name,
            "file": f"{name}.thimble",
            "package_bytes": len(package),
            "tflite_bytes": len(tflite),
            "sha256": hashlib.sha256(package).hexdigest(),
            **_compare(logits, expected, name),
        }
        if made:
            row["dice_validation"] = made.dice
        if made and name == "int8":
            row |= {
                "drop_validation": made.drop,
                "float_layers": list(made.float_layers),
                "tuned": made.tuned,
            }
        run.progress(step, len(names), **{f"package_bytes_{name}": len(package)})
        yield name, (row, package)


def _judge(
    source: Source, preprocessing: dict[str, Any], config: Int8Config, run: Run
) -> dict[str, Int8Result]:
    """Make float32 and int8, the two whose validation Dice is compared."""
    judge = Judge(source.dataset, preprocessing, config.int8_check_images)
    whole = to_tflite(source.frozen, "float32", source.calibration)
    dice = judge.dice(whole)
    return {
        "float32": Int8Result(whole, dice, 0.0),
        "int8": make_int8(source, judge, dice, config, run),
    }


def _pack(content: TfliteFile) -> bytes:
    """Return the package of a file, which must decode to just that file."""
    package = encode_tflite(content.data, content.preprocessing, content.name)
    if decode(package) != content:
        raise ThimbleError(
            f"The package of {content.name} does not decode to the network that went in."
        )
    return package


def _dice_figures(rows: list[dict[str, Any]], config: Int8Config) -> dict[str, float]:
    """Return what validation says, and what was done to int8 for it."""
    figures = {
        f"dice_validation_{row['variant']}": row["dice_validation"]
        for row in rows
        if "dice_validation" in row
    }
    for row in rows:
        if row["variant"] == "int8":
            figures |= {
                "int8_drop_validation": row["drop_validation"],
                "int8_within_limit": float(row["drop_validation"] <= config.int8_max_drop),
                "int8_layers_kept": float(len(row["float_layers"])),
                "int8_tuned": float(row["tuned"]),
            }
    return figures


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
