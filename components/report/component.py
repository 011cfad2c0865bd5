"""KFP wiring of the report stage."""

from kfp import dsl

from thimble.stage import stage


# fmt: off
@stage("report")
def report(
    baseline_evaluation: dsl.Input[dsl.Artifact], baseline_benchmark: dsl.Input[dsl.Artifact],
    teacher_evaluation: dsl.Input[dsl.Artifact], teacher_benchmark: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML], verdict: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    student_evaluation: dsl.Input[dsl.Artifact] = None,
    student_benchmark: dsl.Input[dsl.Artifact] = None,
    control_evaluation: dsl.Input[dsl.Artifact] = None,
    control_benchmark: dsl.Input[dsl.Artifact] = None,
    validation: dsl.Input[dsl.Artifact] = None,
    released: dsl.Input[dsl.Model] = None, released_evaluation: dsl.Input[dsl.Artifact] = None,
    max_dice_drop: float = 0.01, max_package_bytes: int = 0, max_p90_seconds: float = 0.0,
    max_memory_bytes: int = 0, max_worst_slice_drop: float = 0.05, gate_branch: str = "teacher",
    gate_variant: str = "float32", trials: str = "", non_inferiority_margin: float = 0.01,
    title: str = "Compression report", pipeline: str = "", commit: str = "", run_name: str = "",
) -> None:
    """Judge the packages against the gates and show why in one HTML file."""
    import shutil

    from components.report.report import ReportConfig, build_report
    from thimble.artifact import finish, write_atomically
    from thimble.stage import start

    given = locals()
    ends = ("_evaluation", "_benchmark", "validation", "released")
    inputs = {name: value.path for name, value in given.items() if name.endswith(ends) and value}
    with start("report", ReportConfig, given, inputs=tuple(inputs.values())) as run:
        write, figures = build_report(inputs, run.config, run)
        finish(run, write, verdict.path, figures, metrics)
        with write_atomically(report.path) as partial:
            shutil.copyfile(f"{verdict.path}/report.html", partial)
