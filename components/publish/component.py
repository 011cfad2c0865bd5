"""KFP wiring of the publish stage."""

from kfp import dsl

from thimble.stage import stage


@stage("publish")
def publish(
    verdict: dsl.Input[dsl.Artifact],
    teacher: dsl.Input[dsl.Model],
    teacher_evaluation: dsl.Input[dsl.Artifact],
    release: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    student: dsl.Input[dsl.Model] = None,
    student_evaluation: dsl.Input[dsl.Artifact] = None,
    release_folder: str = "",
    release_name: str = "model",
    release_packages: str = "",
    pipeline: str = "",
    commit: str = "",
    run_name: str = "",
) -> None:
    """Release the packages that passed their gates as a candidate."""
    from components.publish.publish import PublishConfig, publish_release
    from thimble.artifact import finish
    from thimble.stage import start

    given = locals()
    names = ("verdict", "teacher", "teacher_evaluation", "student", "student_evaluation")
    inputs = {name: given[name].path for name in names if given[name]}
    with start("publish", PublishConfig, given, inputs=tuple(inputs.values())) as run:
        write, figures = publish_release(inputs, run.config, run)
        finish(run, write, release.path, figures, metrics)
