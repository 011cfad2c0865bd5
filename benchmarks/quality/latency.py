"""Times networks beside the baseline: one tile, one thread, in turns in one process.

`python -m benchmarks.quality.latency --dataset nuclei` writes `latency.json` beside the cells. It
needs a machine that does nothing else. Turns make a change of the clock hit both alike, so that the
ratio is steadier than either time.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.kinds import BASELINE, BOTH, kind_of
from benchmarks.quality.recipes import RECIPES, cells_of
from benchmarks.quality.scores import is_trained, network_digest
from benchmarks.quality.setting import RUNS, commit, machine
from thimble.artifact import write_atomically, write_json
from thimble.codec import TfliteFile
from thimble.prediction import Predictor
from thimble.records import Dataset, load_dataset
from thimble.stage import ThimbleError
from thimble.weights import load_weights

__all__ = ["interleaved", "quantiles"]

WARMUP = 5
# Variants that are timed, by arm: what ships, where its time differs from the baseline's.
TIMED = {
    "baseline": ("int8",),
    "teacher": ("int8",),
    "channels": ("float32",),
    "cut": BOTH,
    "student": BOTH,
}


def interleaved(first: Any, second: Any, rounds: int) -> tuple[list[float], list[float]]:
    """Call two functions in turns, the first one first in every other round.

    Args:
        first: Without arguments.
        second: Likewise.
        rounds: Calls of each that are timed, >= 1; five of each before are not.

    Returns:
        Seconds of each call of the first and of the second function.
    """
    for _ in range(WARMUP):
        first()
        second()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        turns = [(first, times[0]), (second, times[1])]
        for call, kept in reversed(turns) if number % 2 else turns:
            started = time.perf_counter()
            call()
            kept.append(time.perf_counter() - started)
    return times


def quantiles(network: list[float], baseline: list[float]) -> dict[str, float]:
    """Return median and p90 of a network and the baseline, and how many times faster it is.

    Args:
        network: Seconds by round.
        baseline: Seconds of the same rounds.

    Returns:
        `p50_seconds`, `p90_seconds`, `baseline_p50_seconds`, `baseline_p90_seconds`, and `speedup`,
        the median over the rounds of baseline / network.
    """
    found: dict[str, float] = {}
    for name, times in (("", network), ("baseline_", baseline)):
        p50, p90 = np.percentile(times, [50, 90])
        found |= {f"{name}p50_seconds": float(p50), f"{name}p90_seconds": float(p90)}
    ratios = np.asarray(baseline) / np.asarray(network)
    return {**found, "speedup": float(np.median(ratios))}


def _variants(cell: str) -> tuple[str, ...]:
    """Return which variants of a cell are timed."""
    return TIMED.get(kind_of(cell).arm, ())


def _caller(content: TfliteFile) -> Any:
    """Return a function that runs a network on a tile of noise."""
    predictor = Predictor(content, threads=1)
    side, channels = predictor.tile, int(content.preprocessing["channels"])
    tile = np.random.default_rng(0).standard_normal((1, side, side, channels), np.float32)
    return lambda: predictor.predict_tiles(tile)


def _network(cell: Path, dataset: Dataset, variant: str) -> TfliteFile:
    """Return a variant of a cell as decoded from its package."""
    from benchmarks.quality import delivery

    package = delivery.pack(delivery.without_normalization(load_weights(cell)))
    return delivery.convert(package, dataset, [variant])[variant].content


def _measure(folder: Path, dataset: Dataset, cells: list[str], rounds: int) -> dict[str, Any]:
    """Time all networks of a seed."""
    baseline = _caller(_network(folder / BASELINE, dataset, "float32"))
    found: dict[str, Any] = {}
    for name in cells:
        if not is_trained(folder / name):
            continue
        for variant in _variants(name):
            call = _caller(_network(folder / name, dataset, variant))
            row = quantiles(*interleaved(call, baseline, rounds))
            digest = network_digest(folder / name)
            found[f"{name} {variant}"] = {**row, "network": digest, "rounds": rounds}
            print(f"{name} {variant}: {row['speedup']:.2f}x, {1e3 * row['p50_seconds']:.2f} ms")
    return found


def main(arguments: list[str]) -> int:
    """Time what the command line names."""
    parser = argparse.ArgumentParser("benchmarks.quality.latency", description=__doc__)
    parser.add_argument("--out", type=Path, default=RUNS, help="folder of the cells")
    parser.add_argument("--dataset", choices=sorted(RECIPES), default="nuclei")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", default="", help="these instead of those of the recipe")
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args(arguments)
    folder = options.out / options.dataset / f"seed{options.seed}"
    asked = [name for name in options.cells.split(",") if name]
    cells = asked or list(cells_of(RECIPES[options.dataset]))
    setting = {"commit": commit(), "machine": machine(), "seed": options.seed}
    try:
        dataset = load_dataset(options.out / options.dataset / "dataset")
        found = _measure(folder, dataset, cells, options.rounds)
    except ThimbleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with write_atomically(options.out / options.dataset / "latency.json") as file:
        write_json(file, {**setting, "networks": found})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
