"""Prints the tables of docs/reference/results.md from a run folder that ended.

`python docs/make_results.py RUN_FOLDER` reads what the run itself wrote: the verdict on every
package and the figures and times of every task.
"""

import sys
from pathlib import Path
from typing import Any

from thimble.artifact import read_json

STAGES = ("train", "distill", "prune", "quantize", "huffman")


def newest(folder: Path, name: str) -> Path:
    """Return the file of this name that was written last.

    Raises:
        SystemExit: If the run has none.
    """
    found = sorted(folder.rglob(name), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit(f"{folder} holds no {name}. Expected a run that ended: thimble run --out {folder}")
    return found[-1]


def packages(verdict: dict[str, Any]) -> list[str]:
    """Return the table of everything that could ship."""
    lines = [
        "| branch | variant | package, bytes | ratio | Dice (test) | to the baseline, points "
        "[95 % interval], one-sided 95 % bound | worst decile | p50, ms | peak memory, MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for candidate in verdict["candidates"]:
        figures = candidate["figures"]
        difference = figures["difference"]
        change = "-"
        if difference:
            mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
            bound = 100 * difference["lower_one_sided_95"]
            change = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}], {bound:+.2f}"
        lines.append(
            f"| {candidate['branch']} | {candidate['variant']} | {figures['package_bytes']:,} "
            f"| {figures['ratio']:.1f}x | {figures['dice']:.4f} | {change} "
            f"| {figures['worst_decile']:.4f} | {1e3 * figures['p50_seconds']:.2f} "
            f"| {figures['peak_memory_bytes'] / 1e6:.0f} |"
        )
    return lines


def stages(tasks: dict[str, Any]) -> list[str]:
    """Return the table of what each stage did, on validation."""
    lines = [
        "| task | package if it shipped now, bytes | sparsity | Dice (validation) | steps "
        "| own compute, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    ordered = sorted(tasks, key=lambda label: STAGES.index(label.split()[0]))
    for label, task in ((label, tasks[label]) for label in ordered):
        figures = task["figures"]
        dice, steps = figures.get("dice_validation"), figures.get("steps")
        lines.append(
            f"| {label} | {figures['package_bytes']:,.0f} | {figures['sparsity']:.3f} "
            f"| {'-' if dice is None else f'{dice:.4f}'} | {'-' if steps is None else int(steps)} "
            f"| {task['stage_seconds']:.0f} |"
        )
    return lines


def main(folder: Path) -> None:
    """Print the tables of a run."""
    verdict = read_json(newest(folder / "artifacts", "verdict.json"))
    device = read_json(newest(folder / "artifacts", "benchmark.json"))["device"]
    tasks = read_json(folder / "timings.json")["tasks"]
    trained = {label: task for label, task in tasks.items() if label.split()[0] in STAGES}
    wall = sum(task["seconds"] for task in tasks.values())
    images = verdict["figures"]["images"]
    setting = verdict["figures"]["setting"]
    print(
        f"{images} test images, one training seed. Machine: {device['cpu']}, {device['cores']} "
        f"cores. All {len(tasks)} tasks took {wall / 60:.0f} min. Times are of one tile, {setting}."
    )
    print("\n".join(["", *packages(verdict), "", *stages(trained), "", verdict["sentence"]]))
    for gate in verdict["gates"]:
        state = "passed" if gate["passed"] else "FAILED"
        print(f"Gate {gate['name']}: {gate['value']:.4g} against {gate['limit']:g}: {state}.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
