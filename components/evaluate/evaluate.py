"""The only scorer of packages: every variant, as decoded from the file that ships."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluate.pictures import (
    choose_cases,
    read_mask,
    safe_name,
    write_mask,
    write_scan,
)
from thimble.artifact import load_history, read_json, write_json
from thimble.metrics import VARIANTS
from thimble.prediction import Predictor, open_model
from thimble.records import Dataset, Record, load_dataset, read_records
from thimble.scoring import (
    Counts,
    bootstrap_difference,
    confusion,
    dice,
    foreground_dice,
    hausdorff95,
    worst_decile,
)
from thimble.stage import BadInput, Run, require
from thimble.variants import read_package, read_variants
from thimble.weights import Weights, figures_of

__all__ = ["EvaluateConfig", "ShownConfig", "evaluate_variants"]

# The variant of the baseline that all others are compared with.
REFERENCE = "float32"
SPLITS = ("test", "validation")

Write = Callable[[Path], None]


@dataclass(frozen=True)
class ShownConfig:
    """Which images the report shows.

    Attributes:
        overlay_count: Images that the report shows, at most.
        headline: The variant whose images are chosen and shown; float32 if it was not made.
    """

    overlay_count: int = 6
    headline: str = "float32"

    def __post_init__(self) -> None:
        """Check the ranges."""
        count = self.overlay_count
        require(count >= 1, "overlay_count must be >= 1", overlay_count=count)
        known = f"headline must be one of {', '.join(VARIANTS)}"
        require(self.headline in VARIANTS, known, headline=self.headline)


@dataclass(frozen=True)
class EvaluateConfig:
    """How to predict, compare and show.

    Attributes:
        branch: Name of the branch in the report.
        split: test; validation while a search still chooses, so that test is scored once.
        threads: Threads of the interpreter.
        overlap: Pixels that neighbouring tiles share at least.
        bootstrap_resamples: Samples of the paired bootstrap.
        seed: Of the bootstrap.
        shown: Which images the report shows.
    """

    branch: str = "teacher"
    split: str = "test"
    threads: int = 2
    overlap: int = 32
    bootstrap_resamples: int = 10_000
    seed: int = 1
    shown: ShownConfig = field(default_factory=ShownConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.split in SPLITS, f"split must be {' or '.join(SPLITS)}", split=self.split)
        require(self.threads >= 1, "threads must be >= 1", threads=self.threads)
        require(self.overlap >= 0, "overlap must be >= 0", overlap=self.overlap)
        require(self.seed >= 0, "seed must be >= 0", seed=self.seed)
        resamples = self.bootstrap_resamples
        require(resamples >= 1, "bootstrap_resamples must be >= 1", bootstrap_resamples=resamples)


@dataclass(frozen=True)
class Baseline:
    """The evaluation that every variant is compared with: its folder and Dice of each image."""

    folder: Path
    dice: dict[str, float]

    def mask(self, identifier: str) -> Path:
        """The file of its mask of an image."""
        return self.folder / _mask_file(REFERENCE, identifier)


@dataclass
class Scores:
    """What one variant scored so far."""

    counts: Counts
    dice: dict[str, float] = field(default_factory=dict)
    hd95: dict[str, float] = field(default_factory=dict)


def evaluate_variants(
    converted_path: str | Path,
    dataset_path: str | Path,
    baseline_path: str | Path | None,
    config: EvaluateConfig,
    run: Run,
) -> tuple[Write, dict[str, float]]:
    """Predict and score every image of the split with every variant.

    Args:
        converted_path: The artifact of convert.
        dataset_path: A Dataset artifact; its original images of the split are scored.
        baseline_path: The evaluation of the baseline on the same images, if this is not it.
        config: How to predict, compare and show.
        run: The run handle; masks are kept in its checkpoint, so that a restart goes on.

    Returns:
        A function that writes `evaluation.json`, `masks/` and `overlays/` into a folder, and the
        figures `<what>_<variant>`.

    Raises:
        BadInput: A package is corrupt or does not fit the dataset, the split has no image, or the
            baseline was scored on other images.
    """
    folder, dataset = Path(converted_path), load_dataset(dataset_path)
    rows = {row["variant"]: row for row in read_variants(folder)}
    files = {name: folder / row["file"] for name, row in rows.items()}
    networks = _open_networks(files, dataset, config.threads)
    baseline = _read_baseline(baseline_path)
    scores = _score(networks, dataset, config, run)
    variants = {name: _summarise(scores[name], rows[name], baseline, config) for name in rows}
    headline = config.shown.headline if config.shown.headline in rows else next(iter(rows))
    evaluation = {
        "branch": config.branch,
        "split": config.split,
        "variants": variants,
        "variant_order": list(rows),
        "headline": headline,
        "preprocessing": networks[headline].preprocessing,
        "cases": _cases(headline, scores[headline], baseline, config.shown.overlay_count),
        **_origin(folder, dataset),
    }

    def write(target: Path) -> None:
        shutil.copytree(run.checkpoint / "masks", target / "masks")
        _write_overlays(target, dataset, evaluation, baseline)
        write_json(target / "evaluation.json", evaluation)

    return write, _figures(evaluation)


def _open_networks(
    files: Mapping[str, Path], dataset: Dataset, threads: int
) -> dict[str, Predictor]:
    """Open all variants; refuse networks of another task."""
    networks = {name: open_model(file, threads) for name, file in files.items()}
    for name, network in networks.items():
        if network.classes != dataset.classes:
            raise BadInput(
                f"{name} predicts the classes {network.classes}, the dataset has "
                f"{dataset.classes}. Evaluate with the dataset that it was trained on."
            )
    return networks


def _read_baseline(path: str | Path | None) -> Baseline | None:
    """Read the evaluation to compare with."""
    if path is None:
        return None
    variants = read_json(Path(path) / "evaluation.json")["variants"]
    if REFERENCE not in variants:
        raise BadInput(
            f"{path} must hold the variant {REFERENCE} to compare with. Received: "
            f"{', '.join(variants)}. Convert the baseline to {REFERENCE}, too."
        )
    return Baseline(Path(path), variants[REFERENCE]["dice_per_image"])


def _mask_file(variant: str, identifier: str) -> str:
    """The place of a mask inside an evaluation."""
    return f"masks/{variant}/{safe_name(identifier)}.png"


def _score(
    networks: Mapping[str, Predictor], dataset: Dataset, config: EvaluateConfig, run: Run
) -> dict[str, Scores]:
    """Score all variants image by image."""
    classes = len(dataset.classes)
    scores = {name: Scores(np.zeros((classes, 3), np.int64)) for name in networks}
    total = int(dataset.spec["counts"].get(config.split, {}).get("images", 0))
    if not total:
        raise BadInput(
            f"{dataset.folder} has no image in the split {config.split!r}. "
            f"Ingest it with a larger {config.split} share."
        )
    for step, record in enumerate(read_records(dataset, config.split), start=1):
        for name, network in networks.items():
            file = run.checkpoint / _mask_file(name, record.id)
            mask = _predict(network, record, file, config.overlap)
            _add(scores[name], record, mask, classes)
        figures = {f"dice_{name}": foreground_dice(scores[name].counts) for name in scores}
        run.progress(step, total, **figures)
    return scores


def _predict(network: Predictor, record: Record, file: Path, overlap: int) -> np.ndarray:
    """Return the mask of a record, from the file that an interrupted run left or anew."""
    if not file.exists():
        write_mask(file, network.predict(record.image, overlap))
    return read_mask(file)


def _add(scores: Scores, record: Record, mask: np.ndarray, classes: int) -> None:
    """Add one image to the scores of a variant."""
    counts = confusion(record.label, mask, classes)
    scores.counts += counts
    scores.dice[record.id] = foreground_dice(counts)
    distances = [hausdorff95(record.label, mask, index) for index in range(1, classes)]
    scores.hd95[record.id] = float(np.mean(distances))


def _summarise(
    scores: Scores, row: Mapping[str, Any], baseline: Baseline | None, config: EvaluateConfig
) -> dict[str, Any]:
    """Return the record of one variant."""
    return {
        "package_bytes": row["package_bytes"],
        "tflite_bytes": row["tflite_bytes"],
        "dice": foreground_dice(scores.counts),
        "dice_per_class": dice(scores.counts).tolist(),
        "dice_per_image": scores.dice,
        "worst_decile": worst_decile(scores.dice.values()),
        "hd95_per_image": scores.hd95,
        "hd95_mean": float(np.mean(list(scores.hd95.values()))),
        "difference": _difference(scores.dice, baseline, config) if baseline else None,
    }


def _difference(
    scores: Mapping[str, float], baseline: Baseline, config: EvaluateConfig
) -> dict[str, float]:
    """Compare with the baseline, image by image."""
    if set(scores) != set(baseline.dice):
        odd = sorted(set(scores) ^ set(baseline.dice))
        raise BadInput(
            f"{baseline.folder} must be scored on the same images. Received: {len(odd)} "
            f"images in only one of the two, such as {odd[0]!r}. Evaluate it on this dataset."
        )
    names = sorted(scores)
    first, second = ([values[name] for name in names] for values in (scores, baseline.dice))
    bounds = bootstrap_difference(first, second, config.seed, config.bootstrap_resamples)
    return bounds | {"images": len(names)}


def _cases(
    headline: str, scores: Scores, baseline: Baseline | None, count: int
) -> list[dict[str, Any]]:
    """Describe the images that the report shows; paths are relative to the evaluation."""
    cases = []
    for name, role in choose_cases(scores.dice, baseline.dice if baseline else None, count):
        place = f"overlays/{safe_name(name)}"
        case = {
            "id": name,
            "role": role,
            "scan": f"{place}-scan.png",
            "truth": f"{place}-truth.png",
            "baseline": f"{place}-baseline.png" if baseline else None,
            "prediction": _mask_file(headline, name),
            "dice": scores.dice[name],
            "baseline_dice": baseline.dice[name] if baseline else None,
        }
        cases.append(case)
    return cases


def _origin(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Return what the report tells about the network and its data."""
    package = folder / "model.thimble"
    weights = read_package(package)
    if not isinstance(weights, Weights):
        raise BadInput(f"{package} must hold a model's weights. Run convert again.")
    sizes = figures_of(weights)
    kept = ("name", "counts", "split", "terms", "source_digest")
    return {
        "classes": dataset.classes,
        "layers": read_json(folder / "layers.json"),
        "history": load_history(folder),
        "model_package_bytes": package.stat().st_size,
        "float32_bytes": int(sizes["float32_bytes"]),
        "parameters": int(sizes["parameters"]),
        "dataset": {name: dataset.spec.get(name) for name in kept},
    }


def _write_overlays(
    folder: Path, dataset: Dataset, evaluation: Mapping[str, Any], baseline: Baseline | None
) -> None:
    """Write scan, truth and the baseline's mask of the chosen images."""
    chosen = {case["id"]: case for case in evaluation["cases"]}
    for record in read_records(dataset, evaluation["split"]):
        if record.id in chosen:
            case = chosen[record.id]
            write_scan(folder / case["scan"], record.image)
            write_mask(folder / case["truth"], record.label)
            if baseline:
                shutil.copyfile(baseline.mask(record.id), folder / case["baseline"])


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures that are logged."""
    figures = {name: float(evaluation[name]) for name in ("parameters", "float32_bytes")}
    for name, record in evaluation["variants"].items():
        figures[f"dice_{name}"] = record["dice"]
        figures[f"worst_decile_{name}"] = record["worst_decile"]
        figures[f"hd95_{name}"] = record["hd95_mean"]
        figures[f"package_bytes_{name}"] = float(record["package_bytes"])
        if record["difference"]:
            figures[f"difference_{name}"] = record["difference"]["mean"]
    return figures
