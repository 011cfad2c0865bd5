"""LeNet-300-100 and LeNet-5 on MNIST beside Deep Compression: trains, compresses, scores, writes.

`python -m benchmarks.lenet.run` (make bench-lenet) runs both networks beside each other, one thread
each, for all seeds, and writes the page. What a seed has finished is kept in `--out` and reused
while its recipe stays the same, so that the test images are scored once.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.lenet.page import write_page
from benchmarks.lenet.recipes import RECIPES
from thimble.artifact import read_json, write_json
from thimble.stage import ThimbleError

if TYPE_CHECKING:
    from benchmarks.lenet.compress import Recipe
    from benchmarks.lenet.data import Digits, Mnist

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 5
MODELS = ("dense", "pruned", "quantized")


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("benchmarks.lenet.run", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "mnist")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "lenet")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "reference" / "lenet.md")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="trainings of each network")
    parser.add_argument("--network", choices=sorted(RECIPES), help="this one only, and no page")
    return parser.parse_args(arguments)


def claim(folder: Path, recipe: "Recipe") -> dict[str, Any]:
    """Make a seed's folder its recipe's, and return the figures that it has already.

    Raises:
        ThimbleError: If another recipe began there: its checkpoints must not be continued.
    """
    described: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    kept = folder / "recipe.json"
    if kept.exists() and read_json(kept) != described:
        raise ThimbleError(
            f"{folder} was begun by another recipe. Expected the one in "
            "benchmarks/lenet/recipes.py. Remove the folder, or choose another --out."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(kept, described)
    figures = folder / "figures.json"
    return {"recipe": described} | (read_json(figures) if figures.exists() else {})


def compress(data: "Mnist", recipe: "Recipe", seed: int, folder: Path) -> None:
    """Train and compress one network.

    Args:
        data: The splits; the test is not used.
        recipe: What was chosen.
        seed: Of weights, order and augmentation.
        folder: Takes the Model folders `dense`, `pruned` and `quantized`.
    """
    from benchmarks.lenet.compress import prune_dense, quantize_pruned, train_dense
    from thimble.weights import save_weights

    dense = train_dense(data, recipe, seed, folder)
    pruned = prune_dense(data, recipe, seed, folder, dense)
    quantized = quantize_pruned(data, recipe, seed, folder, (pruned, dense))
    for name, weights in zip(MODELS, (dense, pruned, quantized), strict=True):
        save_weights(weights, folder / name)


def score(digits: "Digits", folder: Path) -> dict[str, float]:
    """Return the errors of `dense`, `pruned` and `quantized` on a split, in %."""
    from benchmarks.lenet.compress import count_errors
    from thimble.models import to_keras
    from thimble.weights import load_weights

    return {
        name: 100 * count_errors(to_keras(load_weights(folder / name)), digits) / len(digits.labels)
        for name in MODELS
    }


def package(folder: Path) -> dict[str, Any]:
    """Write `package.thimble` and account for it.

    Returns:
        `bytes` by stage and bits of the `layers`.

    Raises:
        ThimbleError: If the package does not decode to the very network that was scored.
    """
    from benchmarks.lenet.sizes import bits_by_layer, bytes_by_stage
    from thimble.codec import decode, encode_model
    from thimble.weights import Weights, load_weights

    quantized = load_weights(folder / "quantized")
    packed = encode_model(quantized)
    shipped = decode(packed)
    if not isinstance(shipped, Weights) or any(
        shipped.tensors[name].tobytes() != tensor.tobytes()
        for name, tensor in quantized.tensors.items()
    ):
        raise ThimbleError(f"{folder}/quantized does not come back from its package bit for bit.")
    (folder / "package.thimble").write_bytes(packed)
    return {
        "bytes": dataclasses.asdict(bytes_by_stage(quantized)),
        "layers": [dataclasses.asdict(row) for row in bits_by_layer(quantized)],
    }


def _run_network(options: argparse.Namespace) -> None:
    """Run all seeds of one network in this process, then score the test."""
    import tensorflow as tf

    from benchmarks.lenet.data import load_mnist
    from benchmarks.lenet.networks import register

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    register()
    data = load_mnist(options.data)
    folders = [
        options.out / options.network / f"seed{seed}" for seed in range(1, options.seeds + 1)
    ]
    recipe = RECIPES[options.network]
    for seed, folder in enumerate(folders, 1):
        figures = claim(folder, recipe)
        if "validation" not in figures:
            started = time.monotonic()
            compress(data, recipe, seed, folder)
            figures |= {"seconds": time.monotonic() - started}
            write_json(
                folder / "figures.json", figures | {"validation": score(data.validation, folder)}
            )
    for folder in folders:
        figures = claim(folder, recipe)
        if "test" not in figures:
            write_json(folder / "figures.json", figures | {"test": score(data.test, folder)})


def _run_all(options: argparse.Namespace) -> None:
    """Run each network in a process of its own, and write the page."""
    options.out.mkdir(parents=True, exist_ok=True)
    running = {}
    for network in RECIPES:
        command = [sys.executable, "-m", "benchmarks.lenet.run", "--network", network]
        command += ["--data", str(options.data), "--out", str(options.out)]
        command += ["--seeds", str(options.seeds)]
        log = options.out / f"{network}.log"
        with open(log, "w", encoding="utf-8") as file:
            running[log] = subprocess.Popen(
                command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=dict(os.environ)
            )
    print(f"training; follow with: tail -f {' '.join(map(str, running))}", flush=True)
    failed = [str(log) for log, process in running.items() if process.wait()]
    if failed:
        raise ThimbleError(f"A network failed. See {' and '.join(failed)}.")
    results = {}
    for network in RECIPES:
        folders = [options.out / network / f"seed{seed}" for seed in range(1, options.seeds + 1)]
        results[network] = [
            read_json(folder / "figures.json") | package(folder) for folder in folders
        ]
    write_page(options.page, results)
    print(f"wrote {options.page}")


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit code."""
    options = _parse(arguments)
    try:
        if options.network:
            _run_network(options)
        else:
            _run_all(options)
    except ThimbleError as error:
        print(f"bench-lenet: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
