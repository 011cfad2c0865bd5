"""A short seeded run of both fuzzers, and what longer ones found (`make fuzz` runs them)."""

import os
import subprocess

import pytest

from tests.fuzz.build import CORPUS, build, write_rows
from tests.fuzz.fuzz_decode import run_seeded
from tests.fuzz.oracle import check

KNOWN = sorted(CORPUS.glob("*.thimble"))


@pytest.mark.parametrize("path", KNOWN, ids=lambda path: path.stem)
def test_what_was_found_before(path):
    check(path.read_bytes())


def test_mutated_packages_raise_named_errors_only():
    outcomes = run_seeded(seed=3, runs=2000)
    assert sum(outcomes.values()) == 2000
    assert {"CorruptPackage", "NewerVersion", "TooLarge", "model"} <= outcomes.keys()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The C core under ASan and UBSan, with the rows to start from."""
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        build(folder)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        if _sanitizers_work(folder):
            raise
        pytest.skip(f"the C core was not fuzzed: no compiler with ASan and UBSan ({error})")
    write_rows(folder / "rows")
    return folder


def _sanitizers_work(folder):
    """Return whether an empty program can be built with the sanitizers and gcc's coverage."""
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    flags = ["-fsanitize=address,undefined", "-fsanitize-coverage=trace-pc", "-c"]
    linked = ["-fsanitize=address,undefined", str(source), "-o", str(folder / "empty")]
    compiler = os.environ.get("CC", "cc")
    try:
        for words in ([*flags, str(source), "-o", str(folder / "empty.o")], linked):
            subprocess.run([compiler, *words], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    return True


def run(folder, *words, **options):
    """Run the driver; return what it prints."""
    # Leaks are part of what is looked for; ptrace, which their search needs, is often forbidden.
    environment = os.environ | {"ASAN_OPTIONS": ":".join(f"{k}={v}" for k, v in options.items())}
    done = subprocess.run(
        [folder / "fuzz_row", *words], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_the_native_core_under_sanitizers(driver):
    said = run(driver, "runs", "4000", "5", str(driver / "rows"), str(driver))
    assert "4000 runs" in said
    assert "nothing wrong" in said


def test_the_native_core_never_reads_what_it_has_not_written(driver):
    """Fresh memory is filled with two patterns: the same comes out."""
    digests = {
        run(
            driver, "replay", str(driver / "rows"), max_malloc_fill_size=1 << 30, malloc_fill_byte=b
        )
        for b in (0, 85, 255)
    }
    assert len(digests) == 1
