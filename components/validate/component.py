"""KFP wiring of the validate stage."""

from kfp import dsl

from thimble.stage import stage


@stage("validate")
def validate(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    verdict: dsl.OutputPath(str),
    reference: dsl.Input[dsl.Artifact] = None,
    min_foreground_share: float = 0.001,
    max_foreground_share: float = 0.95,
    min_split_images: int = 1,
    max_duplicate_share: float = 0.02,
    false_alarm_share: float = 0.002,
    accepted_features: str = "",
    fail_on_skew: bool = False,
    seed: int = 1,
) -> None:
    """Judge a data set by itself and against that of the last release (`reference`)."""
    from components.validate.validate import ValidateConfig, hand_out, validate_dataset
    from thimble.artifact import finish
    from thimble.stage import start

    given = locals()
    known = reference.path if reference else None
    inputs = [path for path in (dataset.path, known) if path]
    with start("validate", ValidateConfig, given, inputs) as run:
        write, figures = validate_dataset(dataset.path, known, run.config, run)
        finish(run, write, validation.path, figures, metrics, dataset.path)
        hand_out(validation.path, page.path, verdict)
