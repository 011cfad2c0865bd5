"""Size and speed of the entropy coder of `.thimble` beside others: see README.md.

`make bench-codec ARGS="--run runs/isbi2012 --model lenet5=PATH"` makes the other coders'
environment, measures, and writes docs/reference/codec.md. Every set is measured by ours and by the
others in turns, so that each ratio comes from one run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.codec.coders import Thimble
from benchmarks.codec.machine import describe_machine
from benchmarks.codec.packages import measure_package
from benchmarks.codec.page import write_page
from benchmarks.codec.sets import (
    ENTRIES,
    SIZES,
    SPARSITIES,
    IntegerSet,
    cell,
    load_model,
    quantized_models,
    random_unet,
)
from benchmarks.codec.timing import measure
from thimble.artifact import read_json, write_json
from thimble.stage import BadInput

ROOT = Path(__file__).resolve().parents[2]
CLOSE = ("nncodec", "nncodec_plain")
OTHERS = ("constriction", "zlib", "zstd", "xz")
# The others are slow and no ratio that we claim is to them: large sets they code once.
REPEATED_BELOW = 200_000
# Cells of millions of weights take NNCodec seconds each: two turns, and no other coder.
BRIEF_ABOVE = 500_000
OTHERS_UP_TO = 2_000_000
# Each measurement lasts so long at least, or calls of microseconds would measure the clock.
LEAST_SECONDS = 0.02


class Peers:
    """The process of the other coders (peers.py)."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.codec.peers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            RuntimeError: If the process ended; it says why on stderr.
        """
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process of the other coders ended at {request}.")
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(integers: IntegerSet, peers: Peers, repeats: int) -> dict[str, Any]:
    """Code a set with every coder in turns.

    Returns:
        What the set is; `bytes`, codebooks included, and the fewest seconds to `encode` and
        `decode`, each by coder.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.npz"
        integers.save(path)
        loaded = peers.ask(do="load", path=str(path))
    result = integers.describe()
    cell_of_grid = integers.weights is None and result["weights"] > BRIEF_ABOVE
    repeats = min(repeats, 2) if cell_of_grid else repeats
    runs: dict[str, list[dict[str, float]]] = {}
    for turn in range(repeats):
        ours = measure(Thimble(), integers.tensors, LEAST_SECONDS)
        runs.setdefault("thimble", []).append(ours)
        others = OTHERS if turn == 0 or result["weights"] < REPEATED_BELOW else ()
        if cell_of_grid and result["weights"] > OTHERS_UP_TO:
            others = ()
        for name in (*CLOSE, *others):
            runs.setdefault(name, []).append(peers.ask(do="time", coder=name, least=LEAST_SECONDS))
    for what in ("encode", "decode"):
        result[what] = {name: min(run[what] for run in found) for name, found in runs.items()}
    sizes = {name: int(found[0]["bytes"]) for name, found in runs.items()}
    known = loaded["sizes"]
    sizes |= {name: min(known[name].values()) for name in CLOSE}
    told = [
        min(known[name].values()) for name in ("nncodec_codebook", "nncodec_rows") if name in known
    ]
    sizes["nncodec_codebook"] = min(told)
    result["layout"] = loaded["layout"]
    result["bytes"] = {
        name: size + (0 if name == "thimble" else result["codebooks"])
        for name, size in sizes.items()
    }
    return result


def models(arguments: argparse.Namespace) -> list[IntegerSet]:
    """Gather the models, real ones first."""
    found = [integers for run in arguments.run for integers in quantized_models(run)]
    for text in arguments.model:
        name, _, folder = text.rpartition("=")
        found.append(load_model(Path(folder), name))
    return found + [random_unet(width) for width in arguments.widths]


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure models and grid; what is done is kept in the results file at each step."""
    chosen = models(arguments)
    tflite = {integers.name: packed_later(integers) for integers in chosen}
    # One core for both processes: nobody gets a second thread, and they never run at once.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    peers = Peers(arguments.peer_python)
    results: dict[str, Any] = {
        "machine": describe_machine(peers.ask(do="versions"), arguments.command),
        "repeats": arguments.repeats,
        "draws": arguments.draws,
        "models": [],
        "grid": [],
    }
    for integers in chosen:
        found = compare(integers, peers, arguments.repeats)
        found["real"] = integers.folder is not None
        found["package"] = measure_package(integers, tflite[integers.name], arguments.repeats)
        keep(results, "models", found, arguments.results)
    if arguments.grid_of:
        earlier = read_json(arguments.grid_of)
        results |= {"grid": earlier["grid"], "grid_commit": earlier["machine"]["commit"]}
    for size in [] if arguments.grid_of else arguments.sizes:
        for sparsity in SPARSITIES:
            for entries in ENTRIES:
                integers = cell(size, sparsity, entries, arguments.draws)
                found = compare(integers, peers, arguments.repeats)
                found |= {"size": size, "sparsity": sparsity, "nominal": entries}
                keep(results, "grid", found, arguments.results)
    peers.close()
    return results


def packed_later(integers: IntegerSet) -> bytes | None:
    """Convert a real U-Net to TFLite now, before its process would disturb the measuring."""
    if integers.folder is None or integers.weights is None:
        return None
    if integers.weights.architecture.get("model") != "unet":
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        command = [sys.executable, "-m", "benchmarks.codec.tensorflow_side", "tflite"]
        subprocess.run(
            [*command, str(integers.folder.absolute()), str(path)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return path.read_bytes()


def keep(results: dict[str, Any], part: str, found: dict[str, Any], path: Path) -> None:
    """Add a result, say it, and write the file."""
    results[part].append(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, results)
    sizes, decode, encode = found["bytes"], found["decode"], found["encode"]
    print(
        f"{found['name']}: {sizes['thimble']:,} bytes, "
        f"{sizes['thimble'] / sizes['nncodec']:.3f} of NNCodec's; "
        f"decode {decode['nncodec'] / decode['thimble']:.1f}x, "
        f"encode {encode['nncodec'] / encode['thimble']:.1f}x",
        flush=True,
    )


def numbers(text: str) -> list[int]:
    """Read numbers separated by commas."""
    return [int(part) for part in text.split(",") if part]


def parse(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench-codec", description=__doc__)
    parser.add_argument("--run", type=Path, action="append", default=[], help="a run folder")
    parser.add_argument(
        "--model", action="append", default=[], metavar="[NAME=]FOLDER", help="a Model folder"
    )
    parser.add_argument("--widths", type=numbers, default=[4, 32], help="of random U-Nets")
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), help="of the grid")
    parser.add_argument("--draws", type=int, default=10, help="tensors of a cell below 100,000")
    parser.add_argument("--repeats", type=int, default=5, help="turns; the fastest counts")
    parser.add_argument("--peer-python", default=".venv-bench-codec/bin/python")
    parser.add_argument("--results", type=Path, default=ROOT / "build/bench-codec/results.json")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench-codec")
    parser.add_argument(
        "--grid-of", type=Path, metavar="FILE", help="take the grid from earlier results"
    )
    parser.add_argument("--page-only", action="store_true", help="write the page of the results")
    arguments = parser.parse_args(given)
    typed = " ".join(given).removeprefix("--out docs/reference").strip()
    arguments.command = f'make bench-codec ARGS="{typed}"' if typed else "make bench-codec"
    return arguments


def main(given: list[str]) -> int:
    """Measure and write the page."""
    arguments = parse(given)
    try:
        results = read_json(arguments.results) if arguments.page_only else measure_all(arguments)
    except BadInput as error:
        print(f"bench-codec: {error}", file=sys.stderr)
        return 2
    write_page(results, arguments.out)
    print(f"bench-codec: written to {arguments.out / 'codec.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
