"""KFP wiring of the publish stage."""

from kfp import dsl

from thimble.stage import stage


# fmt: off
@stage("publish")
def publish(
    verdict: dsl.Input[dsl.Artifact],
    teacher: dsl.Input[dsl.Model],
    teacher_evaluation: dsl.Input[dsl.Artifact],
    release: dsl.Output[dsl.Artifact],
    basis: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics],
    student: dsl.Input[dsl.Model] = None, student_evaluation: dsl.Input[dsl.Artifact] = None,
    baseline: dsl.Input[dsl.Model] = None, baseline_evaluation: dsl.Input[dsl.Artifact] = None,
    dataset: dsl.Input[dsl.Dataset] = None, validation: dsl.Input[dsl.Artifact] = None,
    release_folder: str = "", release_name: str = "model", release_packages: str = "",
    release_url: str = "", report_url: str = "", basis_url: str = "",
    intended_use: str = "research use only", population: str = "", scanners: str = "",
    override_terms: str = "",
    pipeline: str = "", commit: str = "", run_name: str = "", images: str = "",
    run_started: str = "", submitted_by: str = "",
) -> None:
    """Release the packages that passed their gates as a candidate."""
    from components.publish.publish import PublishConfig, publish_release
    from thimble.artifact import finish
    from thimble.stage import start

    given = locals()
    branches = ("teacher", "student", "baseline")
    names = ("verdict", *branches, *(f"{each}_evaluation" for each in branches))
    names = (*names, "dataset", "validation")
    inputs = {name: given[name].path for name in names if given[name]}
    with start("publish", PublishConfig, given, inputs=tuple(inputs.values())) as run:
        write, figures = publish_release(inputs, run.config, run, basis.path)
        finish(run, write, release.path, figures, metrics)
