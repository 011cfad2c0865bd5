"""KFP wiring of the ingest stage."""

from kfp import dsl

from thimble.stage import stage


# fmt: off
@stage("ingest")
def ingest(
    dataset: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    frozen: dsl.Input[dsl.Dataset] = None,
    kind: str = "phantom_membranes", source: str = "", source_digest: str = "",
    name: str = "", classes: str = "", terms: str = "", labels: str = "required",
    channels: int = 1, normalization: str = "dataset", tile: int = 128,
    intensity: str = "auto", low_percentile: float = 0.5, high_percentile: float = 99.5,
    spacing_mm: float = 0.0, plane: str = "axial", volumes: str = "", include_burned_in: str = "",
    split_rule: str = "block", validation_share: float = 0.1, test_share: float = 0.2,
    group_column: str = "", attribute_columns: str = "", split_seed: int = 1,
    elastic_copies: int = 4, elastic_sigma_pixels: float = 10.0,
    elastic_grid_pixels: float = 128.0, border_sigma: float = 5.0,
    phantom_images: int = 24, phantom_size: int = 256,
    shards: int = 4, runner: str = "DirectRunner", workers: int = 1,
    max_rejected_share: float = 0.05, shards_at: str = "", seed: int = 1,
) -> None:
    """Read scans of any kind into split, deformed records of one form (Ronneberger, 2015)."""
    from components.ingest.ingest import IngestConfig, ingest_source
    from thimble.artifact import finish
    from thimble.stage import start

    test = frozen.path if frozen else None
    with start("ingest", IngestConfig, locals(), [test] if test else []) as run:
        write, figures = ingest_source(run.config, run, test)
        finish(run, write, dataset.path, figures, metrics)
