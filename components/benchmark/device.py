"""The devices that a benchmark can run on, as a plain registry."""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["DEVICES", "describe_host", "device_fingerprint"]


def describe_host() -> dict[str, Any]:
    """Describe the machine that this process runs on.

    Returns:
        `name`, `cpu` (model), `cores` (usable by this process), `memory_bytes`, `os`, `python`,
        `litert` (version) and `fingerprint`.
    """
    return {
        "name": "host",
        "cpu": _cpu(),
        "cores": _cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "litert": metadata.version("ai-edge-litert"),
        "fingerprint": device_fingerprint(),
    }


def device_fingerprint() -> str:
    """Return 16 hex digits that change with what changes latency.

    CPU model, architecture, usable cores and LiteRT's version. Pass it as a parameter: it is in
    kfp's cache key, so that figures of one machine are never served as those of another.
    """
    parts = [_cpu(), platform.machine(), _cores(), metadata.version("ai-edge-litert")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _cpu() -> str:
    """The CPU's model name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


DEVICES: dict[str, Callable[[], dict[str, Any]]] = {"host": describe_host}
