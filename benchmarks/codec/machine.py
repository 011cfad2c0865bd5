"""On what, of what and with what was measured."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["describe_machine"]

ROOT = Path(__file__).resolve().parents[2]


def _git(*words: str) -> str:
    """Return what git says, or nothing."""
    done = subprocess.run(["git", *words], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def describe_machine(peers: dict[str, str], command: str) -> dict[str, Any]:
    """Return machine, commit, command and versions."""
    changed = _git("status", "--porcelain", "--", "thimble", "benchmarks/codec")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "peers": peers,
        "commit": _git("rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "command": command,
    }
