"""Evaluations and benchmarks of a made-up run on phantom scans (no real ones)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from components.report.report import ReportConfig, build_report
from tests.components.slicing import slice_scores
from thimble.artifact import write_json
from thimble.stage import flat_fields, start

VARIANTS = ("float32", "float16", "dynamic", "int8")
# Bytes and mean Dice of the packages of a made-up run, by branch.
PACKAGES = {
    "baseline": ((7_412_310, 3_702_114, 1_790_240, 1_774_902), (0.8012, 0.8012, 0.8009, 0.7996)),
    "teacher": ((214_905, 209_377, 188_210, 181_466), (0.7998, 0.7998, 0.7991, 0.7979)),
    "student": ((38_412, 36_908, 31_733, 30_877), (0.7871, 0.7871, 0.7866, 0.7842)),
    "control": ((461_280, 231_040, 118_320, 116_905), (0.7822, 0.7822, 0.7820, 0.7793)),
}
PARAMETERS = {"baseline": 1_962_689, "teacher": 1_962_689, "student": 123_345, "control": 123_345}
SPEED = {"float32": 1.0, "float16": 1.01, "dynamic": 0.62, "int8": 0.29}
BASE_SECONDS = {"baseline": 7.2e-3, "teacher": 7.2e-3, "student": 0.92e-3, "control": 0.92e-3}


def phantom(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a scan of membranes between cells (uint8) and its truth (0, 1)."""
    draws = np.random.default_rng(seed)
    seeds = draws.integers(0, size, (max(8, size * size // 900), 2))
    rows, columns = np.mgrid[:size, :size]
    gaps = np.sort(
        np.hypot(rows[..., None] - seeds[:, 0], columns[..., None] - seeds[:, 1]), axis=2
    )
    truth = (gaps[..., 1] - gaps[..., 0] < 3.0).astype(np.uint8)
    cells = 165 + 25 * ndimage.gaussian_filter(draws.normal(size=(size, size)), 9) * 9
    scan = cells - 105 * ndimage.gaussian_filter(truth.astype(float), 1.1)
    scan += draws.normal(scale=11, size=scan.shape)
    return np.clip(scan, 0, 255).astype(np.uint8), truth


def guess(truth: np.ndarray, seed: int, noise: float) -> np.ndarray:
    """Return a prediction: the truth with a wobbling boundary, gaps, and false pieces."""
    draws = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(draws.normal(size=truth.shape), 3) * 6
    distance = ndimage.gaussian_filter(truth.astype(float), 1.2) + noise * field
    return (distance > 0.5).astype(np.uint8)


def layers(width: int, total: int, seed: int) -> list[dict[str, Any]]:
    """Return the tensors of a U-Net whose bytes sum to 600 less than the package."""
    channels = [(1, width), (width, width)]
    for depth in range(1, 5):
        channels += [(width << (depth - 1), width << depth), (width << depth, width << depth)]
    for depth in range(3, -1, -1):
        channels += [(width << (depth + 1), width << depth), (width << depth, width << depth)]
    names = [f"conv_e{i // 2}_{'ab'[i % 2]}" for i in range(10)]
    names += [f"conv_d{3 - i // 2}_{'ab'[i % 2]}" for i in range(8)]
    sizes = np.array([9 * before * after for before, after in channels], float)
    shares = np.maximum((total - 600) * sizes**0.85 / (sizes**0.85).sum(), 24).astype(int)
    shares[-1] += total - 600 - shares.sum()
    draws = np.random.default_rng(seed)
    return [
        {
            "name": f"{name}/kernel",
            "shape": [3, 3, before, after],
            "kind": "codebook",
            "sparsity": float(
                np.clip(0.6 + 0.024 * np.log(size) + draws.normal(0, 0.02), 0, 0.985)
            ),
            "codebook": 32 if size > 5000 else 64,
            "bits_per_weight": float(8 * share / size),
            "bytes": int(share),
        }
        for name, (before, after), size, share in zip(names, channels, sizes, shares, strict=True)
    ]


def history(branch: str, model_bytes: int) -> list[dict[str, Any]]:
    """Return what the stages say about a branch."""
    versions = {"python": "3.11.2", "thimble": "0.1.0", "numpy": "2.4.6"}
    raw = 4 * PARAMETERS[branch]
    stages: list[tuple[str, dict[str, Any], dict[str, float]]] = [
        (
            "train",
            {"base_width": 16, "depth": 4, "steps": 1200, "learning_rate": 1e-3, "seed": 1},
            {
                "dice_validation": 0.8121,
                "package_bytes": 4.0 * PARAMETERS["baseline"],
                "steps": 1200,
            },
        )
    ]
    if branch == "student":
        config = {"base_width": 4, "temperature": 5.0, "soft_share": 0.7, "steps": 2400, "seed": 1}
        stages.append(("distill", config, {"dice_validation": 0.8003, "package_bytes": raw}))
    if branch == "control":
        config = {"base_width": 4, "steps": 2400, "seed": 1}
        stages = [("train", config, {"dice_validation": 0.7949, "package_bytes": raw})]
    if branch in ("teacher", "student"):
        last = 0.8003 if branch == "student" else 0.8121
        zero = 0.9 if branch == "teacher" else 0.62
        stages += [
            (
                "prune",
                {"sparsity": zero, "schedule": "polynomial", "frequency": 50, "seed": 1},
                {"dice_validation": last - 0.0012, "sparsity": zero, "package_bytes": raw * 0.145},
            ),
            (
                "quantize",
                {"bits": 5, "initialisation": "linear", "steps": 300, "seed": 1},
                {"dice_validation": last - 0.0021, "sparsity": zero, "package_bytes": raw * 0.034},
            ),
            ("huffman", {}, {"sparsity": zero, "package_bytes": model_bytes}),
        ]
    stages.append(("convert", {"variants": ",".join(VARIANTS), "calibration_patches": 64}, {}))
    return [
        {"stage": name, "config": config, "metrics": metrics, "versions": versions}
        for name, config, metrics in stages
    ]


def variant_scores(branch: str, images: int) -> dict[str, Any]:
    """Return the scores of all variants, paired image by image with the baseline."""
    sizes, scores = PACKAGES[branch]
    ids = [f"phantom-{index:03d}" for index in range(images)]
    spread = np.random.default_rng(1).normal(0, 0.012, images)
    wobble = np.random.default_rng(1 + sum(map(ord, branch))).normal(0, 0.0022, (4, images))
    variants: dict[str, Any] = {}
    for index, variant in enumerate(VARIANTS):
        values = scores[index] + spread + wobble[index]
        gaps = values - PACKAGES["baseline"][1][0] - spread
        half = 1.96 * gaps.std() / np.sqrt(images)
        difference = {
            "mean": float(gaps.mean()),
            "low": float(gaps.mean() - half),
            "high": float(gaps.mean() + half),
            "lower_one_sided_95": float(gaps.mean() - 0.84 * half),
            "images": images,
        }
        variants[variant] = {
            "package_bytes": sizes[index],
            "tflite_bytes": int(PARAMETERS[branch] * (4, 2, 1.03, 1.04)[index]) + 21_000,
            "dice": scores[index],
            "dice_per_class": [0.93, scores[index]],
            "dice_per_image": dict(zip(ids, values.tolist(), strict=True)),
            "worst_decile": float(values.min()),
            "hd95_per_image": dict.fromkeys(ids, 4.1),
            "hd95_mean": 4.1 + 0.2 * index,
            "difference": None if (branch, variant) == ("baseline", "float32") else difference,
        }
    return variants


def evaluation(branch: str, images: int) -> dict[str, Any]:
    """Return an evaluation.json without its cases."""
    model_bytes = PACKAGES[branch][0][0] - 900
    width = 16 if PARAMETERS[branch] > 10**6 else 4
    variants = variant_scores(branch, images)
    scores = {name: record["dice_per_image"] for name, record in variants.items()}
    reference = variant_scores("baseline", images)["float32"]["dice_per_image"]
    return {
        "branch": branch,
        "variants": variants,
        **slice_scores(scores, None if branch == "baseline" else reference),
        "variant_order": list(VARIANTS),
        "headline": "float32",
        "classes": ["background", "membrane"],
        "layers": layers(width, model_bytes, 3) if branch in ("teacher", "student") else [],
        "model_package_bytes": model_bytes,
        "history": history(branch, model_bytes),
        "float32_bytes": 4 * PARAMETERS[branch],
        "parameters": PARAMETERS[branch],
        "dataset": {
            "name": "phantom-membranes",
            "counts": {
                "train": {"images": 21, "copies": 84},
                "validation": {"images": 3, "copies": 0},
                "test": {"images": images, "copies": 0},
            },
            "split": {"rule": "block", "validation_share": 0.1, "test_share": 0.2, "seed": 1},
            "terms": "generated by Thimble: no restrictions",
            "source_digest": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
        },
        "preprocessing": {
            "normalization": {"kind": "dataset", "mean": [0.612], "std": [0.151]},
            "bit_depth": 8,
            "channels": 1,
            "tile": 128,
            "classes": ["background", "membrane"],
            "intended_use": "research use only",
        },
        "cases": [],
    }


def benchmark(branch: str) -> dict[str, Any]:
    """Return a benchmark.json."""
    runs = []
    for variant in VARIANTS:
        for threads, xnnpack in ((1, True), (2, True), (1, False)):
            median = BASE_SECONDS[branch] * SPEED[variant] / (1.75 if threads == 2 else 1)
            median *= 1 if xnnpack else 2.9
            runs.append(
                {
                    "variant": variant,
                    "threads": threads,
                    "xnnpack": xnnpack,
                    "cold_start_seconds": 0.021 + 3 * median,
                    "p50_seconds": median,
                    "p90_seconds": median * 1.09,
                    "p99_seconds": median * 1.31,
                    "peak_memory_bytes": int(61e6 + PARAMETERS[branch] * 4 * SPEED[variant]),
                    "iterations": 200,
                }
            )
    device = {
        "name": "host",
        "cpu": "x86-64, 2.5 GHz",
        "cores": 2,
        "memory_bytes": 8_201_000_000,
        "os": "Linux 6.1",
        "python": "3.11.2",
        "litert": "2.3.0",
        "fingerprint": "4f1c09d2ab77",
    }
    return {"branch": branch, "device": device, "runs": runs, "phone": "not verified on a phone"}


def draw_cases(folder: Path, record: dict[str, Any], size: int, shown: int) -> None:
    """Write the pictures of the first images and list them as cases."""
    scores = record["variants"]["float32"]["dice_per_image"]
    ordered = sorted(scores, key=lambda key: scores[key])
    (folder / "overlays").mkdir(parents=True)
    for index, name in enumerate(ordered[:shown]):
        scan, truth = phantom(size, index)
        pictures = {
            "scan": scan,
            "truth": truth,
            "baseline": guess(truth, 7, 0.28),
            "prediction": guess(truth, 7, 0.28) & guess(truth, 100 + index, 0.12)
            | guess(truth, 200 + index, 0.31) & guess(truth, 7, 0.28),
        }
        case = {
            "id": name,
            "role": ("worst", "largest drop", "median", "best")[index % 4],
            "dice": scores[name],
            "baseline_dice": scores[name] + 0.0014,
        }
        for kind, pixels in pictures.items():
            case[kind] = f"overlays/{name}-{kind}.png"
            Image.fromarray(pixels).save(folder / case[kind])
        record["cases"].append(case)


def make_run(
    folder: Path,
    branches: tuple[str, ...] = ("baseline", "teacher", "student", "control"),
    images: int = 6,
    size: int = 192,
    shown: int = 4,
) -> dict[str, str | None]:
    """Write the inputs of the report stage and return their folders by name."""
    inputs: dict[str, str | None] = {}
    for branch in branches:
        place = folder / branch / "evaluation"
        place.mkdir(parents=True)
        record = evaluation(branch, images)
        if branch in ("teacher", "student"):
            draw_cases(place, record, size, shown)
        write_json(place / "evaluation.json", record)
        timings = folder / branch / "benchmark"
        timings.mkdir()
        write_json(timings / "benchmark.json", benchmark(branch))
        inputs |= {f"{branch}_evaluation": str(place), f"{branch}_benchmark": str(timings)}
    return inputs


def make_trials() -> dict[str, Any]:
    """Return a search of three trials: over the budget, inside it, failed."""
    choice = {"sparsity": 0.92, "codebook_size": 16, "rate_weight": 0.0003}
    measured = {"variant": "int8", "package_bytes": 31_204, "dice": 0.7971, "p90_ms": 1.5}
    trials = [
        {"number": 1, "branch": "student", "width": 4, **choice, **measured}
        | {"dice_drop": 0.0071, "binds": ["max_dice_drop"]},
        {"number": 2, "branch": "teacher", "width": 16, **choice, **measured}
        | {"dice_drop": -0.0012, "binds": []},
        {"number": 3, "branch": "teacher", "width": 16, **choice, "binds": ["failed"]},
    ]
    budget = {"max_dice_drop": 0.005, "max_bytes": 40_000, "max_p90_ms": 0.0}
    return {"budget": budget, "best": 2, "trials": trials}


def render(inputs: dict[str, str | None], out: Path, **arguments: Any) -> dict[str, float]:
    """Write report.html and verdict.json into a folder as the stage does; return its figures."""
    flat = flat_fields(ReportConfig) | arguments
    out.mkdir(parents=True)
    with start("report", ReportConfig, flat) as run:
        write, figures = build_report(inputs, run.config, run)
        write(out)
    return figures


@pytest.fixture(scope="session", name="make_run")
def make_run_fixture() -> Callable[..., dict[str, str | None]]:
    return make_run


@pytest.fixture(scope="session", name="render")
def render_fixture() -> Callable[..., dict[str, float]]:
    return render


@pytest.fixture
def trials() -> dict[str, Any]:
    """The trials of a made-up search."""
    return make_trials()


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """All four branches of a made-up run; tests must not write into it."""
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, full_run: dict[str, str | None]) -> Path:
    """The report of that run."""
    out = tmp_path_factory.mktemp("report") / "out"
    render(
        full_run,
        out,
        max_p90_seconds=0.02,
        max_package_bytes=400_000,
        title="Phantom membranes",
        pipeline="compress",
        run_name="demo",
        commit="3f9c1e2",
        trials=json.dumps(make_trials()),
    )
    return out / "report.html"
