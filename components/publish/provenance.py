"""Where a release comes from: an in-toto statement with SLSA's predicate.

It holds no times, so that publishing the same again gives the same bytes.

Source: in-toto Attestation Framework, Statement v1; SLSA 1.0, Provenance.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["make_statement"]

COMMIT = re.compile(r"[0-9a-f]{7,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")


def make_statement(
    digests: Mapping[str, str],
    dataset: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    origin: Mapping[str, str],
) -> dict[str, Any]:
    """Say what the files were made from, by what, with which parameters.

    Args:
        digests: SHA-256 by file of the release.
        dataset: `name`, `source_digest` and `terms` of the data.
        history: What each stage wrote about itself: `stage`, `config`, `versions`.
        origin: `pipeline`, `commit`, `run_name`, and `images` as `stage=reference`, by commas.

    Returns:
        The statement.
    """
    stages = [{"stage": each.get("stage"), "config": each.get("config")} for each in history]
    versions = {str(each.get("stage")): each.get("versions", {}) for each in history}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:thimble:pipeline:1",
                "externalParameters": {"pipeline": origin["pipeline"], "stages": stages},
                "internalParameters": {"versions": versions},
                "resolvedDependencies": [
                    _data(dataset),
                    _source(origin["commit"]),
                    *_images(origin["images"]),
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:thimble:builder:1"},
                "metadata": {"invocationId": origin["run_name"]},
            },
        },
    }


def _data(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The data set."""
    digest = str(dataset.get("source_digest") or "")
    return {
        "name": f"dataset {dataset.get('name')}",
        # Sources may be digested otherwise; what is no SHA-256 is not called one.
        "digest": {"sha256" if DIGEST.fullmatch(digest) else "source": digest},
        "annotations": {"terms": dataset.get("terms")},
    }


def _source(commit: str) -> dict[str, Any]:
    """The code; a tree with changes that are in no commit has no digest."""
    known = {"digest": {"gitCommit": commit}} if COMMIT.fullmatch(commit) else {}
    return {"name": "source code", **known, "annotations": {"commit": commit or "not given"}}


def _images(references: str) -> list[dict[str, Any]]:
    """The images of the stages."""
    found = []
    for reference in filter(None, references.split(",")):
        stage, _, image = reference.partition("=")
        name, _, digest = image.partition("@sha256:")
        known = {"digest": {"sha256": digest}} if digest else {}
        found.append({"name": f"image of {stage}", "uri": f"oci:{name}", **known})
    return found
