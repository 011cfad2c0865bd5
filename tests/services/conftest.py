"""Tests against real servers: they install programs and start them, so they must be asked for."""

import os

import pytest

from tests.services.docker import base_image, build_images, docker, image_tags  # noqa: F401
from tests.services.minio import store_server  # noqa: F401
from tests.services.prometheus import prometheus  # noqa: F401


# Before xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them unless THIMBLE_SERVICES is 1; else one process runs all that builds images."""
    asked = os.environ.get("THIMBLE_SERVICES") == "1"
    reason = "starts real servers: `make test-services`, or THIMBLE_SERVICES=1"
    for item in items:
        if not item.get_closest_marker("services"):
            continue
        if not asked:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif "docker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("docker"))
        else:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
