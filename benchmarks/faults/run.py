"""How small a fault validate finds, and how often it is wrong about clean data.

    .venv-validate/bin/python -m benchmarks.faults.run --out build/faults [population ...]

Writes `<population>.json` after each step, so that a run that was stopped keeps what it has.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.faults.faults import FAULTS
from benchmarks.faults.population import POPULATIONS
from benchmarks.faults.trial import Trials
from thimble.artifact import write_json

# Nothing was tuned on these.
FIRST_SEED = 5000
# Shares of all patients: in the reference, in the sample.
SIZES = ((0.5, 0.5), (0.5, 0.2), (0.7, 0.3), (0.3, 0.3))


def measure(name: str, out: Path, clean: int, stated: int, curve: int) -> None:
    """Measure one population.

    Args:
        name: Which.
        out: Folder of the result.
        clean: Samples without a fault.
        stated: Trials of each fault at its stated magnitude.
        curve: Trials at every other magnitude.
    """
    population = POPULATIONS[name]
    pairs = population.read()
    if not pairs:
        print(f"{name}: no real scans here (set THIMBLE_SHARED_DATA)")
        return
    patients = len({entry.group for _, entry in pairs})
    result: dict[str, Any] = {
        "title": population.title, "images": len(pairs), "patients": patients, "faults": {},
        "clean": {"samples": 0, "flagged": 0, "features": [], "distances": []},
    }  # fmt: skip
    labelled = "labels" in population.has
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(pairs, labelled, Path(folder))
        for fault in FAULTS:
            if set(fault.needs.split()) <= population.has:
                found = {}
                for much in fault.magnitudes:
                    count = stated if much == fault.stated else curve
                    said = [trials.run(FIRST_SEED + n, fault, much) for n in range(count)]
                    found[f"{much:g}"] = [sum(each.names(fault) for each in said), count]
                result["faults"][fault.name] = found
                print(f"{name}: {fault.name}: {found}", flush=True)
                write_json(out / f"{name}.json", result)
        tally = result["clean"]
        for n in range(clean):
            trials.shares = SIZES[n % len(SIZES)]
            outcome = trials.run(FIRST_SEED + 1000 + n)
            said = [*outcome.features, *outcome.checks]
            tally["samples"] += 1
            tally["flagged"] += bool(said)
            tally["features"] += said
            tally["distances"].append(round(outcome.distance, 3))
            write_json(out / f"{name}.json", result)
    print(f"{name}: {tally['flagged']} of {tally['samples']} clean samples flagged", flush=True)


def main() -> None:
    """Measure the populations that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/faults"))
    parser.add_argument("--clean", type=int, default=200)
    parser.add_argument("--stated", type=int, default=5)
    parser.add_argument("--curve", type=int, default=2)
    parser.add_argument("populations", nargs="*", default=list(POPULATIONS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.populations:
        measure(name, given.out, given.clean, given.stated, given.curve)


if __name__ == "__main__":
    main()
