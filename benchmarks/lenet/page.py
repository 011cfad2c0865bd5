"""The page docs/reference/lenet.md: what the seeds gave, beside the paper's figures."""

import math
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from scipy import stats

__all__ = ["upper_bound", "write_page"]

# Han, Mao, Dally, 2015, table 1: error of the reference and compressed, %, and ratio. Then what
# this benchmark set out to reach, fixed before the first training.
PAPER = {
    "lenet300": ("LeNet-300-100", 1.64, 1.58, 40, "60x at <= 1.64 %", 60, 1.64),
    "lenet5": ("LeNet-5 (Caffe's)", 0.80, 0.74, 39, "110x at <= 0.80 %", 110, 0.80),
}
STAGES = {"pruned": "P", "shared": "P+Q", "package": "P+Q+H"}
TRAINED = ("train", "prune", "quantize")
SCORED = {"pruned": "pruned", "shared": "quantized", "package": "quantized"}

Results = Mapping[str, list[dict[str, Any]]]


def upper_bound(values: list[float]) -> float:
    """Return the one-sided 95 % bound of the mean over seeds (Student's t); inf for one seed."""
    if len(values) < 2:
        return math.inf
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values) + float(stats.t.ppf(0.95, len(values) - 1)) * spread


def _lower_bound(values: list[float]) -> float:
    """Return the one-sided 95 % bound of the mean from below."""
    return -upper_bound([-value for value in values])


def _ratios(seeds: list[dict[str, Any]], stage: str) -> list[float]:
    """Return float32 bytes over bytes after a stage, by seed."""
    return [seed["bytes"]["dense"] / seed["bytes"][stage] for seed in seeds]


def _mean(seeds: list[dict[str, Any]], pick: Callable[[dict[str, Any]], float]) -> float:
    """Return the mean of a figure over the seeds."""
    return statistics.mean(pick(seed) for seed in seeds)


def _headline(results: Results) -> Iterable[str]:
    """Yield the table of what was to be reached."""
    yield (
        "| network | float32, bytes | package, bytes | ratio, mean (95 % bound) | test error, "
        "mean (95 % bound) | dense here | to reach | | Deep Compression |"
    )
    yield "|---|---:|---:|---:|---:|---:|---|---|---|"
    for network, seeds in results.items():
        name, reference, error, ratio, goal, least, most = PAPER[network]
        ratios = _ratios(seeds, "package")
        errors = [seed["test"]["quantized"] for seed in seeds]
        reached = _lower_bound(ratios) >= least and upper_bound(errors) <= most
        size = _mean(seeds, lambda seed: seed["bytes"]["package"])
        yield (
            f"| {name} | {seeds[0]['bytes']['dense']:,} | {size:,.0f} "
            f"| **{statistics.mean(ratios):.1f}x** (>= {_lower_bound(ratios):.1f}x) "
            f"| **{statistics.mean(errors):.2f} %** (<= {upper_bound(errors):.2f} %) "
            f"| {_mean(seeds, lambda seed: seed['test']['dense']):.2f} % | {goal} "
            f"| {'reached' if reached else 'missed'} "
            f"| {ratio}x at {error:.2f} % (from {reference:.2f} %) |"
        )


def _by_stage(seeds: list[dict[str, Any]]) -> Iterable[str]:
    """Yield the table of the stages of one network."""
    yield "| stage | bytes | ratio | weight bits | index bits | test error |"
    yield "|---|---:|---:|---:|---:|---:|"
    dense = seeds[0]["bytes"]["dense"]
    error = _mean(seeds, lambda seed: seed["test"]["dense"])
    yield f"| dense | {dense:,} | 1.0x | 32 | - | {error:.3f} % |"
    for stage, label in STAGES.items():
        size = _mean(seeds, lambda seed, key=stage: seed["bytes"][key])  # type: ignore[misc]
        coded = "coded_" if stage == "package" else ""
        weight, index = (
            _mean(seeds, lambda seed, key=f"{coded}{kind}": seed["layers"][-1][key])  # type: ignore[misc]
            for kind in ("shared", "index")
        )
        scored = SCORED[stage]
        error = _mean(seeds, lambda seed, key=scored: seed["test"][key])  # type: ignore[misc]
        bits = "32 | -" if stage == "pruned" else f"{weight:.2f} | {index:.2f}"
        yield (
            f"| {label} | {size:,.0f} | {statistics.mean(_ratios(seeds, stage)):.1f}x "
            f"| {bits} | {error:.3f} % |"
        )


def _by_layer(seeds: list[dict[str, Any]]) -> Iterable[str]:
    """Yield the table of the layers of one network, means over the seeds."""
    yield (
        "| layer | weights | kept | weight bits, P+Q | weight bits, P+Q+H | index bits, P+Q "
        "| index bits, P+Q+H |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for rows in zip(*(seed["layers"] for seed in seeds), strict=True):
        mean = {
            key: statistics.mean(row[key] for row in rows)
            for key in ("kept", "shared", "coded_shared", "index", "coded_index")
        }
        weights = rows[0]["weights"]
        yield (
            f"| {rows[0]['layer']} | {weights:,} | {100 * mean['kept'] / weights:.2f} % "
            f"| {mean['shared']:.2f} | {mean['coded_shared']:.2f} "
            f"| {mean['index']:.2f} | {mean['coded_index']:.2f} |"
        )


def _by_seed(seeds: list[dict[str, Any]]) -> Iterable[str]:
    """Yield the table of the seeds of one network."""
    yield (
        "| seed | package, bytes | ratio | validation: dense, P, package, % "
        "| test: dense, P, package, % | time, s |"
    )
    yield "|---:|---:|---:|---|---|---:|"
    for number, seed in enumerate(seeds, 1):
        scores = [
            ", ".join(f"{seed[split][name]:.2f}" for name in ("dense", "pruned", "quantized"))
            for split in ("validation", "test")
        ]
        yield (
            f"| {number} | {seed['bytes']['package']:,} "
            f"| {seed['bytes']['dense'] / seed['bytes']['package']:.1f}x "
            f"| {scores[0]} | {scores[1]} | {seed['seconds']:.0f} |"
        )


def _stage(name: str, recipe: Mapping[str, Any]) -> str:
    """Return how one stage trained."""
    schedule, bent = recipe["schedules"][name], recipe["augmentations"][name]
    return (
        f"{name} {schedule['steps']:,} steps of {schedule['batch_size']} at "
        f"{schedule['learning_rate']:g}, images shifted by up to {bent['shift']:g} pixels, turned "
        f"by up to {bent['rotation']:g} degrees, scaled by up to {100 * bent['scale']:g} %"
    )


def _recipe(recipe: Mapping[str, Any]) -> Iterable[str]:
    """Yield what was chosen for one network."""
    zeros = (f"{layer} {100 * share:g} %" for layer, share in recipe["sparsity"].items())
    sizes = (f"{layer} {size}" for layer, size in recipe["codebook"].items())
    ramp, soft = 100 * recipe["ramp_share"], 100 * recipe["soft_share"]
    yield f"- Sparsity: {', '.join(zeros)}; it rises over {ramp:g} % of the steps of prune."
    yield f"- Entries of the codebooks with the zero: {', '.join(sizes)}."
    yield f"- {soft:g} % of the loss of prune and quantize compares with the dense network."
    yield f"- Adam, cosine: {'; '.join(_stage(name, recipe) for name in TRAINED)}."


def _setting() -> str:
    """Return machine, versions and commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ("numpy", "tensorflow-cpu", "tf-keras", "tensorflow-model-optimization")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        f"Machine: {os.cpu_count()} cores, {platform.machine()}; one thread a network. Python "
        f"{platform.python_version()}, {versions}. Commit {commit or 'unknown'}."
    )


INTRODUCTION = """\
# LeNet on MNIST, beside Deep Compression

```
make bench-lenet
```

The networks of Deep Compression's first two rows (Han, Mao, Dally, 2015, table 1), trained from
scratch and taken through the algorithms of our stages: magnitude pruning
(`components/prune/masking.py`), trained shared values
(`components/quantize/shared_kernels.py`), the package (`thimble.codec`). This page is written by
the command.

**Rule.** 5,000 of the 60,000 training images are cut for validation, at random with a fixed seed;
every choice was made on them, and the best state of each training is chosen on them. The 10,000
test images are scored once per frozen recipe and seed, after the last training. The package must
decode to the very network that was scored, bit for bit, or no page is written. Ratio = float32
bytes of all parameters / bytes of the whole `.thimble` file. Bounds are one-sided 95 % of the mean
over the seeds (Student's t); they do not cover the choice of the test images (one error is 0.01 %).

**Not like the paper.** Our networks see bent images, and the dense network of the same seed teaches
its own compressed form; the sparsity by layer is ours. The paper uses no teacher. So read the
ratio beside the error of the dense network here, not as the work of the coder alone.
"""

BITS = """\
Bits are per kept weight. P and P+Q count a relative index of the width that takes the fewest bits
in each layer, fillers for long gaps, and float16 codebooks and biases (P: float32 values and
biases). P+Q+H is the file: bits of the positions are what the package grows by when an empty layer
gets its positions, bits of the weights what it grows by again with their values, tables and
codebooks included. The total is that of all layers at once.
"""


def write_page(path: Path, results: Results) -> None:
    """Write the page.

    Args:
        path: The Markdown file.
        results: By network, the figures of each seed, seed 1 first.
    """
    lines = [INTRODUCTION, _setting(), "", *_headline(results), ""]
    for network, seeds in results.items():
        lines += [f"## {PAPER[network][0]}", "", *_recipe(seeds[0]["recipe"]), ""]
        lines += [f"Means over {len(seeds)} seeds:", "", *_by_stage(seeds), ""]
        lines += [*_by_layer(seeds), "", *_by_seed(seeds), ""]
    lines += ["## How bits are counted", "", BITS]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
