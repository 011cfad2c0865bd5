"""KFP wiring of the prune stage."""

from kfp import dsl

from thimble.stage import stage


# fmt: off
@stage("prune")
def prune(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    pruned: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    teacher: dsl.Input[dsl.Model] = None,
    branch: str = "teacher",
    method: str = "magnitude", sparsity: float = 0.9,
    allocation: str = "sensitivity", ramp_share: float = 0.6,
    temperature: float = 2.0, soft_share: float = 0.5,
    patch_size: int = 128, orientation: bool = True, intensity: float = 0.2,
    class_weight_power: float = 0.5, border_weight: float = 0.0,
    steps: int = 600, batch_size: int = 4, learning_rate: float = 5e-4,
    evaluate_every: int = 100, patience: int = 0, seed: int = 1,
) -> None:
    """Zero the smallest weights while fine-tuning (Han et al., 2015)."""
    from components.prune.prune import PruneConfig, prune_model
    from thimble.artifact import finish
    from thimble.stage import start
    from thimble.weights import writer

    taught_by = teacher.path if teacher else None
    inputs = [model.path, dataset.path, *([taught_by] if taught_by else [])]
    with start("prune", PruneConfig, locals(), inputs) as run:
        weights, figures = prune_model(model.path, dataset.path, run.config, run, taught_by)
        finish(run, writer(weights), pruned.path, figures, metrics, model.path)
