"""int8: nothing changes within the limit; above it weights are tuned and layers stay in float32."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.schema_py_generated import ModelT, TensorType

from components.convert.convert import ConvertConfig, convert_package, sample_patches
from components.convert.int8 import Int8Config
from components.convert.mixed import MixedConverter, float_layers
from components.convert.tflite import freeze, to_tflite
from components.convert.tuning import Int8Network, round_kernel, tune_for_int8
from components.convert.validation import Judge
from thimble.artifact import read_json, write_json
from thimble.codec import TfliteFile, decode, encode_model
from thimble.models import build, from_keras, to_keras
from thimble.objective import ObjectiveConfig
from thimble.patches import AugmentationConfig
from thimble.prediction import Predictor
from thimble.records import load_dataset, read_records
from thimble.scoring import confusion, foreground_dice
from thimble.stage import BadInput, Run
from thimble.training import (
    ScheduleConfig,
    cosine_optimizer,
    make_deterministic,
    stream_patches,
    supervised_step,
)
from thimble.variants import read_variants
from thimble.weights import Weights

LAYERS = [
    *("conv_e0_a conv_e0_b conv_e1_a conv_e1_b conv_bottom_a conv_bottom_b up_d1".split()),
    *("conv_d1_a conv_d1_b up_d0 conv_d0_a conv_d0_b head".split()),
]


@pytest.fixture(scope="module")
def trained(training_dataset: Path) -> Weights:
    """A small U-Net that segments the blobs, a third of its weights pruned."""
    make_deterministic(1)
    dataset = load_dataset(training_dataset)
    config = {"base_width": 4, "depth": 2, "classes": 2, "channels": 1, "normalization": "none"}
    architecture = {"model": "unet", "config": config}
    model = build(architecture)
    schedule = ScheduleConfig(steps=80, learning_rate=1e-2)
    step = supervised_step(model, cosine_optimizer(schedule), dataset, ObjectiveConfig())
    batches = iter(stream_patches(dataset, AugmentationConfig(patch_size=32), schedule)(0))
    for _ in range(schedule.steps):
        step(*next(batches))
    weights = from_keras(model, architecture, dataset.preprocessing())
    for name, tensor in weights.tensors.items():
        if name.endswith("/kernel"):
            small = np.abs(tensor) < np.quantile(np.abs(tensor), 0.3)
            weights.tensors[name] = np.where(small, np.float32(0), tensor)
    return weights


def scaled(weights: Weights, factors: dict[int, float]) -> Weights:
    """The same function of the image: ReLU lets a factor through that the next layer undoes."""
    tensors = {name: tensor.copy() for name, tensor in weights.tensors.items()}
    for channel, factor in factors.items():
        tensors["conv_d0_a/kernel"][..., channel] *= factor
        tensors["conv_d0_a/bias"][channel] *= factor
        tensors["conv_d0_b/kernel"][:, :, channel] /= factor
    return replace(weights, tensors=tensors)


@pytest.fixture(scope="module")
def hostile(trained: Weights) -> Weights:
    """A channel that int8 cannot hold beside its neighbours, in one range for all of them."""
    return scaled(trained, {1: 1e4})


@pytest.fixture
def convert(tmp_path: Path, training_dataset: Path) -> Callable[..., tuple[Path, dict[str, float]]]:
    """Converts weights as the stage does, into a folder of its own."""

    def run(weights: Weights, **arguments: Any) -> tuple[Path, dict[str, float]]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "model.thimble").write_bytes(encode_model(weights))
        write_json(folder / "package" / "layers.json", [])
        given = {"variants": "float32,int8", "calibration_patches": 8, "check_patches": 3}
        int8 = Int8Config(**arguments)
        config = ConvertConfig(**given, int8=int8)  # type: ignore[arg-type]
        handle = Run("convert", config, "0", folder / "checkpoint")
        write, figures = convert_package(folder / "package", training_dataset, config, handle)
        (folder / "converted").mkdir()
        write(folder / "converted")
        return folder / "converted", figures

    return run


def row_of(converted: Path, variant: str) -> dict[str, Any]:
    return {row["variant"]: row for row in read_variants(converted)}[variant]


def file_of(converted: Path, variant: str = "int8") -> TfliteFile:
    content = decode((converted / f"{variant}.thimble").read_bytes())
    assert isinstance(content, TfliteFile)
    return content


def kernel_types(tflite: bytes) -> dict[str, int]:
    """Type of the kernel and of the output of each convolution, read without our own reader."""
    model = ModelT.InitFromPackedBuf(tflite)
    graph, types = model.subgraphs[0], {}
    for operator in graph.operators:
        weight = graph.tensors[operator.inputs[1]] if len(operator.inputs) > 2 else None
        if weight is not None and len(weight.shape) == 4:
            made = graph.tensors[operator.outputs[0]]
            types[made.name.decode()] = (weight.type, made.type)
    return types  # type: ignore[return-value]


def test_within_the_limit_nothing_changes(
    trained: Weights, convert: Any, training_dataset: Path
) -> None:
    converted, figures = convert(trained, int8_max_drop=0.01, int8_tuning_steps=1000)
    dataset = load_dataset(training_dataset)
    patches = sample_patches(dataset, "train", trained.preprocessing, 8, seed=1)
    plain = to_tflite(freeze(to_keras(trained), 32, 1), "int8", patches)
    assert file_of(converted).data == plain
    row = row_of(converted, "int8")
    assert (row["float_layers"], row["tuned"]) == ([], False)
    assert figures["int8_within_limit"] == 1.0
    assert figures["int8_layers_kept"] == figures["int8_tuned"] == 0.0


def test_dice_is_that_of_the_decoded_package(
    trained: Weights, convert: Any, training_dataset: Path
) -> None:
    converted, figures = convert(trained, int8_max_drop=1.0)
    for variant in ("float32", "int8"):
        predictor = Predictor(file_of(converted, variant))
        counts = np.zeros((2, 3), np.int64)
        for record in read_records(load_dataset(training_dataset), "validation"):
            counts += confusion(record.label, predictor.predict(record.image), 2)
        dice = row_of(converted, variant)["dice_validation"]
        assert dice == figures[f"dice_validation_{variant}"] == foreground_dice(counts)
        assert dice > 0.9
    assert figures["int8_drop_validation"] == pytest.approx(
        figures["dice_validation_float32"] - figures["dice_validation_int8"]
    )


def test_hostile_layers_stay_in_float32(hostile: Weights, convert: Any) -> None:
    collapsed, figures = convert(hostile, int8_float_share=0.0)
    assert figures["int8_drop_validation"] > 0.5
    assert (figures["int8_within_limit"], figures["int8_layers_kept"]) == (0.0, 0.0)
    converted, figures = convert(hostile)
    assert figures["int8_drop_validation"] <= 0.003
    assert figures["int8_within_limit"] == 1.0
    assert row_of(converted, "int8")["float_layers"] == ["conv_d0_a", "conv_d0_b"]
    assert figures["int8_layers_kept"] == 2.0
    types = kernel_types(file_of(converted).data)
    assert len(types) == len(LAYERS)
    for name, kinds in types.items():
        kept = "/conv_d0_a/" in name or "/conv_d0_b/" in name
        expected = TensorType.FLOAT32 if kept else TensorType.INT8
        assert kinds == (expected, expected), name
    assert set(kernel_types(file_of(collapsed).data).values()) == {(9, 9)}


def test_search_is_deterministic(hostile: Weights, convert: Any) -> None:
    first, second = (convert(hostile)[0] for _ in range(2))
    for name in ("int8.thimble", "variants.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_limit_that_cannot_be_met_is_told(hostile: Weights, convert: Any) -> None:
    """One layer of thirteen may stay in float32, two would have to."""
    converted, figures = convert(hostile, int8_float_share=0.1)
    assert figures["int8_within_limit"] == 0.0
    assert figures["int8_drop_validation"] > 0.003
    assert figures["int8_layers_kept"] <= 1.0
    row = row_of(converted, "int8")
    assert row["drop_validation"] == figures["int8_drop_validation"]


@pytest.mark.parametrize(("normalization", "bias"), [("none", 0.1), ("none", 0.0), ("batch", 0.1)])
def test_each_candidate_can_stay_alone(normalization: str, bias: float) -> None:
    """Biases of zero vanish from the graph, and with them a part of the operations' names."""
    config = {"base_width": 4, "depth": 2, "classes": 2, "channels": 1}
    model = build({"model": "unet", "config": {**config, "normalization": normalization}})
    generator = np.random.default_rng(1)
    for variable in model.weights:
        if variable.name.split("/")[-1].startswith(("bias", "beta")):
            variable.assign(bias * generator.normal(size=variable.shape))
    patches = generator.normal(size=(2, 32, 32, 1)).astype(np.float32)
    mixed = MixedConverter(freeze(model, 32, 1), patches, LAYERS)
    assert mixed.candidates == [layer for layer in LAYERS if not layer.startswith("up_")]
    assert float_layers(mixed.float32, LAYERS) == tuple(LAYERS)
    for layer in mixed.candidates:
        tflite, kept = mixed.convert([layer])
        assert kept == (layer,)
        types = list(kernel_types(tflite).values())
        assert types.count((TensorType.FLOAT32, TensorType.FLOAT32)) == 1
        assert types.count((TensorType.INT8, TensorType.INT8)) == len(LAYERS) - 1
    assert mixed.convert([])[1] == ()
    assert mixed.convert(mixed.candidates)[1] == tuple(mixed.candidates)


def test_kernels_are_rounded_per_channel() -> None:
    """Channel 0: scale 1/127, so 0.5 becomes 64/127 (63.5 to even); channel 1 holds zeros."""
    kernel = tf.constant([[1.0, 0.0], [0.5, 0.0], [-0.25, 0.0], [0.0, 0.0]])
    rounded = round_kernel(kernel, -1).numpy()
    assert rounded[:, 0] == pytest.approx([1.0, 64 / 127, -32 / 127, 0.0], abs=1e-6)
    assert not rounded[:, 1].any()


def test_network_computes_as_its_file_does(trained: Weights, training_dataset: Path) -> None:
    dataset = load_dataset(training_dataset)
    patches = sample_patches(dataset, "train", trained.preprocessing, 8, seed=1)
    model = to_keras(trained)
    network = Int8Network(model, patches)
    assert len(network.ranges) == 1 + 10 + 2 + 2 + 1
    with network.rounded():
        simulated = np.concatenate([network(patch[None], training=False) for patch in patches])
    for name, tensor in from_keras(model, trained.architecture, {}).tensors.items():
        assert np.array_equal(tensor, trained.tensors[name]), name
    tflite = to_tflite(freeze(model, 32, 1), "int8", patches)
    made = Predictor(TfliteFile(tflite, trained.preprocessing, "int8")).predict_tiles(patches)
    low, high = network.ranges["head"].numpy()
    steps = (simulated - made) / ((high - low) / 255)
    # Both stand on the grid of the file; sums are rounded one step apart here and there.
    assert np.abs(steps - steps.round()).max() < 1e-2
    assert np.abs(steps).mean() < 0.7
    exact = np.asarray(model(patches, training=False))
    assert np.abs(simulated - made).mean() < np.abs(exact - made).mean()


def test_tuning_keeps_zeros_and_repeats(
    trained: Weights, training_dataset: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(training_dataset)
    patches = sample_patches(dataset, "train", trained.preprocessing, 8, seed=1)
    schedule = ScheduleConfig(steps=6, evaluate_every=3, learning_rate=1e-3)
    tuned = [
        from_keras(
            tune_for_int8(trained, dataset, patches, schedule, Run("c", None, "0", tmp_path / key)),
            trained.architecture,
            {},
        )
        for key in "ab"
    ]
    for name, tensor in trained.tensors.items():
        first, second = (weights.tensors[name] for weights in tuned)
        assert np.array_equal(first, second), name
        assert not np.array_equal(first, tensor), name
        if name.endswith("/kernel"):
            assert (tensor == 0).sum() > 0.25 * tensor.size
            assert not first[tensor == 0].any(), name


@pytest.mark.parametrize(("learning_rate", "helps"), [(1e-3, True), (1e-9, False)])
def test_tuning_improves_or_is_dropped(
    trained: Weights, convert: Any, learning_rate: float, helps: bool
) -> None:
    """Channels so uneven that int8 suffers, but still has gradients to go by."""
    uneven = scaled(trained, {1: 300**0.5, 2: 300.0})
    before, plain = convert(uneven, int8_float_share=0.0)
    assert plain["int8_drop_validation"] > 0.02
    tuning = {"int8_tuning_steps": 40, "int8_learning_rate": learning_rate}
    converted, figures = convert(uneven, int8_float_share=0.0, **tuning)
    assert figures["int8_tuned"] == float(helps)
    assert row_of(converted, "int8")["tuned"] is helps
    assert (figures["dice_validation_int8"] > plain["dice_validation_int8"]) is helps
    assert (file_of(converted).data != file_of(before).data) is helps
    assert file_of(converted, "float32").data == file_of(before, "float32").data


def test_judge_takes_evenly_spread_scans(trained: Weights, training_dataset: Path) -> None:
    dataset = load_dataset(training_dataset)
    tflite = to_tflite(freeze(to_keras(trained), 32, 1), "float32", np.zeros((1, 32, 32, 1)))
    first, *_ = read_records(dataset, "validation")
    predictor = Predictor(TfliteFile(tflite, trained.preprocessing, "float32"))
    expected = foreground_dice(confusion(first.label, predictor.predict(first.image), 2))
    assert Judge(dataset, trained.preprocessing, 1).dice(tflite) == expected
    everything = Judge(dataset, trained.preprocessing, 0).dice(tflite)
    assert Judge(dataset, trained.preprocessing, 99).dice(tflite) == everything


def test_other_classes_are_refused(
    trained: Weights, training_dataset: Path, tmp_path: Path
) -> None:
    spec = read_json(training_dataset / "dataset.json")
    spec["classes"] = [{"name": "ground", "raw": "0"}, {"name": "vessel", "raw": "1-255"}]
    write_json(tmp_path / "dataset.json", spec)
    with pytest.raises(BadInput, match=r"\['ground', 'cell'\], the dataset has .*'vessel'"):
        Judge(load_dataset(tmp_path), trained.preprocessing, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"int8_max_drop": -0.1}, r"int8_max_drop must be in \[0, 1\]"),
        ({"int8_max_drop": float("nan")}, "int8_max_drop must be"),
        ({"int8_check_images": -1}, "int8_check_images must be >= 0"),
        ({"int8_tuning_steps": -1}, "int8_tuning_steps must be >= 0"),
        ({"int8_learning_rate": 0.0}, r"int8_learning_rate must be in \(0, 1\]"),
        ({"int8_float_share": 1.5}, r"int8_float_share must be in \[0, 1\]"),
    ],
)
def test_config_refuses(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Int8Config(**arguments)
