"""The main pipeline: scans in, packages small enough for a phone and the proof out."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kfp import dsl

from components.benchmark.component import benchmark
from components.convert.component import convert
from components.distill.component import distill
from components.evaluate.component import evaluate
from components.huffman.component import huffman
from components.ingest.component import ingest
from components.prune.component import prune
from components.publish.component import publish
from components.quantize.component import quantize
from components.report.component import report
from components.train.component import train
from components.validate.component import validate
from pipelines.refuse import only_if_fit
from pipelines.settings import Settings, configured, pick

__all__ = [
    "COMPRESSION",
    "DELIVERY",
    "EVERYTHING",
    "TRUNK",
    "all_branches",
    "baseline_branch",
    "compress",
    "deep_compression",
    "deliver_alone",
    "deliver_compared",
    "judge_and_publish",
    "student_branch",
    "teacher_branch",
    "trunk",
]

DELIVERY = {"huffman": huffman, "convert": convert, "evaluate": evaluate, "benchmark": benchmark}
COMPRESSION = {"prune": prune, "quantize": quantize}
TRUNK = {
    "ingest": ingest,
    "validate": validate,
    "train": train,
    "baseline": pick(train, steps=800, learning_rate=5e-4),
}


class Delivered(NamedTuple):
    """A model as it ships, and what is known about it."""

    converted: dsl.Model
    evaluation: dsl.Artifact
    benchmarked: dsl.Artifact


def deliver(model: Any, dataset: Any, branch: Any, settings: Settings, **baseline: Any) -> Any:
    """Pack a model as it ships, then score and time what was unpacked again."""
    packed = huffman(model=model, branch=branch, **settings["huffman"])
    converted = convert(
        package=packed.outputs["package"], dataset=dataset, branch=branch, **settings["convert"]
    ).outputs["converted"]
    scored = evaluate(
        converted=converted, dataset=dataset, branch=branch, **baseline, **settings["evaluate"]
    )
    timed = benchmark(converted=converted, branch=branch, **settings["benchmark"])
    return Delivered(converted, scored.outputs["evaluation"], timed.outputs["benchmarked"])


# kfp.local refuses a nested pipeline whose optional artifact is left out, hence two of these.
@dsl.pipeline(name="deliver-alone")
@configured(**DELIVERY)
def deliver_alone(
    model: dsl.Input[dsl.Model], dataset: dsl.Input[dsl.Dataset], branch: str, settings: Settings
) -> Delivered:
    """Deliver the uncompressed model that the others are compared with."""
    return deliver(model, dataset, branch, settings)


@dsl.pipeline(name="deliver-compared")
@configured(**DELIVERY)
def deliver_compared(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    baseline: dsl.Input[dsl.Artifact],
    branch: str,
    settings: Settings,
) -> Delivered:
    """Deliver an uncompressed model and compare it with the baseline."""
    return deliver(model, dataset, branch, settings, baseline=baseline)


@dsl.pipeline(name="deep-compression")
@configured(**COMPRESSION, **DELIVERY)
def deep_compression(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    baseline: dsl.Input[dsl.Artifact],
    teacher: dsl.Input[dsl.Model],
    branch: str,
    settings: Settings,
) -> Delivered:
    """Prune, share weights, code them (Han, Mao, Dally, 2015), deliver and compare."""
    given = {"dataset": dataset, "teacher": teacher, "branch": branch}
    pruned = prune(model=model, **given, **settings["prune"]).outputs["pruned"]
    quantized = quantize(model=pruned, **given, **settings["quantize"]).outputs["quantized"]
    return deliver(quantized, dataset, branch, settings, baseline=baseline)


@contextlib.contextmanager
def trunk(
    settings: Settings, more: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Make the data set, check it and, if it is fit, train the teacher and build the block.

    Args:
        settings: Parameters.
        more: Artifacts that ingest, validate and train take besides, by stage and input.

    Yields:
        The data set, the artifact of validate and the teacher.
    """
    taken: dict[str, Any] = {"ingest": {}, "validate": {}, "train": {}, **(more or {})}
    dataset = ingest(**taken["ingest"], **settings["ingest"]).outputs["dataset"]
    valid = validate(dataset=dataset, **taken["validate"], **settings["validate"])
    with only_if_fit(valid):
        teacher = train(dataset=dataset, branch="teacher", **taken["train"], **settings["train"])
        yield dataset, valid.outputs["validation"], teacher.outputs["trained"]


def baseline_branch(teacher: Any, dataset: Any, settings: Settings) -> tuple[Any, Any]:
    """Train the teacher on for as many steps as compression takes: equal budgets.

    Returns:
        The network, which teaches all others as it is the best, and the network as delivered.
    """
    longer = train(
        dataset=dataset,
        initial=teacher,
        branch="baseline",
        **{**settings["train"], **settings["baseline"]},
    ).set_display_name("baseline")
    delivered = deliver_alone(
        model=longer.outputs["trained"],
        dataset=dataset,
        branch="baseline",
        **settings.hand_on(*DELIVERY),
    ).set_display_name("baseline")
    return longer.outputs["trained"], delivered


def teacher_branch(model: Any, teacher: Any, shared: dict[str, Any], settings: Settings) -> Any:
    """Compress the teacher."""
    return deep_compression(
        model=model,
        teacher=teacher,
        branch="teacher",
        **shared,
        **settings.hand_on(*COMPRESSION, *DELIVERY),
    ).set_display_name("teacher")


def student_branch(teacher: Any, shared: dict[str, Any], settings: Settings) -> Any:
    """Distill a student from the teacher and compress it as well."""
    student = distill(
        teacher=teacher, dataset=shared["dataset"], branch="student", **settings["distill"]
    ).set_display_name("student")
    return deep_compression(
        model=student.outputs["student"],
        teacher=teacher,
        branch="student",
        **shared,
        **settings.hand_on(*DELIVERY, prune="student_prune", quantize="student_quantize"),
    ).set_display_name("student")


def control_branch(shared: dict[str, Any], settings: Settings) -> Any:
    """Train the student's network alone for as many steps: what distillation has to beat."""
    width = {"base_width": settings["distill"]["base_width"]}
    alone = train(
        dataset=shared["dataset"],
        branch="control",
        **{**settings["train"], **settings["control"], **width},
    ).set_display_name("control")
    return deliver_compared(
        model=alone.outputs["trained"],
        branch="control",
        **shared,
        **settings.hand_on(*DELIVERY),
    ).set_display_name("control")


def all_branches(teacher: Any, dataset: Any, settings: Settings) -> tuple[dict[str, Any], Any]:
    """Compress the teacher and a student of it.

    Returns:
        Every network as delivered, by branch, and the baseline's before delivery.
    """
    longer, baseline = baseline_branch(teacher, dataset, settings)
    shared = {"dataset": dataset, "baseline": baseline.outputs["evaluation"]}
    branches = {
        "baseline": baseline,
        "teacher": teacher_branch(teacher, longer, shared, settings),
        "student": student_branch(longer, shared, settings),
        "control": control_branch(shared, settings),
    }
    return branches, longer


def judge_and_publish(
    branches: Mapping[str, Any], basis: Mapping[str, Any], settings: Settings, **released: Any
) -> None:
    """Write the report about all branches and, if the gates hold, the release.

    Args:
        branches: From `all_branches`.
        basis: What a retraining will start from: `baseline` (network), `dataset`, `validation`.
        settings: Parameters.
        released: In a retraining the release before, and its evaluation.
    """
    found = {}
    for name, delivered in branches.items():
        found[f"{name}_evaluation"] = delivered.outputs["evaluation"]
        found[f"{name}_benchmark"] = delivered.outputs["benchmarked"]
    judged = report(validation=basis["validation"], **found, **released, **settings["report"])
    publish(
        verdict=judged.outputs["verdict"],
        teacher=branches["teacher"].outputs["converted"],
        teacher_evaluation=branches["teacher"].outputs["evaluation"],
        student=branches["student"].outputs["converted"],
        student_evaluation=branches["student"].outputs["evaluation"],
        baseline_evaluation=branches["baseline"].outputs["evaluation"],
        **basis,
        **settings["publish"],
    ).set_caching_options(False)


EVERYTHING = {
    **TRUNK,
    **COMPRESSION,
    "distill": distill,
    "student_prune": prune,
    "student_quantize": quantize,
    "control": pick(train, steps=2000),
    **DELIVERY,
    "report": report,
    "publish": publish,
}


@dsl.pipeline(name="compress")
@configured(**EVERYTHING)
def compress(settings: Settings):
    """Train a teacher, compress it and a student of it, and judge both against the teacher."""
    with trunk(settings) as (dataset, validation, teacher):
        branches, longer = all_branches(teacher, dataset, settings)
        basis = {"baseline": longer, "dataset": dataset, "validation": validation}
        judge_and_publish(branches, basis, settings)
