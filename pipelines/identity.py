"""What a run is called in metrics."""

from collections.abc import Mapping
from typing import Any

__all__ = ["identify"]


def identify(pipeline: str, arguments: Mapping[str, Any], run: str) -> dict[str, str]:
    """Return the variables from which `thimble.push` takes its labels; every stage needs them.

    Args:
        pipeline: Name of the pipeline.
        arguments: Its parameters. The data set is called as ingest calls it.
        run: A name of this run.
    """
    return {
        "THIMBLE_PIPELINE": pipeline,
        "THIMBLE_DATASET": str(arguments.get("ingest_name") or arguments.get("ingest_kind") or ""),
        "THIMBLE_RUN": run,
        "THIMBLE_COMMIT": str(arguments.get("publish_commit") or ""),
    }
