"""Writes docs/reference/faults.md and faults.svg from what `benchmarks.faults.run` measured."""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.faults.faults import FAULTS, Fault

__all__ = ["draw", "write_page"]

# 390 units wide, so that it is read at the width of a phone without scaling.
WIDTH, NAME, ROW, TOP = 390, 172, 17, 50
COLOURS = ("#1f6f8b", "#c26a00", "#7a3b8f")


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results by population.

    Raises:
        FileNotFoundError: If nothing was measured yet.
    """
    found = {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }
    if not found:
        raise FileNotFoundError(f"{folder} holds no results: run benchmarks.faults.run first")
    return dict(sorted(found.items(), key=lambda item: ("phantom" not in item[0], item[0])))


def _share(found: list[int] | None) -> str:
    """Return found of trials as text."""
    return f"{found[0]}/{found[1]}" if found else ""


def _summary(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of populations."""
    lines = [
        "| population | images | patients | kinds of faults found at the stated magnitude | "
        "clean samples flagged |",
        "|---|---:|---:|---:|---:|",
    ]
    for each in results.values():
        stated = [
            each["faults"][f.name][f"{f.stated:g}"] for f in FAULTS if f.name in each["faults"]
        ]
        whole = sum(hits == trials for hits, trials in stated)
        clean = each["clean"]
        lines.append(
            f"| {each['title']} | {each['images']:,} | {each['patients']:,} | "
            f"{whole} of {len(stated)} | {clean['flagged']} of {clean['samples']} |"
        )
    return [*lines, ""]


def _table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of faults: the stated magnitude, then the smallest that was always found."""
    names = [each["title"] for each in results.values()]
    lines = [
        "Found of trials at the stated magnitude; in brackets the smallest magnitude from which on "
        "all were found.\n",
        f"| fault | stated | unit | {' | '.join(names)} |",
        "|---|---:|---|" + "---:|" * len(names),
    ]
    for fault in FAULTS:
        cells = []
        for each in results.values():
            found = each["faults"].get(fault.name)
            text = "" if found is None else _share(found[f"{fault.stated:g}"])
            least = _least(fault, found) if found else ""
            cells.append(f"{text} ({least})" if least else text)
        lines.append(f"| {fault.name} | {fault.stated:g} | {fault.unit} | {' | '.join(cells)} |")
    return [*lines, ""]


def _least(fault: Fault, found: dict[str, list[int]]) -> str:
    """Return the smallest magnitude from which on every trial was found; empty if none."""
    least = ""
    for much in reversed(fault.magnitudes):
        hits, trials = found[f"{much:g}"]
        if hits < trials:
            break
        least = f"{much:g}"
    return least


def draw(results: dict[str, dict[str, Any]]) -> str:
    """Return the curves as SVG: a row a fault, small magnitudes left, filled by the share found."""
    height = TOP + ROW * len(FAULTS) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="10">',
        "<title>Faults found by magnitude</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="8" y="14" font-weight="bold" font-size="11">share of trials found, small to '
        "large faults</text>",
    ]
    for place, each in enumerate(results.values()):
        x = 8 + 132 * place
        title = each["title"].split(" of ")[0]
        parts.append(f'<path d="M{x} 29h14" stroke="{COLOURS[place]}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 18}" y="33">{title}</text>')
    for row, fault in enumerate(FAULTS):
        y = TOP + ROW * row
        parts.append(f'<text x="8" y="{y + 10}">{fault.name}</text>')
        parts.append(f'<path d="M{NAME} {y + 14}H{WIDTH - 8}" stroke="#ddd"/>')
        parts += _curves(fault, results, y)
    return "\n".join([*parts, "</svg>", ""])


def _curves(fault: Fault, results: dict[str, dict[str, Any]], y: int) -> list[str]:
    """Return the curves of one fault; equal ones lie beside each other, not on each other."""
    parts = []
    width = (WIDTH - 8 - NAME) / max(len(fault.magnitudes), 2)
    for place, each in enumerate(results.values()):
        found = each["faults"].get(fault.name)
        if found is None:
            continue
        points = []
        for step, much in enumerate(fault.magnitudes):
            hits, trials = found[f"{much:g}"]
            x = NAME + width * (step + 0.5)
            points.append(f"{x:.1f},{y + 13 - 11 * hits / trials + place:.1f}")
            if much == fault.stated:
                mark = points[-1].split(",")
                parts.append(
                    f'<circle cx="{mark[0]}" cy="{mark[1]}" r="2.4" fill="{COLOURS[place]}"/>'
                )
        line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLOURS[place]}"/>'
        parts.append(line)
    return parts


def write_page(folder: Path, out: Path) -> None:
    """Write the page and its plot.

    Args:
        folder: Results of `benchmarks.faults.run`.
        out: Folder of the page.
    """
    results = load(folder)
    (out / "faults.svg").write_text(draw(results), encoding="utf-8")
    here = Path(__file__).parent
    parts = [(here / "head.md").read_text("utf-8"), *_summary(results)]
    parts.append("![Faults found by magnitude; a dot is the stated one](faults.svg)\n")
    parts += _table(results)
    parts.append((here / "notes.md").read_text("utf-8"))
    (out / "faults.md").write_text("\n".join(parts), encoding="utf-8")


def main() -> None:
    """Write docs/reference/faults.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, default=Path("build/faults"), nargs="?")
    parser.add_argument("--out", type=Path, default=Path("docs/reference"))
    given = parser.parse_args()
    write_page(given.results, given.out)


if __name__ == "__main__":
    main()
