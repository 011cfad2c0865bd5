"""The table of metrics, how figures find their row, and the text of a run."""

from pathlib import Path

import pytest

from thimble.artifact import write_json
from thimble.metrics import METRICS, expose, registry_of, split_figure

UNITS = {"seconds", "bytes", "ratio", "pixels", "millimetres", "count", "info"}


@pytest.mark.parametrize("row", METRICS.values(), ids=METRICS)
def test_a_row_has_a_name_that_says_its_unit(row: object) -> None:
    assert row.name.startswith("thimble_")
    assert row.name.endswith(f"_{row.unit}")
    assert row.unit in UNITS
    assert row.better in {"higher", "lower", "neither"}
    assert row.help


def test_names_are_unique() -> None:
    assert len({row.name for row in METRICS.values()}) == len(METRICS)


@pytest.mark.parametrize(
    ("figure", "row", "labels"),
    [
        ("sparsity", "sparsity", {}),
        ("package_bytes_float16", "package_bytes", {"variant": "float16"}),
        ("dice_teacher_int8", "dice", {"branch": "teacher", "variant": "int8"}),
        ("images_test", "images", {"split": "test"}),
        ("dice_validation", "dice_validation", {}),
        ("hd95_mm_int8", "hd95_mm", {"variant": "int8"}),
        ("worst_slice_float32", "worst_slice", {"variant": "float32"}),
        (
            "small_lesion_recall_teacher_int8",
            "small_lesion_recall",
            {"branch": "teacher", "variant": "int8"},
        ),
        ("unknown_train", "unknown", {"split": "train"}),
    ],
)
def test_a_figure_splits_into_row_and_labels(figure: str, row: str, labels: dict[str, str]) -> None:
    assert split_figure(figure) == (row, labels)


def test_what_is_not_in_the_table_is_left_out() -> None:
    assert not list(registry_of([("loss", {}, 1.0)]).collect())


def test_figures_are_exposed(tmp_path: Path) -> None:
    figures = {"dice_int8": 0.75, "images": 8.0, "images_test": 2.0, "loss": 1.0}
    (tmp_path / "metrics").mkdir()
    write_json(
        tmp_path / "metrics" / "two.json",
        {"stage": "two", "branch": "student", "figures": figures},
    )
    expose(tmp_path / "metrics", tmp_path / "metrics.prom", {"dataset": "phantom"})
    text = (tmp_path / "metrics.prom").read_text()
    task = 'branch="student",dataset="phantom"'
    assert f'thimble_dice_ratio{{{task},stage="two",variant="int8"}} 0.75\n' in text
    assert f'thimble_images_count{{{task},split="test",stage="two"}} 2.0\n' in text
    assert "loss" not in text
