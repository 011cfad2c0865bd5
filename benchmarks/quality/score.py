"""Scores what the cells deliver: the bytes of every file, and the Dice of what it decodes to.

`python -m benchmarks.quality.score --dataset nuclei --seeds 1,2,3` scores all cells of the recipe
that are there and were not scored before, on the test split. A network is scored there once: if its
cell was trained again afterwards, it is refused. `--split validation` is for tuning.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.quality.kinds import kind_of
from benchmarks.quality.recipes import RECIPES, cell_folder, cells_of
from benchmarks.quality.results import FORMS
from benchmarks.quality.scores import is_trained, network_digest, read_scores, write_scores
from benchmarks.quality.setting import ROOT, RUNS, commit, machine
from thimble.records import load_dataset
from thimble.stage import BadInput, ThimbleError
from thimble.weights import figures_of, load_weights

__all__ = ["score_cell"]

Scores = dict[str, Any]


def score_cell(cell: Path, dataset_folder: Path, split: str, variants: tuple[str, ...]) -> Scores:
    """Pack, convert, pack again, decode and score a cell, unless that was done before.

    Args:
        cell: Model artifact.
        dataset_folder: Dataset artifact.
        split: validation or test.
        variants: Names as in `kinds.Kind.networks`.

    Returns:
        `network` (digest), `package` (SHA-256), `package_bytes`, `parameters`, `float32_bytes`,
        `commit`, `machine`, and `networks`: by variant the Dice, and the bytes as TFLite file, in
        `.thimble` and zstd -19 (each checked to give back the file) or in NNCodec.

    Raises:
        BadInput: If another network of this cell was scored on the test split.
    """
    from benchmarks.quality import delivery

    old = read_scores(cell, split) or {"package": "", "networks": {}}
    weights = delivery.without_normalization(load_weights(cell))
    package = delivery.pack(weights)
    digest = delivery.sha256(package)
    # Another package of the same network: the codec changed, so the bytes are counted again.
    if old["package"] == digest and set(variants) <= set(old["networks"]):
        return old
    dataset, networks = load_dataset(dataset_folder), dict(old["networks"])
    for name, row, content in delivery.deliver(weights, package, dataset, variants):
        known = networks.get(name, {"scores": None, "tflite_sha256": row["tflite_sha256"]})
        same = known["tflite_sha256"] == row["tflite_sha256"]
        if not same and split == "test":
            raise _another_file(f"{cell.name}: the {name} file", known, row)
        kept = known["scores"] if same else None
        row["scores"] = kept or delivery.score(content, dataset, split)
        networks[name] = row
    figures = figures_of(weights)
    scores = {
        "network": network_digest(cell),
        "package": digest,
        "package_bytes": len(package),
        "parameters": int(figures["parameters"]),
        "float32_bytes": int(figures["float32_bytes"]),
        "commit": commit(),
        "machine": machine(),
        "networks": networks,
    }
    write_scores(cell, split, scores)
    return scores


def _another_file(what: str, known: Scores, row: Scores) -> BadInput:
    """Return the refusal of a second look at the test split."""
    return BadInput(
        f"{what} must be the one that was scored on the test split, "
        f"{known['tflite_sha256'][:12]}. Received: {row['tflite_sha256'][:12]}, of the same "
        "network. Use the versions and the processor that it was converted with."
    )


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("benchmarks.quality.score", description=__doc__)
    parser.add_argument("--out", type=Path, default=RUNS, help="folder of the cells")
    parser.add_argument("--dataset", choices=sorted(RECIPES), default="nuclei")
    parser.add_argument("--seeds", default="", help="such as 1,2; all of the recipe if left out")
    parser.add_argument("--cells", default="", help="these instead of those of the recipe")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cell", help="score this one in this process (with one seed)")
    return parser.parse_args(arguments)


def _show(seed: int, cell: str, scores: Scores) -> None:
    """Print a line for each network."""
    for name, row in scores["networks"].items():
        forms = ", ".join(f"{form} {row[key]:,}" for form, key in FORMS.items() if key in row)
        scored = row["scores"]
        print(
            f"seed {seed} {cell:16} {name:10} Dice {scored['dice']:.4f} "
            f"worst decile {scored['worst_decile']:.4f} bytes: {forms}",
            flush=True,
        )


def _score_here(options: argparse.Namespace) -> None:
    """Score one cell in this process, on one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    folder, seed = options.out / options.dataset, int(options.seeds)
    cell = cell_folder(folder, RECIPES[options.dataset], options.cell, seed)
    variants = kind_of(options.cell).networks
    _show(seed, options.cell, score_cell(cell, folder / "dataset", options.split, variants))


def _jobs(options: argparse.Namespace) -> list[tuple[int, str]]:
    """Return seeds and cells to score."""
    recipe = RECIPES[options.dataset]
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    asked = [name for name in options.cells.split(",") if name]
    jobs = []
    for name in asked or cells_of(recipe):
        for seed in recipe.seeds_of(name):
            if seeds and seed not in seeds:
                continue
            if not is_trained(cell_folder(options.out / options.dataset, recipe, name, seed)):
                print(f"seed {seed} {name}: not run", flush=True)
            elif kind_of(name).networks:
                jobs.append((seed, name))
    return jobs


def _log(options: argparse.Namespace, seed: int, cell: str) -> Path:
    """Return where a process that scores writes."""
    folder = cell_folder(options.out / options.dataset, RECIPES[options.dataset], cell, seed)
    return folder.parent / f"{cell}.scores-{options.split}.log"


def _start(options: argparse.Namespace, seed: int, cell: str) -> "subprocess.Popen[bytes]":
    """Score a cell in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.quality.score", "--cell", cell]
    command += ["--dataset", options.dataset, "--seeds", str(seed), "--split", options.split]
    command += ["--out", str(options.out)]
    threads = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    with open(_log(options, seed, cell), "wb") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=os.environ | threads, stdout=log, stderr=subprocess.STDOUT
        )


def _score_all(options: argparse.Namespace) -> int:
    """Score all cells, as many at a time as there are workers."""
    waiting, failed = _jobs(options), []
    folder, recipe = options.out / options.dataset, RECIPES[options.dataset]
    running: dict[tuple[int, str], subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < options.workers:
            job = waiting.pop(0)
            running[job] = _start(options, *job)
        time.sleep(0.2)
        for job in [job for job, process in running.items() if process.poll() is not None]:
            seed, name = job
            cell = cell_folder(folder, recipe, name, seed)
            if running.pop(job).returncode:
                log = _log(options, seed, name)
                failed.append(f"{log}: {log.read_text().strip().splitlines()[-1]}")
            elif scores := read_scores(cell, options.split):
                _show(seed, name, scores)
    print("".join(f"failed: {line}\n" for line in failed), file=sys.stderr, end="")
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    """Score what was asked for; return the exit code."""
    options = _parse(arguments)
    if not options.cell:
        return _score_all(options)
    try:
        _score_here(options)
    except ThimbleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
