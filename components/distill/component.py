"""KFP wiring of the distill stage."""

from kfp import dsl

from thimble.stage import stage


@stage("distill")
def distill(
    teacher: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    student: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    branch: str = "student",
    base_width: int = 4,
    temperature: float = 5.0,
    soft_share: float = 0.5,
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
    """Train a student on its teacher's softened predictions (Mangalam, Salzmann, 2018)."""
    from components.distill.distill import DistillConfig, distill_student
    from thimble.artifact import finish
    from thimble.stage import start
    from thimble.weights import writer

    with start("distill", DistillConfig, locals(), (teacher.path, dataset.path)) as run:
        weights, figures = distill_student(teacher.path, dataset.path, run.config, run)
        finish(run, writer(weights), student.path, figures, metrics, teacher.path)
