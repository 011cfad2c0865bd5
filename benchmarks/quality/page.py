"""The pages docs/reference/quality-<recipe>.md: bytes against Dice, every figure from the scores.

`python -m benchmarks.quality.page` writes a page and a plot for each recipe that has scores, from
what `benchmarks.quality.score` and `benchmarks.quality.latency` left beside the cells.
docs/reference/quality.md says what their words mean.
"""

import argparse
import fnmatch
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.quality.goals import GOALS, NOT_RUN, at_narrow_dice, comparisons
from benchmarks.quality.kinds import BASELINE
from benchmarks.quality.plot import Mark, draw
from benchmarks.quality.recipes import RECIPES, Cell, cells_of
from benchmarks.quality.results import Results, Row, load_results
from benchmarks.quality.setting import ROOT, RUNS
from thimble.stage import ThimbleError

__all__ = ["write_pages"]

# How much lower than the baseline the plot goes.
DEPTH = 0.045


def _interval(found: dict[str, float] | None) -> str:
    """Write a difference in points."""
    if not found:
        return "-"
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['mean']:+.2f} [{low:+.2f}, {high:+.2f}], {_bound(found)}"


def _bound(found: dict[str, float]) -> str:
    """Write the one-sided bound in points."""
    return f"{100 * found['lower_one_sided_95']:+.2f}"


def _goals(results: Results) -> Iterator[str]:
    """Yield what was to be reached."""
    yield "| goal | asked | measured | |"
    yield "|---|---|---|---|"
    cells = list(cells_of(RECIPES[results.dataset]))
    for goal in GOALS:
        if not all(fnmatch.filter(cells, pattern) for pattern in goal.cells):
            continue
        text, reached = goal.find(results)
        word = {None: NOT_RUN, True: "reached", False: "missed"}[reached]
        yield f"| {goal.text} | {goal.asked} | {text} | {word} |"


def _curve(results: Results) -> Iterator[str]:
    """Yield the table of all files, by the cells' order."""
    yield "| network | variant | seeds | bytes, mean | ratio | Dice | to the baseline, points |"
    yield "|---|---|---:|---|---:|---:|---|"
    for row in results.rows.values():
        forms = ", ".join(f"{size:,.0f} ({form})" for form, size in row.forms.items())
        ratio = results.float32_bytes / min(row.forms.values()) if row.forms else 0.0
        itself = row.cell == BASELINE and row.network == "float32"
        found = "" if itself else _interval(results.to_baseline(row))
        yield (
            f"| {row.cell} | {row.network} | {len(row.scores)} | {forms} | {ratio:.1f}x "
            f"| {row.dice:.4f} | {found} |"
        )


def _narrow(results: Results) -> Iterator[str]:
    """Yield our bytes at the Dice of the narrow networks."""
    yield (
        "| narrow network, int8 + zstd | bytes | Dice | our smallest file of no lower Dice "
        "| bytes | share | between neighbours |"
    )
    yield "|---|---:|---:|---|---:|---:|---:|"
    for item in at_narrow_dice(results):
        ours = item.package
        between = f"{item.between:,.0f}" if item.between else "-"
        if ours:
            share = f"{ours.size / item.size:.3f}"
            cells = f"{ours.name} | {ours.size:,.0f} | {share} | {between}"
        else:
            cells = f"none was measured | - | - | {between}"
        yield f"| {item.narrow} | {item.size:,.0f} | {item.dice:.4f} | {cells} |"


def _compared(results: Results) -> Iterator[str]:
    """Yield the comparisons of arms."""
    cells = cells_of(RECIPES[results.dataset])
    yield "| comparison | first | second | seeds | first less second, points |"
    yield "|---|---|---|---:|---|"
    for text, first, second, found in comparisons(results):
        if not {first, second} <= cells.keys():
            continue
        one, two = results.get(first), results.get(second)
        seeds = len(one.scores.keys() & two.scores.keys()) if one and two else 0
        difference = _interval(found) if found else NOT_RUN
        yield f"| {text} | {first} | {second} | {seeds} | {difference} |"


def _latency(results: Results) -> Iterator[str]:
    """Yield the times, if there are any."""
    timed = results.latency.get("networks", {})
    if not timed:
        yield "Not timed."
        return
    yield "| network | p50, ms | p90, ms | baseline's p50 in the same turns, ms | times faster |"
    yield "|---|---:|---:|---:|---:|"
    for name, row in timed.items():
        yield (
            f"| {name} | {1e3 * row['p50_seconds']:.2f} | {1e3 * row['p90_seconds']:.2f} "
            f"| {1e3 * row['baseline_p50_seconds']:.2f} "
            f"| {row['speedup']:.2f}x |"
        )


def _recipe(cells: Iterable[Cell]) -> Iterator[str]:
    """Yield what each cell was trained with."""
    yield "| network | from | taught by | stage | parameters other than the stage's defaults |"
    yield "|---|---|---|---|---|"
    for cell in cells:
        given = ", ".join(f"{name} {value}" for name, value in cell.arguments.items())
        taught = cell.model if cell.stage != "train" else ""
        yield (
            f"| {cell.name} | {cell.model or '-'} | {cell.teacher or taught or '-'} "
            f"| {cell.stage} | {given} |"
        )


def _marks(results: Results) -> list[Mark]:
    """Return the points of the plot."""
    arms = {
        ("teacher", "float32"): ("teacher", ".thimble"),
        ("cut", "float32"): ("cut", ".thimble"),
        ("student", "float32"): ("student", ".thimble"),
        ("narrow", "int8"): ("narrow int8", "zstd -19"),
        ("narrow", "float32"): ("narrow float32", "zstd -19"),
        ("baseline", "float32"): ("baseline", "zstd -19"),
    }

    def mark(row: Row) -> Mark | None:
        if row.network.startswith("nncodec"):
            return Mark("NNCodec", row.forms["NNCodec"], row.dice)
        found = arms.get((row.kind.arm, row.network))
        if not found or found[1] not in row.forms:
            return None
        # Ways to make the teacher smaller are an arm each.
        way = row.cell.split("-")[0]
        arm = way if way == "taught" else found[0]
        # Widths tell the narrow ones apart; the compressed teachers lie too close for names.
        label = re.findall(r"\d+", row.cell)[0] if row.kind.arm in ("student", "narrow") else ""
        return Mark(arm, row.forms[found[1]], row.dice, label)

    return [made for row in results.rows.values() if (made := mark(row))]


def _page(results: Results, picture: str) -> Iterator[str]:
    """Yield the page of one recipe."""
    recipe = RECIPES[results.dataset]
    commits = ", ".join(sorted(results.settings["commit"]))
    word = "seed" if recipe.seeds == 1 else "seeds"
    yield f"# Quality: {results.dataset}"
    yield ""
    yield (
        f"{recipe.seeds} {word} asked for. Teacher {recipe.teach:,} steps, every network "
        f"{recipe.total:,} in all, {recipe.patches['batch_size']} patches of "
        f"{recipe.patches['patch_size']} pixels a step. Scored at commit {commits}. "
        f"{' '.join(sorted(results.settings['machine']))} Not verified on a phone."
    )
    yield ""
    if results.missing:
        lacking = (f"{cell} (seed {', '.join(map(str, s))})" for cell, s in results.missing.items())
        yield f"Not run or not scored: {'; '.join(lacking)}."
        yield ""
    yield f"![Bytes against Dice on {results.dataset}]({picture})"
    parts = {
        "Goals": _goals(results),
        "The curve": _curve(results),
        "At the Dice of a narrow network": _narrow(results),
        "Two ways compared": _compared(results),
        "Time of one tile, one thread": _latency(results),
        "Recipe": _recipe(cells_of(recipe).values()),
    }
    for title, lines in parts.items():
        yield from ("", f"## {title}", "", *lines)


def write_pages(out: Path, folder: Path, split: str) -> list[Path]:
    """Write the page and the plot of each recipe that has scores.

    Args:
        out: Folder of the pages.
        folder: Of the recipes' cells.
        split: test, or validation to look at while tuning.

    Returns:
        What was written; pages of recipes without scores are left as they are.
    """
    written = []
    for dataset in RECIPES:
        results = load_results(folder, dataset, split)
        baseline = results.get(BASELINE)
        if not baseline:
            continue
        picture, page = (out / f"quality-{dataset}.{ending}" for ending in ("svg", "md"))
        title = f"{dataset}: Dice ({split}) by bytes, means over the seeds"
        picture.write_text(draw(_marks(results), title, baseline.dice - DEPTH), encoding="utf-8")
        page.write_text("\n".join(_page(results, picture.name)) + "\n", encoding="utf-8")
        written += [picture, page]
    return written


def main(arguments: list[str]) -> int:
    """Write the pages; return the exit code."""
    parser = argparse.ArgumentParser("benchmarks.quality.page", description=__doc__)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the cells")
    parser.add_argument("--out", type=Path, help="folder of the pages; docs/reference for test")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    options = parser.parse_args(arguments)
    # The pages of the project are those of the test split alone.
    default = ROOT / "docs" / "reference" if options.split == "test" else options.runs
    try:
        for path in write_pages(options.out or default, options.runs, options.split):
            print(f"wrote {path}")
    except ThimbleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
