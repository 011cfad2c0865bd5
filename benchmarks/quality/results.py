"""All that was scored on one data set, by cell and network, over the seeds."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.quality.kinds import BASELINE, Kind, kind_of
from benchmarks.quality.recipes import RECIPES, cell_folder, cells_of, given_of
from benchmarks.quality.scores import check_recipe, network_digest, read_scores
from benchmarks.quality.statistics import paired_bootstrap, paired_differences
from thimble.artifact import read_json
from thimble.stage import BadInput

__all__ = ["FORMS", "Results", "Row", "load_results"]

# Key of a row of the scores, by what the file is wrapped in.
FORMS = {".thimble": "thimble_bytes", "zstd -19": "zstd_bytes", "NNCodec": "nncodec_bytes"}


@dataclass(frozen=True)
class Row:
    """One network of a cell.

    Attributes:
        cell: Name.
        network: TFLite variant, or `nncodec<QP>`.
        scores: By seed, as `score.score_cell` wrote it for this network.
    """

    cell: str
    network: str
    scores: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What the cell is."""
        return kind_of(self.cell)

    @property
    def forms(self) -> dict[str, float]:
        """Mean bytes over the seeds, by what the file is wrapped in."""
        rows = list(self.scores.values())
        return {
            form: statistics.mean(row[key] for row in rows)
            for form, key in FORMS.items()
            if all(key in row for row in rows)
        }

    @property
    def dice_by_seed(self) -> dict[int, float]:
        """Dice pooled over the split."""
        return {seed: row["scores"]["dice"] for seed, row in self.scores.items()}

    @property
    def dice(self) -> float:
        """Mean over the seeds of the pooled Dice."""
        return statistics.mean(self.dice_by_seed.values())

    @property
    def per_image(self) -> dict[int, dict[str, float]]:
        """Dice by seed and image."""
        return {seed: row["scores"]["dice_per_image"] for seed, row in self.scores.items()}


@dataclass
class Results:
    """What was scored on one data set.

    Attributes:
        dataset: Name of the recipe.
        split: validation or test.
        rows: By cell and network, in the order of the recipe.
        missing: By cell, the seeds that were not run or not scored.
        float32_bytes: Of the baseline's weights, normalisation folded; 0 without a baseline.
        settings: Commits and machines that scored.
        latency: As `benchmarks.quality.latency` wrote it, less what is of other networks.
    """

    dataset: str
    split: str
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    missing: dict[str, list[int]] = field(default_factory=dict)
    float32_bytes: int = 0
    settings: dict[str, set[str]] = field(
        default_factory=lambda: {"commit": set(), "machine": set()}
    )
    latency: dict[str, Any] = field(default_factory=dict)

    def get(self, cell: str, network: str = "float32") -> Row | None:
        """Return the network of a cell, or None if no seed of it was scored."""
        return self.rows.get((cell, network))

    def arm(self, name: str, networks: Iterable[str] = ("float32", "int8")) -> list[Row]:
        """Return the networks of an arm."""
        wanted = set(networks)
        return [r for r in self.rows.values() if r.kind.arm == name and r.network in wanted]

    def difference(self, first: Row | None, second: Row | None) -> dict[str, float] | None:
        """Return the paired bootstrap of first less second; None if a seed in common is missing."""
        if not first or not second or not first.scores.keys() & second.scores.keys():
            return None
        return paired_bootstrap(paired_differences(first.per_image, second.per_image))

    def to_baseline(self, row: Row) -> dict[str, float] | None:
        """Return the paired bootstrap of a network less the baseline's float32."""
        return self.difference(row, self.get(BASELINE))


def load_results(folder: Path, dataset: str, split: str) -> Results:
    """Read the scores of all cells of a recipe.

    Args:
        folder: Of the data sets.
        dataset: Name of a recipe.
        split: validation or test.

    Returns:
        What is there; what is not is listed in `missing`.

    Raises:
        BadInput: If a cell is of another recipe, or was trained again after it was scored on the
            test split, or networks were scored on different images.
    """
    results, recipe = Results(dataset, split), RECIPES[dataset]
    for name, cell in cells_of(recipe).items():
        if not kind_of(name).networks:
            continue
        for seed in recipe.seeds_of(name):
            trained = cell_folder(folder / dataset, recipe, name, seed)
            scores = read_scores(trained, split)
            if scores is None:
                results.missing.setdefault(name, []).append(seed)
                continue
            check_recipe(trained, given_of(recipe, cell, seed))
            for key, found in results.settings.items():
                found.add(scores[key])
            if name == BASELINE:
                results.float32_bytes = scores["float32_bytes"]
            for network in kind_of(name).networks:
                if network in scores["networks"]:
                    row = results.rows.setdefault((name, network), Row(name, network))
                    row.scores[seed] = scores["networks"][network]
    _check_images(results)
    results.latency = _read_latency(folder / dataset)
    return results


def _check_images(results: Results) -> None:
    """Refuse scores of different images."""
    seen = {frozenset(names) for row in results.rows.values() for names in row.per_image.values()}
    if len(seen) > 1:
        raise BadInput(
            f"all networks of {results.dataset} must be scored on the same images. Received: "
            f"{len(seen)} different sets. Score them on one Dataset."
        )


def _read_latency(folder: Path) -> dict[str, Any]:
    """Return the times of the networks that the cells hold."""
    if not (folder / "latency.json").exists():
        return {}
    found: dict[str, Any] = read_json(folder / "latency.json")
    seed = folder / f"seed{found['seed']}"
    kept = {}
    for name, row in found["networks"].items():
        cell = seed / name.split()[0]
        if (cell / "history.json").exists() and row["network"] == network_digest(cell):
            kept[name] = row
    return {**found, "networks": kept}
