"""docs/reference/codec.md from the results: tables, the grid as CSV, the plot."""

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.codec.goals import GOALS, bytes_ratio, speed_ratio
from benchmarks.codec.plot import draw
from benchmarks.codec.texts import (
    CHARGED,
    CHARGED_INTRODUCTION,
    GRID,
    INTRODUCTION,
    PACKAGES,
    SPEED,
)

__all__ = ["write_page"]

Results = dict[str, Any]
NAMES = {
    "thimble": "ours",
    "nncodec": "NNCodec",
    "nncodec_plain": "NNCodec, param_opt 0",
    "nncodec_codebook": "NNCodec, told the codebook",
    "constriction": "constriction",
    "zlib": "zlib -9",
    "zstd": "zstd -19",
    "xz": "xz",
}


def write_page(results: Results, folder: Path) -> None:
    """Write codec.md, and for the grid codec-grid.csv and codec-grid.svg, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [_head(results), _goals(results), "## What is charged", "", CHARGED_INTRODUCTION]
    parts += [_table("coder | bytes charged", CHARGED, left=2)]
    parts += [SPEED.format(repeats=results["repeats"])]
    if results["models"]:
        parts += [
            "## Models",
            "",
            _model_bytes(results),
            _model_speed(results),
            _other_speed(results),
        ]
        parts += ["## Whole packages", "", _packages(results)]
    if results["grid"]:
        parts += ["## Grid", "", _grid(results)]
        _write_csv(results, folder / "codec-grid.csv")
        (folder / "codec-grid.svg").write_text(draw(results["grid"]), encoding="utf-8")
    text = "\n".join(parts).rstrip() + "\n"
    (folder / "codec.md").write_text(text, encoding="utf-8")


def _table(header: str, rows: list[list[str]], left: int = 1) -> str:
    """Return a Markdown table; `left` columns are text, the others numbers."""
    columns = header.count("|") + 1
    rule = "|".join(["---"] * left + ["---:"] * (columns - left))
    lines = [f"| {header} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join([*lines, ""])


def _head(results: Results) -> str:
    """Return the title and what was measured on what."""
    machine = results["machine"]
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    lines = [
        "# The entropy coder beside others",
        "",
        INTRODUCTION,
        "```",
        machine["command"],
        "```",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, load {machine['load']:.1f} when it",
        f"began, {machine['system']}. Commit {machine['commit']}. Python {machine['python']},",
        f"numpy {machine['numpy']}; the others: {peers}.",
        "",
    ]
    return "\n".join(lines)


def _goals(results: Results) -> str:
    """Return what was expected and what came out."""
    rows = []
    for goal in GOALS:
        value = goal.value(results)
        if value is None:
            rows.append([goal.text, goal.expected, goal.reach, "not measured", "-"])
            continue
        verdict = "yes" if goal.met(value) else "**no**"
        rows.append([goal.text, goal.expected, goal.reach, goal.form.format(value), verdict])
    header = "what | expected before measuring | to reach | measured | reached"
    return "## Expected and measured\n\n" + _table(header, rows, left=3)


def _entries(row: dict[str, Any]) -> str:
    """Return the smallest and largest codebook of a set."""
    low, high = row["entries"]
    return str(high) if low == high else f"{low} to {high}"


def _model_bytes(results: Results) -> str:
    """Return the table of bytes."""
    header = "model | weights | zeros | entries | " + " | ".join(NAMES.values())
    header += " | ours / NNCodec | ours, bits per weight"
    rows = []
    for row in results["models"]:
        sizes = [f"{row['bytes'][name]:,}" for name in NAMES]
        zeros = f"{1 - row['kept'] / row['weights']:.1%}"
        rows.append(
            [row["name"], f"{row['weights']:,}", zeros, _entries(row), *sizes]
            + [f"**{bytes_ratio(row):.3f}**", f"{8 * row['bytes']['thimble'] / row['weights']:.4f}"]
        )
    return "Bytes:\n\n" + _table(header, rows)


def _rate(count: float, seconds: float) -> str:
    """Return millions a second."""
    rate = count / seconds / 1e6
    return f"{rate:.1f}" if rate < 100 else f"{rate:,.0f}"


def _model_speed(results: Results) -> str:
    """Return the table of our and NNCodec's speed."""
    header = "model | way | ours | NNCodec | ours, non-zero | NNCodec, non-zero | ours / NNCodec"
    rows = []
    for row in results["models"]:
        for what in ("decode", "encode"):
            pair = [row[what][name] for name in ("thimble", "nncodec")]
            rates = [_rate(row[count], each) for count in ("weights", "kept") for each in pair]
            rows.append([row["name"], what, *rates, f"**{speed_ratio(row, what):.1f}x**"])
    return "Speed, millions of weights a second, and of non-zero weights:\n\n" + _table(
        header, rows, left=2
    )


def _other_speed(results: Results) -> str:
    """Return the table of everybody's speed."""
    names = [name for name in NAMES if name != "nncodec_codebook"]
    header = "model | way | " + " | ".join(NAMES[name] for name in names)
    rows = [
        [row["name"], what, *(_rate(row["weights"], row[what][name]) for name in names)]
        for row in results["models"]
        for what in ("decode", "encode")
    ]
    return "The others, millions of weights a second:\n\n" + _table(header, rows, left=2)


def _packages(results: Results) -> str:
    """Return the table of whole packages."""
    header = "model | parameters | package, bytes | of it not coded streams | decode, ms"
    header += " | decode, M/s | encode, M/s | peak memory beyond the output, MB | packed TFLite"
    header += " | less packed Keras"
    rows = []
    for row in results["models"]:
        package = row["package"]
        beyond, tflite = package["beyond_streams"], package["tflite"]
        memory = max(package["memory"]["peak"] - package["memory"]["output"], 0)
        rows.append(
            [
                row["name"],
                f"{package['parameters']:,}",
                f"{package['bytes']:,}",
                "-" if beyond is None else f"{beyond:,}",
                f"{1000 * package['decode']:.1f}",
                _rate(package["parameters"], package["decode"]),
                _rate(package["parameters"], package["encode"]),
                f"{memory / 1e6:.1f}",
                f"{tflite['package']:,}" if tflite else "-",
                f"{tflite['package'] - package['bytes']:+,}" if tflite else "-",
            ]
        )
    parts = [PACKAGES, _table(header, rows), "Bytes of each package by section:\n"]
    for row in results["models"]:
        sections = row["package"]["sections"].items()
        parts.append(
            f"- {row['name']}: " + ", ".join(f"{name} {size:,}" for name, size in sections)
        )
    return "\n".join([*parts, ""])


def _grid(results: Results) -> str:
    """Return the summary of the grid."""
    cells = results["grid"]
    large = [cell for cell in cells if cell["size"] >= 10_000]
    small = [cell for cell in cells if cell["size"] == min(c["size"] for c in cells)]
    least = f"{small[0]['size']:,}"
    lines: list[tuple[str, list[dict[str, Any]], Callable[[dict[str, Any]], float], bool]] = [
        ("bytes, ours / NNCodec", cells, bytes_ratio, False),
        ("bytes, ours / NNCodec told the codebook", cells, _told_ratio, False),
    ]
    for what in ("decode", "encode"):
        for text, some in (("all", cells), ("10,000 weights and more", large), (least, small)):
            lines.append((f"{what} speed, ours / NNCodec, {text}", some, _speed_of(what), True))
    rows = []
    for text, some, ratio, more_is_better in lines:
        if some:
            ordered = sorted(some, key=ratio, reverse=more_is_better)
            best, worst = ordered[0], ordered[-1]
            rows.append(
                [text, str(len(some)), f"**{median(map(ratio, some)):.3f}**"]
                + [f"{ratio(cell):.3f} ({cell['name']})" for cell in (best, worst)]
            )
    above = [sum(bytes_ratio(cell) > limit for cell in cells) for limit in (1.0, 1.03)]
    counted = f"{above[0]} of {len(cells)} cells; above 1.03 of them: {above[1]}."
    return "\n".join(
        [
            GRID.format(draws=results["draws"]),
            *(
                [f"Measured at commit {results['grid_commit']}.\n"]
                if "grid_commit" in results
                else []
            ),
            _table("ratio | cells | median | best cell | worst cell", rows),
            f"Bytes above NNCodec's: {counted}\n",
            "![Bytes of ours over NNCodec's by sparsity, a panel for each size](codec-grid.svg)",
        ]
    )


def _told_ratio(cell: dict[str, Any]) -> float:
    """Return our bytes over NNCodec's when it is told the codebook."""
    return bytes_ratio(cell, "nncodec_codebook")


def _speed_of(what: str) -> Callable[[dict[str, Any]], float]:
    """Return the ratio of speeds as a function of a cell."""
    return lambda cell: speed_ratio(cell, what)


def _write_csv(results: Results, path: Path) -> None:
    """Write every cell: its bytes by coder, ratios, and speeds in weights a second."""
    timed = [name for name in NAMES if name != "nncodec_codebook"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["size", "sparsity", "entries", "tensors", "nonzero_integers"]
        head += [f"bytes_{name}" for name in NAMES] + ["bytes_ratio"]
        for what in ("decode", "encode"):
            head += [f"{what}_{name}" for name in timed] + [f"{what}_ratio"]
        writer.writerow(head)
        for cell in results["grid"]:
            line = [cell["size"], cell["sparsity"], cell["nominal"], cell["tensors"], cell["kept"]]
            line += [cell["bytes"].get(name, "") for name in NAMES] + [f"{bytes_ratio(cell):.4f}"]
            for what in ("decode", "encode"):
                line += [_whole_rate(cell, what, name) for name in timed]
                line.append(f"{speed_ratio(cell, what):.2f}")
            writer.writerow(line)


def _whole_rate(cell: dict[str, Any], what: str, name: str) -> str:
    """Return weights a second, or nothing where a coder was not measured."""
    seconds = cell[what].get(name)
    return "" if seconds is None else str(round(cell["weights"] / seconds))
