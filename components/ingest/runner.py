"""Runs a Beam pipeline by the runner that a parameter names."""

import errno
import logging
import os
import re
import shlex
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from thimble.stage import BadInput, ThimbleError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's optional packages are absent, and it says so
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    import apache_beam as beam
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.metrics import Metrics, MetricsFilter
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners import create_runner
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    logging.disable(logging.NOTSET)

__all__ = [
    "COUNTERS",
    "BeamIOError",
    "Execution",
    "FileSystems",
    "Metrics",
    "PipelineOptions",
    "beam",
    "hand_out",
    "run_pipeline",
]

# Name of the runner with its options, and worker processes of the DirectRunner.
Execution = tuple[str, int]
# The namespace of our counters in a runner's own pages.
COUNTERS = "ingest"
DIRECT = "DirectRunner"


def hand_out(work: Iterable[Any], execution: Execution) -> Any:
    """Return the transform that makes a collection of pieces of work.

    Args:
        work: Small and picklable.
        execution: Runner and number of workers; a shuffle, by which others get their share, is
            left out where one process does everything.
    """
    return beam.Create(work, reshuffle=execution != (DIRECT, 1))


def run_pipeline(build: Callable[[Any], object], execution: Execution) -> dict[str, int]:
    """Build and run a pipeline, and give the user's errors their own words back.

    Args:
        build: Adds the transforms to a pipeline.
        execution: Name of a Beam runner, then its options, if any; worker processes of the
            DirectRunner.

    Returns:
        The counters of the namespace `COUNTERS`.

    Raises:
        BadInput: If there is no such runner, or a worker raised it.
    """
    runner, workers = execution
    name, *options = shlex.split(runner)
    direct = name == DIRECT
    if direct:
        mode = "multi_processing" if workers > 1 else "in_memory"
        options += [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
        # No step declares types; inferring them costs every run a tenth of a second.
        options.append("--no_pipeline_type_check")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Beam's own choice for "DirectRunner" tries first to download another runner.
            chosen = FnApiRunner() if direct else _find_runner(name)
            with beam.Pipeline(runner=chosen, options=PipelineOptions(options)) as pipeline:
                build(pipeline)
            return _counters(pipeline.result)
    except Exception as error:
        _restore(f"{type(error).__name__}: {error}")
        raise


def _counters(result: Any) -> dict[str, int]:
    """Return what the workers counted."""
    found = result.metrics().query(MetricsFilter().with_namespace(COUNTERS))["counters"]
    return {counter.key.metric.name: int(counter.result) for counter in found}


def _find_runner(name: str) -> Any:
    """Return Beam's runner of this name."""
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise BadInput(f"runner={name!r} is no Beam runner that is installed: {error}") from None


def _restore(text: str) -> None:
    """Raise what a worker raised; Beam hands on only the text of a traceback."""
    found = re.search(r"(BadInput|StoreUnreachable): (.*?)(?: \[while running|\n|$)", text)
    if found:
        raise (BadInput if found[1] == "BadInput" else ThimbleError)(found[2]) from None
    found = re.search(r"\[Errno (\d+)\] [^:\n]*(?:: '([^'\n]*)')?", text)
    if found and int(found[1]) in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
        number = int(found[1])
        raise OSError(number, os.strerror(number), found[2]) from None
