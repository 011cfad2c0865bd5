"""Convert: what the TFLite variants hold, and that equal input gives equal bytes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from components.convert.convert import ConvertConfig, convert_package, sample_patches
from thimble.artifact import digest_folder, read_json, write_json
from thimble.codec import TfliteFile, decode, encode_tflite
from thimble.models import to_keras
from thimble.prediction import open_model
from thimble.records import load_dataset
from thimble.stage import BadInput, ThimbleError, flat_fields, from_flat
from thimble.variants import read_variants
from thimble.weights import Weights

VARIANTS = ["float32", "float16", "dynamic", "int8"]


class Silent:
    """A run that keeps nothing."""

    def progress(self, step: int, total: int, **figures: float) -> None: ...


def convert(package: Path, dataset: Path, **arguments: Any) -> Any:
    config = ConvertConfig(**{"calibration_patches": 4, "check_patches": 2} | arguments)
    return convert_package(package, dataset, config, Silent())  # type: ignore[arg-type]


def tflite_of(converted: Path, variant: str) -> TfliteFile:
    content = decode((converted / f"{variant}.thimble").read_bytes())
    assert isinstance(content, TfliteFile)
    return content


def interpreter_of(converted: Path, variant: str) -> Any:
    interpreter = Interpreter(model_content=tflite_of(converted, variant).data)
    interpreter.allocate_tensors()
    return interpreter


def constants_of(interpreter: Any, dtype: Any) -> dict[str, np.ndarray]:
    """Constant tensors of four dimensions: the kernels."""
    graph = interpreter._get_ops_details()
    made = {index for op in graph for index in op["outputs"]}
    inputs = {interpreter.get_input_details()[0]["index"]}
    return {
        item["name"]: interpreter.get_tensor(item["index"])
        for item in interpreter.get_tensor_details()
        if item["index"] not in made | inputs and len(item["shape"]) == 4 and item["dtype"] is dtype
    }


def test_artifact_lists_what_it_holds(tiny_converted: Path, tiny_package: Path) -> None:
    rows = read_variants(tiny_converted)
    assert [row["variant"] for row in rows] == VARIANTS
    for row in rows:
        package = (tiny_converted / row["file"]).read_bytes()
        assert row["package_bytes"] == len(package)
        assert row["tflite_bytes"] == len(tflite_of(tiny_converted, row["variant"]).data)
    for name in ("model.thimble", "layers.json"):
        assert (tiny_converted / name).read_bytes() == (tiny_package / name).read_bytes()
    assert [entry["stage"] for entry in read_json(tiny_converted / "history.json")] == [
        "huffman",
        "convert",
    ]


def test_variants_agree_with_keras(tiny_converted: Path) -> None:
    rows = {row["variant"]: row for row in read_variants(tiny_converted)}
    assert rows["float32"]["max_abs_difference"] < 1e-5
    assert rows["float32"]["argmax_agreement"] == 1.0
    assert 0 < rows["float16"]["max_abs_difference"] < 0.05
    assert 0 < rows["int8"]["max_abs_difference"]
    assert all(row["argmax_agreement"] > 0.9 for row in rows.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_input_and_output_are_static_float32(tiny_converted: Path, variant: str) -> None:
    interpreter = interpreter_of(tiny_converted, variant)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (given["dtype"], made["dtype"]) == (np.float32, np.float32)
    assert given["shape_signature"].tolist() == [1, 32, 32, 1]
    assert made["shape_signature"].tolist() == [1, 32, 32, 2]
    assert interpreter.get_signature_list()["serving_default"]["inputs"] == ["image"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_operations_are_those_that_xnnpack_runs(tiny_converted: Path, variant: str) -> None:
    interpreter = Interpreter(model_content=tflite_of(tiny_converted, variant).data)
    allowed = {"CONV_2D", "TRANSPOSE_CONV", "MAX_POOL_2D", "CONCATENATION"}
    allowed |= {"QUANTIZE", "DEQUANTIZE", "DELEGATE"}
    assert {op["op_name"] for op in interpreter._get_ops_details()} <= allowed


def test_int8_weights_are_per_channel_and_symmetric(tiny_converted: Path) -> None:
    interpreter = interpreter_of(tiny_converted, "int8")
    kernels = constants_of(interpreter, np.int8)
    assert len(kernels) == 13
    for item in interpreter.get_tensor_details():
        if item["name"] in kernels:
            scales = item["quantization_parameters"]["scales"]
            assert len(scales) == item["shape"][0], item["name"]
            assert not item["quantization_parameters"]["zero_points"].any()
    assert not constants_of(interpreter, np.float32)


def test_dynamic_keeps_activations_in_float32(tiny_converted: Path) -> None:
    interpreter = interpreter_of(tiny_converted, "dynamic")
    large = constants_of(interpreter, np.int8)
    assert large and all(kernel.size >= 1024 for kernel in large.values())


def test_float32_keeps_the_codebook(tiny_converted: Path, tiny_package: Path) -> None:
    """Few distinct values are what makes the package of float32 small."""
    weights = decode((tiny_package / "model.thimble").read_bytes())
    assert isinstance(weights, Weights)
    (codebook,) = {tuple(v) for k, v in weights.constraints.items() if k.endswith(".codebook")}
    kernels = constants_of(interpreter_of(tiny_converted, "float32"), np.float32)
    assert len(kernels) == 13
    for name, kernel in kernels.items():
        assert set(np.unique(kernel).tolist()) <= set(codebook), name
    rows = {row["variant"]: row for row in read_variants(tiny_converted)}
    assert rows["float32"]["package_bytes"] < rows["float32"]["tflite_bytes"] / 4


def test_batch_normalization_is_fused(
    tmp_path: Path, tiny_dataset: Path, make_package: Any
) -> None:
    package = make_package(tmp_path / "package", "batch")
    write, figures = convert(package, tiny_dataset, variants="float32")
    assert figures["max_abs_difference_float32"] < 1e-5
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    interpreter = interpreter_of(tmp_path / "out", "float32")
    assert "MUL" not in {op["op_name"] for op in interpreter._get_ops_details()}


def test_conversion_is_deterministic(
    tmp_path: Path, tiny_converted: Path, tiny_package: Path, tiny_dataset: Path
) -> None:
    """The process has built other networks by now, so that automatic names have moved on."""
    write, _ = convert(tiny_package, tiny_dataset, calibration_patches=8, check_patches=3)
    (tmp_path / "again").mkdir()
    write(tmp_path / "again")
    shutil.copyfile(tiny_converted / "history.json", tmp_path / "again" / "history.json")
    assert digest_folder(tmp_path / "again") == digest_folder(tiny_converted)


def test_tile_is_a_choice(tmp_path: Path, tiny_package: Path, tiny_dataset: Path) -> None:
    write, _ = convert(tiny_package, tiny_dataset, variants="int8", tile=16)
    write(tmp_path)
    predictor = open_model(tmp_path / "int8.thimble")
    assert predictor.tile == predictor.preprocessing["tile"] == 16
    assert [row["variant"] for row in read_variants(tmp_path)] == ["int8"]


def test_patches_come_from_all_images(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    preprocessing = {**dataset.preprocessing(), "tile": 16}
    patches = sample_patches(dataset, "train", preprocessing, 7, seed=1)
    assert patches.shape == (7, 16, 16, 1)
    assert patches.dtype == np.float32
    assert np.array_equal(patches, sample_patches(dataset, "train", preprocessing, 7, seed=1))
    assert not np.array_equal(patches, sample_patches(dataset, "train", preprocessing, 7, seed=2))
    # Fewer patches than images; a tile larger than every image is mirrored.
    large = {**preprocessing, "tile": 64}
    assert sample_patches(dataset, "train", large, 2, seed=1).shape == (2, 64, 64, 1)


def test_patches_are_normalised_as_in_training(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    patches = sample_patches(dataset, "train", dataset.preprocessing(), 3, seed=1)
    raw = (patches * 0.2 + 0.4) * 255
    assert np.abs(raw - raw.round()).max() < 1e-3
    assert raw.min() >= -1e-3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variants": "float32,int4"}, "variants must be some of float32, float16, dynamic, int8"),
        ({"variants": ""}, "variants must be some of"),
        ({"tile": -1}, "tile must be >= 0"),
        ({"calibration_patches": 0}, "calibration_patches must be >= 1"),
        ({"check_patches": 0}, "check_patches must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
    ],
)
def test_config_refuses(arguments: dict[str, Any], words: str) -> None:
    defaults = flat_fields(ConvertConfig)
    with pytest.raises(BadInput, match=words):
        from_flat(ConvertConfig, {**defaults, **arguments})


def test_tile_must_fit_the_depth(tiny_package: Path, tiny_dataset: Path) -> None:
    with pytest.raises(BadInput, match=r"multiple of 4 for this network.*tile=30"):
        convert(tiny_package, tiny_dataset, tile=30)


def test_damaged_package_is_refused(tmp_path: Path, tiny_package: Path, tiny_dataset: Path) -> None:
    data = (tiny_package / "model.thimble").read_bytes()
    for wrong in (data[:-20], data[:60] + bytes([data[60] ^ 1]) + data[61:], b"", b"PK" + data):
        (tmp_path / "model.thimble").write_bytes(wrong)
        with pytest.raises(BadInput, match=r"model\.thimble"):
            convert(tmp_path, tiny_dataset)
    with pytest.raises(BadInput, match="is missing"):
        convert(tmp_path / "nowhere", tiny_dataset)


def test_tflite_is_no_model(tmp_path: Path, tiny_converted: Path, tiny_dataset: Path) -> None:
    shutil.copyfile(tiny_converted / "int8.thimble", tmp_path / "model.thimble")
    with pytest.raises(BadInput, match="holds a TFLite file"):
        convert(tmp_path, tiny_dataset)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_missing_split_is_refused(
    tmp_path: Path, tiny_package: Path, tiny_dataset: Path, split: str
) -> None:
    dataset = shutil.copytree(tiny_dataset, tmp_path / "dataset")
    spec = read_json(dataset / "dataset.json")
    spec["counts"][split]["images"] = 0
    write_json(dataset / "dataset.json", spec)
    with pytest.raises(BadInput, match=f"no image in the split '{split}'"):
        convert(tiny_package, dataset)


def test_other_channels_are_refused(tmp_path: Path, tiny_package: Path, tiny_dataset: Path) -> None:
    dataset = shutil.copytree(tiny_dataset, tmp_path / "dataset")
    write_json(dataset / "dataset.json", {**read_json(dataset / "dataset.json"), "channels": 3})
    with pytest.raises(BadInput, match="takes 1 channels, the dataset has 3"):
        convert(tiny_package, dataset)


def test_float32_that_differs_from_keras_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tiny_package: Path, tiny_dataset: Path
) -> None:
    def drifting(weights: Weights) -> Any:
        """A network whose eager calls differ from the trace that is converted."""
        model = to_keras(weights)

        def call(image: Any, training: bool) -> Any:
            return model(image, training=training) + 0.01 * isinstance(image, np.ndarray)

        return call

    monkeypatch.setattr("components.convert.convert.to_keras", drifting)
    with pytest.raises(ThimbleError, match=r"must agree with Keras within 0\.001.*differ by 0\.01"):
        convert(tiny_package, tiny_dataset, variants="float32")


def test_package_that_changes_its_content_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tiny_package: Path, tiny_dataset: Path
) -> None:
    monkeypatch.setattr(
        "components.convert.convert.encode_tflite",
        lambda tflite, preprocessing, name: encode_tflite(tflite, preprocessing, "other"),
    )
    with pytest.raises(ThimbleError, match="does not decode to the network that went in"):
        convert(tiny_package, tiny_dataset, variants="float32")
