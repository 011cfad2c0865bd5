"""What publish takes in: packages, evaluations and a verdict, all small."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.components.slicing import slice_scores
from thimble.artifact import write_json
from thimble.codec import encode_model
from thimble.weights import Weights

__all__ = ["Inputs", "add_basis_inputs", "make_inputs", "write_package", "write_verdict"]

Inputs = dict[str, str | Path | None]
# One image is lost by compression (0.55 to 0.45), one is won, one loses more than 0.05.
BASELINE = {"a": 0.55, "b": 0.49, "c": 0.90, "d": 0.80}
COMPRESSED = {"a": 0.45, "b": 0.51, "c": 0.89, "d": 0.80}


def write_package(file: Path, seed: int) -> int:
    """Write a small package and return its bytes."""
    kernel = np.random.default_rng(seed).normal(size=(3, 3, 1, 4)).astype(np.float32)
    weights = Weights({"model": "unet", "config": {}}, {"conv/kernel": kernel}, {}, {"tile": 32})
    file.write_bytes(encode_model(weights))
    return file.stat().st_size


def candidate(branch: str, variant: str, size: int, passed: bool = True) -> dict[str, Any]:
    """A candidate as verdict.json has it."""
    gap = {"mean": -0.001, "low": -0.004, "high": 0.002, "lower_one_sided_95": -0.003}
    return {
        "name": f"{branch}-{variant}",
        "branch": branch,
        "variant": variant,
        "passed": passed,
        "gates": [
            {
                "name": "dice_drop",
                "limit": 0.01,
                "value": 0.002 if passed else 0.031,
                "unit": "Dice",
                "passed": passed,
            }
        ],
        "figures": {
            "package_bytes": size,
            "baseline_float32_bytes": 100 * size,
            "ratio": 100.0,
            "dice": 0.79,
            "dice_per_class": [0.95, 0.79],
            "baseline_dice": 0.792,
            "difference": gap,
            "worst_decile": 0.7,
            "worst_slice": 0.68,
            "small_lesion_recall": 0.8,
            "images": 6,
            "p50_seconds": 0.002,
            "p90_seconds": 0.0021,
            "peak_memory_bytes": 60_000_000,
            "setting": "1 thread, XNNPACK",
        },
    }


def write_verdict(inputs: Inputs, folder: Path, **passed: bool) -> None:
    """Write the verdict on the packages in `inputs`; `teacher_int8=False` fails that package."""
    found = [
        candidate(
            branch,
            file.stem,
            file.stat().st_size,
            passed.get(f"{branch}_{file.stem}", True),
        )
        for branch in ("teacher", "student")
        if inputs.get(branch)
        for file in sorted(Path(inputs[branch] or "").glob("*.thimble"))
    ]
    gated = next(each for each in found if each["name"] == "teacher-float32")
    folder.mkdir(exist_ok=True)
    verdict = {
        "passed": gated["passed"],
        "branch": "teacher",
        "variant": "float32",
        "sentence": "teacher-float32 ships. Research use only.",
        "evidence": "The one-sided bound is small.",
        "gates": gated["gates"],
        "figures": gated["figures"],
        "candidates": found,
    }
    write_json(folder / "verdict.json", verdict)


def make_inputs(folder: Path) -> Inputs:
    """Write two branches of two packages each, all passed, with the baseline and a report."""
    given: Inputs = {"verdict": folder / "verdict"}
    for seed, branch in enumerate(("teacher", "student")):
        given[branch] = folder / branch
        (folder / branch).mkdir()
        for index, variant in enumerate(("float32", "int8")):
            write_package(folder / branch / f"{variant}.thimble", 10 * seed + index)
        given[f"{branch}_evaluation"] = folder / f"{branch}_evaluation"
        (folder / f"{branch}_evaluation").mkdir()
        evaluation = {
            "classes": ["background", "membrane"],
            "variants": {name: {"dice_per_image": COMPRESSED} for name in ("float32", "int8")},
            **slice_scores({name: COMPRESSED for name in ("float32", "int8")}, BASELINE),
            "history": [{"stage": "train", "config": {"steps": 12}, "metrics": {}}],
            "dataset": {
                "name": "phantom",
                "counts": {name: {"images": 6} for name in ("train", "validation", "test")},
                "split": {"rule": "block"},
                "terms": "CC0",
                "source_digest": "ab" * 32,
            },
            "preprocessing": {"tile": 128, "channels": 1, "normalization": {"kind": "image"}},
        }
        write_json(folder / f"{branch}_evaluation" / "evaluation.json", evaluation)
    given["baseline_evaluation"] = folder / "baseline_evaluation"
    (folder / "baseline_evaluation").mkdir()
    variants = {"float32": {"dice_per_image": BASELINE}}
    write_json(folder / "baseline_evaluation" / "evaluation.json", {"variants": variants})
    write_verdict(given, folder / "verdict")
    (folder / "verdict" / "report.html").write_text("<p>scans</p>", encoding="utf-8")
    return given


def add_basis_inputs(folder: Path, inputs: Inputs) -> None:
    """Add what a basis takes: a network, a data set of three splits, a validation."""
    for branch in ("teacher", "student"):
        converted = Path(inputs[branch] or "")
        rows = [
            {"variant": name, "file": f"{name}.thimble", "package_bytes": 1}
            for name in ("float32", "int8")
        ]
        write_json(converted / "variants.json", rows)
        write_package(converted / "model.thimble", 99)
        write_json(converted / "layers.json", [])
        write_json(converted / "history.json", [{"stage": "convert"}])
    for part in ("baseline", "dataset", "validation"):
        inputs[part] = folder / part
        (folder / part).mkdir()
    write_json(folder / "baseline" / "architecture.json", {"model": "unet", "config": {}})
    (folder / "validation" / "schema.pbtxt").write_text("feature {}\n", encoding="utf-8")
    shards = {split: [f"{split}.tfrecord"] for split in ("train", "validation", "test")}
    write_json(folder / "dataset" / "dataset.json", {"name": "phantom", "shards": shards})
    (folder / "dataset" / "cases.jsonl").write_text('{"id":"a","split":"test"}\n', "utf-8")
    for split in shards:
        (folder / "dataset" / f"{split}.tfrecord").write_bytes(split.encode())
