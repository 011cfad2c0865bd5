"""Where something was measured: commit, machine, versions."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

__all__ = ["ROOT", "RUNS", "commit", "machine", "processor_flags"]

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "quality"
PACKAGES = ("numpy", "tensorflow-cpu", "tf-keras", "ai-edge-litert", "zstandard")


def commit() -> str:
    """Return the commit of the working tree, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _of_processor(key: str) -> str:
    """Return what Linux says of the first processor; nothing elsewhere."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def processor_flags() -> set[str]:
    """Return the instruction sets of the processor by Linux's names, such as avx2."""
    return set(_of_processor("flags").split())


def machine() -> str:
    """Return processor, cores and versions in one sentence."""
    processor = _of_processor("model name") or platform.machine()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return (
        f"Machine: {processor}, {os.cpu_count()} cores; one thread a process. "
        f"Python {platform.python_version()}, {versions}."
    )
