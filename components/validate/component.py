"""KFP wiring of the validate stage."""

from kfp import dsl

from thimble.stage import stage


@stage("validate")
def validate(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    min_foreground_share: float = 0.001,
    max_foreground_share: float = 0.95,
    min_split_images: int = 1,
) -> None:
    """Check every record of a data set; a failed check stops the run."""
    from components.validate.validate import ValidateConfig, validate_dataset
    from thimble.artifact import finish
    from thimble.stage import start

    with start("validate", ValidateConfig, locals(), [dataset.path]) as run:
        write, figures = validate_dataset(dataset.path, run.config, run)
        finish(run, write, validation.path, figures, metrics, dataset.path)
