"""What a release says about itself: terms, provenance, and what compression changed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.publish.changes import changes_table
from components.publish.provenance import make_statement
from components.publish.publish import PublishConfig, publish_release
from components.publish.terms import check_terms
from tests.components.publish.making import BASELINE, COMPRESSED, make_inputs
from thimble.artifact import read_json, write_json
from thimble.stage import BadInput, flat_fields, from_flat, start

RESEARCH = "research use only"
ORIGIN = {"pipeline": "compress", "commit": "3f9c1e2ab0d4", "run_name": "demo", "images": ""}


@pytest.mark.parametrize(
    ("terms", "use", "public", "refused"),
    [
        ("generated data, CC0", "triage", True, ""),
        ("CC BY 4.0", "triage", True, ""),
        ("not stated", RESEARCH, False, ""),
        ("not stated", RESEARCH, True, "are not stated"),
        ("", RESEARCH, True, "are not stated"),
        ("ISBI 2012 challenge data: non-commercial research", RESEARCH, True, ""),
        ("ISBI 2012 challenge data: non-commercial research", "triage", True, "research only"),
        ("CC BY-NC 4.0", "triage", False, "research only"),
        ("for research use only", "triage", False, "research only"),
        ("CC BY-NC-ND 4.0", RESEARCH, False, "forbid to hand on"),
        ("no redistribution", RESEARCH, False, "forbid to hand on"),
        ("must not be released", RESEARCH, False, "forbid to hand on"),
    ],
)
def test_terms(terms: str, use: str, public: bool, refused: str) -> None:
    if not refused:
        assert check_terms("cells", terms, use, [], public) == ""
        return
    with pytest.raises(BadInput, match=rf"{refused}.*override_terms=cells"):
        check_terms("cells", terms, use, ["others"], public)
    assert refused in check_terms("cells", terms, use, ["others", "cells"], public)


def test_statement() -> None:
    history = [{"stage": "train", "config": {"steps": 9}, "versions": {"python": "3.11"}}]
    data = {"name": "cells", "source_digest": "ab" * 32, "terms": "CC0"}
    images = f"ingest=registry/ingest@sha256:{'c' * 64},train=thimble-train-python:dev"
    made = make_statement(
        {"b": "2" * 64, "a": "1" * 64}, data, history, ORIGIN | {"images": images}
    )
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"][0] == {"name": "a", "digest": {"sha256": "1" * 64}}
    build = made["predicate"]["buildDefinition"]
    dataset, code, ingest, train = build["resolvedDependencies"]
    assert dataset["digest"] == {"sha256": "ab" * 32}
    assert code["digest"] == {"gitCommit": "3f9c1e2ab0d4"}
    assert ingest["digest"] == {"sha256": "c" * 64} and "digest" not in train
    assert build["externalParameters"]["stages"] == [{"stage": "train", "config": {"steps": 9}}]


@pytest.mark.parametrize("commit", ["", "3f9c1e2ab0d4-dirty"])
def test_code_without_a_commit_has_no_digest(commit: str) -> None:
    made = make_statement({}, {"name": "cells"}, [], ORIGIN | {"commit": commit})
    assert "digest" not in made["predicate"]["buildDefinition"]["resolvedDependencies"][1]


def test_changes() -> None:
    chosen = [{"name": "teacher-int8", "branch": "teacher", "variant": "int8"}]
    evaluations = {"teacher": {"variants": {"int8": {"dice_per_image": COMPRESSED}}}}
    baseline = {"variants": {"float32": {"dice_per_image": BASELINE}}}
    row = changes_table(chosen, evaluations, baseline).splitlines()[-1]
    name, interval, *counts = [cell.strip() for cell in row.strip("|").split("|")]
    assert name == "teacher-int8"
    assert interval.startswith("0.6625 (0.")
    # 0.55 to 0.45 crosses 0.5 and is the only drop by more than 0.05.
    assert counts == ["1 of 4", "1 of 4", "1 of 4", "0.1000"]
    row = changes_table(chosen, evaluations, None).splitlines()[-1]
    assert row.count("not known") == 4
    assert changes_table(chosen, {}, baseline).splitlines()[-1].count("not known") == 5


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Path]:
    """Runs the stage; returns the folder of the release."""
    inputs = make_inputs(tmp_path)

    def run_stage(**arguments: Any) -> Path:
        flat = flat_fields(PublishConfig) | arguments
        with start("publish", PublishConfig, flat) as run:
            write, _ = publish_release(inputs, run.config, run)
            folder = tmp_path / f"made{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            write(folder)
        return folder

    return run_stage


def test_card_and_provenance(publish: Callable[..., Path]) -> None:
    made = publish(population="adults", scanners="two microscopes", commit="3f9c1e2ab0d4")
    card = (made / "MODEL_CARD.md").read_text(encoding="utf-8")
    for part in (
        "Research use only: to mark membrane",
        "Population: adults",
        "Scanners: two microscopes",
        "1 of 4",
        "it is not signed",
    ):
        assert part in card, part
    envelope = read_json(made / "provenance.json")
    statement = json.loads(base64.b64decode(envelope["payload"]))
    names = [each["name"] for each in statement["subject"]]
    assert names == ["MODEL_CARD.md", "manifest.json", "teacher-float32.thimble"]
    assert [file.read_bytes() for file in sorted(made.iterdir())] == [
        file.read_bytes()
        for file in sorted(
            publish(
                population="adults", scanners="two microscopes", commit="3f9c1e2ab0d4"
            ).iterdir()
        )
    ], "no times in it"


def test_use_that_the_owner_states(publish: Callable[..., Path]) -> None:
    made = publish(intended_use="counting cells in class")
    card = (made / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Counting cells in class: to mark membrane" in card
    assert read_json(made / "manifest.json")["intended_use"] == "counting cells in class"


def test_forbidden_terms(publish: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "teacher_evaluation" / "evaluation.json"
    evaluation = read_json(file)
    evaluation["dataset"]["terms"] = "no redistribution"
    write_json(file, evaluation)
    publish()  # inside the run it is nobody else's yet
    with pytest.raises(BadInput, match="override_terms=phantom"):
        publish(release_folder=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    made = publish(release_folder=str(tmp_path / "out"), override_terms="phantom")
    assert "overrode that" in (made / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"release_url": "releases"}, "s3://bucket/prefix"),
        ({"release_url": "s3://releases", "report_url": "s3://releases/r"}, "another bucket"),
        ({"run_started": "yesterday"}, "run_started"),
        ({"run_started": "2026-01-31T12:00:00"}, "its zone"),
        ({"intended_use": " "}, "intended_use"),
    ],
)
def test_wrong_parameters(
    publish: Callable[..., Path], arguments: dict[str, str], expected: str
) -> None:
    with pytest.raises(BadInput, match=expected):
        publish(**arguments)


def test_a_basis_never_goes_to_the_bucket_of_releases() -> None:
    """It holds scans."""
    flat = flat_fields(PublishConfig) | {"release_url": "s3://releases/nuclei"}
    with pytest.raises(BadInput, match="another bucket"):
        from_flat(PublishConfig, flat | {"basis_url": "s3://releases/private"})
    from_flat(PublishConfig, flat | {"basis_url": "s3://reports/b", "report_url": "s3://reports/r"})
