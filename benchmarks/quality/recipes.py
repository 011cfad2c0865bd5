"""What each network of the curve is trained and compressed with; chosen on validation only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.quality.kinds import BASELINE

__all__ = ["RECIPES", "TEACHER_WIDTH", "Cell", "Recipe", "cell_folder", "cells_of", "given_of"]

TEACHER_WIDTH = 16
NARROW = (4, 2, 8, 12)
STUDENTS = (4, 2, 8)
# Distilled for all steps as well, uncompressed.
WHOLE_STUDENTS = (4,)
# What a bit is worth; the number in a name is in 1e-5.
GENTLE = 3e-5
# The prices at which a pruned network is shared, by the ending of the cell's name.
TAUGHT = {"": GENTLE, "-r30": 3e-4, "-r300": 3e-3}
CUT = {"-r30": 3e-4, "-r300": 3e-3}
STUDENT_SPARSITY = 0.65
STUDENT_RATE = 2e-4


@dataclass(frozen=True)
class Recipe:
    """A data set, its patches and its steps.

    Attributes:
        data: Folder below the data folder.
        seeds: Trainings of each network.
        ingest: Parameters of the ingest stage.
        patches: Parameters of all training stages.
        teach: Steps of the teacher.
        total: Steps of every other network, those of its teacher or student included.
        sparsities: Per cent of the weights that the taught teachers lose.
        channels: Per cent of the work that is cut out.
        without: Patterns of the names of cells that are left out.
        more_seeds: Trainings of those cells that have more of them; seed 1 teaches these.
    """

    data: str
    seeds: int
    ingest: dict[str, Any]
    patches: dict[str, Any]
    teach: int
    total: int
    sparsities: tuple[int, ...] = (95,)
    channels: int = 55
    without: tuple[str, ...] = ()
    more_seeds: Mapping[str, int] = field(default_factory=dict)

    @property
    def every_seed(self) -> range:
        """Return the seeds that any cell has."""
        return range(1, max([self.seeds, *self.more_seeds.values()]) + 1)

    def seeds_of(self, cell: str) -> range:
        """Return the seeds of a cell."""
        return range(1, self.more_seeds.get(cell, self.seeds) + 1)

    def seed_of(self, cell: str, seed: int) -> int:
        """Return the seed of the cell that a cell of some seed takes: its own, or the first."""
        return seed if seed in self.seeds_of(cell) else 1


@dataclass(frozen=True)
class Cell:
    """One call of a stage.

    Attributes:
        name: Its folder.
        stage: train, distill, prune or quantize.
        arguments: What differs from the stage's defaults.
        model: The cell whose network goes in; none for a new network.
        teacher: The cell that teaches; none for the network that goes in.
    """

    name: str
    stage: str
    arguments: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    teacher: str = ""


# What both recipes of nuclei share.
NUCLEI: dict[str, Any] = {
    "kind": "instances",
    "split_rule": "hash",
    "validation_share": 0.1,
    "test_share": 0.2,
    "channels": 3,
    "normalization": "image",
    "tile": 256,
    "elastic_copies": 2,
}
NUCLEI_PATCHES = {"patch_size": 128, "batch_size": 4, "evaluate_every": 200}

RECIPES = {
    "nuclei": Recipe(
        data="dsb2018_nuclei/dev",
        seeds=3,
        ingest=NUCLEI,
        patches=NUCLEI_PATCHES,
        teach=1000,
        total=2000,
        more_seeds={"student-2": 5, "student-2-pruned": 5, "student-2-small": 5},
    ),
    # Half as many steps again, for what the teacher and the student of base 4 are to reach.
    "nuclei-3000": Recipe(
        data="dsb2018_nuclei/dev",
        seeds=3,
        ingest=NUCLEI,
        patches=NUCLEI_PATCHES,
        teach=1500,
        total=3000,
        sparsities=(95, 90),
        channels=50,
        without=("magnitude-*", "teacher-*", "*-r300", "student-[28]*", "narrow-[28]"),
    ),
    "isbi2012": Recipe(
        data="isbi2012",
        seeds=1,
        ingest={
            "kind": "isbi2012",
            "split_rule": "block",
            "validation_share": 0.1,
            "test_share": 0.2,
            "tile": 256,
            "elastic_copies": 4,
        },
        patches={"patch_size": 160, "batch_size": 4, "evaluate_every": 200},
        teach=1200,
        total=2400,
        # One seed of six test images tells no two close recipes apart.
        without=("magnitude-*", "teacher-*"),
    ),
}


def _uncompressed(recipe: Recipe) -> list[Cell]:
    """Return the teacher, and the teacher trained on."""
    rest = recipe.total - recipe.teach
    wide = {"base_width": TEACHER_WIDTH}
    return [
        Cell("teacher", "train", {**wide, "steps": recipe.teach}),
        Cell(BASELINE, "train", {**wide, "steps": rest, "learning_rate": 5e-4}, "teacher"),
    ]


def _teachers(recipe: Recipe) -> list[Cell]:
    """Return the teacher pruned, quantized at several prices of a bit, and what that is held to."""
    share = (recipe.total - recipe.teach) // 5
    prune = {"steps": 4 * share, "evaluate_every": 2 * share, "allocation": "fisher"}
    surgery = {**prune, "method": "surgery", "sparsity": 0.95}
    quantize = {"steps": share, "evaluate_every": share // 2, "codebook_size": 32}
    alone = "teacher-95-pruned"
    cells = [
        Cell(alone, "prune", surgery, "teacher"),
        Cell("magnitude-95", "prune", {**prune, "sparsity": 0.95}, "teacher"),
        Cell("teacher-95", "quantize", {**quantize, "rate_weight": GENTLE}, alone),
        Cell("teacher-95-plain", "quantize", {**quantize, "codebook_size": 16}, alone),
    ]
    for sparsity in recipe.sparsities:
        taught, pruned = f"taught-{sparsity}", f"taught-{sparsity}-pruned"
        chosen = {**surgery, "sparsity": sparsity / 100}
        cells.append(Cell(pruned, "prune", chosen, "teacher", BASELINE))
        cells += _shared(taught, pruned, TAUGHT, quantize)
    channels = f"channels-{recipe.channels}"
    cut = {
        "steps": 4 * share,
        "evaluate_every": share // 2,
        "learning_rate": 1e-3,
        "method": "channels",
        "sparsity": recipe.channels / 100,
    }
    cells.append(Cell(channels, "prune", cut, "teacher", BASELINE))
    return cells + _shared(f"cut-{recipe.channels}", channels, CUT, quantize)


def _shared(
    name: str, model: str, rates: Mapping[str, float], quantize: Mapping[str, Any]
) -> list[Cell]:
    """Return a network shared at several prices of a bit, taught by the baseline."""
    return [
        Cell(name + ending, "quantize", {**quantize, "rate_weight": rate}, model, BASELINE)
        for ending, rate in rates.items()
    ]


def _students(recipe: Recipe) -> list[Cell]:
    """Return the students, compressed, and distilled for as many steps without."""
    prune, quantize = 2 * recipe.total // 5, recipe.total // 10
    distill = recipe.total - prune - quantize
    cells = []
    for width in STUDENTS:
        name, wide = f"student-{width}", {"base_width": width}
        thin = {
            "steps": prune,
            # The last state alone: one of a higher rate is sharp, and sharing its values hurts.
            "evaluate_every": prune,
            "learning_rate": 1e-3,
            "method": "surgery",
            "allocation": "fisher",
            "sparsity": STUDENT_SPARSITY,
        }
        share = {
            "steps": quantize,
            "learning_rate": 5e-4,
            "codebook_size": 32,
            "rate_weight": STUDENT_RATE,
        }
        cells += [
            Cell(name, "distill", {**wide, "steps": distill}, BASELINE),
            Cell(f"{name}-pruned", "prune", thin, name, BASELINE),
            Cell(f"{name}-small", "quantize", share, f"{name}-pruned", BASELINE),
        ]
        if width in WHOLE_STUDENTS:
            cells.append(
                Cell(f"{name}-whole", "distill", {**wide, "steps": recipe.total}, BASELINE)
            )
    return cells


def _narrow(recipe: Recipe) -> list[Cell]:
    """Return the narrow networks alone."""
    return [
        Cell(f"narrow-{width}", "train", {"base_width": width, "steps": recipe.total})
        for width in NARROW
    ]


def cells_of(recipe: Recipe) -> dict[str, Cell]:
    """Return the cells of a recipe by name; each comes after those that it takes."""
    cells = [
        *_uncompressed(recipe),
        *_teachers(recipe),
        *_students(recipe),
        *_narrow(recipe),
    ]
    return {
        cell.name: cell
        for cell in cells
        if not any(fnmatchcase(cell.name, pattern) for pattern in recipe.without)
    }


def cell_folder(folder: Path, recipe: Recipe, cell: str, seed: int) -> Path:
    """Return where the Model of a cell lies, as a cell of some seed takes it."""
    return folder / f"seed{recipe.seed_of(cell, seed)}" / cell


def given_of(recipe: Recipe, cell: Cell, seed: int) -> dict[str, Any]:
    """Return the parameters of a cell's stage that are not the stage's defaults."""
    return {**recipe.patches, **cell.arguments, "seed": seed, "branch": cell.name}
