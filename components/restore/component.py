"""KFP wiring of the restore stage."""

from kfp import dsl

from thimble.stage import stage


@stage("restore")
def restore(
    released: dsl.Output[dsl.Model],
    model: dsl.Output[dsl.Model],
    validation: dsl.Output[dsl.Artifact],
    frozen: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    release: str = "",
    version: str = "",
    basis_url: str = "",
    release_digest: str = "",
) -> None:
    """Bring back the last release and its basis: network, statistics and frozen test set."""
    from components.restore.restore import RestoreConfig, restore_release
    from thimble.artifact import finish
    from thimble.stage import start

    others = {"model": model.path, "validation": validation.path, "frozen": frozen.path}
    with start("restore", RestoreConfig, locals()) as run:
        found, write, figures = restore_release(run.config, run, others)
        finish(run, write, released.path, figures, metrics, found)
