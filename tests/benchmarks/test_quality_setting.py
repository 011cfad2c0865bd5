"""What a run of the curve asks: the processor before bfloat16, and each cell for its seeds."""

import platform
import threading
from pathlib import Path

import pytest

from benchmarks.quality import run, score, setting
from benchmarks.quality.cells import alone, bfloat16_units
from benchmarks.quality.recipes import RECIPES, cells_of, given_of
from benchmarks.quality.setting import processor_flags
from thimble.artifact import read_json, write_json


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of x86 instruction sets")
def test_every_x86_processor_of_64_bits_has_sse2() -> None:
    assert "sse2" in processor_flags()


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ("fpu avx2 fma", False),
        ("fpu avx2 avx512f avx512_vnni", False),
        ("fpu avx512f avx512_bf16", True),
        ("amx_tile amx_bf16", True),
        ("", False),
    ],
)
def test_bfloat16_is_used_where_there_are_units(
    monkeypatch: pytest.MonkeyPatch, flags: str, units: bool
) -> None:
    monkeypatch.setattr(setting, "_of_processor", lambda key: flags if key == "flags" else "")
    assert bfloat16_units() == units


def test_score_names_only_seeds_that_a_cell_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path), "--dataset", "nuclei", "--cells"]
    assert score.main([*options, "baseline,student-2-small"]) == 0
    seeds = {"baseline": 3, "student-2-small": 5}
    assert capsys.readouterr().out.splitlines() == [
        f"seed {seed} {cell}: not run"
        for cell, number in seeds.items()
        for seed in range(1, number + 1)
    ]


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A teacher of seed 1 that says it was trained for ten steps fewer than the recipe has."""
    recipe = RECIPES["nuclei"]
    given = given_of(recipe, cells_of(recipe)["teacher"], 1)
    folder = tmp_path / "nuclei" / "seed1" / "teacher"
    for made in (folder, tmp_path / "nuclei" / "dataset"):
        made.mkdir(parents=True)
    write_json(folder / "history.json", [{"config": {**given, "steps": recipe.teach - 10}}])
    write_json(tmp_path / "nuclei" / "dataset" / "dataset.json", {})
    return folder


def test_a_cell_of_another_recipe_is_refused(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path), "--cells", "teacher", "--seeds", "1"]
    assert run.main(options) == 2
    steps = RECIPES["nuclei"].teach
    assert capsys.readouterr().err.startswith(
        f"{teacher} must be trained with steps {steps}. Received: steps {steps - 10}, of another"
    )
    history = read_json(teacher / "history.json")
    history[-1]["config"]["steps"] = steps
    write_json(teacher / "history.json", history)
    assert run.main(options) == 0


def test_a_cell_that_another_process_trains_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with alone(tmp_path / "cell"):
            order.append("second")

    with alone(tmp_path / "cell"), alone(tmp_path / "another"):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
