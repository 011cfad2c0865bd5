"""A data set that validate refuses ends the run before training, with the reason as its status."""

import io
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from rich.console import Console

from pipelines.local import Outcome, run_pipeline
from pipelines.progress import PlainProgress

SCANS = {"kind": "phantom_nuclei", "phantom_images": 6, "phantom_size": 64, "tile": 32}


@pytest.fixture(scope="module")
def gated(toy: Any) -> Any:
    """ingest, validate and, behind the condition, a stage that takes no time."""
    from components.ingest.component import ingest
    from components.validate.component import validate
    from pipelines.refuse import only_if_fit

    @dsl.pipeline(name="gated")
    def gated(least: int) -> None:
        dataset = ingest(**SCANS, validation_share=0.2, elastic_copies=1).outputs["dataset"]
        with only_if_fit(validate(dataset=dataset, min_split_images=least)):
            toy.first(steps=3, ready="")

    return gated


def _run(gated: Any, folder: Path, least: int) -> tuple[Outcome, list[str]]:
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    outcome = run_pipeline(gated, {"least": least}, folder, PlainProgress(console))
    return outcome, screen.getvalue().splitlines()


@pytest.mark.slow
def test_the_verdict_decides(gated: Any, tmp_path: Path) -> None:
    outcome, lines = _run(gated, tmp_path / "run", least=1)
    assert outcome.exit_code == 0, outcome.message
    assert [each.task.label for each in outcome.results] == ["ingest", "validate", "first"]
    assert lines[-1].startswith("[3/3] first: done")

    outcome, lines = _run(gated, tmp_path / "run", least=2)
    assert outcome.exit_code == 1
    said = "refuse: data set phantom_nuclei is not fit for training. It failed 1 of 9 checks."
    assert outcome.message.startswith(said)
    ended = [(each.task.label, each.word) for each in outcome.results]
    assert ended == [("ingest", "cached"), ("validate", "done"), ("refuse", "failed")]
    assert lines[-1].startswith("[3/3] refuse: failed")
    # What explains the verdict is kept.
    assert (outcome.outputs["validate"]["validation"] / "validation.json").exists()
    assert "sizes" in outcome.outputs["validate"]["page"].read_text(encoding="utf-8")
