"""Runs one cell of the curve with the algorithm of its stage, and keeps the Model artifact."""

import fcntl
import hashlib
import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.quality.recipes import Cell, Recipe, cell_folder, given_of
from benchmarks.quality.scores import check_recipe, is_trained
from benchmarks.quality.setting import processor_flags
from thimble.artifact import finish, read_json
from thimble.stage import Run, flat_fields, from_flat
from thimble.weights import load_weights, writer

__all__ = ["alone", "ingest", "run_cell"]

# Module, function and config of each stage.
STAGES = {
    "train": ("components.train.train", "train_model", "TrainConfig"),
    "distill": ("components.distill.distill", "distill_student", "DistillConfig"),
    "prune": ("components.prune.prune", "prune_model", "PruneConfig"),
    "quantize": ("components.quantize.quantize", "quantize_model", "QuantizeConfig"),
}
# Below it a layer is too small for bfloat16's matrix units: float32 is faster.
BFLOAT16_WIDTH = 8


def ingest(data: Path, recipe: Recipe, folder: Path) -> Path:
    """Make the Dataset artifact of a recipe, once."""
    from components.ingest.ingest import IngestConfig, ingest_source

    target = folder / "dataset"
    if not (target / "dataset.json").exists():
        given = {"source": str(data / recipe.data), **recipe.ingest}
        config = from_flat(IngestConfig, {**flat_fields(IngestConfig), **given})
        run = Run("ingest", config, "", folder / ".ingest")
        run.checkpoint.mkdir(parents=True, exist_ok=True)
        write, figures = ingest_source(config, run)
        finish(run, write, target, figures)
    return target


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Wait until no other process works on a target, and keep others out meanwhile."""
    with open(target.parent / f".{target.name}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bfloat16_units() -> bool:
    """Return whether the processor multiplies bfloat16 itself.

    Where it does not, oneDNN emulates it: a step took seven times as long.
    """
    return bool({"amx_bf16", "avx512_bf16"} & processor_flags())


def use_bfloat16() -> None:
    """Let convolutions multiply in bfloat16 and sum in float32, where the processor can."""
    import tensorflow as tf

    if bfloat16_units():
        options = {"auto_mixed_precision_onednn_bfloat16": True}
        tf.config.optimizer.set_experimental_options(options)


def _width(cell: Cell, source: Path | None) -> int:
    """Return the width of the network that a cell trains; one that teaches only runs forwards."""
    if width := cell.arguments.get("base_width"):
        return int(width)
    assert source, f"{cell.name} trains no network"
    return int(load_weights(source).architecture["config"]["base_width"])


def run_cell(cell: Cell, recipe: Recipe, folder: Path, seed: int) -> dict[str, Any]:
    """Run a cell unless its Model is there already.

    Args:
        cell: What to run.
        recipe: Patches of the data set.
        folder: Of the recipe; holds the Dataset, and the cell's Model in the folder of its seed.
        seed: Of weights, order and augmentation.

    Returns:
        The figures of the stage.

    Raises:
        BadInput: If it is there, of another recipe.
    """
    target = cell_folder(folder, recipe, cell.name, seed)
    with alone(target):
        if not is_trained(target):
            _train(cell, recipe, folder, seed)
    check_recipe(target, given_of(recipe, cell, seed))
    history: list[dict[str, Any]] = read_json(target / "history.json")
    found: dict[str, Any] = history[-1]["metrics"]
    return found


def _train(cell: Cell, recipe: Recipe, folder: Path, seed: int) -> None:
    """Run the stage of a cell and keep the Model."""
    target = cell_folder(folder, recipe, cell.name, seed)
    module, function, config_name = STAGES[cell.stage]
    stage = importlib.import_module(module)
    config_class = getattr(stage, config_name)
    given = given_of(recipe, cell, seed)
    config = from_flat(config_class, {**flat_fields(config_class), **given})
    source = cell_folder(folder, recipe, cell.model, seed) if cell.model else None
    teacher = cell_folder(folder, recipe, cell.teacher, seed) if cell.teacher else None
    if _width(cell, source) >= BFLOAT16_WIDTH:
        use_bfloat16()
    # Training goes on only where the same recipe stopped.
    fingerprint = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
    run = Run(cell.stage, config, "", target.parent / f".{cell.name}-{fingerprint}")
    run.checkpoint.mkdir(parents=True, exist_ok=True)
    dataset = folder / "dataset"
    if cell.stage == "train":
        weights, figures = stage.train_model(dataset, config, run, source)
    else:
        taught = {"teacher_path": teacher} if teacher else {}
        weights, figures = getattr(stage, function)(source, dataset, config, run, **taught)
    finish(run, writer(weights), target, figures, None, source)
