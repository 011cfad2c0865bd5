"""Runs one cell of the curve with the algorithm of its stage, and keeps the Model artifact."""

import importlib
from pathlib import Path
from typing import Any

from benchmarks.quality.recipes import Cell, Recipe
from benchmarks.quality.scores import is_trained
from thimble.artifact import finish, read_json
from thimble.stage import Run, flat_fields, from_flat
from thimble.weights import load_weights, writer

__all__ = ["ingest", "run_cell"]

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


def use_bfloat16() -> None:
    """Let convolutions multiply in bfloat16 and sum in float32, where the processor can."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})


def _width(cell: Cell, folder: Path) -> int:
    """Return the width of the widest network that a cell runs."""
    if not cell.model:
        return int(cell.arguments["base_width"])
    return int(load_weights(folder / cell.model).architecture["config"]["base_width"])


def run_cell(cell: Cell, recipe: Recipe, dataset: Path, folder: Path, seed: int) -> dict[str, Any]:
    """Run a cell unless its Model is there already.

    Args:
        cell: What to run.
        recipe: Patches of the data set.
        dataset: Dataset artifact.
        folder: Of the seed; the cell's Model goes to `folder/cell.name`.
        seed: Of weights, order and augmentation.

    Returns:
        The figures of the stage.
    """
    target = folder / cell.name
    if not is_trained(target):
        module, function, config_name = STAGES[cell.stage]
        stage = importlib.import_module(module)
        config_class = getattr(stage, config_name)
        given = {**recipe.patches, **cell.arguments, "seed": seed, "branch": cell.name}
        config = from_flat(config_class, {**flat_fields(config_class), **given})
        if _width(cell, folder) >= BFLOAT16_WIDTH:
            use_bfloat16()
        run = Run(cell.stage, config, "", folder / f".{cell.name}")
        run.checkpoint.mkdir(parents=True, exist_ok=True)
        source = folder / cell.model if cell.model else None
        if cell.stage == "train":
            weights, figures = stage.train_model(dataset, config, run, source)
        else:
            taught = {"teacher_path": folder / cell.teacher} if cell.teacher else {}
            weights, figures = getattr(stage, function)(source, dataset, config, run, **taught)
        finish(run, writer(weights), target, figures, None, source)
    history: list[dict[str, Any]] = read_json(target / "history.json")
    found: dict[str, Any] = history[-1]["metrics"]
    return found
