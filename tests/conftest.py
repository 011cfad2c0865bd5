"""What every test can ask for: the repository's root and the real scans, where they exist."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Where real scans would be: outside the project, as some are for research only.

    In the folder that THIMBLE_SHARED_DATA names, else in ../shared/data beside the checkout.
    """
    return Path(os.environ.get("THIMBLE_SHARED_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data(data_folder: Path) -> Callable[[str], Path]:
    """Finds a set of real scans by name, e.g. `shared_data("isbi2012")`, or skips the test."""

    def find(name: str) -> Path:
        folder = data_folder / name
        if not folder.exists():
            pytest.skip(f"no real scans at {folder} (set THIMBLE_SHARED_DATA to their folder)")
        return folder

    return find
