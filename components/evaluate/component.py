"""KFP wiring of the evaluate stage."""

from kfp import dsl

from thimble.stage import stage


@stage("evaluate")
def evaluate(
    converted: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    baseline: dsl.Input[dsl.Artifact] = None,
    branch: str = "teacher",
    split: str = "test",
    threads: int = 2,
    overlap: int = 32,
    bootstrap_resamples: int = 10000,
    overlay_count: int = 6,
    headline: str = "float32",
    seed: int = 1,
    lesion_bins: str = "",
) -> None:
    """Score every variant on a split and compare it with the baseline, image by image."""
    from components.evaluate.evaluate import EvaluateConfig, evaluate_variants
    from thimble.artifact import finish
    from thimble.stage import start

    given = dict(
        branch=branch, split=split, threads=threads, overlap=overlap, headline=headline, seed=seed,
        bootstrap_resamples=bootstrap_resamples, overlay_count=overlay_count,
        lesion_bins=lesion_bins,
    )  # fmt: skip
    paths = (converted.path, dataset.path, baseline.path if baseline else None)
    with start("evaluate", EvaluateConfig, given, inputs=[path for path in paths if path]) as run:
        result, figures = evaluate_variants(*paths, run.config, run)
        finish(run, result, evaluation.path, figures, metrics, previous=converted.path)
