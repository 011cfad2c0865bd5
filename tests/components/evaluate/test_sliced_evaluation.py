"""Evaluate on images of known spacing, site and patient: what evaluation.json says of slices."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluate.evaluate import EvaluateConfig, evaluate_variants
from components.evaluate.pictures import read_mask, safe_name
from tests.components.conftest import convert_into, write_dataset
from thimble.artifact import finish, read_json
from thimble.boundaries import hausdorff95
from thimble.metrics import METRICS, split_figure
from thimble.records import encode_entries, load_dataset, read_records
from thimble.scoring import confusion, foreground_dice
from thimble.stage import BadInput, flat_fields, start

# Rows are 2 mm apart, columns 0.5 mm.
SPACING = (2.0, 0.5)
SHAPES = {
    "train": {f"t{index}": (24 + 4 * index, 48) for index in range(6)},
    "validation": {"v0": (32, 32)},
    "test": {f"x{index}": (20 + 4 * index, 36) for index in range(7)},
}


def annotate(folder: Path, unknown: str = "") -> Path:
    """Give images sites, patients and spacing; the one called `unknown` has none."""
    entries = []
    for place, entry in enumerate(load_dataset(folder).entries()):
        site = "south" if entry.id == "x6" else "north"
        group = "p" if entry.id in ("x0", "x1") else entry.id
        spacing = None if entry.id == unknown else SPACING
        kinds = {"site": site, "slice_thickness": str(place)}
        entries.append(replace(entry, group=group, spacing=spacing, attributes=kinds))
    (folder / "cases.jsonl").write_text("".join(encode_entries(entries)), "utf-8")
    return folder


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
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotate(write_dataset(tmp_path_factory.mktemp("sliced") / "dataset", SHAPES))


@pytest.fixture(scope="module")
def converted(
    tmp_path_factory: pytest.TempPathFactory, tiny_package: Path, dataset: Path
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("converted") / "c"
    yield convert_into(folder, tiny_package, dataset, variants="float32,int8")


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, converted: Path, dataset: Path) -> Path:
    return evaluate(tmp_path_factory.mktemp("b") / "e", converted, dataset, branch="baseline")


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, converted: Path, dataset: Path, baseline: Path
) -> Path:
    return evaluate(tmp_path_factory.mktemp("c") / "e", converted, dataset, baseline)


def test_slices_are_those_of_the_masks(compared: Path, dataset: Path) -> None:
    evaluation = read_json(compared / "evaluation.json")
    north = evaluation["slices"][0]
    assert (north["by"], north["value"]) == ("site", "north")
    # Six images, two of them of one patient.
    assert (north["images"], north["groups"], north["judged"]) == (6, 5, True)
    for variant, figures in north["variants"].items():
        counts, distances = np.zeros((2, 3), np.int64), []
        for record in read_records(load_dataset(dataset), "test"):
            if record.id != "x6":
                mask = read_mask(compared / "masks" / variant / f"{safe_name(record.id)}.png")
                counts += confusion(record.label, mask, 2)
                distances.append(hausdorff95(record.label, mask, 1, SPACING))
        assert figures["dice"] == pytest.approx(foreground_dice(counts))
        assert figures["hd95_mm"] == pytest.approx(np.mean(distances))
        assert figures["dice_low"] <= figures["dice"] <= figures["dice_high"]
    gap = north["variants"]["float32"]["difference"]
    assert gap == {"dice": 0.0, "low": 0.0, "high": 0.0, "lower_one_sided_95": 0.0}


def test_slice_thickness_is_no_kind(compared: Path) -> None:
    evaluation = read_json(compared / "evaluation.json")
    assert {part["by"] for part in evaluation["slices"]} <= {"site", "lesion_size"}
    assert evaluation["not_sliced"] == []


def test_sizes_are_the_terciles_of_the_train_split_in_mm2(compared: Path, dataset: Path) -> None:
    # One blob an image; a pixel has 1 mm2.
    records = read_records(load_dataset(dataset), "train")
    areas = sorted(float(record.label.sum()) for record in records)
    bins = read_json(compared / "evaluation.json")["lesion_bins"]
    assert bins == {"unit": "mm2", "edges": [areas[1], areas[3]], "origin": "train"}


def test_lesions_are_counted(compared: Path, baseline: Path) -> None:
    recall = read_json(compared / "evaluation.json")["small_lesion_recall"]
    assert sum(row["lesions"] for row in recall["sizes"]) == 7
    for row in recall["sizes"]:
        for variant, figures in row["variants"].items():
            assert 0 <= figures["low"] <= figures["recall"] <= figures["high"] <= 1
            found = read_json(compared / "evaluation.json")["variants"][variant]
            place = recall["sizes"].index(row)
            counted = [each[place] for each in found["lesions_found_per_image"].values()]
            assert figures["found"] == sum(counted)
    again = read_json(baseline / "evaluation.json")["small_lesion_recall"]
    assert again["sizes"][0]["variants"]["float32"]["difference"] is None


def test_distance_in_mm_stands_beside_that_in_pixels(compared: Path, dataset: Path) -> None:
    record = read_json(compared / "evaluation.json")["variants"]["float32"]
    for scan in read_records(load_dataset(dataset), "test"):
        mask = read_mask(compared / "masks" / "float32" / f"{safe_name(scan.id)}.png")
        assert record["hd95_per_image"][scan.id] == hausdorff95(scan.label, mask, 1)
        assert record["hd95_mm_per_image"][scan.id] == hausdorff95(scan.label, mask, 1, SPACING)
    assert record["hd95_mm_mean"] == pytest.approx(np.mean([*record["hd95_mm_per_image"].values()]))


def test_patient_of_two_images_is_one_unit(compared: Path) -> None:
    gap = read_json(compared / "evaluation.json")["variants"]["int8"]["difference"]
    assert (gap["images"], gap["groups"]) == (7, 6)


def test_figures_have_a_row_in_the_table_of_metrics(compared: Path) -> None:
    figures = read_json(compared / "history.json")[-1]["metrics"]
    north = read_json(compared / "evaluation.json")["slices"][0]["variants"]["int8"]
    assert figures["worst_slice_int8"] <= north["dice"]
    for kind in ("worst_slice", "small_lesion_recall", "hd95_mm"):
        assert f"{kind}_int8" in figures
        assert split_figure(f"{kind}_int8")[0] in METRICS


def test_one_unknown_spacing_makes_areas_pixels(
    tmp_path: Path, converted: Path, dataset: Path
) -> None:
    copy = annotate(shutil.copytree(dataset, tmp_path / "dataset"), unknown="x2")
    folder = evaluate(tmp_path / "e", converted, copy)
    evaluation = read_json(folder / "evaluation.json")
    record = evaluation["variants"]["float32"]
    assert evaluation["lesion_bins"]["unit"] == "pixels"
    assert "x2" not in record["hd95_mm_per_image"] and record["hd95_mm_mean"] is None
    assert "hd95_mm_float32" not in read_json(folder / "history.json")[-1]["metrics"]
    north, south = evaluation["slices"][:2]
    assert "hd95_pixels" in north["variants"]["int8"]
    assert "hd95_mm" in south["variants"]["int8"]


def test_given_sizes(tmp_path: Path, converted: Path, dataset: Path, baseline: Path) -> None:
    folder = evaluate(tmp_path / "e", converted, dataset, lesion_bins="120.5")
    bins = read_json(folder / "evaluation.json")["lesion_bins"]
    assert bins == {"unit": "mm2", "edges": [120.5], "origin": "given"}
    with pytest.raises(BadInput, match="lesion_bins must be those of the baseline"):
        evaluate(tmp_path / "f", converted, dataset, baseline, lesion_bins="120.5")
