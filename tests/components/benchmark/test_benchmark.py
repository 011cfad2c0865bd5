"""Benchmark: which cells it measures, in which processes, and what it refuses. No times."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.benchmark import benchmark as stage_module
from components.benchmark.benchmark import (
    SCRIPT,
    BenchmarkConfig,
    MeasureConfig,
    benchmark_tflite,
    measure_latency,
)
from components.benchmark.device import DEVICES, describe_host, device_fingerprint
from thimble.artifact import read_json
from thimble.codec import TfliteFile, decode
from thimble.stage import BadInput, ThimbleError, flatten, from_flat

QUICK = MeasureConfig(threads="1", iterations=3, warmup=0, seconds=0.1)
FIGURES = {"cold_start_seconds", "p50_seconds", "p90_seconds", "p99_seconds"}


class Silent:
    """A run that counts its progress."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def progress(self, step: int, total: int, **figures: float) -> None:
        self.steps.append((step, total))


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory, tiny_converted: Path) -> Path:
    content = decode((tiny_converted / "int8.thimble").read_bytes())
    assert isinstance(content, TfliteFile)
    path = tmp_path_factory.mktemp("tflite") / "mödel one.tflite"
    path.write_bytes(content.data)
    return path


def run_script(**task: Any) -> dict[str, Any]:
    """Measure one cell from this process."""
    given = {"threads": 1, "xnnpack": True, "warmup": 1, "iterations": 12, "seconds": 9.0}
    command = [sys.executable, "-P", str(SCRIPT), json.dumps(given | task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) | {"status": done.returncode}


def test_every_cell_is_measured(tmp_path: Path, tiny_converted: Path) -> None:
    run = Silent()
    config = BenchmarkConfig("teacher", measure=QUICK)
    write, figures = measure_latency(tiny_converted, config, run)  # type: ignore[arg-type]
    write(tmp_path)
    result = read_json(tmp_path / "benchmark.json")
    cells = [(row["threads"], row["xnnpack"], row["variant"]) for row in result["runs"]]
    variants = ["float32", "float16", "dynamic", "int8"]
    assert cells == [(1, xnnpack, name) for xnnpack in (True, False) for name in variants]
    for row in result["runs"]:
        assert row["p50_seconds"] <= row["p90_seconds"] <= row["p99_seconds"]
        assert all(row[name] > 0 for name in FIGURES)
        assert 0 <= row["memory_increment_bytes"] < row["peak_memory_bytes"]
        assert row["iterations"] == 3
    assert result["branch"] == "teacher"
    assert result["phone"] == "not verified on a phone"
    assert result["device"]["name"] == "host"
    assert run.steps == [(step, 8) for step in range(1, 9)]
    rows = {row["variant"]: row for row in result["runs"] if row["xnnpack"]}
    assert figures["p50_seconds_int8"] == rows["int8"]["p50_seconds"]
    assert set(figures) == {
        f"{kind}_{name}"
        for kind in ("p50_seconds", "p90_seconds", "cold_start_seconds", "peak_memory_bytes")
        for name in variants
    }


def test_repeats_keep_the_better_row(monkeypatch: pytest.MonkeyPatch, tflite: Path) -> None:
    times = iter([3.0, 1.0, 2.0, 5.0])
    monkeypatch.setattr(
        stage_module,
        "_measure_alone",
        lambda file, cell, config: {
            "p50_seconds": (p50 := next(times)),
            "p90_seconds": p50,
            "p99_seconds": 10 - p50,
        },
    )
    rows = benchmark_tflite(tflite, MeasureConfig(threads="2", repeats=2))
    # Passes over both cells: 3, 1 and then 2, 5.
    assert [(row["xnnpack"], row["p50_seconds"]) for row in rows] == [(True, 2.0), (False, 1.0)]
    assert [row["p99_seconds"] for row in rows] == [8.0, 9.0]
    assert {row["threads"] for row in rows} == {2}


def test_package_and_file_alone(tiny_converted: Path, tflite: Path) -> None:
    steps: list[int] = []
    rows = benchmark_tflite(
        tiny_converted / "int8.thimble", QUICK, lambda step, total, **figures: steps.append(step)
    )
    assert [row["variant"] for row in rows] == ["int8", "int8"]
    assert steps == [1, 2]
    assert benchmark_tflite(tflite, QUICK)[0]["variant"] == "mödel one"


def test_time_bounds_the_iterations(tflite: Path) -> None:
    enough = run_script(model=str(tflite), parent=os.getpid())
    assert (enough["status"], enough["iterations"]) == (0, 12)
    hurried = run_script(model=str(tflite), parent=os.getpid(), iterations=10**9, seconds=1e-9)
    assert hurried["iterations"] == 10


def test_memory_is_not_that_of_the_parent(tflite: Path) -> None:
    """On Linux, ru_maxrss of a child starts at the peak of its parent."""
    ballast = bytearray(os.urandom(1024)) * 400_000
    result = run_script(model=str(tflite), parent=os.getpid())
    assert result["peak_memory_bytes"] < 200e6 < len(ballast)


def test_orphan_does_not_start(tflite: Path) -> None:
    command = [sys.executable, "-P", str(SCRIPT), json.dumps({"parent": 1, "model": str(tflite)})]
    assert subprocess.run(command, check=False).returncode == 1


def test_killed_parent_leaves_no_process(tflite: Path) -> None:
    task = {"threads": 1, "xnnpack": True, "warmup": 0, "iterations": 10**9, "seconds": 600.0}
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import json, os, subprocess, sys
                task = {task!r} | {{"model": {str(tflite)!r}, "parent": os.getpid()}}
                child = subprocess.Popen([sys.executable, "-P", {str(SCRIPT)!r}, json.dumps(task)])
                print(child.pid, flush=True)
                child.wait()
            """),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        # Once it maps the runtime it has asked for the signal, or is about to check its parent.
        while not any("litert" in item.path for item in child.memory_maps()):
            assert child.is_running()
        parent.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs([child], timeout=20)
    assert not alive


def test_dynamic_batch_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32)])
    def call(image: Any) -> Any:
        return image + 1.0

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [call.get_concrete_function()], tf.Module()
    )
    (tmp_path / "dynamic.tflite").write_bytes(converter.convert())
    with pytest.raises(BadInput, match=r"one static float32 tensor\. Received.*-1"):
        benchmark_tflite(tmp_path / "dynamic.tflite", QUICK)


def test_damaged_files_are_refused(tmp_path: Path, tiny_converted: Path, tflite: Path) -> None:
    (tmp_path / "half.tflite").write_bytes(tflite.read_bytes()[:900])
    with pytest.raises(BadInput, match="LiteRT refuses variant half"):
        benchmark_tflite(tmp_path / "half.tflite", QUICK)
    converted = shutil.copytree(tiny_converted, tmp_path / "converted")
    (converted / "int8.thimble").write_bytes(b"")
    with pytest.raises(BadInput, match=r"int8\.thimble"):
        measure_latency(converted, BenchmarkConfig(measure=QUICK), Silent())  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="package of weights"):
        benchmark_tflite(tiny_converted / "model.thimble", QUICK)


def test_crash_of_the_process_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tflite: Path
) -> None:
    (tmp_path / "crash.py").write_text("import os, sys; print('x'); os.abort()")
    monkeypatch.setattr(stage_module, "SCRIPT", tmp_path / "crash.py")
    with pytest.raises(ThimbleError, match="1 threads, xnnpack=True ended with status -6"):
        benchmark_tflite(tflite, QUICK)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"device": "pixel"}, "device must be one of: host.*pixel"),
        ({"threads": ""}, "threads must be counts"),
        ({"threads": "1,0"}, "threads must be counts"),
        ({"threads": "two"}, "threads must be counts"),
        ({"iterations": 0}, "iterations must be >= 1"),
        ({"warmup": -1}, "warmup must be >= 0"),
        ({"seconds": 0.0}, "seconds must be > 0"),
        ({"repeats": 0}, "repeats must be >= 1"),
    ],
)
def test_config_refuses(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        from_flat(BenchmarkConfig, flatten(BenchmarkConfig()) | arguments)


def test_device_is_described() -> None:
    host = describe_host()
    assert DEVICES["host"] is describe_host
    assert host["fingerprint"] == device_fingerprint() == device_fingerprint()
    assert len(host["fingerprint"]) == 16
    assert host["cores"] >= 1 and host["memory_bytes"] > 2**26
    assert host["cpu"] and host["os"] and host["litert"]


def test_fingerprint_changes_with_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    before = device_fingerprint()
    monkeypatch.setattr("components.benchmark.device.metadata.version", lambda name: "0.0")
    assert device_fingerprint() != before


def test_benchmark_needs_no_tensorflow() -> None:
    code = (
        "import sys, components.benchmark.benchmark, components.benchmark.measure\n"
        "print(sorted({'tensorflow', 'tf_keras', 'kfp', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
