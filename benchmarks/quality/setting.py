"""Where something was measured: commit, machine, versions."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

__all__ = ["ROOT", "RUNS", "commit", "machine"]

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "quality"
PACKAGES = ("numpy", "tensorflow-cpu", "tf-keras", "ai-edge-litert", "zstandard")


def commit() -> str:
    """Return the commit of the working tree, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine() -> str:
    """Return processor, cores and versions in one sentence."""
    processor = platform.machine()
    if (file := Path("/proc/cpuinfo")).exists():
        names = [line for line in file.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":")[1].strip() if names else processor
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return (
        f"Machine: {processor}, {os.cpu_count()} cores; one thread a process. "
        f"Python {platform.python_version()}, {versions}."
    )
