"""Builds fuzz_row.c with sanitizers, and keeps what the fuzzers found.

python -m tests.fuzz.build FOLDER            fuzz_row and rows/, the rows to start from
python -m tests.fuzz.build FOLDER --keep     add what is new in found/ and packages/ to corpus/
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.fuzz.packages import row_inputs, seeds

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
NATIVE = HERE.parent.parent / "thimble/codec/native"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Larger inputs say nothing that smaller ones do not.
_LARGEST_ROW, _LARGEST_PACKAGE, _MOST_ROWS = 1024, 2048, 400


def build(folder: Path) -> Path:
    """Compile the C core and its driver; return the program.

    Raises:
        subprocess.CalledProcessError: If there are no sanitizer libraries, or the code is wrong.
        FileNotFoundError: If there is no compiler.
    """
    compiler, objects = os.environ.get("CC", "cc"), []
    common = [compiler, "-O1", "-g", "-Wall", "-Wextra", "-Werror", *SANITIZERS, f"-I{NATIVE}"]
    traced = "-fsanitize-coverage=trace-pc"
    for source in sorted(NATIVE.glob("*.c")):
        objects.append(folder / f"{source.stem}.o")
        _run([*common, "-std=c11", traced, "-c", str(source), "-o", str(objects[-1])])
    program = folder / "fuzz_row"
    # Without -no-pie each run would number the branches anew.
    driver = ["-no-pie", str(HERE / "fuzz_row.c"), *map(str, objects), "-o", str(program)]
    _run([*common, "-std=gnu11", *driver])
    return program


def write_rows(folder: Path) -> None:
    """Write the rows of the seeds and of the corpus, those of the corpus last."""
    folder.mkdir(exist_ok=True)
    for package in seeds():
        for row in row_inputs(package):
            (folder / f"0-{len(row):05}-{_name(row)}.row").write_bytes(row)
    for path in CORPUS.glob("*.row"):
        _copy_row(path, folder)


def keep_rows(program: Path, folder: Path) -> int:
    """Add the rows that take branches which none before them takes; return how many are kept."""
    for path in (folder / "found").glob("*.row"):
        _copy_row(path, folder / "rows")
    fresh = folder / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    _run([str(program), "minimise", str(folder / "rows"), str(fresh)])
    kept = sorted(fresh.glob("1-*.row"))[:_MOST_ROWS]
    for path in CORPUS.glob("*.row"):
        path.unlink()
    for path in kept:
        shutil.copy(path, CORPUS / path.name[2:])
    return len(kept)


def keep_packages(folder: Path) -> int:
    """Add the smallest package of each message that no seed has; return how many are new."""
    from thimble.codec import PackageError, decode

    def outcome(package: bytes) -> str:
        try:
            return type(decode(package, 4 << 20)).__name__
        except PackageError as error:
            return re.sub(r"'.*?'|\d+", "#", str(error))

    known = {outcome(package) for package in seeds()}
    known |= {outcome(path.read_bytes()) for path in CORPUS.glob("*.thimble")}
    units = [path.read_bytes() for path in folder.glob("packages/units/*")]
    new = 0
    for package in sorted(units, key=lambda unit: (len(unit), unit)):
        if len(package) <= _LARGEST_PACKAGE and (said := outcome(package)) not in known:
            known.add(said)
            (CORPUS / f"{_name(package)}.thimble").write_bytes(package)
            new += 1
    return new


def _copy_row(path: Path, folder: Path) -> None:
    """Copy a row under a name that sorts after the seeds, and by size."""
    row = path.read_bytes()
    if len(row) <= _LARGEST_ROW:
        (folder / f"1-{len(row):05}-{_name(row)}.row").write_bytes(row)


def _name(data: bytes) -> str:
    """Return a name that only these bytes have."""
    return hashlib.sha256(data).hexdigest()[:12]


def _run(command: list[str]) -> None:
    """Run a command; what it says is shown only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, flush=True)
        done.check_returncode()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.keep:
        rows, packages = keep_rows(options.folder / "fuzz_row", options.folder), 0
        packages = keep_packages(options.folder)
        print(f"corpus: {rows} rows, {packages} packages more")
        return
    build(options.folder)
    write_rows(options.folder / "rows")


if __name__ == "__main__":
    main()
