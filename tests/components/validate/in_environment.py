"""Runs the stage's algorithm in its own environment: `python -m ... < jobs`, a list in JSON.

Each job names a population (`seed`, `patients`, `fault`, `magnitude`, `labelled`), the folder of a
reference or null, the folder of the result and parameters that are not defaults.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.faults import FAULTS, Pair
from benchmarks.faults.population import phantom_studies
from benchmarks.faults.trial import CLASSES, assign_splits
from components.validate.validate import ValidateConfig, hand_out, validate_dataset
from thimble.artifact import finish, write_json
from thimble.records import FORMAT, SPLITS, encode_entries, encode_record
from thimble.stage import BadInput, flat_fields, start
from thimble.tfrecord import frame_record


def write_dataset(folder: Path, pairs: list[Pair], labelled: bool) -> Path:
    """Write a Dataset artifact."""
    folder.mkdir(parents=True)
    spec: dict[str, Any] = {
        "format": FORMAT, "name": "phantoms", "channels": 1, "bit_depth": 8, "tile": 64,
        "classes": [{"name": name, "raw": str(n)} for n, name in enumerate(CLASSES)],
        "normalization": {"kind": "image"}, "labelled": labelled, "border_sigma": 0.0,
        "smallest_side": 64, "counts": {}, "pixels": {}, "shards": {},
    }  # fmt: skip
    for split in SPLITS:
        records = [record for record, entry in pairs if entry.split == split]
        counted = [np.bincount(record.label.ravel(), minlength=2) for record in records]
        spec["counts"][split] = {"images": len(records), "copies": 0}
        spec["pixels"][split] = np.sum(counted, axis=0).tolist()
        spec["shards"][split] = [f"{split}.tfrecord"]
        frames = [frame_record(encode_record(record)) for record in records]
        (folder / f"{split}.tfrecord").write_bytes(b"".join(frames))
    write_json(folder / "dataset.json", spec)
    entries = sorted((entry for _, entry in pairs), key=lambda entry: entry.id)
    (folder / "cases.jsonl").write_text("".join(encode_entries(entries)), "utf-8")
    return folder


def run(job: dict[str, Any]) -> None:
    """Do one job; what goes wrong is written down."""
    out, labelled = Path(job["out"]), job.get("labelled", True)
    rng = np.random.default_rng(job["seed"])
    pairs = assign_splits(phantom_studies(job["seed"], job.get("patients", 60)), rng)
    for fault in FAULTS:
        if fault.name == job.get("fault"):
            pairs = fault.change(pairs, fault.stated, rng)
    dataset = write_dataset(out.with_name(f"{out.name}-data"), pairs, labelled)
    given = flat_fields(ValidateConfig) | job.get("parameters", {})
    with start("validate", ValidateConfig, given) as handle:
        write, figures = validate_dataset(dataset, job["reference"], handle.config, handle)
        finish(handle, write, out, figures)
    hand_out(out, out.with_name(f"{out.name}.html"), out.with_name(f"{out.name}.verdict"))


def main() -> None:
    """Do all jobs."""
    for job in json.load(sys.stdin):
        try:
            run(job)
        except BadInput as error:
            Path(f"{job['out']}.error").write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    main()
