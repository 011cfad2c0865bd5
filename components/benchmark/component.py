"""KFP wiring of the benchmark stage."""

from kfp import dsl

from thimble.stage import stage


@stage("benchmark")
def benchmark(
    converted: dsl.Input[dsl.Model],
    benchmarked: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    branch: str = "teacher",
    device: str = "host",
    device_fingerprint: str = "",
    threads: str = "1,2",
    iterations: int = 50,
    warmup: int = 5,
    seconds: float = 1.0,
    repeats: int = 1,
) -> None:
    """Measure latency, cold start and memory of every variant on one device."""
    from components.benchmark.benchmark import BenchmarkConfig, measure_latency
    from thimble.artifact import finish
    from thimble.stage import start

    given = dict(
        branch=branch, device=device, device_fingerprint=device_fingerprint, threads=threads,
        iterations=iterations, warmup=warmup, seconds=seconds, repeats=repeats,
    )  # fmt: skip
    with start("benchmark", BenchmarkConfig, given, inputs=(converted.path,)) as run:
        result, figures = measure_latency(converted.path, run.config, run)
        finish(run, result, benchmarked.path, figures, metrics, previous=converted.path)
