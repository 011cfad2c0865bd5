"""Fuzzes the whole decoder: with atheris (coverage decides), or seeded and in plain Python.

    .venv-fuzz/bin/python -m tests.fuzz.fuzz_decode --seconds 300 --found FOLDER
    python -m tests.fuzz.fuzz_decode --runs 2000

Only the errors of thimble.codec.errors may be raised; see oracle.py for what else must hold.
"""

import argparse
import collections
import random
import sys
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"


def starts() -> list[bytes]:
    """Return the packages to start from: seeds, attacks, and what was found before."""
    from tests.fuzz.packages import seeds

    return [*seeds(), *(path.read_bytes() for path in sorted(CORPUS.glob("*.thimble")))]


def run_seeded(seed: int, runs: int) -> collections.Counter[str]:
    """Mutate packages without coverage; return how often each outcome was seen."""
    from tests.fuzz.oracle import check_or_keep
    from tests.fuzz.packages import mutate

    rng = random.Random(seed)
    corpus, outcomes = starts(), collections.Counter[str]()
    for _ in range(runs):
        package = rng.choice(corpus)
        for _ in range(rng.randint(1, 3)):
            package = mutate(package, rng)
        outcomes[check_or_keep(package)] += 1
    return outcomes


def run_atheris(seed: int, seconds: int, found: Path) -> None:
    """Let libFuzzer choose by the branches that Python takes; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["thimble.codec"]):
        from tests.fuzz.oracle import check_or_keep
        from tests.fuzz.packages import mutate, mutate_bytes

    def change(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        changed = mutate(bytes(data), rng)
        return changed if len(changed) <= most else mutate_bytes(data, rng)[:most]

    def test(data: bytes) -> None:
        check_or_keep(bytes(data))

    units = found / "units"
    units.mkdir(parents=True, exist_ok=True)
    for number, package in enumerate(starts()):
        (units / f"{number}.thimble").write_bytes(package)
    options = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=16384", "-timeout=10"]
    options += ["-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *options, str(units)], test, custom_mutator=change)
    atheris.Fuzz()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=0, help="plain Python, so many packages")
    parser.add_argument("--seconds", type=int, default=0, help="atheris, so long")
    parser.add_argument("--found", type=Path, help="where atheris writes to")
    options = parser.parse_args()
    if options.seconds:
        run_atheris(options.seed, options.seconds, options.found)
    print(dict(run_seeded(options.seed, options.runs)))


if __name__ == "__main__":
    main()
