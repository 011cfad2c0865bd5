"""Retraining: new scans and the last release in, a candidate that is no worse out."""

from kfp import dsl

from components.evaluate.component import evaluate
from components.restore.component import restore
from pipelines.compress import EVERYTHING, all_branches, judge_and_publish, trunk
from pipelines.settings import Settings, configured

__all__ = ["retrain"]


@dsl.pipeline(name="retrain")
@configured(restore=restore, **EVERYTHING)
def retrain(settings: Settings):
    """Train the last release on with new data, compress it, and judge it against that release."""
    before = restore(**settings["restore"]).outputs
    more = {
        "ingest": {"frozen": before["frozen"]},
        "validate": {"reference": before["validation"]},
        "train": {"initial": before["model"]},
    }
    with trunk(settings, more) as (dataset, validation, teacher):
        branches, longer = all_branches(teacher, dataset, settings)
        scored = evaluate(
            converted=before["released"],
            dataset=dataset,
            baseline=branches["baseline"].outputs["evaluation"],
            branch="released",
            **settings["evaluate"],
        ).set_display_name("released")
        judge_and_publish(
            branches,
            {"baseline": longer, "dataset": dataset, "validation": validation},
            settings,
            released=before["released"],
            released_evaluation=scored.outputs["evaluation"],
        )
