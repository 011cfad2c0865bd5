"""The only scorer of packages: every variant, as decoded from the file that ships."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluate.lesions import Bins, bins_of, find_lesions, parse_edges
from components.evaluate.pictures import choose_cases, read_mask, safe_name, write_mask, write_scan
from components.evaluate.scores import (
    Baseline,
    CompareConfig,
    Scores,
    mask_file,
    read_baseline,
    score_image,
    summarise,
)
from components.evaluate.slices import Scanned, cut_slices, describe, recall_by_size, score_slice
from thimble.artifact import load_history, read_json, write_json
from thimble.metrics import VARIANTS
from thimble.prediction import Predictor, open_model
from thimble.records import Dataset, Entry, Record, load_dataset, read_records
from thimble.scoring import foreground_dice
from thimble.stage import BadInput, Run, require
from thimble.variants import read_package, read_variants
from thimble.weights import Weights, figures_of

__all__ = ["EvaluateConfig", "ShownConfig", "evaluate_variants"]

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
        compared: How scores are compared.
        shown: Which images the report shows.
    """

    branch: str = "teacher"
    split: str = "test"
    threads: int = 2
    overlap: int = 32
    compared: CompareConfig = field(default_factory=CompareConfig)
    shown: ShownConfig = field(default_factory=ShownConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.split in SPLITS, f"split must be {' or '.join(SPLITS)}", split=self.split)
        require(self.threads >= 1, "threads must be >= 1", threads=self.threads)
        require(self.overlap >= 0, "overlap must be >= 0", overlap=self.overlap)


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
        A function that fills a folder, and the figures `<what>_<variant>`.

    Raises:
        BadInput: A package is corrupt or does not fit the dataset, the split has no image, or the
            baseline was scored on other images.
    """
    folder, dataset = Path(converted_path), _open_dataset(dataset_path, config.split)
    rows = {row["variant"]: row for row in read_variants(folder)}
    networks = _open_networks(folder, rows, dataset, config.threads)
    baseline = read_baseline(baseline_path) if baseline_path else None
    bins = _lesion_bins(dataset, baseline, config)
    images, scores = _score(networks, dataset, bins, config, run)
    headline = config.shown.headline if config.shown.headline in rows else next(iter(rows))
    evaluation = {
        "branch": config.branch,
        "split": config.split,
        "variants": _variants(rows, images, scores, baseline, config.compared),
        "variant_order": list(rows),
        "groups": {image.id: image.group for image in images},
        "headline": headline,
        "preprocessing": networks[headline].preprocessing,
        "cases": _cases(headline, scores[headline], baseline, config.shown.overlay_count),
        **_sliced(images, scores, baseline, bins, config.compared),
        **_origin(folder, dataset),
    }

    def write(target: Path) -> None:
        shutil.copytree(run.checkpoint / "masks", target / "masks")
        _write_overlays(target, dataset, evaluation, baseline)
        write_json(target / "evaluation.json", evaluation)

    return write, _figures(evaluation)


def _variants(
    rows: Mapping[str, Mapping[str, Any]],
    images: list[Scanned],
    scores: Mapping[str, Scores],
    baseline: Baseline | None,
    config: CompareConfig,
) -> dict[str, Any]:
    """Return the record of every variant: its bytes and its scores."""
    groups = {image.id: image.group for image in images}
    sizes = ("package_bytes", "tflite_bytes")
    return {
        name: {size: row[size] for size in sizes}
        | summarise(scores[name], baseline, groups, config)
        for name, row in rows.items()
    }


def _sliced(
    images: list[Scanned],
    scores: Mapping[str, Scores],
    baseline: Baseline | None,
    bins: Bins,
    config: CompareConfig,
) -> dict[str, Any]:
    """Return the scores of slices, and of lesions by size."""
    slices, left = cut_slices(images, bins)
    other = baseline.scores if baseline else None
    return {
        "slices": [score_slice(part, scores, other, bins, config) for part in slices],
        "not_sliced": left,
        "lesion_bins": asdict(bins),
        "small_lesion_recall": recall_by_size(images, scores, other, bins, config),
    }


def _lesion_bins(dataset: Dataset, baseline: Baseline | None, config: EvaluateConfig) -> Bins:
    """Return the sizes of lesions: those given, else the baseline's, else of the train split."""
    used = ("train", config.split)
    known = all(entry.spacing for entry in dataset.entries() if entry.split in used)
    unit = "mm2" if known else "pixels"
    edges = parse_edges(config.compared.lesion_bins)
    given = Bins(unit, edges, "given") if edges else None
    if baseline is not None:
        require(
            given in (None, baseline.bins),
            f"lesion_bins must be those of the baseline, {baseline.bins}, or empty",
            lesion_bins=config.compared.lesion_bins,
        )
        return baseline.bins
    if given is not None:
        return given
    entries = _entries(dataset, "train")
    return bins_of(
        (
            find_lesions(record.label, _pixel_area(entries[record.id], unit)).areas
            for record in read_records(dataset, "train")
        ),
        unit,
    )


def _entries(dataset: Dataset, split: str) -> dict[str, Entry]:
    """What is known of the images of a split, by id."""
    return {entry.id: entry for entry in dataset.entries() if entry.split == split}


def _pixel_area(entry: Entry, unit: str) -> float:
    """Area of a pixel in the unit of the bins."""
    return float(np.prod(entry.spacing)) if unit == "mm2" and entry.spacing else 1.0


def _open_dataset(path: str | Path, split: str) -> Dataset:
    """Open the data set; refuse one on which nothing can be scored."""
    dataset = load_dataset(path)
    if not dataset.spec["labelled"]:
        raise BadInput(
            f"{path} has no labels. Expected some to score by: ingest it with labels=required."
        )
    if not dataset.spec["counts"].get(split, {}).get("images"):
        raise BadInput(
            f"{path} has no image in the split {split!r}. Ingest it with a larger {split} share."
        )
    return dataset


def _open_networks(
    folder: Path, rows: Mapping[str, Mapping[str, Any]], dataset: Dataset, threads: int
) -> dict[str, Predictor]:
    """Open all variants; refuse networks of another task."""
    networks = {name: open_model(folder / row["file"], threads) for name, row in rows.items()}
    for name, network in networks.items():
        if network.classes != dataset.classes:
            raise BadInput(
                f"{name} predicts the classes {network.classes}, the dataset has "
                f"{dataset.classes}. Evaluate with the dataset that it was trained on."
            )
    return networks


def _score(
    networks: Mapping[str, Predictor],
    dataset: Dataset,
    bins: Bins,
    config: EvaluateConfig,
    run: Run,
) -> tuple[list[Scanned], dict[str, Scores]]:
    """Score all variants image by image."""
    classes = len(dataset.classes)
    scores: dict[str, Scores] = {name: {} for name in networks}
    pooled = {name: np.zeros((classes, 3), np.int64) for name in networks}
    images = []
    total = int(dataset.spec["counts"].get(config.split, {}).get("images", 0))
    entries = _entries(dataset, config.split)
    for step, record in enumerate(read_records(dataset, config.split), start=1):
        entry = entries[record.id]
        lesions = find_lesions(record.label, _pixel_area(entry, bins.unit))
        images.append(describe(entry, lesions, bins))
        for name, network in networks.items():
            file = run.checkpoint / mask_file(name, record.id)
            mask = _predict(network, record, file, config.overlap)
            score = score_image(record.label, mask, classes, entry.spacing, lesions, bins)
            scores[name][record.id] = score
            pooled[name] += score.counts
        figures = {f"dice_{name}": foreground_dice(counts) for name, counts in pooled.items()}
        run.progress(step, total, **figures)
    return images, scores


def _predict(network: Predictor, record: Record, file: Path, overlap: int) -> np.ndarray:
    """Return the mask of a record, from the file that an interrupted run left or anew."""
    if not file.exists():
        write_mask(file, network.predict(record.image, overlap))
    return read_mask(file)


def _cases(
    headline: str, scores: Scores, baseline: Baseline | None, count: int
) -> list[dict[str, Any]]:
    """Describe the images that the report shows; paths are relative to the evaluation."""
    cases = []
    own = {name: score.dice for name, score in scores.items()}
    other = {name: score.dice for name, score in baseline.scores.items()} if baseline else None
    for name, role in choose_cases(own, other, count):
        place = f"overlays/{safe_name(name)}"
        case = {
            "id": name,
            "role": role,
            "scan": f"{place}-scan.png",
            "truth": f"{place}-truth.png",
            "baseline": f"{place}-baseline.png" if baseline else None,
            "prediction": mask_file(headline, name),
            "dice": own[name],
            "baseline_dice": other[name] if other else None,
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
    kept = ("name", "counts", "split", "terms", "source_digest", "frozen")
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
    judged = [part for part in evaluation["slices"] if part["judged"]]
    small = evaluation["small_lesion_recall"]["sizes"][0]["variants"]
    for name, record in evaluation["variants"].items():
        figures[f"dice_{name}"] = record["dice"]
        figures[f"worst_decile_{name}"] = record["worst_decile"]
        figures[f"hd95_{name}"] = record["hd95_mean"]
        if record["hd95_mm_mean"] is not None:
            figures[f"hd95_mm_{name}"] = record["hd95_mm_mean"]
        figures[f"package_bytes_{name}"] = float(record["package_bytes"])
        if record["difference"]:
            figures[f"difference_{name}"] = record["difference"]["mean"]
        if judged:
            figures[f"worst_slice_{name}"] = min(part["variants"][name]["dice"] for part in judged)
        if name in small:
            figures[f"small_lesion_recall_{name}"] = small[name]["recall"]
    return figures
