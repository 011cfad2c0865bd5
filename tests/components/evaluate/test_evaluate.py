"""Evaluate: scores recomputed from the masks it leaves, and what it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluate.evaluate import EvaluateConfig, evaluate_variants
from components.evaluate.pictures import read_mask, safe_name
from components.evaluate.scores import CompareConfig
from thimble.artifact import digest_folder, finish, read_json, write_json
from thimble.boundaries import hausdorff95
from thimble.codec import decode
from thimble.models import to_keras
from thimble.preprocessing import normalize
from thimble.records import load_dataset, read_records
from thimble.scoring import bootstrap_difference, confusion, foreground_dice
from thimble.stage import BadInput, flat_fields, flatten, from_flat, start
from thimble.tiling import predict_tiled
from thimble.weights import Weights

VARIANTS = ["float32", "float16", "dynamic", "int8"]


def evaluate(
    folder: Path, converted: Path, dataset: Path, baseline: Path | None = None, **arguments: Any
) -> Path:
    """Run the stage as its component does."""
    given = flat_fields(EvaluateConfig) | {"overlap": 8, "bootstrap_resamples": 200} | arguments
    with start("evaluate", EvaluateConfig, given, inputs=(converted, dataset)) as run:
        write, figures = evaluate_variants(converted, dataset, baseline, run.config, run)
        finish(run, write, folder, figures, previous=converted)
    return folder


@pytest.fixture(scope="module")
def baseline(
    tmp_path_factory: pytest.TempPathFactory, tiny_converted: Path, tiny_dataset: Path
) -> Path:
    return evaluate(
        tmp_path_factory.mktemp("baseline") / "e", tiny_converted, tiny_dataset, branch="baseline"
    )


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_converted: Path,
    tiny_dataset: Path,
    baseline: Path,
) -> Path:
    return evaluate(
        tmp_path_factory.mktemp("compared") / "e",
        tiny_converted,
        tiny_dataset,
        baseline,
        headline="int8",
        overlay_count=2,
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_the_masks(
    compared: Path, baseline: Path, tiny_dataset: Path, variant: str
) -> None:
    record = read_json(compared / "evaluation.json")["variants"][variant]
    counts, dice, distances = np.zeros((2, 3), np.int64), {}, {}
    for scan in read_records(load_dataset(tiny_dataset), "test"):
        mask = read_mask(compared / "masks" / variant / f"{safe_name(scan.id)}.png")
        counts += confusion(scan.label, mask, 2)
        dice[scan.id] = foreground_dice(confusion(scan.label, mask, 2))
        distances[scan.id] = hausdorff95(scan.label, mask, 1)
    assert record["dice"] == foreground_dice(counts)
    assert record["dice_per_image"] == dice
    assert record["hd95_per_image"] == distances
    assert record["hd95_mean"] == pytest.approx(np.mean(list(distances.values())))
    assert record["worst_decile"] == min(dice.values())
    other = read_json(baseline / "evaluation.json")["variants"]["float32"]["dice_per_image"]
    names = sorted(dice)
    bounds = bootstrap_difference([dice[n] for n in names], [other[n] for n in names], 1, 200)
    assert record["difference"] == bounds | {"images": 3, "groups": 3}


def test_masks_are_those_of_keras(compared: Path, tiny_dataset: Path, tiny_converted: Path) -> None:
    weights = decode((tiny_converted / "model.thimble").read_bytes())
    assert isinstance(weights, Weights)
    model = to_keras(weights)
    for scan in read_records(load_dataset(tiny_dataset), "test"):
        image = normalize(scan.image, weights.preprocessing)
        logits = predict_tiled(image, lambda x: np.asarray(model(x, training=False)), 32, 8)
        mask = read_mask(compared / "masks" / "float32" / f"{safe_name(scan.id)}.png")
        assert (mask == logits.argmax(-1)).mean() > 0.999


def test_evaluation_tells_where_it_comes_from(compared: Path, tiny_converted: Path) -> None:
    evaluation = read_json(compared / "evaluation.json")
    assert evaluation["branch"] == "teacher"
    assert evaluation["classes"] == ["ground", "cell"]
    assert evaluation["variant_order"] == VARIANTS
    assert evaluation["layers"] == read_json(tiny_converted / "layers.json")
    assert evaluation["history"] == read_json(tiny_converted / "history.json")
    package = (tiny_converted / "model.thimble").stat().st_size
    assert evaluation["model_package_bytes"] == package
    assert evaluation["float32_bytes"] == 4 * evaluation["parameters"]
    assert evaluation["dataset"]["name"] == "tiny"
    assert evaluation["preprocessing"]["tile"] == 32
    for name in VARIANTS:
        file = tiny_converted / f"{name}.thimble"
        assert evaluation["variants"][name]["package_bytes"] == file.stat().st_size


def test_cases_name_files_that_exist(compared: Path, baseline: Path) -> None:
    cases = read_json(compared / "evaluation.json")["cases"]
    assert len(cases) == 2
    for case in cases:
        for kind in ("scan", "truth", "baseline", "prediction"):
            assert (compared / case[kind]).is_file(), kind
        assert "masks/int8/" in case["prediction"]
        name = f"masks/float32/{safe_name(case['id'])}.png"
        assert (compared / case["baseline"]).read_bytes() == (baseline / name).read_bytes()


def test_baseline_compares_with_nothing(baseline: Path) -> None:
    evaluation = read_json(baseline / "evaluation.json")
    assert all(record["difference"] is None for record in evaluation["variants"].values())
    assert {case["baseline"] for case in evaluation["cases"]} == {None}
    assert len(evaluation["cases"]) == 3


def test_a_model_does_not_differ_from_itself(compared: Path) -> None:
    difference = read_json(compared / "evaluation.json")["variants"]["float32"]["difference"]
    assert (difference["mean"], difference["low"], difference["high"]) == (0.0, 0.0, 0.0)


def test_figures_reach_the_history(compared: Path) -> None:
    figures = read_json(compared / "history.json")[-1]["metrics"]
    for name in VARIANTS:
        expected = {f"{kind}_{name}" for kind in ("dice", "difference", "hd95", "package_bytes")}
        assert expected <= set(figures)


def test_equal_input_gives_equal_bytes(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path, baseline: Path
) -> None:
    again = evaluate(tmp_path / "again", tiny_converted, tiny_dataset, branch="baseline")
    assert digest_folder(again) == digest_folder(baseline)


def test_interrupted_run_goes_on(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIMBLE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    config = EvaluateConfig(overlap=8, compared=CompareConfig(bootstrap_resamples=10))
    given = flatten(config)
    with start("evaluate", EvaluateConfig, given, inputs=(tiny_converted,)) as run:
        evaluate_variants(tiny_converted, tiny_dataset, None, config, run)
        left = run.checkpoint
    monkeypatch.setattr("thimble.prediction.Predictor.predict", None)
    with start("evaluate", EvaluateConfig, given, inputs=(tiny_converted,)) as run:
        assert run.checkpoint == left
        _, figures = evaluate_variants(tiny_converted, tiny_dataset, None, config, run)
    assert "dice_int8" in figures


def test_validation_is_scored_on_its_own_images(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path, baseline: Path
) -> None:
    folder = evaluate(tmp_path / "e", tiny_converted, tiny_dataset, split="validation")
    evaluation = read_json(folder / "evaluation.json")
    names = {record.id for record in read_records(load_dataset(tiny_dataset), "validation")}
    scores = evaluation["variants"]["float32"]["dice_per_image"]
    assert evaluation["split"] == "validation"
    assert set(scores) == names
    assert not names & {case["id"] for case in read_json(baseline / "evaluation.json")["cases"]}
    assert {case["id"] for case in evaluation["cases"]} <= names
    assert all((folder / case["scan"]).is_file() for case in evaluation["cases"])
    with pytest.raises(BadInput, match="must be scored on the same images"):
        arguments = {"baseline": baseline, "split": "validation"}
        evaluate(tmp_path / "f", tiny_converted, tiny_dataset, **arguments)


def test_headline_that_was_not_made(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path
) -> None:
    converted = shutil.copytree(tiny_converted, tmp_path / "converted")
    rows = read_json(converted / "variants.json")
    write_json(converted / "variants.json", [row for row in rows if row["variant"] == "float32"])
    folder = evaluate(tmp_path / "e", converted, tiny_dataset, headline="int8")
    assert read_json(folder / "evaluation.json")["headline"] == "float32"


def test_network_that_finds_the_cell_scores_well(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threshold(self: Any, image: np.ndarray, overlap: int) -> np.ndarray:
        return (image[..., 0] > 105).astype(np.uint8)

    monkeypatch.setattr("thimble.prediction.Predictor.predict", threshold)
    folder = evaluate(tmp_path / "e", tiny_converted, tiny_dataset)
    record = read_json(folder / "evaluation.json")["variants"]["float32"]
    assert record["dice"] > 0.9 and record["worst_decile"] > 0.85
    assert record["dice_per_class"][1] == record["dice"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec["counts"]["test"].update(images=0), "no image in the split 'test'"),
        (lambda spec: spec.update(labelled=False), "has no labels. Expected some"),
        (lambda spec: spec["classes"][1].update(name="liver"), "the dataset has .*liver"),
    ],
)
def test_dataset_that_does_not_fit(
    tmp_path: Path,
    tiny_converted: Path,
    tiny_dataset: Path,
    change: Callable[[dict[str, Any]], None],
    words: str,
) -> None:
    dataset = shutil.copytree(tiny_dataset, tmp_path / "dataset")
    spec = read_json(dataset / "dataset.json")
    change(spec)
    write_json(dataset / "dataset.json", spec)
    with pytest.raises(BadInput, match=words):
        evaluate(tmp_path / "e", tiny_converted, dataset)
    assert not (tmp_path / "e").exists()


def test_baseline_of_other_images(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path, baseline: Path
) -> None:
    other = shutil.copytree(baseline, tmp_path / "other")
    evaluation = read_json(other / "evaluation.json")
    del evaluation["variants"]["float32"]["dice_per_image"]["plain"]
    write_json(other / "evaluation.json", evaluation)
    with pytest.raises(BadInput, match="1 images in only one of the two, such as 'plain'"):
        evaluate(tmp_path / "e", tiny_converted, tiny_dataset, other)
    del evaluation["variants"]["float32"]
    write_json(other / "evaluation.json", evaluation)
    with pytest.raises(BadInput, match="must hold the variant float32"):
        evaluate(tmp_path / "e", tiny_converted, tiny_dataset, other)


def test_damaged_package(tmp_path: Path, tiny_converted: Path, tiny_dataset: Path) -> None:
    converted = shutil.copytree(tiny_converted, tmp_path / "converted")
    data = (converted / "int8.thimble").read_bytes()
    (converted / "int8.thimble").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"int8\.thimble"):
        evaluate(tmp_path / "e", converted, tiny_dataset)
    (converted / "int8.thimble").unlink()
    with pytest.raises(BadInput, match=r"int8\.thimble is missing"):
        evaluate(tmp_path / "e", converted, tiny_dataset)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"headline": "int4"}, "headline must be one of float32, float16, dynamic, int8"),
        ({"split": "train"}, "split must be test or validation. Received: split='train'"),
        ({"threads": 0}, "threads must be >= 1"),
        ({"overlap": -1}, "overlap must be >= 0"),
        ({"bootstrap_resamples": 0}, "bootstrap_resamples must be >= 1"),
        ({"overlay_count": 0}, "overlay_count must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"lesion_bins": "20;10"}, "lesion_bins must be one or two increasing areas"),
        ({"lesion_bins": "1;2;3"}, "lesion_bins must be"),
        ({"lesion_bins": "small"}, "lesion_bins must be .*Received: lesion_bins='small'"),
    ],
)
def test_config_refuses(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        from_flat(EvaluateConfig, flat_fields(EvaluateConfig) | arguments)


def test_overlap_must_fit_the_tile(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path
) -> None:
    with pytest.raises(BadInput, match=r"overlap must be in \[0, tile\)"):
        evaluate(tmp_path / "e", tiny_converted, tiny_dataset, overlap=32)


def test_normalisation_is_that_of_the_package(
    tmp_path: Path, tiny_converted: Path, tiny_dataset: Path, baseline: Path
) -> None:
    dataset = shutil.copytree(tiny_dataset, tmp_path / "dataset")
    spec = read_json(dataset / "dataset.json")
    spec["normalization"] = {"kind": "dataset", "mean": [0.9], "std": [0.01]}
    write_json(dataset / "dataset.json", spec)
    folder = evaluate(tmp_path / "e", tiny_converted, dataset)
    assert digest_folder(folder / "masks") == digest_folder(baseline / "masks")


def test_baseline_is_an_optional_artifact() -> None:
    from components.evaluate.component import evaluate as component

    assert component.component_spec.inputs["baseline"].optional
    assert not component.component_spec.inputs["converted"].optional
