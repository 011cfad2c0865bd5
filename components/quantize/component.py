"""KFP wiring of the quantize stage."""

from kfp import dsl

from thimble.stage import stage


# fmt: off
@stage("quantize")
def quantize(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    quantized: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    teacher: dsl.Input[dsl.Model] = None,
    branch: str = "teacher",
    codebook_size: int = 32, initialization: str = "linear", rate_weight: float = 0.0,
    temperature: float = 2.0, soft_share: float = 0.5,
    patch_size: int = 128, orientation: bool = True, intensity: float = 0.2,
    class_weight_power: float = 0.5, border_weight: float = 0.0,
    steps: int = 200, batch_size: int = 4, learning_rate: float = 2e-4,
    evaluate_every: int = 100, patience: int = 0, seed: int = 1,
) -> None:
    """Share each layer's values from a trained codebook (Han, Mao, Dally, 2015)."""
    from components.quantize.quantize import QuantizeConfig, quantize_model
    from thimble.artifact import finish
    from thimble.stage import start
    from thimble.weights import writer

    taught_by = teacher.path if teacher else None
    inputs = [model.path, dataset.path, *([taught_by] if taught_by else [])]
    with start("quantize", QuantizeConfig, locals(), inputs) as run:
        weights, figures = quantize_model(model.path, dataset.path, run.config, run, taught_by)
        finish(run, writer(weights), quantized.path, figures, metrics, model.path)
