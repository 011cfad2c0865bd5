"""Tests against real servers: they install programs and start them, so they must be asked for."""

import os

import pytest

from tests.services.docker import base_image, build_images, docker, image_tags  # noqa: F401
from tests.services.minio import store_server  # noqa: F401
from tests.services.prometheus import prometheus  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them unless THIMBLE_SERVICES is 1."""
    if os.environ.get("THIMBLE_SERVICES") == "1":
        return
    reason = "starts real servers: `make test-services`, or THIMBLE_SERVICES=1"
    for item in items:
        if item.get_closest_marker("services"):
            item.add_marker(pytest.mark.skip(reason=reason))
