"""From weights to the files that ship and back: packed, converted, packed again, decoded, scored.

Every step is the one of its stage, so that the bytes and the Dice are those of the same file.
"""

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from benchmarks.quality.nncodec import PREFIX, through_nncodec
from components.convert.convert import ConvertConfig, convert_package
from components.evaluate.evaluate import EvaluateConfig
from components.quantize.folding import fold_batch_norm
from thimble.artifact import write_json
from thimble.codec import TfliteFile, encode_model, inspect
from thimble.prediction import Predictor
from thimble.records import Dataset, read_records
from thimble.scoring import confusion, foreground_dice, worst_decile
from thimble.stage import Run, ThimbleError
from thimble.variants import read_tflite
from thimble.weights import Weights

__all__ = [
    "Network",
    "convert",
    "deliver",
    "pack",
    "score",
    "sha256",
    "without_normalization",
]

ZSTD_LEVEL = 19


@dataclass(frozen=True)
class Network:
    """A TFLite file as decoded from its package.

    Attributes:
        content: The file with its preprocessing.
        package: Bytes of the package that it came from.
    """

    content: TfliteFile
    package: bytes


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def without_normalization(weights: Weights) -> Weights:
    """Return the network as it ships: normalisation folded, no mask of what training kept."""
    folded = fold_batch_norm(weights)
    codebooks = {k: v for k, v in folded.constraints.items() if not k.endswith(".mask")}
    return dataclasses.replace(folded, constraints=codebooks)


def pack(weights: Weights) -> bytes:
    """Return the `.thimble` package of a network."""
    return encode_model(weights)


def convert(package: bytes, dataset: Dataset, variants: Iterable[str]) -> dict[str, Network]:
    """Make TFLite variants of what a package decodes to, with the convert stage.

    Args:
        package: Of weights.
        dataset: Calibrates int8 with 64 training patches, and checks float32 against Keras.
        variants: Names, such as float32.

    Returns:
        By variant, what its package decodes to.
    """
    config = ConvertConfig(variants=",".join(variants))
    with tempfile.TemporaryDirectory(prefix="thimble-") as scratch:
        source, target = Path(scratch) / "packed", Path(scratch) / "converted"
        source.mkdir()
        target.mkdir()
        (source / "model.thimble").write_bytes(package)
        write_json(source / "layers.json", inspect(package)["tensors"])
        write, _ = convert_package(
            source, dataset.folder, config, Run("convert", config, "", source)
        )
        write(target)
        files = {name: target / f"{name}.thimble" for name in config.variant_names}
        return {name: Network(read_tflite(file), file.read_bytes()) for name, file in files.items()}


def deliver(
    weights: Weights, package: bytes, dataset: Dataset, names: Iterable[str]
) -> Iterator[tuple[str, dict[str, Any], TfliteFile]]:
    """Yield what a network is delivered as: name, bytes in every form, the decoded TFLite file.

    Args:
        weights: From `without_normalization`.
        package: Of these weights.
        dataset: For `convert`.
        names: TFLite variants, or `nncodec<QP>`.
    """
    names = list(names)
    variants = [name for name in names if not name.startswith(PREFIX)]
    for name, network in convert(package, dataset, variants).items():
        yield name, _sizes(network), network.content
    for name in names:
        if name.startswith(PREFIX):
            size, decoded = through_nncodec(weights, int(name.removeprefix(PREFIX)))
            content = convert(pack(decoded), dataset, ["float32"])["float32"].content
            row = {"tflite_sha256": sha256(content.data), "tflite_bytes": len(content.data)}
            yield name, {**row, "nncodec_bytes": size}, content


def _sizes(network: Network) -> dict[str, Any]:
    """Return SHA-256 and bytes of a network in every form in which it could be downloaded."""
    data = network.content.data
    return {
        "tflite_sha256": sha256(data),
        "tflite_bytes": len(data),
        "thimble_sha256": sha256(network.package),
        "thimble_bytes": len(network.package),
        "zstd_bytes": _zstd_bytes(data),
    }


def _zstd_bytes(data: bytes) -> int:
    """Return the bytes of a zstd -19 frame, after decompressing it again."""
    frame = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data)
    if zstandard.ZstdDecompressor().decompress(frame) != data:
        raise ThimbleError("zstd does not give back what went in. Expected equal bytes.")
    return len(frame)


def score(content: TfliteFile, dataset: Dataset, split: str) -> dict[str, Any]:
    """Score a network on whole images, as the evaluate stage does.

    Args:
        content: The TFLite file.
        dataset: The data.
        split: validation or test.

    Returns:
        `dice` pooled over the split, `dice_per_image`, and `worst_decile`.
    """
    predictor, classes = Predictor(content, threads=1), len(dataset.classes)
    pooled, per_image = np.zeros((classes, 3), np.int64), {}
    for record in read_records(dataset, split):
        mask = predictor.predict(record.image, EvaluateConfig().overlap)
        counts = confusion(record.label, mask, classes)
        pooled += counts
        per_image[record.id] = foreground_dice(counts)
    return {
        "dice": foreground_dice(pooled),
        "dice_per_image": per_image,
        "worst_decile": worst_decile(per_image.values()),
    }
