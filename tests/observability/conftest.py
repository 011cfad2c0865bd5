"""Prometheus' own tools, where they are installed."""

import shutil

import pytest


def _tool(name: str) -> str:
    """Return the path of a tool, or skip."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed: tests/services/install/prometheus.sh")
    return path


@pytest.fixture
def promtool() -> str:
    """The tool that checks Prometheus' files."""
    return _tool("promtool")


@pytest.fixture
def amtool() -> str:
    """The tool that checks Alertmanager's files."""
    return _tool("amtool")


@pytest.fixture
def compose() -> str:
    """Docker's compose, version 1 or 2, as a program of its own."""
    return _tool("docker-compose")
