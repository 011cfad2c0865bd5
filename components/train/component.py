"""KFP wiring of the train stage."""

from kfp import dsl

from thimble.stage import stage


@stage("train")
def train(
    dataset: dsl.Input[dsl.Dataset],
    trained: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    initial: dsl.Input[dsl.Model] = None,
    branch: str = "teacher",
    model: str = "unet",
    base_width: int = 16,
    depth: int = 4,
    patch_size: int = 128,
    orientation: bool = True,
    intensity: float = 0.2,
    class_weight_power: float = 0.5,
    border_weight: float = 0.0,
    steps: int = 1200,
    batch_size: int = 4,
    learning_rate: float = 1e-3,
    evaluate_every: int = 100,
    patience: int = 0,
    seed: int = 1,
) -> None:
    """Train a U-Net (Ronneberger et al., 2015), or train `initial` on."""
    from components.train.train import TrainConfig, train_model
    from thimble.artifact import finish
    from thimble.stage import start
    from thimble.weights import writer

    before = initial.path if initial else None
    inputs = [dataset.path, *([before] if before else [])]
    with start("train", TrainConfig, locals(), inputs) as run:
        weights, figures = train_model(dataset.path, run.config, run, before)
        finish(run, writer(weights), trained.path, figures, metrics, before)
