"""Rows of the report's tables: formatted cells, each with the number that it sorts by."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.report.branches import Branch, Branches, setting_text
from components.report.formats import (
    bytes_text,
    count_text,
    dice_text,
    difference_text,
    distance_text,
    exact_bytes,
    exists,
    interval_text,
    percent_text,
    plain,
    ratio_text,
    seconds_text,
)
from components.report.gates import Candidate, Gate
from components.report.steps import Step

__all__ = [
    "Cell",
    "Table",
    "gate_table",
    "latency_table",
    "layer_table",
    "number_cell",
    "parameter_rows",
    "step_table",
    "variant_table",
]

GATE_NAMES = {
    "dice_drop": "Dice drop",
    "package_bytes": "Package size",
    "p90_seconds": "p90 latency",
    "memory_bytes": "Peak memory",
    "worst_slice_drop": "Worst slice",
    "loss_to_release": "Loss to the release, 95 % bound",
}


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and for a number what it sorts by (None is missing)."""

    text: str
    value: float | None = None
    mark: str = ""
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption for screen readers; `total` is its last row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()
    sortable: bool = False


def number_cell(text: str, value: Any) -> Cell:
    """A numeric cell."""
    return Cell(text, float(value) if exists(value) else None, number=True)


def gate_table(gates: Iterable[Gate]) -> Table:
    """Gates: received, limit, verdict."""
    rows = [
        (
            Cell(GATE_NAMES.get(gate.name, gate.name)),
            Cell(gate.amount(gate.value)),
            Cell(f"≤ {gate.amount(gate.limit)}"),
            Cell("pass" if gate.passed else "fail", mark="pass" if gate.passed else "fail"),
        )
        for gate in gates
    ]
    return Table("Gates", ("Gate", "Received", "Limit", "Result"), tuple(rows))


def step_table(chain: Iterable[Step]) -> Table:
    """What each stage did."""
    rows = [
        (
            Cell(step.name),
            Cell(step.does),
            number_cell(bytes_text(step.size), step.size),
            number_cell(ratio_text(step.factor), step.factor),
            number_cell(percent_text(step.sparsity), step.sparsity),
            number_cell(dice_text(step.dice), step.dice),
        )
        for step in chain
    ]
    head = ("Stage", "What it does", "Size after", "Times smaller", "Sparsity", "Validation Dice")
    return Table("What each stage did", head, tuple(rows))


def variant_table(branches: Branches, candidates: dict[str, Candidate]) -> Table:
    """Every package: bytes, ratio, Dice with interval, gates."""
    rows = []
    for branch in branches.values():
        for variant, found in branch.variants.items():
            candidate = candidates[f"{branch.name}-{variant}"]
            difference, figures = found.get("difference") or {}, candidate.figures
            mark = "pass" if candidate.passed else "fail"
            rows.append(
                (
                    Cell(candidate.name, mark=f"key-{branch.name}"),
                    number_cell(exact_bytes(figures["package_bytes"]), figures["package_bytes"]),
                    number_cell(exact_bytes(found.get("tflite_bytes")), found.get("tflite_bytes")),
                    number_cell(ratio_text(figures["ratio"]), figures["ratio"]),
                    number_cell(dice_text(figures["dice"]), figures["dice"]),
                    number_cell(difference_text(difference.get("mean")), difference.get("mean")),
                    Cell(interval_text(difference)),
                    number_cell(dice_text(found.get("worst_decile")), found.get("worst_decile")),
                    number_cell(*_hd95(found)),
                    Cell(mark, mark=mark),
                )
            )
    head = (
        "Package",
        "Bytes",
        "Installed",
        "Times smaller",
        "Dice",
        "Difference",
        "95 % interval",
        "Worst tenth",
        "HD95",
        "Gates",
    )
    return Table("Every package, test split", head, tuple(rows), sortable=True)


def _hd95(found: dict[str, Any]) -> tuple[str, Any]:
    """HD95 in mm, in pixels unless the spacing of every image is known."""
    unit = "mm" if exists(found.get("hd95_mm_mean")) else "pixels"
    value = found.get("hd95_mm_mean" if unit == "mm" else "hd95_mean")
    return distance_text(value, unit), value


def latency_table(caption: str, branches: Iterable[Branch]) -> Table:
    """Every timing, with the speed-up over float32 in the same setting."""
    rows = []
    for branch in branches:
        reference = {
            (run["threads"], run["xnnpack"]): run.get("p50_seconds")
            for run in branch.runs
            if run["variant"] == "float32"
        }
        for run in branch.runs:
            base, median = reference.get((run["threads"], run["xnnpack"])), run.get("p50_seconds")
            speed = base / median if base and median else None
            times = [
                number_cell(seconds_text(run.get(key)), run.get(key))
                for key in ("p50_seconds", "p90_seconds", "p99_seconds", "cold_start_seconds")
            ]
            memory = run.get("peak_memory_bytes")
            rows.append(
                (
                    Cell(f"{branch.name}-{run['variant']}", mark=f"key-{branch.name}"),
                    Cell(setting_text(run)),
                    *times,
                    number_cell(bytes_text(memory), memory),
                    number_cell(ratio_text(speed), speed),
                )
            )
    head = (
        "Package",
        "Setting",
        "p50",
        "p90",
        "p99",
        "Cold start",
        "Peak memory",
        "Speed to float32",
    )
    return Table(caption, head, tuple(rows), sortable=True)


def layer_table(branch: Branch) -> Table | None:
    """Tensors of the model package; the last row is the file, and rows sum to it."""
    layers = branch.evaluation.get("layers") or []
    if not layers:
        return None
    rows = [
        (
            Cell(layer["name"]),
            number_cell(" × ".join(map(str, layer["shape"])), _size(layer)),
            number_cell(percent_text(layer.get("sparsity")), layer.get("sparsity")),
            number_cell(plain(layer.get("codebook") or None), layer.get("codebook")),
            number_cell(_bits(layer.get("bits_per_weight")), layer.get("bits_per_weight")),
            number_cell(exact_bytes(layer["bytes"]), layer["bytes"]),
        )
        for layer in layers
    ]
    coded, weights = sum(layer["bytes"] for layer in layers), sum(map(_size, layers))
    package = branch.evaluation.get("model_package_bytes") or coded
    zeros = sum((layer.get("sparsity") or 0) * _size(layer) for layer in layers)
    empty = Cell("")
    if package > coded:
        rest = Cell("header, index, tables, checksums")
        rows.append(
            (
                rest,
                empty,
                empty,
                empty,
                empty,
                number_cell(exact_bytes(package - coded), package - coded),
            )
        )
    total = (
        Cell("model.thimble"),
        number_cell(f"{count_text(weights)} weights", weights),
        number_cell(percent_text(zeros / weights if weights else None), None),
        empty,
        number_cell(_bits(8 * package / weights if weights else None), None),
        number_cell(exact_bytes(package), package),
    )
    head = ("Tensor", "Shape", "Sparsity", "Codebook", "Bits a weight", "Bytes")
    return Table(f"Tensors of {branch.name}", head, tuple(rows), total, sortable=True)


def _size(layer: dict[str, Any]) -> int:
    """Numbers in a tensor."""
    size = 1
    for length in layer["shape"]:
        size *= int(length)
    return size


def _bits(value: Any) -> str:
    """Bits per weight."""
    return f"{value:.2f}" if exists(value) else "–"


def parameter_rows(history: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Full parameters and versions of each stage."""
    return [
        {
            "stage": entry.get("stage", ""),
            "config": [(key, plain(value)) for key, value in (entry.get("config") or {}).items()],
            "versions": ", ".join(
                f"{key} {value}" for key, value in (entry.get("versions") or {}).items()
            ),
        }
        for entry in history
    ]
