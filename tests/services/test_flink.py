"""Ingest on a real Flink cluster: the same bytes as on this machine alone."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.ingest.ingest import IngestConfig, ingest_source
from tests.services.prometheus import free_port
from thimble.artifact import finish
from thimble.datasets import DATASETS
from thimble.stage import flat_fields, start

pytestmark = [
    pytest.mark.services,
    # At the end of a job the cluster hangs up on the threads that Beam reads with.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests/services/flink.sh"
NUCLEI = 24


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster and its job server; the parameter `runner` that sends ingest there."""
    environment = {
        **os.environ,
        "FLINK_HOME": str(tmp_path_factory.mktemp("flink")),
        "FLINK_PORT": str(free_port()),
        "FLINK_RPC_PORT": str(free_port()),
        "BEAM_PORT": str(free_port()),
    }

    def call(word: str) -> str:
        done = subprocess.run(
            [str(SCRIPT), word], env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip().splitlines()[-1] if done.stdout else ""

    try:
        call("start")
        yield call("runner")
    finally:
        call("stop")


def _ingest(folder: Path, parameters: dict[str, Any]) -> dict[str, bytes]:
    """Run ingest and return what it wrote, but for the history, which names the runner."""
    with start("ingest", IngestConfig, flat_fields(IngestConfig) | parameters) as run:
        write, figures = ingest_source(run.config, run)
        finish(run, write, folder, figures)
    files = [path for path in folder.iterdir() if path.name != "history.json"]
    return {path.name: path.read_bytes() for path in files}


def _same(tmp_path: Path, runner: str, parameters: dict[str, Any]) -> dict[str, bytes]:
    """Compare Flink's data set with the DirectRunner's."""
    here = _ingest(tmp_path / "here", parameters)
    there = _ingest(tmp_path / "there", parameters | {"runner": runner})
    assert sorted(there) == sorted(here)
    assert {name for name in here if here[name] != there[name]} == set()
    return there


def test_phantom_with_copies(tmp_path: Path, runner: str) -> None:
    written = _same(
        tmp_path,
        runner,
        {"kind": "phantom_nuclei", "phantom_images": 12, "phantom_size": 64, "elastic_copies": 2},
    )
    assert len(written["cases.jsonl"].splitlines()) == 12


def test_real_scans_and_a_bad_one(
    tmp_path: Path, runner: str, shared_data: Callable[[str], Path]
) -> None:
    source = shared_data("dsb2018_nuclei/dev")
    for images in sorted((source / "images").iterdir())[:NUCLEI]:
        for part in ("images", "labels"):
            (tmp_path / "scans" / part).mkdir(parents=True, exist_ok=True)
            file = next((source / part).glob(f"{images.stem}.*"))
            shutil.copyfile(file, tmp_path / "scans" / part / file.name)
    bad = min((tmp_path / "scans" / "images").iterdir())
    bad.write_bytes(bad.read_bytes()[:500])
    written = _same(
        tmp_path,
        runner,
        {
            "kind": "instances",
            "source": str(tmp_path / "scans"),
            "split_rule": "hash",
            "elastic_copies": 0,
            "border_sigma": 0.0,
        },
    )
    assert len(written["cases.jsonl"].splitlines()) == NUCLEI - 1
    assert written["rejected.jsonl"].count(b"cannot be read as an image") == 1


@pytest.mark.skipif("dicom" not in DATASETS, reason="this tree reads no DICOM")
def test_dicom(
    tmp_path: Path,
    runner: str,
    shared_data: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THIMBLE_PATIENT_KEY", "00" * 32)
    _same(
        tmp_path,
        runner,
        {
            "kind": "dicom",
            "source": str(shared_data("dicom_pydicom")),
            "labels": "none",
            "split_rule": "hash",
            "elastic_copies": 0,
            "max_rejected_share": 0.9,
        },
    )
