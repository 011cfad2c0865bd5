"""Prediction from packages and bare TFLite files, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thimble.codec import TfliteFile, encode_model, encode_tflite
from thimble.models import build, from_keras
from thimble.prediction import Predictor, open_model
from thimble.stage import BadInput
from thimble.variants import read_tflite, read_variants

PREPROCESSING = {
    "normalization": {"kind": "image"},
    "bit_depth": 8,
    "channels": 1,
    "tile": 8,
    "classes": ["dark", "bright"],
}


def make_tflite(shape: tuple[int | None, ...] = (1, 8, 8, 1), dtype: str = "float32") -> bytes:
    """A network that calls a pixel bright if it is above the mean."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name="image")])
    def call(image: Any) -> Any:
        image = tf.cast(image, tf.float32)
        return tf.concat([-image, image], axis=-1)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [call.get_concrete_function()], tf.Module()
    )
    return bytes(converter.convert())


@pytest.fixture(scope="module")
def content() -> TfliteFile:
    return TfliteFile(make_tflite(), PREPROCESSING, "float32")


@pytest.fixture
def scan() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (13, 21), np.uint8)


@pytest.mark.parametrize("shape", [(8, 8), (13, 21), (3, 30), (1, 1)])
def test_masks_of_any_size(content: TfliteFile, shape: tuple[int, int]) -> None:
    scan = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    mask = Predictor(content).predict(scan)
    assert (mask.dtype, mask.shape) == (np.uint8, shape)
    # A tie goes to the lower class.
    assert np.array_equal(mask, (scan > scan.mean()).astype(np.uint8))


def test_a_package_and_a_bare_file_predict_alike(
    tmp_path: Path, content: TfliteFile, scan: np.ndarray
) -> None:
    package, bare = tmp_path / "a b.thimble", tmp_path / "ä.tflite"
    package.write_bytes(encode_tflite(content.data, content.preprocessing, "float32"))
    bare.write_bytes(content.data)
    (tmp_path / "ä.preprocessing.json").write_text(json.dumps(PREPROCESSING))
    masks = [open_model(path).predict(scan) for path in (package, bare)]
    assert np.array_equal(*masks)
    assert open_model(package).name == "float32"
    assert open_model(bare).classes == ["dark", "bright"]


def test_grey_with_a_channel_axis(content: TfliteFile, scan: np.ndarray) -> None:
    predictor = Predictor(content, threads=1)
    assert np.array_equal(predictor.predict(scan), predictor.predict(scan[..., None]))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((9, 9, 3), np.uint8), r"\(9, 9, 3\)\. Store it as grey"),
        (np.zeros((9, 9), np.float32), "type float32"),
        (np.zeros(9, np.uint8), r"takes scans \(height, width, 1\)"),
        (np.zeros((0, 9), np.uint8), r"Received: \(0, 9\)"),
    ],
)
def test_other_images_are_refused(content: TfliteFile, image: np.ndarray, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Predictor(content).predict(image)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((None, 8, 8, 1), "float32", "static batch of 1"),
        ((2, 8, 8, 1), "float32", "static batch of 1"),
        ((1, None, None, 1), "float32", "fixed tile"),
        ((1, 8, 8, 1), "uint8", "one float32 tensor.*uint8"),
        ((1, 8, 4, 1), "float32", r"must be \[1, 8, 8, 1\]"),
        ((1, 8, 8, 3), "float32", r"must be \[1, 8, 8, 1\]"),
    ],
)
def test_other_networks_are_refused(shape: Any, dtype: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Predictor(TfliteFile(make_tflite(shape, dtype), PREPROCESSING, "odd"))


def test_damaged_network_is_refused(content: TfliteFile) -> None:
    for data in (content.data[: len(content.data) // 2], b"\0\0\0\0TFL3", b""):
        with pytest.raises(BadInput, match="LiteRT cannot load"):
            Predictor(replace(content, data=data))


def test_bare_file_needs_its_preprocessing(tmp_path: Path, content: TfliteFile) -> None:
    (tmp_path / "bare.tflite").write_bytes(content.data)
    with pytest.raises(BadInput, match=r"bare\.preprocessing\.json beside it"):
        open_model(tmp_path / "bare.tflite")
    with pytest.raises(BadInput, match="threads must be >= 1"):
        Predictor(content, threads=0)


def test_preprocessing_without_a_field_is_refused(content: TfliteFile) -> None:
    for name in ("classes", "channels", "normalization"):
        partial = {key: value for key, value in PREPROCESSING.items() if key != name}
        with pytest.raises(BadInput, match=f"lacks {name}"):
            Predictor(replace(content, preprocessing=partial))


def test_other_files_are_refused(tmp_path: Path, content: TfliteFile) -> None:
    config = {"base_width": 1, "depth": 1, "classes": 2, "channels": 1, "normalization": "none"}
    architecture = {"model": "unet", "config": config}
    weights = from_keras(build(architecture), architecture, PREPROCESSING)
    package = encode_tflite(content.data, PREPROCESSING, "float32")
    wrong = {
        "model.thimble": (encode_model(weights), "package of weights"),
        "no.tflite": (b"not a network", "is no TFLite file"),
        "short.thimble": (package[:-9], "short"),
        "text.thimble": (b"hello", "text"),
        "empty.thimble": (b"", "empty"),
    }
    for name, (data, words) in wrong.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=words):
            read_tflite(tmp_path / name)
    with pytest.raises(BadInput, match="is missing"):
        read_tflite(tmp_path / "absent.thimble")


def test_variants_are_listed_and_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"variants\.json is missing"):
        read_variants(tmp_path)
    (tmp_path / "variants.json").write_text("[]")
    with pytest.raises(BadInput, match="lists no variant"):
        read_variants(tmp_path)
    (tmp_path / "variants.json").write_text('[{"variant": "int8", "file": "int8.thimble"}]')
    with pytest.raises(BadInput, match=r"int8\.thimble is missing"):
        read_variants(tmp_path)
    (tmp_path / "int8.thimble").write_bytes(b"")
    assert [row["variant"] for row in read_variants(tmp_path)] == ["int8"]
