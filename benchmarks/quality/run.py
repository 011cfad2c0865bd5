"""Trains and compresses every network of the curve: bytes against Dice.

`python -m benchmarks.quality.run --dataset nuclei` runs what is missing, one process a cell and one
thread a process. What is finished is kept in `--out`.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.quality.recipes import RECIPES, Cell, cell_folder, cells_of, given_of
from benchmarks.quality.scores import check_recipe, is_trained
from benchmarks.quality.setting import ROOT, RUNS
from thimble.stage import ThimbleError


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("benchmarks.quality.run", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=RUNS)
    parser.add_argument("--dataset", choices=sorted(RECIPES), default="nuclei")
    parser.add_argument("--seeds", default="", help="such as 1,2; all of the recipe if left out")
    parser.add_argument("--cells", default="", help="these only, and what they need")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--cell", help="run this one in this process (with one seed)")
    return parser.parse_args(arguments)


def _with_needs(names: list[str], cells: dict[str, Cell]) -> list[str]:
    """Return the cells and all that they take, each after what it takes."""
    ordered: list[str] = []

    def add(name: str) -> None:
        if name and name not in ordered:
            add(cells[name].model)
            add(cells[name].teacher)
            ordered.append(name)

    for name in names:
        add(name)
    return ordered


def _run_here(options: argparse.Namespace) -> None:
    """Run one cell in this process, on one thread."""
    import tensorflow as tf

    from benchmarks.quality.cells import ingest, run_cell

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    recipe = RECIPES[options.dataset]
    folder = options.out / options.dataset
    if options.cell == "dataset":
        ingest(options.data, recipe, folder)
        return
    cell = cells_of(recipe)[options.cell]
    seed = int(options.seeds)
    figures = run_cell(cell, recipe, folder, seed)
    print(figures)


def _start(options: argparse.Namespace, cell: str, seed: int) -> "subprocess.Popen[bytes]":
    """Start a cell in a process of its own."""
    folder = options.out / options.dataset / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.quality.run", "--cell", cell]
    command += ["--dataset", options.dataset, "--seeds", str(seed)]
    command += ["--data", str(options.data), "--out", str(options.out)]
    with open(folder / f"{cell}.log", "ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def _run_missing(options: argparse.Namespace) -> int:
    """Run all cells, as many at a time as there are workers."""
    recipe = RECIPES[options.dataset]
    cells = cells_of(recipe)
    asked = [name for name in options.cells.split(",") if name] or list(cells)
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    folder = options.out / options.dataset
    if not (folder / "dataset" / "dataset.json").exists():
        if code := _start(options, "dataset", 0).wait():
            return code
    waiting = [
        (seed, name)
        for name in _with_needs(asked, cells)
        for seed in seeds or recipe.every_seed
        if seed in recipe.seeds_of(name)
    ]
    running: dict[tuple[int, str], subprocess.Popen[bytes]] = {}
    failed: list[str] = []

    def done(seed: int, *names: str) -> bool:
        return all(
            not name or is_trained(cell_folder(folder, recipe, name, seed)) for name in names
        )

    for seed, name in (job for job in waiting if done(*job)):
        trained = cell_folder(folder, recipe, name, seed)
        check_recipe(trained, given_of(recipe, cells[name], seed))
    waiting = [job for job in waiting if not done(*job)]
    while waiting or running:
        ready = [job for job in waiting if done(job[0], cells[job[1]].model, cells[job[1]].teacher)]
        while ready and len(running) < options.workers:
            job = ready.pop(0)
            waiting.remove(job)
            running[job] = _start(options, job[1], job[0])
            print("started", *job, flush=True)
        if not running:
            break
        time.sleep(1)
        for job in [job for job, process in running.items() if process.poll() is not None]:
            code = running.pop(job).returncode
            print("ended", *job, "exit", code, flush=True)
            failed += [f"seed{job[0]}/{job[1]}"] if code else []
    if failed or waiting:
        print(f"failed: {failed}; not run: {waiting}", file=sys.stderr)
    return 1 if failed or waiting else 0


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit code."""
    options = _parse(arguments)
    try:
        if not options.cell:
            return _run_missing(options)
        _run_here(options)
    except ThimbleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
